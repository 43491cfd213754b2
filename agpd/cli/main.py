"""The two commands: `agpd` runs a gateway, `agpctl` works with one."""

import os
from pathlib import Path

import click
from click.core import ParameterSource

from agpd.cli.lazy import Lazy, LazyGroup
from agpd.cli.options import config_options

AGPD = {
    "serve": Lazy("agpd.cli.serve", "serve", "Run a gateway."),
    "dev": Lazy("agpd.cli.dev", "dev", "Run a gateway on this machine without any configuration."),
    "bootstrap": Lazy("agpd.cli.bootstrap", "bootstrap", "Make the first operator of a new control plane."),
}
AGPCTL = {
    "login": Lazy("agpd.cli.login", "login", "Log in at a gateway."),
    "whoami": Lazy("agpd.cli.login", "whoami", "Show as whom the gateway sees us."),
    "context": Lazy("agpd.cli.context", "context", "Say which gateway to work with, and as whom."),
    "get": Lazy("agpd.cli.resources", "get", "List tenants, agents, clients, grants and other resources."),
    "describe": Lazy("agpd.cli.resources", "describe", "Show everything about a resource."),
    "create": Lazy("agpd.cli.create", "create", "Create a resource."),
    "apply": Lazy("agpd.cli.resources", "apply", "Make resources as files say."),
    "delete": Lazy("agpd.cli.resources", "delete", "Delete resources."),
    "agents": Lazy("agpd.cli.agents", "agents", "Follow the registered agents."),
    "can": Lazy("agpd.cli.can", "can", "Say whether something is allowed, and by which rules."),
    "client": Lazy("agpd.cli.credentials", "client", "Change the secrets of a client."),
    "key": Lazy("agpd.cli.credentials", "key", "Change the signing keys of a tenant."),
    "token": Lazy("agpd.cli.tokens", "token", "Print an access token, or revoke it."),
    "audit": Lazy("agpd.cli.audit", "audit", "Read and check the audit log."),
    "export": Lazy("agpd.cli.transfer", "export", "Print all resources as one document."),
    "import": Lazy("agpd.cli.transfer", "import_", "Make all resources of an export."),
    "pki": Lazy("agpd.cli.pki", "pki", "Make certificates and revoke them."),
    "pub": Lazy("agpd.cli.messages", "pub", "Publish messages."),
    "sub": Lazy("agpd.cli.messages", "sub", "Subscribe and print what arrives."),
    "request": Lazy("agpd.cli.messages", "request", "Send a request and print the reply."),
    "watch": Lazy("agpd.cli.messages", "watch", "Print which agents of a type join and leave."),
    "bench": Lazy("agpd.cli.bench", "bench", "Measure throughput and latency."),
    "completion": Lazy("agpd.cli.completion", "completion", "Print the completion script of a shell."),
}
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    from agpd.hotpath import COMPILED

    hot_path = "compiled" if COMPILED else "in Python"
    click.echo(f"{ctx.find_root().command.name}, version {version('agpd')}, hot path {hot_path}")
    ctx.exit()


_version = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)


@click.group(cls=LazyGroup, lazy=AGPD, invoke_without_command=True, context_settings=_HELP)
@_version
@click.option("--print-config", is_flag=True, help="Print the configuration as a TOML file and exit.")
@config_options
@click.pass_context
def agpd(ctx: click.Context, print_config: bool, file: Path | None, sets: tuple[str, ...]) -> None:
    """A message gateway for AI agents."""
    if print_config:
        _show(file, sets, with_origins=False)
        ctx.exit()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)
    if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("file", "sets")):
        raise click.UsageError(
            "write --config and --set after the command, such as: agpd serve --config FILE"
        )


@click.group(cls=LazyGroup, lazy=AGPCTL, context_settings=_HELP)
@_version
@click.option(
    "--context", metavar="NAME", help="The context to use; otherwise AGP_CONTEXT, or the selected one."
)
def agpctl(context: str | None) -> None:
    """Work with a gateway: resources, certificates, messages, measurements."""


@agpd.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@config_options
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(file: Path | None, sets: tuple[str, ...], origin: bool) -> None:
    """Print the configuration as a TOML file, without passwords, or each setting with its origin."""
    _show(file, sets, with_origins=origin)


@config.command()
@config_options
def check(file: Path | None, sets: tuple[str, ...]) -> None:
    """Say whether a gateway can start with this configuration. Certificate files are not opened."""
    from agpd.config import load

    if load(file, os.environ, sets).control.enabled:
        from agpd.app import plane_class

        plane_class()
    click.echo("the configuration is good")


def _show(file: Path | None, sets: tuple[str, ...], *, with_origins: bool) -> None:
    from agpd.config import origins, read, to_toml, without_passwords

    config = read(file, os.environ, sets)
    if not with_origins:
        click.echo(to_toml(without_passwords(config)))
        return
    places = origins(file, os.environ, sets)
    width = max(map(len, places))
    for name, place in places.items():
        click.echo(f"{name:<{width}}  {place}")
