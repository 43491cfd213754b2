"""The load generator and the relay in C (`native/`): built when they are needed, and how they are called."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
BUILD_TIMEOUT_S = 120.0


class BuildFailed(Exception):
    """There is a compiler and there are headers, and the sources do not compile."""


def build(sanitize: bool = False) -> str:
    """Build what is out of date. Returns why it cannot be built here, empty if it is there. Raises `BuildFailed`."""
    missing = [name for name in ("make", os.environ.get("CC", "cc")) if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    if not _headers():
        return "the headers of OpenSSL are not installed (Debian: libssl-dev)"
    with (NATIVE / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would mix their objects
        done = subprocess.run(
            ["make", "-s", "-C", str(NATIVE), "sanitize" if sanitize else "all"],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise BuildFailed(done.stderr)
    return ""


def _headers() -> bool:
    compiler = os.environ.get("CC", "cc")
    done = subprocess.run(
        [compiler, "-E", "-"],
        input="#include <openssl/ssl.h>\n",
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    return done.returncode == 0


def program(name: str, sanitize: bool = False) -> str:
    """The path of `agpload` or `relay`."""
    return str(NATIVE / ("build/sanitize" if sanitize else "build") / name)
