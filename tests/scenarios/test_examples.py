"""Every example runs as its user would run it, against a gateway with mutual TLS."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.dev import ROOT, dev, environment, run

SAYS = {
    "first_message": r"acme/demo/alice/[-0-9a-f]{36} says hello\n",
    "request_reply": r"edited: They swim\nrefused: there is nothing to edit\n",
    "pubsub": r"to all: 3 receivers\nto any one: 1 receivers\nto two: 2 receivers\nreceived in all: 6\n",
    "presence": r"there at first: 0\njoined: True\nthere now: 1\nleft: True\n",
    "registry": r"told: registered\ntold: started\nfound: acme/demo/writer eu-1 \('write',\)\nanswer: Notes on agpd\n",
    "local": r"words: 3\n",
    "sync_notebook": r"answer: HELLO\nnote: a note\n",
}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with dev(tmp_path_factory.mktemp("state")) as environ:
        yield environ


def test_every_example_is_here() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {*SAYS, "__init__"}


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str, where: dict[str, str]) -> None:
    done = run(f"examples/{name}.py", env=where)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(SAYS[name], done.stdout), done.stdout


def test_control_without_a_gateway_it_says_what_to_do(tmp_path: Path) -> None:
    done = run("examples/first_message.py", env=environment(tmp_path, AGP_URL="agp+tcp://127.0.0.1:9"))
    assert done.returncode == 1
    assert "no gateway at 127.0.0.1:9: start one with `agpd dev`, or mend the address" in done.stderr
