"""Build wheels into dist/ with each supported Python that is on this machine, and say which those were."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str | None:
    """On the path, or among those of pyenv."""
    here = Path(sys.executable)
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return str(here)
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return shutil.which(f"python{version}") or (str(found[-1]) if found else None)


def main() -> int:
    failed = []
    for version in VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"Python {version}: not on this machine")
            continue
        command = [
            python,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(ROOT / "dist"),
            str(ROOT),
        ]
        done = subprocess.run(command, check=False)
        print(f"Python {version}: {'built' if done.returncode == 0 else 'failed'} with {python}")
        if done.returncode:
            failed.append(version)
    for wheel in sorted((ROOT / "dist").glob("*.whl")):
        print(wheel.relative_to(ROOT))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
