"""The Python in README and documentation runs as it stands. A block {.python .fragment} only has to parse."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from scenarios.dev import ROOT, dev, run

_BLOCK = re.compile(r"^```\{?\.?python([^\n}]*)\}?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A piece of code in a page; `mark` is what follows the word python."""

    place: str
    mark: str
    code: str


def blocks() -> list[Block]:
    """Every block of the README and the pages."""
    return [
        Block(f"{page.relative_to(ROOT)}-{number}", mark.strip(), code)
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for number, (mark, code) in enumerate(_BLOCK.findall(page.read_text()))
    ]


WHOLE = [block for block in blocks() if block.mark == ""]
FRAGMENTS = [block for block in blocks() if block.mark == ".fragment"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with dev(tmp_path_factory.mktemp("state")) as environ:
        yield environ


def test_there_are_blocks_and_no_other_marks() -> None:
    assert len(WHOLE) >= 8
    assert FRAGMENTS
    assert len(WHOLE) + len(FRAGMENTS) == len(blocks())


@pytest.mark.parametrize("block", WHOLE, ids=lambda block: block.place)
def test_block_runs(block: Block, where: dict[str, str]) -> None:
    done = run("-W", "error", "-c", block.code, env=where)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", FRAGMENTS, ids=lambda block: block.place)
def test_fragment_parses(block: Block) -> None:
    compile(block.code, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
