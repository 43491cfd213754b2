"""Writes the tables and plots of README and docs/topics/comparison.md from a result of `make bench-peers`.

python scripts/comparison.py [RESULT.json]     # left out: the newest in bench/results
"""

import re
import shutil
import sys
from pathlib import Path

from bench.peers import report, results

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs/topics/comparison.md", ROOT / "README.md"


def fill(text: str, name: str, lines: list[str]) -> str:
    """The text with what stands between the markers `name` replaced. Raises `ValueError` without them."""
    begin, end = f"<!-- comparison: {name} -->", f"<!-- /comparison: {name} -->"
    filled, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: "\n".join([begin, "", *lines, "", end]),
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{count} places marked {begin} … {end}, not one")
    return filled


def page(text: str, result: results.Result, file: str) -> str:
    """The page with the figures of a result."""
    for name, lines in (
        ("card", report.card(result, file)),
        ("cpu", report.cpu(result)),
        ("clients", report.clients(result)),
        ("notes", report.notes(result)),
        ("ahead", report.ahead(result)),
    ):
        text = fill(text, name, lines)
    return text


def main() -> None:
    """Fill both pages and copy the plots."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else results.latest()
    if path is None:
        raise SystemExit("no result: measure first: make bench-peers")
    result = results.read(path)
    PAGE.write_text(page(PAGE.read_text(), result, path.name))
    README.write_text(fill(README.read_text(), "table", report.summary(result)))
    for plot in report.PLOTS:
        drawn = path.with_name(f"{path.stem}-{plot.key}.svg")
        shutil.copyfile(drawn, PAGE.with_name(f"comparison-{plot.key}.svg"))


if __name__ == "__main__":
    main()
