"""Measures one system in one way. Each side is a process of its own."""

import contextlib
import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agpd.cli.load.measure import percentile
from bench.peers import environments
from bench.peers.catalogue import RECEIVERS, SIZE_BYTES
from bench.peers.servers import Failed, Server, process, worker

READY_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = RUN_TIMEOUT_S + 5  # agpload ends by itself before
DONE = (0, 2)  # exit codes of agpload; 2: something was lost
IDLE_S = 3.0
NAME = "acme/bench/sink"
LOAD_SENDERS = 4

Measured = dict[str, Any]
Go = Callable[[], Measured]


@contextlib.contextmanager
def pair(server: Server, pattern: str, receivers: int, messages: int, seed: int) -> Iterator[Go]:
    """One sender and receivers, the system's own clients, all connected and subscribed. `Go` may be called once.

    Raises `Failed`.
    """
    options = {"receivers": receivers, "pattern": pattern, "messages": messages, "size": SIZE_BYTES}
    options |= {"server_pid": server.pid, "idle_s": IDLE_S, "seed": seed}
    expected = options["expected"] = messages * (receivers if pattern == "broadcast" else 1)
    system, at, directory = server.system, server.at, Path(server.at.directory)
    with (
        process(worker(system, "receive", at, options), "receiver", directory) as receiver,
        process(worker(system, "send", at, options), "sender", directory) as sender,
    ):
        receiver.said(READY_TIMEOUT_S)
        sender.said(READY_TIMEOUT_S)

        def go() -> Measured:
            sender.tell()
            return _rates(messages, expected, sender.result(RUN_TIMEOUT_S), receiver.result(RUN_TIMEOUT_S))

        yield go


def clients(server: Server, pattern: str, receivers: int, messages: int, seed: int) -> Measured:
    """What `pair` measures: rates, losses, and processor time of all three. Raises `Failed`."""
    with pair(server, pattern, receivers, messages, seed) as go:
        return go()


def _rates(messages: int, expected: int, sent: Measured, got: Measured) -> Measured:
    """From the sender's first message to the receivers' last."""
    seconds = got["ended_s"] - sent["began_s"]
    cpu_s = got["server_cpu_s"] - sent["server_cpu_began_s"]
    received = got["received"]
    if not received:
        raise Failed("no message arrived")
    return {
        "messages": messages,
        "expected": expected,
        "lost": expected - received,
        "seconds": seconds,
        "deliveries_per_s": received / seconds,
        "cpu_us_per_delivery": cpu_s / received * 1e6,
        "sender_cpu_us_per_message": sent["sender_cpu_s"] / messages * 1e6,
        "receiver_cpu_us_per_delivery": got["receiver_cpu_s"] / received * 1e6,
    }


def requests(server: Server, messages: int) -> Measured:
    """One request in flight, one after the other: times in microseconds. Raises `Failed`."""
    system, at, directory = server.system, server.at, Path(server.at.directory)
    options = {"messages": messages, "size": SIZE_BYTES}
    with process(worker(system, "answer", at, {}), "answerer", directory) as answerer:
        answerer.said(READY_TIMEOUT_S)
        with process(worker(system, "ask", at, options), "asker", directory) as asker:
            asker.said(READY_TIMEOUT_S)
            asker.tell()
            times = sorted(asker.result(RUN_TIMEOUT_S)["times_s"])
    return {
        "messages": messages,
        "expected": messages,
        "lost": messages - len(times),
        "p50_us": statistics.median(times) * 1e6,
        "p99_us": percentile(times, 0.99) * 1e6,
    }


def native(server: Server, pattern: str, messages: int, seed: int) -> Measured:
    """By agpload, four senders and sixteen receivers: the server's processor time. Raises `Failed`, `Absent`."""
    agpload, at = environments.native("agpload"), server.at
    expected = messages * (RECEIVERS if pattern == "broadcast" else 1)
    words = [NAME, "--protocol", server.system.native, "--port", str(at.port), "--pattern", pattern]
    words += ["--gateway-pid", str(server.pid), "--timeout-s", str(RUN_TIMEOUT_S), "--idle-s", str(IDLE_S)]
    if at.files is not None:
        words += ["--ca", at.files.ca, "--cert", at.files.certificate, "--key", at.files.key]
    sink = [agpload, "sink", *words, "--connections", str(RECEIVERS), "--count", str(expected)]
    pour = [agpload, "pour", *words, "--connections", str(LOAD_SENDERS), "--receivers", str(RECEIVERS)]
    pour += ["--count", str(messages), "--size", str(SIZE_BYTES), "--seed", str(seed)]
    received = _together(sink, pour)
    if not received["received"]:
        raise Failed("no message arrived")
    names = ("lost", "seconds", "deliveries_per_s", "cpu_us_per_delivery")
    return {"messages": messages, "expected": expected} | {name: received[name] for name in names}


def _together(sink: list[str], pour: list[str]) -> Measured:
    """The sink's result. Raises `Failed`."""
    try:
        code, out = _run(sink, pour)
    except OSError as error:
        raise Failed(f"agpload: {error}") from None
    except subprocess.TimeoutExpired as error:
        raise Failed(f"agpload: nothing within {error.timeout:.0f} s") from None
    if code not in DONE:
        raise Failed(f"sink: {_error(out)}")
    found: Measured = json.loads(out)
    return found


def _run(sink: list[str], pour: list[str]) -> tuple[int, str]:
    """The sink's exit code and output. Raises `Failed`, `OSError`, `subprocess.TimeoutExpired`."""
    pipe = subprocess.PIPE
    with subprocess.Popen(sink, stdout=pipe, stderr=pipe, text=True) as receiving:
        try:
            assert receiving.stderr is not None
            if receiving.stderr.readline().strip() != "ready":
                raise Failed(f"sink: {_error(receiving.communicate(timeout=LOAD_TIMEOUT_S)[0])}")
            sent = subprocess.run(pour, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False)
            if sent.returncode not in DONE:
                raise Failed(f"pour: {_error(sent.stdout)}")
            out, _ = receiving.communicate(timeout=LOAD_TIMEOUT_S)
        finally:
            receiving.kill()
    return receiving.returncode, out


def _error(out: str) -> str:
    """What agpload said went wrong."""
    try:
        return str(json.loads(out)["error"])
    except (ValueError, KeyError):
        return "no result"
