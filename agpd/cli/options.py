"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0}


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


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    """Seconds, from a text such as 90m, 24h or 30d; 0 if there is none."""
    if value is None:
        return 0.0
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a time such as 90m, 24h or 30d")
    return int(match[1]) * _UNITS_S[match[2]]


def life_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--life`; the command gets `life_s`, 0 if it was left out."""
    return click.option("--life", "life_s", metavar="LIFE", callback=seconds, help=what)
