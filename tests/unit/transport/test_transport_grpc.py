"""The server of gRPC: its table, its connections and their limits, drain and end, with real clients."""

import asyncio

import grpc
import pytest
from unit.transport.grpc_world import Echo, place
from unit.wire.http2_peer import DATA, GOAWAY, HEADERS, PING, RST_STREAM, frame, window_update

from agpd.config import Limits
from agpd.errors import Code, Refused
from agpd.transport import grpc as module
from agpd.transport.grpc import Call
from agpd.wire.grpc import Failed, Status, prefixed
from agpd.wire.http2 import Error


async def test_calls_are_answered_in_order_and_end_as_they_should() -> None:
    async with place() as it, it.channel() as channel:
        assert await channel.unary_unary("/test.Test/Echo")(b"hello", timeout=10) == b"hello"
        call = channel.stream_stream("/test.Test/Echo")(timeout=20)
        sent = [b"%d" % number * (number + 1) for number in range(300)]
        for message in sent:
            await call.write(message)
        await call.done_writing()
        assert [message async for message in call] == sent
        assert await call.code() is grpc.StatusCode.OK
        for echo in it.echoes:
            await echo.ended.wait()
        assert [echo.ends for echo in it.echoes] == [[""], [""]]
        assert (it.server.calls, it.server.kept_bytes) == (2, 0)


async def test_what_is_not_served_is_unimplemented() -> None:
    async with place() as it, it.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Other")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == "/test.Test/Other is not served here"
        assert it.server.paths == ["/test.Test/Echo"]
        with pytest.raises(AssertionError):
            it.server.add("/test.Test/Echo", Echo)


