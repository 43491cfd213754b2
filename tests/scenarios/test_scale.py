"""Thousands of idle connections: held, answered; all coming back at once; and thousands that come and go.

`make scale` runs the full size. What each costs is measured by `make memory`.
"""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from process import GatewayProcess, World, gateway

from bench.memory import processes
from bench.memory.processes import Talker

# Handshakes as fast as the machine can: what is tested is what connections cost once they are there.
LIMITS = {
    "tls_handshakes_per_second": 10_000,
    "prehandshake_per_ip": 256,
    "connections": 12_000,
    "hello_timeout_ms": 60_000,
    "tls_handshake_timeout_ms": 60_000,
}
KIB = 1024
MIB = 1024 * KIB


@contextmanager
def crowd(address: tuple[str, int], number: int, world: World | None) -> Iterator[Talker]:
    files = []
    if world is not None:
        pair = world.issue("acme/*", f"agent{number}")
        files = [str(path) for path in (world.directory / "ca.pem", pair.certificate, pair.key)]
    with processes.crowd([address[0], str(address[1]), *files], number) as clients:
        yield clients


def hold(tmp_path: Path, count: int, *, tls: bool, at_most_bytes: int) -> None:
    """Hold `count` idle connections. The first hundred pay for what is made once."""
    world = World(tmp_path / "pki") if tls else None
    with (
        gateway(tmp_path, world, limits=LIMITS) as running,
        crowd(running.address, 1, world) as first,
        crowd(running.address, 2, world) as rest,
    ):
        first.ask("connect 100")
        before = running.rss_bytes()
        assert rest.ask(f"connect {count}")["count"] == count
        each = (running.rss_bytes() - before) / count
        assert rest.ask("ping")["count"] == count
        assert running.descriptors() >= count + 100
        assert not running.log.find("connection ended")
        print(json.dumps({"tls": tls, "connections": count, "rss_bytes_per_connection": round(each)}))
        assert each < at_most_bytes


def settle(running: GatewayProcess, most: int) -> None:
    """Wait until so few descriptors are open: the gateway closes TLS connections after its peers have."""
    deadline = time.monotonic() + 10
    while (now := running.descriptors()) > most:
        assert time.monotonic() < deadline, f"{now} descriptors are open, {most} were"
        time.sleep(0.01)


def test_hundreds_of_idle_connections_are_held(tmp_path):
    hold(tmp_path, 500, tls=False, at_most_bytes=16 * KIB)


def test_hundreds_of_idle_tls_connections_are_held(tmp_path):
    hold(tmp_path, 200, tls=True, at_most_bytes=80 * KIB)


@pytest.mark.scale
@pytest.mark.parametrize(("count", "tls"), [(10_000, False), (5_000, True)], ids=["plaintext", "tls"])
def test_thousands_of_idle_connections_are_held(tmp_path, count, tls):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        hold(tmp_path, count, tls=tls, at_most_bytes=(80 if tls else 16) * KIB)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_after_a_storm_everybody_is_back(tmp_path, tls):
    count = 500
    world = World(tmp_path / "pki") if tls else None
    with gateway(tmp_path, world, limits=LIMITS) as running, crowd(running.address, 1, world) as clients:
        clients.ask(f"connect {count}")
        before, descriptors = running.rss_bytes(), running.descriptors()
        assert clients.ask("reset")["count"] == count
        back = clients.ask(f"connect {count}")
        assert back["count"] == count
        assert back["seconds"] < 15
        assert clients.ask("ping")["count"] == count
        running.log.wait("connection ended", code="CONNECTION_LOST", count=count)
        settle(running, descriptors)
        assert running.rss_bytes() - before < 20 * MIB


@pytest.mark.parametrize(("count", "tls"), [(5000, False), (250, True)], ids=["plaintext", "tls"])
def test_connections_that_come_and_go_leave_nothing(tmp_path, count, tls):
    """With the collector as `agpd serve` sets it. The first ones fill caches and the allocator's pools."""
    world = World(tmp_path / "pki") if tls else None
    with gateway(tmp_path, world, limits=LIMITS) as running, crowd(running.address, 1, world) as clients:
        descriptors = running.descriptors() + 1  # the first connection makes the listener keep one in reserve
        clients.ask("churn 500")
        settle(running, descriptors)
        before = running.rss_bytes()
        clients.ask(f"churn {count}")
        settle(running, descriptors)
        assert running.rss_bytes() - before < 1.5 * MIB
        assert running.stop()["deliveries"] == 500 + count


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_connections_leave_no_cycles(tmp_path, tls):
    """References alone free them, so that no full collection is needed for their sake."""
    with (
        processes.gateway(tmp_path if tls else None) as (running, where),
        processes.crowd(where, 1) as guests,
        processes.crowd(where, 2) as crowd,
    ):
        running.ask("policy off")
        for _ in range(2):
            crowd.ask("connect 20")
            crowd.ask("subscribe 2")
            crowd.ask("reset")
            guests.ask("churn 50")
            assert running.ask("garbage") == {}
