"""Patterns over all systems, by their own clients: one sender, sixteen receivers, 256 bytes, protected where possible.

    pytest bench/peers --benchmark-enable --benchmark-only        # PEERS=nats,redis picks some

The times are for one message: from the word to begin until the last has arrived, divided by how many were sent. Every
one must arrive; a system that loses some is left out. A broadcast is one message.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.peers import catalogue, suite
from bench.peers.catalogue import RECEIVERS, WITH_ANYCAST, System
from bench.peers.environments import Absent
from bench.peers.measure import Go, pair
from bench.peers.servers import Failed, Server, started

ROUNDS = 3
SYSTEMS = [system for system in catalogue.chosen(os.environ.get("PEERS", "")) if system.client]


class PerMessage:
    """A clock that runs slower by the number of messages, which differs between systems."""

    def __init__(self) -> None:
        self.messages = 1

    def __call__(self) -> float:
        return time.perf_counter() / self.messages


clock = PerMessage()


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda system: system.key)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    system: System = request.param
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        files = suite.files(Path(directory)) if system.secure else None
        try:
            made = stack.enter_context(started(system, files))
        except (Failed, Absent) as error:
            pytest.skip(str(error))
        yield made


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("pattern", WITH_ANYCAST)
def test_pattern(benchmark: BenchmarkFixture, server: Server, pattern: str) -> None:
    if pattern not in server.system.patterns:
        pytest.skip(f"{server.system.label} has no {pattern}")
    clock.messages = messages = max(1, server.system.sent // (32 if pattern == "broadcast" else 4))
    benchmark.group = f"{pattern}, 1 to {RECEIVERS}"
    benchmark.extra_info["messages"] = messages
    stack = contextlib.ExitStack()

    def connected() -> tuple[tuple[Go], dict[str, object]]:
        stack.close()
        return (stack.enter_context(pair(server, pattern, RECEIVERS, messages, 1)),), {}

    with stack:
        try:
            measured = benchmark.pedantic(lambda go: go(), setup=connected, rounds=ROUNDS)
        except Failed as error:
            unusable(server.system, str(error))
    if measured["lost"]:
        unusable(server.system, f"lost {measured['lost']} of {measured['expected']} in the last round")


def unusable(system: System, reason: str) -> NoReturn:
    """A failure of agpd fails the run; one of another system is shown."""
    if system.key == "agpd":
        pytest.fail(reason)
    pytest.skip(f"{system.label}: {reason}")
