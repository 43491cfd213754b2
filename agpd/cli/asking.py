"""Options of commands that ask a gateway's control plane, and where they ask."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from agpd.cli import completion

if TYPE_CHECKING:
    from agpd.cli.rest import Server

Command = Callable[..., Any]

context_option = click.option(
    "--context",
    "context",
    metavar="NAME",
    help="The context to use; otherwise AGP_CONTEXT, or the selected one.",
    shell_complete=completion.contexts,
)
tenant_option = click.option(
    "-t",
    "--tenant",
    default="",
    metavar="ORG",
    help="The organization; otherwise the context's.",
    shell_complete=completion.tenants,
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def wanted_context(context: str | None) -> str:
    """The context of a command's own option, or of `agpctl --context`; empty: of neither."""
    return context or click.get_current_context().find_root().params.get("context") or ""


def asks(command: Command) -> Command:
    """Add `--context` and `--tenant`; the command gets an open `Server` as its first argument."""

    @functools.wraps(command)
    def with_server(context: str | None, tenant: str, **rest: Any) -> Any:
        with server(context, tenant) as open_server:
            return command(open_server, **rest)

    return context_option(tenant_option(with_server))


def server(context: str | None, tenant: str = "") -> "Server":
    """The server to ask. Raises `Failure`, `ConfigError`."""
    from agpd.cli.rest import connected

    return connected(wanted_context(context), tenant=tenant)


def form_option(*forms: str, default: str = "table") -> Callable[[Command], Command]:
    """`-o`, one of these forms of output."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(forms),
        default=default,
        show_default=True,
        help="Form of the output.",
    )


def quiet(text: str) -> None:
    """Something for people beside a result for programs: on standard error."""
    click.echo(text, err=True)
