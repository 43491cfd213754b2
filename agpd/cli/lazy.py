"""Command groups whose subcommands are imported when they are called, and errors without tracebacks.

click costs 50 ms, cryptography and rich 100 ms more each: `--help` must not pay for those.
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from agpd.errors import AgpdError, ConfigError, missing_package

INTERRUPTED = 130  # exit code after Ctrl-C


class Lazy(NamedTuple):
    """Where a subcommand is defined and the line that a group's help shows for it."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group with `lazy` subcommands, name -> `Lazy`, beside those defined in place.

    `ConfigError`, `AgpdError` and a package that is not installed end the command with one line on standard error and
    exit code 2.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        try:
            command: click.Command = getattr(importlib.import_module(place.module), place.attribute)
        except ModuleNotFoundError as error:
            if ctx.resilient_parsing and missing_package(error):  # a shell completes a line
                return None
            raise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, place.help) for name, place in self.lazy.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AgpdError, ConfigError) as error:
            raise Failure(str(error)) from error
        except ModuleNotFoundError as error:
            if not (package := missing_package(error)):
                raise
            raise Failure(f"this needs the package {package}: pip install 'agpd[server]'") from error


class Failure(click.ClickException):
    """Ends a command with one line on standard error and exit code 2."""

    exit_code = 2

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """The text without anything that a terminal would obey; details may come from the other side."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
