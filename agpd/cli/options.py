"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config FILE` (or `AGPD_CONFIG`) and `--set name=value`.

    The command gets `file: Path | None` and `sets: tuple[str, ...]`, the first and last argument of
    `agpd.config.load`.
    """
    command = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="SECTION.SETTING=VALUE",
        help="One setting; outranks file and environment. May be repeated.",
    )(command)
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path),
        envvar="AGPD_CONFIG",
        show_envvar=True,
        help="TOML file; agpd.example.toml names every setting.",
    )(command)
