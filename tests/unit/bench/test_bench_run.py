"""Small runs against a real gateway, over both carriers: everything arrives, the JSON has its fields, loss fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agpd.cli.bench import _way_out
from agpd.cli.load.measure import Answered, Published, Received
from bench.load import generator
from bench.load.cases import By, Case
from bench.load.run import NAME, RunFailed, Running, gateway, relay, run


@pytest.fixture(scope="module", params=["plain", "tls"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with gateway(tmp_path_factory.mktemp("pki") if request.param == "tls" else None) as made:
        yield made


@pytest.fixture(params=[By.NATIVE, By.RAW, By.SDK])
def by(request: pytest.FixtureRequest) -> By:
    if request.param is By.NATIVE and (reason := generator.build()):
        pytest.skip(reason)
    return By(request.param)


@pytest.mark.parametrize("pattern", ["unicast", "anycast", "broadcast"])
def test_everything_that_was_sent_arrives(running: Running, pattern: str, by: By) -> None:
    case = Case("pub", pattern, 100, False, by, 2000, 2, 3)
    measured = run(case, running)
    assert measured["messages"] == 2000
    assert measured["refused"] == measured["received_lost"] == 0
    assert measured["received_received"] == (6000 if pattern == "broadcast" else 2000)
    assert measured["gateway_cpu_s"] > 0
    names = [name for name in measured if not name.startswith("received_")]
    assert names == list(Published.__struct_fields__)
    assert len(measured) == len(names) + len(Received.__struct_fields__)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_request_has_its_reply(running: Running, concurrency: int, by: By) -> None:
    measured = run(Case("rr", "", 100, False, by, 200, 1, 1, concurrency), running)
    assert list(measured) == list(Answered.__struct_fields__)
    assert (measured["requests"], measured["lost"]) == (200, 0)
    assert 0 < measured["p50_us"] <= measured["p99_us"] <= measured["p999_us"] <= measured["max_us"]


def test_the_relay_loses_nothing(running: Running) -> None:
    if reason := generator.build():
        pytest.skip(reason)
    with relay(running.directory) as relaying:
        measured = run(Case("pub", "unicast", 100, False, By.RELAY, 20_000, 2, 3), relaying)
    assert measured["received_received"] == 20_000
    assert measured["gateway_cpu_s"] > 0


def bench(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", "bench"]
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("raw", [["--raw"], []])
def test_control_messages_that_nobody_takes_fail_the_run(running: Running, raw: list[str]) -> None:
    done = bench(["pub", NAME, *running.options, *raw, "--json", "--pattern", "anycast", "--count", "10"])
    assert done.returncode == 2
    result = json.loads(done.stdout)
    assert (result["refused"], result["refused_as"]) == (10, "NO_ROUTE")
    assert done.stderr == (
        f"Error: 10 messages were lost: nobody is subscribed to {NAME}: start `agpctl bench sub {NAME}` first\n"
    )


def test_the_way_out_goes_by_the_code() -> None:
    assert _way_out("RECEIVER_FULL", NAME) == "RECEIVER_FULL: raise outbox limits, or send more slowly"
    assert _way_out("NOT_PERMITTED", NAME) == "NOT_PERMITTED"


def test_control_a_run_with_a_failing_side_fails(running: Running) -> None:
    with pytest.raises(RunFailed, match="--connections"):
        run(Case("pub", "unicast", 100, False, By.RAW, 10, 0, 1), running)


def test_control_a_relay_that_does_not_start_fails(tmp_path: Path) -> None:
    if reason := generator.build():
        pytest.skip(reason)
    with pytest.raises(RunFailed, match=r"ca\.pem"), relay(tmp_path):
        pass


def test_requests_that_nobody_answers_are_refused_and_lost(running: Running) -> None:
    done = bench(["rr", NAME, *running.options, "--raw", "--json", "--count", "5"])
    assert done.returncode == 2
    assert msgspec.json.decode(done.stdout)["lost"] == 5


def test_no_gateway_is_one_line(tmp_path: Path) -> None:
    done = bench(["pub", NAME, "--url", "agp+tcp://127.0.0.1:1", "--raw"])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "agpd dev" in done.stderr
