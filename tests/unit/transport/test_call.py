"""What a call promises to its service, with real clients."""

import asyncio

import grpc
import pytest
from unit.transport.grpc_world import Echo, place
from unit.wire.http2_peer import DATA, END_STREAM, HEADERS, RST_STREAM, frame, window_update

from agpd.errors import Code, Fatal, Refused
from agpd.transport.call import Call, Nobody
from agpd.wire.grpc import Failed, Status, prefixed

MIB = 1024 * 1024


class Silent(Echo):
    """Answers nothing, and keeps what it hears."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.heard: list[bytes] = []
        self.closed = asyncio.Event()
        self.some = asyncio.Event()

    def messages(self, messages: list[bytes]) -> None:
        self.heard += messages
        self.some.set()

    def half_closed(self) -> None:
        self.closed.set()


async def test_metadata_both_ways() -> None:
    seen: list[Call] = []

    class Answer(Echo):
        def __init__(self, call: Call) -> None:
            seen.append(call)
            self.call = call

        def messages(self, messages: list[bytes]) -> None:
            self.call.begin([("a", "1"), ("b-bin", b"\0\xff")])
            self.call.begin([("a", "2")])  # once
            self.call.send(b"")

        def half_closed(self) -> None:
            self.call.finish(Status.OK, "", [("c", "3"), ("d-bin", b"\1")])

        def lost(self, detail: str) -> None:
            """Nothing."""

    async with place({"/t/A": Answer}) as it, it.channel() as channel:
        call = channel.unary_unary("/t/A")(b"", timeout=30, metadata=(("k", "v"), ("k-bin", b"\0\1")))
        assert await call == b""
        assert dict(iter(await call.initial_metadata())) == {"a": "1", "b-bin": b"\0\xff"}
        assert dict(iter(await call.trailing_metadata())) == {"c": "3", "d-bin": b"\1"}
    (it_,) = seen
    assert (it_.path, it_.metadata.get("k"), it_.metadata.binary("k-bin")) == ("/t/A", "v", b"\0\1")
    assert (
        it_.metadata.get(
            "user-agent",
        )
        is not None
    )
    assert it_.deadline_s is not None
    assert 20 < it_.deadline_s <= 30
    assert it_.peer.startswith("127.0.0.1:")
    assert (it_.address, it_.certificate, it_.secure) == ("127.0.0.1", None, False)
    assert it_.get_extra_info("peername") == it_.peer
    assert it_.get_extra_info("socket", "none") == "none"


async def test_messages_of_one_read_come_together() -> None:
    async with place() as it, it.raw() as raw:
        raw.call(then=b"".join(prefixed(b"%d" % each) for each in range(20)))
        got = await raw.frame(DATA, 1)
        assert got == b"".join(prefixed(b"%d" % each) for each in range(20))
        assert it.echoes[0].batches == [20]


@pytest.mark.parametrize("size", [4 * MIB, 5 * MIB])
async def test_large_messages_pass_both_ways(size: int) -> None:
    async with place() as it, it.channel() as channel:
        assert await channel.unary_unary("/test.Test/Echo")(b"x" * size, timeout=30) == b"x" * size


async def test_a_message_above_the_limit_costs_its_call_alone() -> None:
    async with place() as it, it.channel() as channel:
        other = channel.stream_stream("/test.Test/Echo")(timeout=20)
        await other.write(b"1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Echo")(b"x" * (5 * MIB + 1), timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await other.write(b"2")
        assert [await other.read(), await other.read()] == [b"1", b"2"]


async def test_a_service_may_take_less() -> None:
    def small(call: Call) -> Echo:
        call.limit_messages(10)
        return Echo(call)

    async with place({"/t/S": small}) as it, it.channel() as channel:
        assert await channel.unary_unary("/t/S")(b"x" * 10, timeout=10) == b"x" * 10
        with pytest.raises(grpc.aio.AioRpcError, match="the limit is 10"):
            await channel.unary_unary("/t/S")(b"x" * 11, timeout=10)


async def test_compressed_messages_are_unimplemented() -> None:
    async with place() as it, it.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Echo")(
                b"x" * 1000, timeout=10, compression=grpc.Compression.Gzip
            )
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_end_within_a_message_is_told() -> None:
    async with place({"/t/S": Silent}) as it, it.raw() as raw:
        number = raw.call("/t/S", then=b"\0\0\0\0\x05abc")
        raw.send(frame(DATA, END_STREAM, number))
        await raw.frame(HEADERS, number)
        await raw.frame(HEADERS, number)  # the trailers
        await raw.close()


# ---- ends


async def test_the_deadline_ends_a_call_at_both_ends() -> None:
    echoes: list[Silent] = []
    async with place({"/t/S": lambda call: echoes.append(Silent(call)) or echoes[-1]}) as it:
        async with it.channel() as channel:
            call = channel.stream_stream("/t/S")(timeout=0.2)
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with it.raw() as raw:  # a client that does not look at it itself
            block = raw.encoder.encode([*_call("/t/S"), ("grpc-timeout", "100m")])
            raw.send(frame(HEADERS, 4, 1, block))
            await raw.frame(HEADERS, 1)
            await raw.frame(HEADERS, 1)
            assert await raw.frame(RST_STREAM, 1) == bytes(4)
            await echoes[1].ended.wait()
        await echoes[0].ended.wait()
        assert [len(echo.ends) for echo in echoes] == [1, 1]


def _call(path: str) -> list[tuple[str, str]]:
    from unit.wire.http2_peer import CALL

    return [(":path", path), *(pair for pair in CALL if pair[0] != ":path")]


async def test_a_cancelled_call_is_lost() -> None:
    async with place() as it, it.channel() as channel:
        call = channel.stream_stream("/test.Test/Echo")()
        await call.write(b"x")
        assert await call.read() == b"x"
        call.cancel()
        await it.echoes[0].ended.wait()
        assert it.echoes[0].ends == ["reset by the client"]


async def test_a_connection_that_goes_takes_its_calls_along() -> None:
    async with place() as it:
        async with it.raw() as raw:
            raw.call(then=prefixed(b"x"))
            raw.call(then=prefixed(b"x"))
            await raw.frame(DATA, 3)
        for echo in it.echoes:
            await echo.ended.wait()
            assert len(echo.ends) == 1
        assert not it.server.connections


async def test_abort_is_cancelled_for_the_client_and_nothing_follows() -> None:
    class Rude(Echo):
        def messages(self, messages: list[bytes]) -> None:
            self.call.send(b"never seen")
            self.call.abort()
            self.call.send(b"nor this")
            self.call.finish()

    rude: list[Rude] = []
    async with (
        place({"/t/R": lambda call: rude.append(Rude(call)) or rude[-1]}) as it,
        it.channel() as channel,
    ):
        call = channel.stream_stream("/t/R")(timeout=10)
        await call.write(b"")
        assert await call.code() is grpc.StatusCode.CANCELLED
        await rude[0].ended.wait()
        assert rude[0].ends == [""]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (Refused(Code.INVALID_NAME, "Ü"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        (Fatal(Code.UNAUTHENTICATED), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (Failed(Status.ABORTED, "100%"), grpc.StatusCode.ABORTED, None),
        (KeyError("x"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_what_a_receiver_raises_ends_its_call_alone(
    error: Exception, status: grpc.StatusCode, name: str | None
) -> None:
    class Raises(Echo):
        def messages(self, messages: list[bytes]) -> None:
            self.call.send(b"dropped")
            raise error

    async with place({"/t/R": Raises}) as it, it.channel() as channel:
        other = channel.stream_stream("/test.Test/Echo")(timeout=10)
        call = channel.stream_stream("/t/R")(timeout=10)
        await call.write(b"")
        assert await call.code() is status
        assert dict(iter(await call.trailing_metadata())).get("agpd-code-name") == name
        assert str(getattr(error, "detail", "")) in await call.details()
        await other.write(b"on")
        assert await other.read() == b"on"


async def test_an_answer_goes_out_before_its_end() -> None:
    class Answers(Echo):
        def messages(self, messages: list[bytes]) -> None:
            for number in range(1000):
                self.call.send(b"%d" % number * 300)
            self.call.close()
            self.call.fail(Failed(Status.INTERNAL, "too late"))

    async with place({"/t/A": Answers}) as it, it.channel() as channel:
        answers = [answer async for answer in channel.unary_stream("/t/A")(b"", timeout=20)]
        assert answers == [b"%d" % number * 300 for number in range(1000)]


# ---- flow


async def test_a_client_that_does_not_read_makes_the_service_pause_and_go_on() -> None:
    class Source(Echo):
        sent = 0

        def messages(self, messages: list[bytes]) -> None:
            self.call.set_write_buffer_limits(high=200_000, low=50_000)
            self.go_on = True
            self.resume_writing()

        def pause_writing(self) -> None:
            self.pauses += 1
            self.go_on = False
            assert self.call.get_write_buffer_size() > 200_000

        def resume_writing(self) -> None:
            assert self.call.get_write_buffer_size() <= 50_000
            self.go_on = True
            while self.go_on and self.sent < 200:
                self.sent += 1
                self.call.send(bytes(30_000))
            if self.sent == 200:
                self.sent += 1
                self.call.finish()

    sources: list[Source] = []
    async with (
        place({"/t/S": lambda call: sources.append(Source(call)) or sources[-1]}) as it,
        it.raw() as raw,
    ):
        number = raw.call("/t/S", then=prefixed(b""))
        got = 0
        while got < 65_535:
            got += len(await raw.frame(DATA, number))
        (source,) = sources
        assert source.pauses == 1
        assert source.call.get_write_buffer_size() < 200_000 + 30_006
        while source.sent <= 200 or got < 200 * 30_005:
            raw.send(window_update(0, 60_000) + window_update(number, 60_000))
            size = len(await raw.frame(DATA, number))
            got += size
        assert source.pauses > 3
        await source.ended.wait()
        assert got == 200 * 30_005


async def test_a_call_that_is_not_read_holds_its_client_and_no_other() -> None:
    calls: list[Silent] = []

    def slow(call: Call) -> Silent:
        calls.append(Silent(call))
        call.pause_reading()
        return calls[-1]

    async with place({"/t/Slow": slow}) as it, it.channel() as channel:
        held = channel.stream_stream("/t/Slow")()
        writing = asyncio.create_task(_write(held, 40))
        for _ in range(20):
            assert await channel.unary_unary("/test.Test/Echo")(b"x" * 100_000, timeout=10) == b"x" * 100_000
        (silent,) = calls
        assert silent.heard == []
        assert not writing.done()
        assert 0 < it.server.kept_bytes <= 512 * 1024
        silent.call.resume_reading()
        silent.call.resume_reading()
        await asyncio.wait_for(writing, 10)
        await asyncio.wait_for(silent.closed.wait(), 10)
        assert silent.heard == [bytes(100_000)] * 40
        assert it.server.kept_bytes == 0
        held.cancel()


async def _write(call, count: int) -> None:  # type: ignore[no-untyped-def]
    for _ in range(count):
        await call.write(bytes(100_000))
    await call.done_writing()


async def test_the_clients_end_waits_with_what_came_before() -> None:
    calls: list[Silent] = []

    class Once(Silent):
        def messages(self, messages: list[bytes]) -> None:
            super().messages(messages)
            self.call.pause_reading()

    async with place({"/t/O": lambda call: calls.append(Once(call)) or calls[-1]}) as it, it.raw() as raw:
        number = raw.call("/t/O", then=prefixed(b"1"))
        await raw.frame(HEADERS, number)
        await calls[0].some.wait()
        raw.send(frame(DATA, END_STREAM, number, prefixed(b"2")))
        raw.send(frame(6, 0, 0, bytes(8)))
        await raw.frame(6)
        assert calls[0].heard == [b"1"]
        calls[0].call.resume_reading()
        while calls[0].heard != [b"1", b"2"]:
            await asyncio.sleep(0)
        assert not calls[0].closed.is_set()  # it has paused again
        calls[0].call.resume_reading()
        await asyncio.wait_for(calls[0].closed.wait(), 10)


async def test_unfinished_messages_are_bounded_for_a_connection() -> None:
    settings = {"connection_memory_bytes": 200_000, "message_limit_bytes": 100_000}
    async with place({"/t/S": Silent}, **settings) as it, it.raw() as raw, it.channel() as channel:
        part = prefixed(bytes(90_000))[:60_000]
        numbers = [raw.call("/t/S") for _ in range(4)]
        for number in numbers:
            raw.send(frame(DATA, 0, number, part))
        await raw.frame(RST_STREAM, numbers[3])  # 4 x 60,000
        assert it.server.kept_bytes == 180_000
        raw.send(frame(DATA, 0, numbers[0], bytes(30_005)))
        assert await channel.unary_unary("/test.Test/Echo")(b"x", timeout=10) == b"x"
    while it.server.connections:
        await asyncio.sleep(0.01)
    assert it.server.kept_bytes == 0


async def test_unfinished_messages_are_bounded_for_all() -> None:
    async with place({"/t/S": Silent}) as it:
        it.server.memory_bytes = 100_000
        async with it.raw() as one, it.raw() as two:
            one.call("/t/S", then=prefixed(bytes(90_000))[:60_000])
            await one.frame(HEADERS, 1)
            two.call("/t/S", then=prefixed(bytes(90_000))[:60_000])
            await two.frame(RST_STREAM, 1)
            assert it.server.kept_bytes == 60_000


async def test_a_ping_is_answered_and_many_share_one() -> None:
    async with place() as it, it.channel() as channel:
        call = channel.stream_stream("/test.Test/Echo")(timeout=10)
        await call.write(b"x")
        await call.read()
        answers: list[int] = []
        for number in range(100):
            it.echoes[0].call.ping(lambda number=number: answers.append(number))
        while len(answers) < 100:
            await asyncio.sleep(0.01)
        assert sorted(answers) == list(range(100))


def test_nobody_hears_everything() -> None:
    nobody = Nobody()
    nobody.messages([])
    nobody.half_closed()
    nobody.pause_writing()
    nobody.resume_writing()
    nobody.lost("")
