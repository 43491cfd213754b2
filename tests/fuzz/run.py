"""Fuzz each target for a while: `python tests/fuzz/run.py --seconds 30 [target ...]`. Exit code 1 if one fails.

Each runs in a process of its own; an input that breaks it is left in the working directory by atheris.
"""

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target in this process; atheris does not return."""
    import atheris

    with atheris.instrument_imports(include=["agpd"]):
        from fuzz.targets import TARGETS
    logging.disable(logging.CRITICAL)  # a fault shows by what the target asserts
    corpus = tempfile.mkdtemp(prefix="agpd-fuzz-")
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        corpus,
        str(HERE / "seeds" / target),
    ]
    atheris.Setup([sys.argv[0], *options], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument(
        "--hours", type=float, help="instead of seconds; without atheris, the fast driver of the loop"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    if given.hours is not None:
        given.seconds = int(given.hours * 3600)
    if importlib.util.find_spec("atheris") is None and given.hours is not None:
        print("atheris is not installed: mutating without instrumentation")
        command = [sys.executable, str(HERE / "loop.py"), "--executions", str(10**15)]
        return subprocess.run([*command, "--seconds", str(given.seconds)], check=False).returncode
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (it has no wheel for every Python version): nothing was fuzzed")
        return 0
    if given.here:
        fuzz(given.targets[0], given.seconds)
    failed = []
    for target in given.targets or sorted(each.name for each in (HERE / "seeds").iterdir()):
        command = [sys.executable, __file__, "--here", "--seconds", str(given.seconds), target]
        if subprocess.run(command, check=False).returncode:
            failed.append(target)
    print(f"failed: {', '.join(failed)}" if failed else "no target failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
