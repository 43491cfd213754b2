"""Run the compiled hot path under AddressSanitizer and UBSan: its tests, then the fuzzer.

A copy of the package in build/asan gets an instrumented extension; another one with small batches is for the fuzzer.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from compile_hotpath import ROOT, SANITIZE, SMALL, CannotCompile, compile_into

SCRATCH = ROOT / "build" / "asan"
TESTS = (
    "tests/unit/hotpath",
    "tests/property/test_hotpath_twins.py",
    "tests/property/test_forward_model.py",
    "tests/unit/test_fuzz_seeds.py",
)


def environment(package: Path) -> dict[str, str]:
    """Of a process that loads the instrumented extension. The interpreter itself is not instrumented, and leaks."""
    compiler = os.environ.get("CC") or "gcc"
    found = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    return {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(package),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=200_000, help="of the fuzzer")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    shutil.copytree(ROOT / "agpd", SCRATCH / "agpd", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    try:
        compile_into(SCRATCH / "agpd" / "hotpath", SANITIZE)
        small = compile_into(SCRATCH / "small", SANITIZE + SMALL)
    except CannotCompile as error:
        print(f"cannot build the extension: {error}", file=sys.stderr)
        return 1
    where = environment(SCRATCH)
    shown = subprocess.run(
        [sys.executable, "-c", "from agpd.hotpath import _compiled; print(_compiled.__file__)"],
        env=where,
        cwd=SCRATCH,
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.startswith(str(SCRATCH)), shown.stdout
    for command in (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        [
            *("tests/fuzz/loop.py", "--extension", str(small)),
            *("--executions", str(given.executions), "--seed", str(given.seed)),
        ],
    ):
        code = subprocess.run([sys.executable, *command], env=where, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