@pytest.mark.parametrize(
    ("error", "status", "trailing"),
    [
        (Refused(Code.NOT_FOUND, "gone"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (Failed(Status.DATA_LOSS, "lost"), grpc.StatusCode.DATA_LOSS, None),
        (ZeroDivisionError(), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_a_service_that_raises_ends_its_call(
    error: Exception, status: grpc.StatusCode, trailing: str | None
) -> None:
    def refuse(call: Call) -> Echo:
        raise error

    async with place({"/test.Test/Refuse": refuse}) as it, it.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Refuse")(b"", timeout=10)
        assert caught.value.code() is status
        assert dict(iter(caught.value.trailing_metadata() or ())).get("agpd-code-name") == trailing
        assert await channel.unary_unary("/test.Test/Echo")(b"on", timeout=10) == b"on"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-type", "text/html")], b"415"),
        ([(":method", "GET")], b"405"),
        ([("grpc-encoding", "gzip")], b"200"),
    ],
)
async def test_what_is_no_call_is_told_so(headers: list[tuple[str, str]], status: bytes) -> None:
    import hpack
    from unit.wire.http2_peer import CALL

    async with place() as it, it.raw() as raw:
        names = [name for name, _ in headers]
        pseudo = [pair for pair in headers if pair[0][0] == ":"]
        block = [
            *pseudo,
            *(pair for pair in CALL if pair[0] not in names),
            *(h for h in headers if h not in pseudo),
        ]
        raw.send(frame(HEADERS, 5, 1, raw.encoder.encode(block)))
        answer = dict(hpack.Decoder().decode(await raw.frame(HEADERS, 1), raw=True))
        assert answer[b":status"] == status
        assert b"grpc-status" in answer


async def test_metadata_that_is_too_long_costs_its_call() -> None:
    async with place() as it, it.channel(("grpc.max_metadata_size", 10**6)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Echo")(b"", timeout=10, metadata=(("x", "y" * 20_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await channel.unary_unary("/test.Test/Echo")(b"on", timeout=10) == b"on"


# ---- limits of connections


async def test_connections_are_counted_with_others_and_refused_above_the_limit() -> None:
    links = [0]
    async with place(limits=Limits(connections=3), others=lambda: links[0]) as it:
        async with it.raw() as one, it.raw() as two:
            one.call(then=prefixed(b"x"))
            await one.frame(DATA, 1)
            two.send(frame(PING, 0, 0, bytes(8)))
            await two.frame(PING)
            assert (len(it.server.connections), it.server.idle) == (2, 1)
            links[0] = 2
            assert not it.server.accepting
            async with it.raw() as three:
                await three.end()
            links[0] = 1
            assert it.server.accepting
        await gone(it.server)
        assert it.server.idle == 0
    async with place(connections=1) as it, it.raw() as one:
        one.send(frame(PING, 0, 0, bytes(8)))
        await one.frame(PING)
        assert not it.server.accepting


async def gone(server: module.Server) -> None:
    while server.connections:
        await asyncio.sleep(0.01)


async def test_one_stream_too_many_is_refused() -> None:
    async with place(streams_per_connection=2) as it, it.raw() as raw:
        for _ in range(3):
            raw.call(then=prefixed(b"x"))
        assert await raw.frame(RST_STREAM, 5) == Error.REFUSED_STREAM.to_bytes(4, "big")
        raw.send(frame(DATA, 0, 1, prefixed(b"on")))
        assert prefixed(b"x") in await raw.frame(DATA, 1)


# ---- work


async def test_a_flood_of_crumbs_leaves_others_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    original = module.Server._next_turn

    def count(self: module.Server) -> None:
        turns.append(len(self._waiting))
        original(self)

    monkeypatch.setattr(module.Server, "_next_turn", count)
    async with place() as it, it.raw() as flood, it.raw() as other:
        number = flood.call()
        message = prefixed(b"x")
        flood.send(b"".join(frame(DATA, 0, number, message[at : at + 1]) for at in range(6)) * 3000)
        other.call(then=prefixed(b"me too"))
        assert await other.frame(DATA, 1) == prefixed(b"me too")
        flood.send(window_update(0, 10**6) + window_update(number, 10**6))
        got = b""
        while len(got) < 3000 * 6:
            got += await flood.frame(DATA, number)
        assert got == message * 3000
        assert sorted(sum(echo.batches) for echo in it.echoes) == [1, 3000]
        assert max(turns) >= 1  # it had to wait, and went on


async def test_several_connections_that_have_more_work_than_a_turn_go_on_in_order() -> None:
    async with place() as it:
        raws = [await it_raw for it_raw in [_connected(it.port) for _ in range(4)]]
        for raw in raws:
            number = raw.call()
            raw.send(b"".join(frame(DATA, 0, number, prefixed(b"")) for _ in range(5000)))
        for raw in raws:
            got = b""
            while len(got) < 5 * 5000:
                got += await raw.frame(DATA, 1)
            await raw.close()
        assert [sum(echo.batches) for echo in it.echoes] == [5000] * 4


async def _connected(port: int):  # type: ignore[no-untyped-def]
    from unit.transport.grpc_world import Raw

    return await Raw.connect(port)


# ---- the end


async def test_a_drain_lets_calls_end_and_takes_no_connection() -> None:
    async with place() as it, it.channel() as channel:
        call = channel.stream_stream("/test.Test/Echo")(timeout=20)
        await call.write(b"before")
        assert await call.read() == b"before"
        it.server.drain()
        await call.write(b"after")
        assert await call.read() == b"after"
        assert not it.server.accepting
        async with it.raw() as raw:
            await raw.end()
        closing = asyncio.create_task(it.server.close(10))
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        await asyncio.wait_for(closing, 10)
        assert not it.server.connections


async def test_calls_that_do_not_end_are_ended_as_unavailable() -> None:
    async with place() as it, it.channel() as channel:
        call = channel.stream_stream("/test.Test/Echo")(timeout=20)
        await call.write(b"x")
        assert await call.read() == b"x"
        await asyncio.wait_for(it.server.close(0), 10)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        trailing = dict(iter(await call.trailing_metadata()))
        assert trailing["agpd-code-name"] == "SHUTTING_DOWN"
        assert len(it.echoes[0].ends) == 1
        assert it.echoes[0].ends[0].startswith("SHUTTING_DOWN")


async def test_goaway_says_so_first_and_last() -> None:
    async with place() as it, it.raw() as raw:
        raw.call(then=prefixed(b"x"))
        await raw.frame(DATA, 1)
        it.server.drain()
        assert await raw.frame(GOAWAY) == (2**31 - 1).to_bytes(4, "big") + bytes(4)
        closing = asyncio.create_task(it.server.close(0))
        assert await raw.frame(GOAWAY) == (1).to_bytes(4, "big") + bytes(4)
        await raw.end()
        await asyncio.wait_for(closing, 10)
