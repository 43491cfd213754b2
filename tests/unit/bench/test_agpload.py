"""The native load generator against servers: real ones where they are installed, and one that misbehaves."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agpd.transport.pki import development
from agpd.wire import frames
from agpd.wire.frames import Kind
from bench.load import generator
from bench.load.run import NAME, gateway

if _REASON := generator.build():
    pytest.skip(_REASON, allow_module_level=True)

WELCOME = frames.encode(Kind.WELCOME, frames.Welcome(1, "g", "agp://*", 1 << 20, 1000, 9, 9))
OK = frames.encode(Kind.OK, destination=5, id=1)
TIMEOUT_S = 30.0


def command(*arguments: object, sanitize: bool = False) -> list[str]:
    return [generator.program("agpload", sanitize), *map(str, arguments)]


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, json.loads(done.stdout)


@contextlib.contextmanager
def started(*arguments: object, sanitize: bool = False) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["pour", NAME], "--port"),
        (["drink", NAME, "--port", 1], "drink"),
        (["pour", "short", "--port", 1], "acme/bench/sink"),
        (["pour", NAME, "--port", 1, "--count", "-5"], "--count"),
        (["pour", NAME, "--port", 1, "--size", 2**40], "--size"),
        (["pour", NAME, "--port", 1, "--frobnicate"], "README"),
        (["pour", NAME, "--port", 1, "--protocol", "smtp"], "smtp"),
        (["pour", NAME, "--port", 1, "--protocol", "redis", "--pattern", "anycast"], "no anycast"),
        (["rr", NAME, "--port", 1, "--protocol", "nats"], "agpd only"),
        (["pour", NAME, "--port", 1, "--cert", "a"], "--key"),
        (["pour", NAME, "--port", 1, "--ca", '/no "such"\n'], '--ca /no "such"\n'),
        (["pour", NAME, "--port", 1, "--gateway-pid", "4194305"], "4194305"),
        (["pour", NAME, "--port", 1], "cannot connect to 127.0.0.1:1"),
    ],
)
def test_an_error_is_json_and_exit_code_1(arguments: list[object], text: str) -> None:
    code, result = run(*arguments)
    assert code == 1
    assert text in result["error"]


def test_messages_that_nobody_takes_are_counted_and_exit_code_2() -> None:
    with gateway(None) as running:
        code, result = run("pour", NAME, *running.native_options, "--pattern", "anycast", "--count", 50)
    assert code == 2
    assert (result["messages"], result["refused"], result["refused_as"]) == (50, 50, "200")


def test_requests_that_nobody_answers_are_lost() -> None:
    with gateway(None) as running:
        code, result = run("rr", NAME, *running.native_options, "--count", 5)
    assert (code, result["lost"], result["p50_us"]) == (2, 5, 0)


def test_the_receivers_end_when_nothing_comes_any_more() -> None:
    with gateway(None) as running:
        options = [NAME, *running.native_options]
        with started("sink", *options, "--count", 51, "--connections", 1, "--idle-s", 0.2) as sink:
            assert run("pour", *options, "--count", 50, "--receivers", 1)[0] == 0
            out, _ = sink.communicate(timeout=TIMEOUT_S)
    assert sink.returncode == 2
    assert json.loads(out)["lost"] == 1


def test_payloads_of_every_head_length_arrive_and_come_back() -> None:
    with gateway(None) as running:
        options = [NAME, *running.native_options]
        with started("rr", *options, "--serve"):
            for size in (0, 255, 256, 65535, 65536, 300_000):
                code, result = run("rr", *options, "--count", 20, "--concurrency", 7, "--size", size)
                assert (code, result["lost"]) == (0, 0)


def test_a_rate_is_kept() -> None:
    with gateway(None) as running:
        options = [NAME, *running.native_options]
        with started("sink", *options, "--count", 400, "--connections", 2) as sink:
            code, result = run("pour", *options, "--count", 400, "--receivers", 2, "--rate", 2000)
            sink.communicate(timeout=TIMEOUT_S)
    assert (code, sink.returncode) == (0, 0)
    assert result["seconds"] >= 0.19  # never sooner than the rate allows; later it may be


def test_processor_time_is_the_sum_over_the_processes() -> None:
    with gateway(None) as running:
        options = [NAME, *running.native_options, "--count", 2000]
        with started("sink", *options):
            once = run("pour", *options, "--gateway-pid", running.pid)[1]
            both = run("pour", *options, "--gateway-pid", f"{running.pid},{os.getpid()}")[1]
            none = run("pour", *options)[1]
    assert once["cpu_us_per_message"] == pytest.approx(once["gateway_cpu_s"] / 2000 * 1e6, rel=1e-3)
    assert both["gateway_cpu_s"] > 0
    assert none["gateway_cpu_s"] is none["cpu_us_per_message"] is None


@contextlib.asynccontextmanager
async def serving(answers: list[bytes], heard: list[bytes], leave: bool) -> AsyncIterator[int]:
    """A server that gives the next answer whenever something comes; after the last it ends the connection (`leave`),
    or answers every PING at the end of what came.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answers and answers[0].startswith(b"INFO"):
            writer.write(answers.pop(0))
        while data := await reader.read(1 << 20):
            heard.append(data)
            if answers:
                writer.write(answers.pop(0))
            elif b"".join(heard[-2:]).endswith(b"PING\r\n"):
                writer.write(b"PONG\r\n")
            if leave and not answers:
                break
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def against(
    answers: list[bytes], *arguments: object, heard: list[bytes] | None = None, leave: bool = True
) -> tuple[int, dict[str, Any]]:
    async with serving(list(answers), [] if heard is None else heard, leave) as port:
        return await asyncio.to_thread(run, *arguments, "--port", port, "--connections", 1)


