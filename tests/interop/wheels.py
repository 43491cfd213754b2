"""The clients that people have installed, each in an environment of its own below `.venvs`, made when first wanted."""

import os
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from bench.environments import Absent, made

HERE = Path(__file__).parent
# Every wheel that speaks AGP, by the name of its requirements file.
AGP = ("agp-0.2.4", "agp-0.3.0", "agp-0.3.4", "agp-0.3.5")
SLIM_OLD = "slim-0.3.6"
ALL = (*AGP, SLIM_OLD)
LATEST = "agp-0.3.5"
SLIM = "slim-3.3.8"  # another wire than all of the above
# `AGPD_INTEROP=require`: what is absent is a failure.
REQUIRED = os.environ.get("AGPD_INTEROP") == "require"


def python(wheel: str) -> Path:
    """The interpreter that has this wheel. Skips the test with the reason, or fails it, where it cannot be had."""
    found = _python(wheel)
    if isinstance(found, str):
        absent(f"{wheel} cannot be installed: {found}")
    return found


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be absent."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _python(wheel: str) -> Path | str:
    """The interpreter, or why there is none; found out once."""
    try:
        return made(HERE / ".venvs" / wheel, HERE / f"requirements/{wheel}.txt")
    except Absent as error:
        return str(error)
