"""`agpd dev` in a process of its own, and programs that use it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0
_RUNNING = re.compile(r"agpd is running at (\S+),")
_REGISTRY = re.compile(r"export AGP_CONTROL=(\S+)")


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Of a program that finds nothing of the developer's own; development files are below `directory`."""
    own = {
        key: value for key, value in os.environ.items() if not key.startswith(("AGP_", "AGPD_", "AGPCTL_"))
    }
    own |= {"AGPD_STATE_DIR": str(directory), "XDG_CONFIG_HOME": str(directory / "config")}
    return own | {"PYTHONUNBUFFERED": "1"} | more


@contextmanager
def dev(directory: Path, *options: str) -> Iterator[dict[str, str]]:
    """A development gateway; gives the environment in which the SDK and agpctl find it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agpd", "dev", "--port", "0", *options],
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = next(filter(None, map(_RUNNING.search, process.stdout)))
        registry = next(filter(None, map(_REGISTRY.search, process.stdout)))
        next(line for line in process.stdout if "Ctrl-C" in line)  # it writes no more: it may be closed
        yield environment(directory, AGP_URL=found[1], AGP_CONTROL=registry[1])
        process.terminate()
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()


def run(*command: str, env: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """`python command...` at the root of the project, to its end."""
    done = subprocess.run(
        [sys.executable, *command], env=env, cwd=ROOT, input=stdin, capture_output=True, timeout=DEADLINE_S
    )
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
