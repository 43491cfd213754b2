"""Build wheels into dist/ with each supported Python that is on this machine, and say which those were."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str | None:
    """This one, on the path, or among those of pyenv: the first that runs (the shims of pyenv may not)."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    for python in (sys.executable, shutil.which(f"python{version}"), *map(str, found)):
        if python is not None and _runs(python, version):
            return python
    return None


def _runs(python: str, version: str) -> bool:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", script], check=False, capture_output=True, text=True)
    return done.stdout.strip() == version


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
