"""Thousands of idle connections: held, answered, and what each costs in memory; and all coming back at once.

`make scale` runs the full size and writes `bench/results/connections.json`; the plain test run a smaller form.
"""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from process import World, gateway

CROWD = Path(__file__).with_name("crowd.py")
RESULTS = Path(__file__).parents[2] / "bench" / "results" / "connections.json"
# Handshakes as fast as the machine can: what is measured is what connections cost once they are there.
LIMITS = {
    "tls_handshakes_per_second": 10_000,
    "prehandshake_per_ip": 256,
    "connections": 12_000,
    "hello_timeout_ms": 60_000,
    "tls_handshake_timeout_ms": 60_000,
}
KIB = 1024


class Crowd:
    """A process with the other ends of many connections."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, verb: str) -> dict[str, float]:
        """Have it done; what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{verb}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the crowd has ended"
        return json.loads(line)


@contextmanager
def crowd(address, count: int, world: World | None):
    files = []
    if world is not None:
        pair = world.issue("acme/dev/*", "agent")
        files = [str(path) for path in (world.directory / "ca.pem", pair.certificate, pair.key)]
    command = [sys.executable, str(CROWD), address[0], str(address[1]), str(count), *files]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Crowd(process)
        finally:
            process.kill()


def hold(tmp_path: Path, count: int, *, tls: bool, at_most_bytes: int) -> dict[str, object]:
    """Hold `count` idle connections; their cost. The first hundred pay for what is made once."""
    world = World(tmp_path / "pki") if tls else None
    with (
        gateway(tmp_path, world, limits=LIMITS) as running,
        crowd(running.address, 100, world) as first,
        crowd(running.address, count, world) as rest,
    ):
        first.do("connect")
        before = running.rss_bytes()
        connected = rest.do("connect")
        each = (running.rss_bytes() - before) / count
        assert connected["connections"] == count
        pinged = rest.do("ping")
        assert pinged["connections"] == count
        assert running.descriptors() >= count + 100
        assert not running.log.find("connection ended")
        result = {
            "transport": "mutual TLS" if tls else "plaintext",
            "connections": count,
            "rss_bytes_per_connection": round(each),
            "connected_s": connected["seconds"],
            "all_pinged_s": pinged["seconds"],
        }
        print(json.dumps(result))
        assert each < at_most_bytes
        return result


def test_hundreds_of_idle_connections_are_held(tmp_path):
    hold(tmp_path, 500, tls=False, at_most_bytes=12 * KIB)


def test_hundreds_of_idle_tls_connections_are_held(tmp_path):
    hold(tmp_path, 200, tls=True, at_most_bytes=80 * KIB)


@pytest.mark.scale
def test_ten_thousand_plaintext_and_five_thousand_tls_connections_are_held(tmp_path):
    results = []
    for count, tls, at_most_bytes in ((10_000, False, 12 * KIB), (5_000, True, 80 * KIB)):
        directory = tmp_path / str(count)
        directory.mkdir(mode=0o700)
        results.append(hold(directory, count, tls=tls, at_most_bytes=at_most_bytes))
    card = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": card, "results": results}, indent=2) + "\n")


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_after_a_storm_everybody_is_back(tmp_path, tls):
    count = 500
    world = World(tmp_path / "pki") if tls else None
    with gateway(tmp_path, world, limits=LIMITS) as running, crowd(running.address, count, world) as clients:
        clients.do("connect")
        before, descriptors = running.rss_bytes(), running.descriptors()
        assert clients.do("reset")["connections"] == count
        back = clients.do("connect")
        assert back["connections"] == count
        assert back["seconds"] < 15
        assert clients.do("ping")["connections"] == count
        running.log.wait("connection ended", code="CONNECTION_LOST", count=count)
        assert running.descriptors() <= descriptors
        assert running.rss_bytes() - before < 20 * 1024 * KIB
