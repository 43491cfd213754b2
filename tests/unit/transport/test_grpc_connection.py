"""The life of a connection of gRPC: what is too slow, too silent or too greedy is cut, and nothing else."""

import asyncio
import contextlib
import socket
import struct

import grpc
import pytest
from unit.transport.grpc_world import Place, Raw, place
from unit.wire.http2_peer import DATA, GOAWAY, HEADERS, PING, PREFACE, frame, settings, window_update

from agpd.config import Limits
from agpd.transport import grpc_connection as module
from agpd.wire.grpc import prefixed
from agpd.wire.http2 import Error
from agpd.wire.http2_frames import Calm

QUICK = Limits(hello_timeout_ms=50)


async def ended(raw: Raw) -> None:
    await asyncio.wait_for(raw.end(), 10)


@pytest.mark.parametrize("begin", [b"", PREFACE[:10], PREFACE, PREFACE + settings()[:8]])
async def test_the_preface_has_to_come_in_time(begin: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with place(limits=QUICK) as it, it.raw(greet=False) as raw:
        raw.send(begin)
        await ended(raw)
    assert any(getattr(one, "fields", {}).get("detail") == "no preface of HTTP/2" for one in caplog.records)


async def test_another_protocol_is_told_at_once() -> None:
    async with place() as it, it.raw(greet=False) as raw:
        raw.send(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        assert await raw.code() == Error.PROTOCOL_ERROR
        assert it.server.failed == 1


async def test_an_error_of_http2_ends_its_calls_and_no_other_connection() -> None:
    async with place() as it, it.raw() as raw, it.channel() as channel:
        other = channel.stream_stream("/test.Test/Echo")(timeout=10)
        await other.write(b"1")
        assert await other.read() == b"1"
        raw.call(then=prefixed(b"x"))
        await raw.frame(DATA, 1)
        raw.send(window_update(0, 0))
        assert await raw.code() == Error.PROTOCOL_ERROR
        await it.echoes[1].ended.wait()
        assert it.echoes[1].ends == ["error 1 of HTTP/2: WINDOW_UPDATE by nothing"]
        await other.write(b"2")
        assert await other.read() == b"2"


FLOODS = {
    "pings": frame(PING, 0, 0, bytes(8)),
    "settings": settings((4, 70_000)),
    "priority": frame(2, 0, 7, bytes(5)),
    "empty": frame(DATA, 0, 1),
    "windows": window_update(0, 1),
    "unknown": frame(99),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_floods_end_their_connection_and_others_go_on(name: str) -> None:
    async with place() as it, it.raw() as raw, it.channel() as channel:
        raw.call()
        await raw.frame(HEADERS, 1)
        raw.send(FLOODS[name] * 30_000)
        assert await channel.unary_unary("/test.Test/Echo")(b"x", timeout=10) == b"x"
        assert await asyncio.wait_for(raw.code(), 20) == Error.ENHANCE_YOUR_CALM
        await it.echoes[0].ended.wait()
        assert await channel.unary_unary("/test.Test/Echo")(b"y", timeout=10) == b"y"


async def test_resets_at_once_end_their_connection() -> None:
    async with place() as it, it.raw() as raw:
        for _ in range(1000):
            number = raw.call()
            raw.send(frame(3, 0, number, (8).to_bytes(4, "big")))
        assert await asyncio.wait_for(raw.code(), 20) == Error.ENHANCE_YOUR_CALM
        for echo in it.echoes:
            await echo.ended.wait()
        assert len(it.echoes) <= 520
        assert all(len(echo.ends) == 1 for echo in it.echoes)


# ---- keepalive


async def test_a_silent_connection_is_pinged_and_cut_if_it_does_not_answer() -> None:
    async with place(keepalive_interval_ms=50, keepalive_timeout_ms=50, limits=QUICK) as it, it.raw() as raw:
        raw.call(then=prefixed(b"x"))
        await raw.frame(PING)
        await ended(raw)
        await it.echoes[0].ended.wait()


async def test_who_answers_pings_or_says_something_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[str] = []
    monkeypatch.setattr(module.Connection, "_cut", lambda self, detail: cut.append(detail))
    async with place(keepalive_interval_ms=20, keepalive_timeout_ms=200, limits=QUICK) as it, it.raw() as raw:
        raw.call(then=prefixed(b"x"))
        for number in range(10):
            payload = await raw.frame(PING)
            raw.send(frame(PING, 1, 0, payload) if number % 2 else settings())
        assert cut == []
        assert it.echoes[0].ends == []


async def test_pings_of_a_client_each_second_are_no_offence() -> None:
    options = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1)]
    options += [("grpc.http2.max_pings_without_data", 0)]
    async with place() as it, it.channel(*options) as channel:
        call = channel.stream_stream("/test.Test/Echo")()
        await call.write(b"x")
        assert await call.read() == b"x"
        (connection,) = it.server.connections
        heard = connection._heard_at
        await asyncio.sleep(3.2)  # there is nothing to wait for but pings
        assert connection._heard_at > heard + 1
        await call.write(b"y")
        assert await call.read() == b"y"
        assert list(it.server.connections) == [connection]
        call.cancel()


async def test_a_connection_without_calls_is_closed_after_a_while() -> None:
    async with place(idle_timeout_ms=100, keepalive_interval_ms=50, limits=QUICK) as it, it.raw() as raw:
        number = raw.call(then=prefixed(b"x"))
        await raw.frame(DATA, number)
        await asyncio.sleep(0.3)  # a call keeps it
        assert it.server.connections
        raw.send(frame(3, 0, number, (8).to_bytes(4, "big")))
        assert await asyncio.wait_for(raw.code(), 10) == Error.NO_ERROR


async def test_after_a_stop_of_the_process_nobody_is_cut_for_it() -> None:
    async with place(keepalive_interval_ms=50, keepalive_timeout_ms=300, limits=QUICK) as it, it.raw() as raw:
        raw.call(then=prefixed(b"x"))
        payload = await raw.frame(PING)
        (connection,) = it.server.connections
        connection._look_due -= 10
        connection._probed_at -= 10
        connection._look()  # as a timer that fires late
        assert not connection._closing
        raw.send(frame(PING, 1, 0, payload))
        await raw.frame(PING)


# ---- slow


async def test_a_frame_that_is_not_finished_ends_its_connection() -> None:
    limits = Limits(hello_timeout_ms=20, frame_timeout_ms=100)
    async with place(limits=limits) as it, it.raw() as raw:
        number = raw.call()
        await raw.frame(HEADERS, number)
        crumbs = iter(frame(DATA, 0, number, bytes(16_000)))
        closed = asyncio.create_task(ended(raw))
        while not closed.done():
            raw.send(bytes([next(crumbs)]))
            await asyncio.sleep(0.01)


async def test_whole_frames_are_no_reason_to_be_cut_but_a_message_without_end_is() -> None:
    limits = Limits(hello_timeout_ms=20, frame_timeout_ms=100)
    async with place(limits=limits) as it, it.raw() as raw:
        slow, good = raw.call(then=prefixed(bytes(1000))[:10]), raw.call()
        await raw.frame(HEADERS, slow)
        while not it.echoes[0].ends:
            raw.send(frame(DATA, 0, slow, b"x") + frame(DATA, 0, good, prefixed(b"y")))
            await asyncio.sleep(0.01)
        assert "FRAME_TIMEOUT" in it.echoes[0].ends[0]
        assert it.echoes[1].ends == []


async def small_socket(it: Place) -> socket.socket:
    """A client whose system takes little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", it.port))
    return sock


async def test_a_client_that_asks_and_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Calm, "CAPACITY", 10**12)  # what it asks for comes slowly, but on and on
    async with place() as it:
        sock = await small_socket(it)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, PREFACE + settings())
        while not it.server.connections:
            await asyncio.sleep(0.01)
        (connection,) = it.server.connections
        connection.http2._calm._level = 10**12
        kernel = connection.transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        most = 0
        with contextlib.suppress(ConnectionError):
            while it.server.connections:
                await loop.sock_sendall(sock, frame(PING, 0, 0, bytes(8)) * 100)
                await asyncio.sleep(0)
                most = max(most, connection.transport.get_write_buffer_size())
        sock.close()
        assert 300_000 < most < 600_000


async def test_a_client_that_does_not_read_for_long_is_cut() -> None:
    async with place(keepalive_interval_ms=50, keepalive_timeout_ms=150, limits=QUICK) as it:
        sock = await small_socket(it)
        loop = asyncio.get_running_loop()
        raw = Raw(asyncio.StreamReader(), None)  # type: ignore[arg-type]
        sent: list[bytes] = [PREFACE, settings((4, 2**30)), window_update(0, 2**30)]
        raw.send = sent.append  # type: ignore[method-assign]
        raw.call()
        await loop.sock_sendall(sock, b"".join(sent))
        while not it.echoes:
            await asyncio.sleep(0.01)
        (connection,) = it.server.connections
        kernel = connection.transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        echo = it.echoes[0]
        echo.call.write(bytes(4_000_000))
        assert echo.pauses == 1
        while not echo.ends:  # it says something all the time, so it is not silent
            await loop.sock_sendall(sock, frame(PING, 0, 0, bytes(8)))
            await asyncio.sleep(0.01)
        sock.close()


async def test_calls_of_one_connection_share_its_socket() -> None:
    async with place() as it, it.raw() as raw:
        raw.send(settings((4, 2**30)) + window_update(0, 2**30))
        one, two = raw.call(), raw.call()
        await raw.frame(HEADERS, two)
        it.echoes[0].call.write(bytes(200_000))
        it.echoes[1].call.write(prefixed(b"small"))
        before = 0
        while True:
            word, _, number = struct.unpack(">IBI", await raw.reader.readexactly(9))
            body = await raw.reader.readexactly(word >> 8)
            if (word & 0xFF, number) == (DATA, two):
                break
            before += len(body)
        assert body == prefixed(b"small")
        assert before <= 2 * 16_384
        assert one == 1


async def test_a_client_that_leaves_with_an_error_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with place() as it, it.raw() as raw:
        raw.send(frame(GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4, "big") + b"too_many_pings"))
        raw.call(then=prefixed(b"x"))
        assert await raw.frame(DATA, 1) == prefixed(b"x")
    (record,) = (one for one in caplog.records if one.getMessage() == "client of gRPC leaves")
    assert record.fields["said"] == "too_many_pings"  # type: ignore[attr-defined]


async def test_an_address_of_ipv6_is_read_too() -> None:
    async with place() as it:
        loop = asyncio.get_running_loop()
        try:
            listening = await loop.create_server(it.server.protocol, "::1", 0)
        except OSError:
            pytest.skip("no IPv6 on this machine")
        port = listening.sockets[0].getsockname()[1]
        async with grpc.aio.insecure_channel(f"[::1]:{port}") as channel:
            await channel.unary_unary("/test.Test/Echo")(b"x", timeout=10)
            assert it.echoes[0].call.address == "::1"
            assert it.echoes[0].call.peer.startswith("[::1]:")
        listening.close()
        await listening.wait_closed()
