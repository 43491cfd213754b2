"""docs/tutorial/two-organizations.md, step by step as it stands, on ports of its own."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.dev import ROOT, environment
from scenarios.page import Desk, Step, pattern, steps

PAGE = ROOT / "docs/tutorial/two-organizations.md"
SKIPPED = "pip install 'agpd[server]'"
PORTS = ("7420", "7421", "46357")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def script() -> list[Step]:
    """The steps of the page."""
    text = PAGE.read_text()
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        text = re.sub(rf"\b{port}\b", str(free), text)
    return list(steps(text))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    env = environment(tmp_path, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    desk = Desk(tmp_path, env)
    yield desk
    desk.close()


def test_the_page_does_what_it_says(desk: Desk) -> None:
    done = 0
    for step in script():
        if step.command != SKIPPED:
            desk.do(step)
            done += 1
    assert done > 40


def test_control_the_page_is_checked(desk: Desk) -> None:
    desk.do(Step("", "echo 4a8644ed1f3dd5e2", "4a8644ed1f3dd5e1\n", False))
    desk.do(Step("", "echo 4a8644ed1f3dd5e1", "4a8644ed1f3dd5e2\n", False))
    with pytest.raises(AssertionError, match="but the page says"):
        desk.do(Step("", "echo yes", "no\n", False))
    with pytest.raises(AssertionError, match="exit code 3"):
        desk.do(Step("", "exit 3", "", False))


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("a  b\n", "a b\n", True),
        ("a b\n", "a c\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n...\n", "a\nb\nc\n", True),
        ("...\nb\n", "a\nb\n", True),
        ("until ...\n", "until now\n", True),
        ("", "a\n", False),
    ],
)
def test_what_is_shown_stands_for_what_is_printed(shown: str, printed: str, fits: bool) -> None:
    assert bool(re.fullmatch(pattern(shown), printed)) is fits