def overlong() -> bytes:
    return (2**31).to_bytes(4, "big") + OK[4:]


@pytest.mark.parametrize(
    ("protocol", "answers", "text"),
    [
        ("agpd", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "this is not agpd"),
        ("agpd", [WELCOME[:30]], "closed"),
        ("agpd", [WELCOME, bytes(24)], "this is not agpd"),
        ("agpd", [WELCOME, overlong()], "this is not agpd"),
        ("agpd", [WELCOME, frames.encode(Kind.REFUSED, frames.Refusal(300, "no", 1), id=1)], "300 no"),
        (
            "agpd",
            [WELCOME, frames.encode(Kind.REFUSED, frames.Refusal(300, "no", 1))[:-3] + b"\xdb\xff\xff"],
            "not agpd",
        ),
        ("nats", [b"INFO {}\r\n", b"-ERR 'Authorization Violation'\r\n"], "Authorization"),
        ("nats", [b"INFO {}\n"], "this is not nats"),
        ("nats", [b"INFO {}\r\n", b"PONG\r\n", b"PONG\r\nMSG a 1 99999999999999999999\r\n"], "not nats"),
        ("nats", [b"INFO {}\r\n", b"PONG\r\n", b"PONG\r\nMSG a 1 -7\r\n"], "not nats"),
        ("redis", [b"-NOAUTH Authentication required.\r\n"], "NOAUTH"),
        ("redis", [b"+PONG\r\n", b"*3\r\n$99999999999999\r\n"], "not redis"),
        ("redis", [b"+PONG\r\n", b"*3\r\n$-1\r\nx\r\n"], "not redis"),
        ("mqtt", [b"\x20\x02\x00\x05"], "5"),
        ("mqtt", [b"\x20\xff\xff\xff\xff\x01"], "this is not mqtt"),
    ],
)
async def test_what_a_server_says_wrongly_is_an_error(protocol: str, answers: list[bytes], text: str) -> None:
    code, result = await against(answers, "sink", NAME, "--protocol", protocol, "--timeout-s", 5)
    assert code == 1
    assert text in result["error"]


async def test_control_the_same_receivers_take_what_is_right() -> None:
    data = b"MSG a 1 5\r\nhello\r\n"
    answers = [b"INFO {}\r\n", b"PONG\r\n", b"PONG\r\n" + data * 2 + data[:-3]]
    code, result = await against(answers, "sink", NAME, "--protocol", "nats", "--count", 2, leave=False)
    assert (code, result["received"]) == (0, 2)


