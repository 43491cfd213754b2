"""agpd/transport/tunnel.py: a call in the place of a socket, spoken to by a bare client of gRPC."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
import pytest
from scenarios.harness import TokenDesk
from unit.transport.grpc_world import OPTIONS, place

from agpd.app import Gateway, memory_gateway
from agpd.config import Config, Limits, Listen, Outbox
from agpd.errors import Code, code_of
from agpd.gateway.hub import Hub
from agpd.gateway.link import Link
from agpd.names import parse_pattern
from agpd.transport.callers import Callers
from agpd.transport.tunnel import PATH, TunnelCall, tunnel
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ANY, Frame, Kind
from agpd.wire.framing import Reassembly, split
from agpd.wire.tunnel import FRAMES_RECOMMENDED_BYTES, unwrap, wrap

HELLO = frames.encode(Kind.HELLO, frames.Hello([frames.VERSION], "bare", 1))
DEADLINE_S = 5.0


class Client:
    """One call, and the frames that come on it."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.inbox: list[Frame] = []
        self.messages: list[bytes] = []
        self._reassembly = Reassembly(64 * 1024 * 1024)
        self._ids = itertools.count(1)

    async def send(self, data: bytes) -> None:
        await self.call.write(wrap(data))

    async def read(self) -> None:
        """One more message. Raises `EOFError` at the end."""
        async with asyncio.timeout(DEADLINE_S):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            raise EOFError
        self.messages.append(message)
        self.inbox += split(unwrap(message), self._reassembly)

    async def drain(self) -> None:
        """Read until the call has failed."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while True:
                await self.read()

    async def expect(self, kind: Kind) -> Frame:
        """The next frame of this kind; others before it are dropped."""
        while True:
            while self.inbox:
                if (frame := self.inbox.pop(0)).kind == kind:
                    return frame
            await self.read()

    async def ask(self, kind: Kind, body: frames.Body, source: int = 0) -> Frame:
        await self.send(frames.encode(kind, body, source=source, id=next(self._ids)))
        return await self.expect(Kind.OK)

    async def greet(self) -> frames.Welcome:
        await self.send(HELLO)
        return frames.decode((await self.expect(Kind.WELCOME)).body, frames.Welcome)

    async def join(self, name: str) -> int:
        return (await self.ask(Kind.REGISTER, frames.Named(name))).destination

    async def open(self, source: int, name: str) -> int:
        return (await self.ask(Kind.OPEN, frames.Named(name), source)).destination

    async def closed(self) -> Code:
        """The code of the CLOSE that comes."""
        return code_of(frames.decode((await self.expect(Kind.CLOSE)).body, frames.Refusal).code)

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """The status of the call, and the code in its trailers."""
        async with asyncio.timeout(DEADLINE_S):
            trailing = dict(iter(await self.call.trailing_metadata() or ()))
            return await self.call.code(), str(trailing.get("agpd-code-name", ""))


class World:
    """A gateway that is reached through tunnels alone."""

    def __init__(self, gateway: Gateway, desk: TokenDesk, address: str) -> None:
        self.gateway, self.desk, self.address = gateway, desk, address
        self.calls: list[TunnelCall] = []
        self._channels: list[grpc.aio.Channel] = []

    @property
    def hub(self) -> Hub:
        return self.gateway.hub

    @property
    def link(self) -> Link:
        (link,) = self.hub.links
        return link

    async def dial(self, token: str = "", *, alone: bool = True) -> Client:
        """A call on a channel of its own, or on the last one."""
        if alone or not self._channels:
            self._channels.append(grpc.aio.insecure_channel(self.address, options=OPTIONS))
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return Client(self._channels[-1].stream_stream(PATH)(metadata=metadata))

    async def greeted(self, token: str = "") -> Client:
        client = await self.dial(token)
        await client.greet()
        return client

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # what is waited for lies behind sockets
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def world_of(outbox: Outbox | None = None, **limits: int) -> AsyncIterator[World]:
    config = Config(listen=Listen(plaintext=True), limits=Limits(**limits), outbox=outbox or Outbox())
    async with memory_gateway(config) as gateway:
        desk = TokenDesk()
        gateway.hub.tokens = desk.tokens()
        callers = Callers(gateway.hub, None, 20, asyncio.get_running_loop().time)
        serve = tunnel(gateway.hub, callers)
        calls: list[TunnelCall] = []

        def remembered(call: Any) -> Any:
            calls.append(serve(call))  # type: ignore[arg-type]
            return calls[-1]

        async with place({PATH: remembered}) as server:
            world = World(gateway, desk, server.address)
            world.calls = calls
            yield world
            await world.close()
            await gateway.stop(drain_s=0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of(linger_timeout_ms=300) as world:
        yield world


def publish(to: int, source: int, body: bytes, id_: int = 1, flags: int = 0) -> bytes:
    return frames.encode_data(
        Kind.PUBLISH, body, destination=to, source=source, id=id_, fanout=FANOUT_ANY, flags=flags
    )


async def test_one_call_is_one_connection(world: World) -> None:
    sender, receiver = await world.greeted(), await world.greeted()
    me, there = await sender.join("acme/dev/a/1"), await receiver.join("acme/dev/b/1")
    to = await sender.open(me, "acme/dev/b/1")
    assert to == there
    await sender.send(b"".join(publish(to, me, b"%d" % number, number) for number in range(100)))
    assert [(await receiver.expect(Kind.PUBLISH)).body for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert len(receiver.messages) < 20, "what came together goes on together"
    assert len(world.hub.links) == 2
    assert all(link.peer.startswith("127.0.0.1:") for link in world.hub.links)


async def test_calls_of_one_channel_are_connections_of_their_own(world: World) -> None:
    one = await world.greeted()
    other = await world.dial(alone=False)
    await other.greet()
    assert len(world.hub.links) == 2
    await one.send(b"\0\0\0\1")
    assert await one.closed() is Code.MALFORMED_FRAME
    await other.send(frames.encode(Kind.PING, id=7))
    assert (await other.expect(Kind.PONG)).id == 7


async def test_where_messages_begin_means_nothing(world: World) -> None:
    client = await world.dial()
    for piece in (HELLO[:1], b"", HELLO[1:20], HELLO[20:] + frames.encode(Kind.PING, id=9)):
        await client.send(piece)
    await client.expect(Kind.WELCOME)
    assert (await client.expect(Kind.PONG)).id == 9


async def test_large_writes_leave_in_messages_of_the_recommended_size(world: World) -> None:
    sender, receiver = await world.greeted(), await world.greeted()
    me, to = await sender.join("acme/dev/a/1"), await receiver.join("acme/dev/b/1")
    await sender.open(me, "acme/dev/b/1")
    body = os.urandom(1024 * 1024)
    await sender.send(publish(to, me, body))
    receiver.messages.clear()
    assert (await receiver.expect(Kind.PUBLISH)).body == body
    assert max(map(len, receiver.messages)) <= FRAMES_RECOMMENDED_BYTES + 4
    assert len(receiver.messages) >= 16


async def test_the_head_of_the_answer_tells_who_is_let_in_before_anything_is_said(world: World) -> None:
    welcome, refused = await world.dial(), await world.dial("made up")
    assert dict(iter(await welcome.call.initial_metadata())) == {"agpd-native": "1"}
    assert await welcome.call.read() == b"", "something follows the head, for proxies that wait for it"
    assert dict(iter(await refused.call.initial_metadata())) == {}


async def test_the_token_of_the_call_says_who_it_is(world: World) -> None:
    client = await world.dial(world.desk.issue("acme/dev/*", life_s=60))
    welcome = await client.greet()
    assert (welcome.may_speak_as, welcome.token_expires_s) == ("acme/dev/*", 60)
    assert world.link.principal.pattern == parse_pattern("acme/dev/*")


async def test_the_token_in_hello_narrows_that_of_the_call(world: World) -> None:
    client = await world.dial(world.desk.issue("acme/*"))
    token = world.desk.issue("acme/dev/*")
    await client.send(frames.encode(Kind.HELLO, frames.Hello([frames.VERSION], "bare", 1, token)))
    welcome = frames.decode((await client.expect(Kind.WELCOME)).body, frames.Welcome)
    assert welcome.may_speak_as == "acme/dev/*"
    other = await world.dial(world.desk.issue("acme/*"))
    foreign = world.desk.issue("globex/*")
    await other.send(frames.encode(Kind.HELLO, frames.Hello([frames.VERSION], "bare", 1, foreign)))
    assert await other.closed() is Code.INVALID_TOKEN


async def test_a_connection_ends_with_its_token(world: World) -> None:
    token = world.desk.issue("acme/dev/*")
    client = await world.greeted(token)
    world.desk.revoke(token)
    world.gateway._lifecycle.check()
    assert await client.closed() is Code.TOKEN_REVOKED
    await client.call.done_writing()
    assert await client.end() == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")


async def test_who_is_not_known_gets_a_status_and_no_answer(world: World) -> None:
    client = await world.dial("made up")
    assert await client.end() == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    assert not world.hub.links


async def test_a_fault_of_ours_while_authenticating_is_internal_and_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(text: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.hub.tokens, "holder", fail)
    client = await world.dial("x")
    assert await client.end() == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "ZeroDivisionError" in caplog.text


async def test_a_call_that_ends_before_its_caller_is_known_leaves_nothing(world: World) -> None:
    waiting, going_on = asyncio.Event(), asyncio.Event()

    async def verify(id_: str, secret: str, principal: object) -> Any:
        waiting.set()
        await going_on.wait()

    world.hub.tokens.client = verify  # type: ignore[method-assign]
    channel = grpc.aio.insecure_channel(world.address, options=OPTIONS)
    call = channel.stream_stream(PATH)(metadata=(("authorization", "Basic YTpi"),))
    await waiting.wait()
    call.cancel()
    await channel.close()
    (made,) = world.calls
    await world.until(made._entering.cancelled)
    assert not world.hub.links


async def test_goodbye_ends_the_call_well(world: World) -> None:
    client = await world.greeted()
    await client.send(frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)))
    with pytest.raises(EOFError):
        await client.read()
    assert await client.end() == (grpc.StatusCode.OK, "")
    await world.until(lambda: not world.hub.links and not world.hub.lingering)
    assert world.hub.ended == {Code.GOODBYE: 1}


async def test_a_client_that_ends_its_direction_ends_the_connection(world: World) -> None:
    client = await world.greeted()
    await client.call.done_writing()
    assert await client.end() == (grpc.StatusCode.OK, "")
    await world.until(lambda: not world.hub.links)
    assert world.hub.ended == {Code.CONNECTION_LOST: 1}


async def test_a_client_that_goes_away_is_lost(world: World) -> None:
    client = await world.greeted()
    client.call.cancel()
    await world.until(lambda: not world.hub.links)
    assert world.hub.ended == {Code.CONNECTION_LOST: 1}


@pytest.mark.parametrize("half_closes", [True, False])
async def test_the_reason_is_in_the_close_frame_and_in_the_status(world: World, half_closes: bool) -> None:
    client = await world.greeted()
    await client.send(frames.encode(Kind.WELCOME, frames.Named("x")))
    assert await client.closed() is Code.ILLEGAL_MOVE
    if half_closes:
        await client.call.done_writing()
    else:
        for link in world.hub.lingering:
            link.closed_at -= 10  # longer than the gateway lingers
        world.gateway._lifecycle.check()
    assert await client.end() == (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_MOVE")
    await world.until(lambda: not world.hub.lingering)


@pytest.mark.parametrize("garbage", [b"\xff\xff", b"\x0a\x7f", b"GET / HTTP/1.1\r\n"])
async def test_what_is_no_message_ends_its_connection_and_no_other(world: World, garbage: bytes) -> None:
    neighbour = await world.greeted()
    client = await world.dial(alone=False)
    await client.greet()
    await client.call.write(garbage)
    assert await client.closed() is Code.MALFORMED_FRAME
    await client.call.done_writing()
    assert await client.end() == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME")
    await neighbour.send(frames.encode(Kind.PING, id=7))
    assert (await neighbour.expect(Kind.PONG)).id == 7


async def test_a_message_above_the_limit_ends_its_call(world: World) -> None:
    client = await world.greeted()
    await client.call.write(wrap(bytes(6 * 1024 * 1024)))
    with pytest.raises(grpc.aio.AioRpcError, match="limit"):
        await client.read()
    assert (await client.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    await world.until(lambda: not world.hub.links)


async def test_a_gateway_that_ends_takes_no_more(world: World) -> None:
    client = await world.greeted()
    world.hub.drain()
    await client.expect(Kind.DRAIN)
    late = await world.dial()
    assert await late.end() == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    await client.send(frames.encode(Kind.PING, id=7))
    assert (await client.expect(Kind.PONG)).id == 7


async def test_no_more_connections_than_the_gateway_may_hold() -> None:
    async with world_of(connections=1, linger_timeout_ms=300) as world:
        await world.greeted()
        late = await world.dial()
        await late.send(HELLO)
        assert await late.closed() is Code.TOO_MANY_CONNECTIONS


async def test_a_client_that_does_not_read_costs_little_and_is_cut() -> None:
    small = Outbox(mark_bytes=64 * 1024, limit_bytes=2 * 1024 * 1024, stall_budget_ms=20, write_stall_ms=200)
    async with world_of(small, linger_timeout_ms=300) as world:
        sender, deaf = await world.greeted(), await world.greeted()
        me, to = await sender.join("acme/dev/a/1"), await deaf.join("acme/dev/b/1")
        await sender.open(me, "acme/dev/b/1")
        (stuck,) = (link for link in world.hub.links if to in link.sources)
        body, number = bytes(32 * 1024), 0
        async with asyncio.timeout(30):
            while not stuck.dropped:
                number += 1
                await sender.send(publish(to, me, body, number))
                await asyncio.sleep(0)
        assert stuck.queued <= small.limit_bytes
        assert stuck.carrier.get_write_buffer_size() <= 512 * 1024
        await world.until(lambda: stuck.close_code)
        assert stuck.close_code is Code.SLOW_CONSUMER
        await world.until(lambda: stuck not in world.hub.lingering)
        await deaf.drain()
        assert await deaf.end() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER")
        await sender.send(frames.encode(Kind.PING, id=7))
        assert (await sender.expect(Kind.PONG)).id == 7


async def test_a_sender_that_is_held_is_not_read_and_what_it_sent_counts(world: World) -> None:
    client = await world.greeted()
    link, stream = world.link, world.calls[0]._call._stream
    link.hold()
    before = link.bytes_in
    flooding = asyncio.ensure_future(flood(client))
    await world.until(lambda: stream.window_in <= 0)
    assert link.bytes_in == before
    assert 500 * 1024 < link.unread_bytes() <= 512 * 1024
    assert not flooding.done()
    link.release()
    await flooding
    assert (await client.expect(Kind.PONG)).id == 99
    assert link.unread_bytes() == 0


async def flood(client: Client) -> None:
    """More than all windows and buffers between here and there hold."""
    pongs = b"".join(frames.encode(Kind.PONG) for _ in range(2500))
    for _ in range(64):
        await client.send(pongs)
    await client.send(frames.encode(Kind.PING, id=99))


async def test_frames_that_are_none(world: World) -> None:
    for data, code in (
        (b"\xff" * 64, Code.FRAME_TOO_LARGE),
        (b"\0" * 64, Code.MALFORMED_FRAME),
        (frames.encode(Kind.HELLO, frames.Hello([99], "bare", 1)), Code.UNSUPPORTED_VERSION),
    ):
        client = await world.dial()
        await client.send(data)
        assert await client.closed() is code
