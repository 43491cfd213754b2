"""Following the registered agents."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scenarios.ctl import Ctl
from scenarios.dev import DEADLINE_S, environment

AGPCTL = ["-c", "from agpd.cli.main import agpctl; agpctl()"]


@contextmanager
def started(ctl: Ctl, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """agpctl, once it watches."""
    pipe = subprocess.PIPE
    env = environment(ctl.state.parent) | ctl.environ
    process = subprocess.Popen(
        [sys.executable, *AGPCTL, *arguments], env=env, stdout=pipe, stderr=pipe, text=True
    )
    try:
        assert process.stderr is not None
        assert any(line == "watching agents\n" for line in process.stderr)
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    assert process.wait(DEADLINE_S) == 0
    return lines


@pytest.fixture
def kind(ctl: Ctl) -> str:
    ctl("create", "type", "acme/demo/watched", "--label", "team=x") if "watched" not in ctl(
        "get", "types"
    ) else None
    return "acme/demo/watched"


@pytest.mark.parametrize("form", ["table", "json"])
def test_changes_are_printed(ctl: Ctl, kind: str, form: str) -> None:
    agent = f"{kind}/{form}"
    with started(ctl, "agents", "watch", kind, "-l", "team=x", "--count", "2", "-o", form) as process:
        ctl("create", "agent", agent)
        ctl("delete", "agent", agent)
        lines = finish(process)
    if form == "json":
        events = [json.loads(line) for line in lines]
        assert [event["kind"] for event in events] == ["registered", "deregistered"]
        assert {event["agent"]["identity"] for event in events} == {"json"}
    else:
        assert [line.split()[1:] for line in lines] == [
            ["registered", agent, "(0", "live)"],
            ["deregistered", agent, "(0", "live)"],
        ]


def test_a_list_that_goes_on(ctl: Ctl, kind: str) -> None:
    agent = f"{kind}/listed"
    ctl("create", "agent", agent)
    with started(ctl, "get", "agents", kind, "--watch") as process:
        ctl("delete", "agent", agent)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
    assert [line.split()[0] for line in lines[:2]] == ["NAME", agent]
    assert "deregistered" in lines[2]


def test_ctrl_c_ends_quietly(ctl: Ctl, kind: str) -> None:
    with started(ctl, "agents", "watch", kind) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err) == (130, "", "")


def test_one_beginning_of_a_name_at_a_time(ctl: Ctl) -> None:
    assert "watch one organization" in ctl.fails("agents", "watch", "a/b/c/d")
