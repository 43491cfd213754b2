"""Virtual environments beside the project's own, for programs whose packages exclude each other or ours.

Each is made when it is first wanted, from a file of exact pins, and made again when that file has changed.
"""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL_TIMEOUT_S = 300.0


class Absent(Exception):
    """What is wanted cannot be had here; the text says why."""


def made(directory: Path, requirements: Path) -> Path:
    """The interpreter of the environment in `directory`, which has these requirements and no others.

    Raises `Absent`.
    """
    stamp, found = directory / ".installed", directory / "bin/python"
    wanted = requirements.read_text()
    with _alone(directory):
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"installing {directory.name} ...", file=sys.stderr, flush=True)
            # A pip of its own would take longer than what it installs.
            call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(directory)])
            pip = [sys.executable, "-m", "pip", "--python", str(found), "--disable-pip-version-check"]
            call([*pip, "install", "--quiet", "-r", str(requirements)])
            stamp.write_text(wanted)
    return found


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two runs do not install into one directory at once."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f".{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def call(argv: list[str], timeout_s: float = INSTALL_TIMEOUT_S) -> str:
    """Its standard output. Raises `Absent`."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(f"{Path(argv[0]).name}: {error}") from error
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise Absent(f"{Path(argv[0]).name}: {lines[-1]}")
    return done.stdout
