"""Async functions as services: answers, errors, deadlines, cancellation, room."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from unit.transport.grpc_world import place
from unit.wire.http2_peer import DATA, END_STREAM, HEADERS, frame

from agpd.errors import Code, Refused
from agpd.transport import rpc
from agpd.transport.call import Call
from agpd.transport.rpc import Room, server_streaming, unary
from agpd.wire.grpc import Failed, Status, prefixed


async def upper(request: bytes, call: Call) -> bytes:
    await asyncio.sleep(0)
    return request.upper()


async def test_one_request_one_answer() -> None:
    async with place({"/t/U": unary(upper)}) as it, it.channel() as channel:
        call = channel.unary_unary("/t/U")
        assert await asyncio.gather(*(call(b"a%d" % each, timeout=10) for each in range(50))) == [
            b"A%d" % each for each in range(50)
        ]


async def test_one_request_many_answers() -> None:
    async def count(request: bytes, call: Call) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    async with place({"/t/S": server_streaming(count)}) as it, it.channel() as channel:
        call = channel.unary_stream("/t/S")
        assert [answer async for answer in call(b"1000", timeout=20)] == [
            b"%d" % each for each in range(1000)
        ]
        assert [answer async for answer in call(b"0", timeout=20)] == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused(Code.NOT_FOUND, "x"), grpc.StatusCode.NOT_FOUND),
        (Failed(Status.OUT_OF_RANGE), grpc.StatusCode.OUT_OF_RANGE),
        (ZeroDivisionError(), grpc.StatusCode.INTERNAL),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_errors_are_statuses(error: Exception, status: grpc.StatusCode, *, streaming: bool) -> None:
    async def fail(request: bytes, call: Call) -> bytes:
        raise error

    async def fail_later(request: bytes, call: Call) -> AsyncIterator[bytes]:
        yield b"one"
        raise error

    services = {"/t/U": unary(fail), "/t/S": server_streaming(fail_later)}
    async with place(services) as it, it.channel() as channel:
        call = (channel.unary_stream("/t/S") if streaming else channel.unary_unary("/t/U"))(b"", timeout=10)
        assert await call.code() is status


@pytest.mark.parametrize("how", ["cancel", "deadline"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_the_function_ends_with_its_call(how: str, *, streaming: bool) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def hang(request: bytes, call: Call) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            over.set()
        return b""

    async def hang_on(request: bytes, call: Call) -> AsyncIterator[bytes]:
        yield await hang(request, call)

    services = {"/t/U": unary(hang), "/t/S": server_streaming(hang_on)}
    async with place(services) as it, it.channel() as channel:
        method = channel.unary_stream("/t/S") if streaming else channel.unary_unary("/t/U")
        call = method(b"", timeout=0.3 if how == "deadline" else None)
        waiting = asyncio.ensure_future(call.code())
        await begun.wait()
        if how == "cancel":
            call.cancel()
        await asyncio.wait_for(over.wait(), 10)
        expected = grpc.StatusCode.CANCELLED if how == "cancel" else grpc.StatusCode.DEADLINE_EXCEEDED
        assert await waiting is expected


async def test_a_generator_waits_for_a_client_that_does_not_read() -> None:
    made = 0

    async def source(request: bytes, call: Call) -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield bytes(10_000)

    async with place({"/t/S": server_streaming(source)}) as it, it.raw() as raw:
        number = raw.call("/t/S", then=prefixed(b""))
        raw.send(frame(DATA, END_STREAM, number))
        got = 0
        while got < 65_535:
            got += len(await raw.frame(DATA, number))
        raw.send(frame(6, 0, 0, bytes(8)))
        await raw.frame(6)
        assert 10 < made < 50


@pytest.mark.parametrize("requests", [0, 2])
async def test_there_is_one_request(requests: int) -> None:
    async with place({"/t/U": unary(upper)}) as it, it.channel() as channel:
        call = channel.stream_unary("/t/U")(iter([b"x"] * requests), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_a_request_may_be_no_longer_than_its_service_takes() -> None:
    async with place({"/t/U": unary(upper, request_limit_bytes=10)}) as it, it.channel() as channel:
        assert await channel.unary_unary("/t/U")(b"x" * 10, timeout=10) == b"X" * 10
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/U")(b"x" * 11, timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_has_to_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "REQUEST_S", 0.05)
    async with place({"/t/U": unary(upper)}) as it, it.raw() as raw:
        number = raw.call("/t/U", then=prefixed(b"x"))
        await asyncio.wait_for(raw.frame(HEADERS, number), 10)
        await raw.frame(3, number)


async def test_room_is_bounded_and_shared_and_emptied() -> None:
    room, begun = Room(2), asyncio.Semaphore(0)
    cancelled = []

    async def hang(request: bytes, call: Call) -> bytes:
        begun.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(request)
            raise
        return b""

    services = {"/t/A": unary(hang, room), "/t/B": unary(hang, room), "/t/C": unary(upper)}
    async with place(services) as it, it.channel() as channel:
        waiting = [channel.unary_unary(path)(path.encode()) for path in ("/t/A", "/t/B")]
        codes = [asyncio.ensure_future(call.code()) for call in waiting]
        for _ in waiting:
            await begun.acquire()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/A")(b"x", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await channel.unary_unary("/t/C")(b"x", timeout=10) == b"X"
        await room.close()
        await room.close()
        assert sorted(cancelled) == [b"/t/A", b"/t/B"]
        for call in waiting:
            call.cancel()
        await asyncio.wait(codes)