async def test_each_message_goes_to_a_receiver_of_its_own_choice() -> None:
    heard: list[bytes] = []
    count = 5000
    code, result = await against(
        [b"INFO {}\r\n"], "pour", NAME, "--protocol", "nats", "--count", count, heard=heard, leave=False
    )
    assert (code, result["messages"]) == (0, count)
    subjects = [
        line.split()[1] for line in b"".join(heard).split(b"\r\n") if line.startswith(b"PUB acme.bench.sink.")
    ]
    assert len(subjects) == count
    hits = Counter(subjects)
    assert set(hits) == {b"acme.bench.sink.%d" % number for number in range(16)}
    assert max(hits.values()) < 2 * min(hits.values())
    assert max(len(list(run_)) for _, run_ in itertools.groupby(subjects)) < 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def broker(protocol: str, directory: Path, tls: bool) -> Iterator[int]:
    """A real one on a free port; what it prints when it is ready is waited for."""
    port = free_port()
    ca, certificate, key = (directory / name for name in ("ca.pem", "gateway.pem", "gateway.key"))
    if protocol == "nats":
        argv, ready = ["nats-server", "-a", "127.0.0.1", "-p", str(port)], "Server is ready"
        if tls:
            argv += ["--tlsverify", "--tlscert", certificate, "--tlskey", key, "--tlscacert", ca]
    elif protocol == "redis":
        argv = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", directory, "--port"]
        argv += ["0", "--tls-port", port] if tls else [port]
        argv += (
            ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca] if tls else []
        )
        ready = "Ready to accept connections"
    else:
        secure = (
            f"cafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n" if tls else ""
        )
        user = "user root\n" if os.getuid() == 0 else ""
        (directory / "mosquitto.conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n{user}{secure}"
        )
        argv, ready = ["mosquitto", "-c", str(directory / "mosquitto.conf")], "running"
    if shutil.which(argv[0], path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip(f"{argv[0]} is not installed")
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    process = subprocess.Popen(
        [str(word) for word in argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert any(ready in line for line in process.stdout)
        yield port
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("protocol", ["nats", "redis", "mqtt"])
def test_the_other_protocols_lose_nothing(protocol: str, tls: bool, tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    files = development(directory, time.time())
    with broker(protocol, directory, tls) as port:
        options: list[object] = [NAME, "--protocol", protocol, "--port", port]
        if tls:
            options += ["--ca", files.ca, "--cert", files.agent_certificate, "--key", files.agent_key]
        for pattern in ("unicast", "broadcast", *(["anycast"] if protocol == "nats" else [])):
            deliveries = 3000 if pattern == "broadcast" else 1000
            receiving = [*options, "--pattern", pattern, "--connections", 3, "--count", deliveries]
            with started("sink", *receiving) as sink:
                sending = [*options, "--pattern", pattern, "--receivers", 3, "--count", 1000]
                code, _ = run("pour", *sending, "--connections", 2)
                out, _ = sink.communicate(timeout=TIMEOUT_S)
            assert (code, sink.returncode, json.loads(out)["received"]) == (0, 0, deliveries)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
def test_sanitizers_find_nothing(tls: bool, tmp_path: Path) -> None:
    assert generator.build(sanitize=True) == ""
    with gateway(tmp_path / "pki" if tls else None) as running:
        options = [NAME, *running.native_options]
        for pattern, deliveries in (("unicast", 20_000), ("broadcast", 60_000)):
            receiving = ["--pattern", pattern, "--connections", 3, "--count", deliveries]
            with started("sink", *options, *receiving, sanitize=True) as sink:
                sending = ["--pattern", pattern, "--receivers", 3, "--count", 20_000]
                pour = subprocess.run(
                    command("pour", *options, *sending, sanitize=True), timeout=TIMEOUT_S, check=False
                )
                sink.communicate(timeout=TIMEOUT_S)
            assert (pour.returncode, sink.returncode) == (0, 0)
