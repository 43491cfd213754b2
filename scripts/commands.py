"""Write docs/reference/commands.md from the commands' own help; `--check` only says whether it is stale.

python scripts/commands.py [--check]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from agpd.cli.main import agpctl, agpd

PAGE = Path(__file__).parent.parent / "docs/reference/commands.md"
WIDTH = 100
_HEAD = """# Commands

<!-- Written by scripts/commands.py from the commands' help. -->
`agpd` runs a gateway, `agpctl` works with one. Errors are one line on standard error and exit code 2.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_sections(agpd, "agpd")) + "".join(_sections(agpctl, "agpctl"))


def _sections(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """The help of a command, then that of its subcommands."""
    how = {"max_content_width": WIDTH, "terminal_width": WIDTH}
    with command.make_context(name, [], parent, resilient_parsing=True, **how) as ctx:
        yield f"\n## {ctx.command_path}\n\n```text\n{command.get_help(ctx)}\n```\n"
        if isinstance(command, click.Group):
            for sub in command.list_commands(ctx):
                found = command.get_command(ctx, sub)
                assert found is not None
                yield from _sections(found, sub, ctx)


def main(arguments: list[str]) -> int:
    """0 if the page is fresh, or was made so."""
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    if arguments == ["--check"]:
        sys.stderr.write(f"{PAGE} is stale: run scripts/commands.py\n")
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
