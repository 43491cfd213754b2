"""agpd/cli/load/background.py: a steady rate by the clock, beside a measurement, with what it lost."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.process import GatewayProcess, gateway

from agpd.cli.load.background import CATCH_UP_S, TICK_S, Pace, beside
from agpd_client.errors import ConnectError

AGPCTL = [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", "bench"]
TIMEOUT_S = 60.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway(tmp_path) as process:
        yield process


def url(running: GatewayProcess) -> list[str]:
    return ["--url", "agp+tcp://{}:{}".format(*running.address)]


def agpctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*AGPCTL, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.parametrize("rate", [1.0, 333.0, 1e6])
def test_what_is_due_follows_the_clock_however_late_a_tick_comes(rate: float) -> None:
    chance = random.Random(1)
    now, sent, pace = 5.0, 0, Pace(rate, 5.0)
    while now < 15.0:
        now += TICK_S * chance.uniform(0.5, 3.0)
        sent += pace.due(now)
    assert sent == pytest.approx(rate * (now - 5.0), abs=1.1)


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    pace = Pace(1000, 0.0)
    assert pace.due(60.0) == 1000 * CATCH_UP_S
    assert pace.due(60.0) == 0
    assert pace.due(60.0105) == 10


def test_a_load_keeps_its_rate_and_loses_nothing(running: GatewayProcess) -> None:
    done = agpctl(
        "load", "acme/bench/agent", *url(running), "--load-rate", "2000", "--seconds", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "ready\n"
    result = json.loads(done.stdout)
    assert result["wanted_per_s"] == 2000
    assert 0 < result["achieved_per_s"] <= 2010
    assert (result["refused"], result["lost"]) == (0, 0)
    # the last of them may still have been on their way
    assert running.stop()["deliveries"] >= result["achieved_per_s"] * result["seconds"] - 1


def test_a_share_is_one_of_what_was_measured_first(running: GatewayProcess) -> None:
    done = agpctl(
        "load", "acme/bench/agent", *url(running), "--background-load", "0.1", "--seconds", "0.2", "--json"
    )
    assert done.returncode == 0, done.stderr
    wanted = json.loads(done.stdout)["wanted_per_s"]
    assert 0.09 * running.stop()["deliveries"] < wanted


@pytest.mark.parametrize("by", [["--raw"], []], ids=["raw", "sdk"])
def test_requests_are_timed_beside_a_load(running: GatewayProcess, by: list[str]) -> None:
    with subprocess.Popen(
        [*AGPCTL, "rr", "acme/bench/echo", *url(running), "--serve", "--raw"],
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        assert server.stderr.readline() == "ready\n"
        done = agpctl(
            "rr", "acme/bench/echo", *url(running), *by, "--count", "200", "--load-rate", "1000", "--json"
        )
        server.kill()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["lost"] == 0
    assert result["p50_us"] <= result["p99_us"] <= result["p999_us"]
    assert result["background"]["wanted_per_s"] == 1000
    assert result["background"]["lost"] == 0
    statistics = running.stop()
    assert statistics["deliveries"] >= 400, "requests and replies"


def test_without_a_rate_there_is_no_load() -> None:
    done = agpctl("load", "acme/bench/agent")
    assert done.returncode == 2
    assert "--load-rate or --background-load" in done.stderr


def test_a_load_that_does_not_start_is_an_error() -> None:
    with (
        pytest.raises(ConnectError, match=r"background load: .*127.0.0.1:1"),
        beside(["acme/bench/agent", "--url", "agp+tcp://127.0.0.1:1", "--load-rate", "1"]),
    ):
        pytest.fail("it has not started")


def test_a_warning_before_it_begins_is_no_failure(running: GatewayProcess) -> None:
    somewhere = f"agp+tcp://0.0.0.0:{running.address[1]}"  # reaches loopback, but does not look like it
    with beside(["acme/bench/agent", "--url", somewhere, "--load-rate", "100"]) as end:
        assert end().lost == 0
