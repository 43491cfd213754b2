"""The machine card: what a result was measured on and with."""

import os
import platform
import ssl
import subprocess
import sysconfig
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from agpd import hotpath


class Card(msgspec.Struct, kw_only=True):
    """`optimised` tells how the interpreter was built: PGO and LTO are worth 10 to 30 per cent.

    `hot_path`: the compiled loop or its twin in Python.
    """

    date: str
    commit: str
    cpu: str
    cores: int
    kernel: str
    python: str
    optimised: str
    uvloop: str
    openssl: str
    load_average: float
    hot_path: str = "Python"


def card(now: datetime) -> Card:
    """Of this machine. `load_average` before the run: above 0.5, others were using it too."""
    return Card(
        date=now.isoformat(timespec="seconds"),
        commit=_commit(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        optimised=_optimised(),
        uvloop=version("uvloop"),
        openssl=ssl.OPENSSL_VERSION,
        load_average=round(os.getloadavg()[0], 2),
        hot_path="compiled" if hotpath.COMPILED else "Python",
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _optimised() -> str:
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS"))
    found = [
        name for name, flag in (("PGO", "--enable-optimizations"), ("LTO", "--with-lto")) if flag in arguments
    ]
    return " and ".join(found) or "neither PGO nor LTO"


def _commit() -> str:
    """With `+` if files have changed since; `unknown` outside a git repository."""
    described = _git("rev-parse", "--short=12", "HEAD")
    return described + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "") or "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip() if done.returncode == 0 else ""
