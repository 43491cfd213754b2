"""Branch coverage of each module by its own test file alone: `make coverage`.

A module that only other modules' tests exercise is not proved. Modules without a test file of their own are listed; the
exit code says whether a covered module is below the floor.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FLOOR = 85.0
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "agpd": (ROOT / "agpd", ROOT / "tests/unit"),
    "agpd_client": (ROOT / "client/agpd_client", ROOT / "tests/unit/client"),
}


def own_tests(source: Path, tests: Path, relative: Path) -> Path | None:
    """The test file of a module: test_<module>.py, or test_<package>_<module>.py where the short name is taken."""
    folder = tests / relative.parent
    for name in (
        f"test_{source.stem}.py",
        f"test_{relative.parent.name}_{source.stem}.py",
        f"test_client_{source.stem}.py",
    ):
        if (folder / name).is_file():
            return folder / name
    return None


def measure(module: str, tests: Path) -> float:
    """Per cent of lines and branches of `module` that its tests reach; the tests must pass."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests),
             f"--cov={module}", "--cov-branch", f"--cov-report=json:{report}"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "COVERAGE_FILE": str(Path(directory) / "data")},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{tests.relative_to(ROOT)} fails:\n{done.stdout[-2000:]}")
        return float(json.loads(report.read_text())["totals"]["percent_covered"])


def main() -> int:
    """Print a line for each module; 1 if one is below the floor."""
    low = 0
    for package, (sources, tests) in PACKAGES.items():
        for source in sorted(sources.rglob("*.py")):
            relative = source.relative_to(sources)
            if source.name == "__init__.py":
                continue
            module = ".".join([package, *relative.with_suffix("").parts])
            found = own_tests(source, tests, relative)
            if found is None:
                print(f"{module:45} no test file of its own")
                continue
            percent = measure(module, found)
            low += percent < FLOOR
            print(
                f"{module:45} {percent:5.1f} %{'   below the floor' if percent < FLOOR else ''}", flush=True
            )
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
