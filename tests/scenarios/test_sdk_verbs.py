"""Every verb of the SDK against the real routing core, in memory, and over sockets to a gateway with workers."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

import agpd_client as agp
from agpd.app import Gateway
from agpd.config import Config, Grant, Limits, Listen
from agpd_client.testing import MemoryGateway

WRITER, READER, CHAT = "acme/prod/writer", "acme/prod/reader", "acme/prod/chat"


class Draft(msgspec.Struct):
    topic: str
    text: str = ""


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Model(pydantic.BaseModel):
    title: str
    words: list[str]


class Row(TypedDict):
    n: int


class Sockets:
    """A gateway with workers, reached as a `MemoryGateway` is."""

    def __init__(self, gateway: Gateway) -> None:
        self._url = "agp+tcp://{}:{}".format(*gateway.address)

    def connect(self, **options: Any) -> agp.Gateway:
        return agp.connect(self._url, **options)


@pytest.fixture
async def server(workers: int) -> AsyncIterator[MemoryGateway | Sockets]:
    config = Config(
        listen=Listen(native="127.0.0.1:0", grpc="", plaintext=True, workers=workers),
        limits=Limits(frame_limit_bytes=64 * 1024, linger_timeout_ms=100),
        grants=(Grant(subject="acme/*", verb="observe", object="acme/prod/*"),),
    )
    if workers == 1:
        async with MemoryGateway(config) as memory:
            yield memory
        return
    async with Gateway(config) as gateway:
        gateway.start()
        await gateway.ready()
        yield Sockets(gateway)


@pytest.fixture
async def near(server: MemoryGateway | Sockets) -> AsyncIterator[agp.Gateway]:
    async with server.connect(agent="acme/prod/me") as gateway:
        yield gateway


@pytest.fixture
async def far(server: MemoryGateway | Sockets) -> AsyncIterator[agp.Gateway]:
    async with server.connect() as gateway:
        yield gateway


async def test_unicast_anycast_and_broadcast(near: agp.Gateway, far: agp.Gateway) -> None:
    writer = await near.create_agent(WRITER)
    one, two = await far.create_agent(READER), await far.create_agent(READER)
    assert await writer.publish(one.name, b"to one", confirm=True) == 1
    message = await one.receive(timeout=1)
    assert (message.source, message.destination, message.data) == (writer.name, one.name, b"to one")
    assert await writer.publish(READER, "all", fanout=agp.ALL, confirm=True) == 2
    assert [(await each.receive(timeout=1)).destination for each in (one, two)] == [READER, READER]
    assert await writer.publish(READER, "any", confirm=True) == 1
    assert len(one.inbox.items) + len(two.inbox.items) <= 1


async def test_the_sender_gets_no_copy_but_its_neighbour_does(near: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
    await writer.subscribe(CHAT)
    chat = await reader.subscribe(CHAT)
    await writer.publish(CHAT, "hello", fanout=agp.ALL)
    assert (await chat.receive(timeout=1)).data == "hello"
    assert not writer.inbox.items


async def test_a_subscription_takes_over_what_has_come_for_it(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    chat = await reader.subscribe(CHAT, type=Draft)
    await writer.publish(CHAT, Draft("first"), confirm=True)
    await writer.publish(reader.name, "direct", confirm=True)
    while len(reader.inbox.items) < 2:
        await asyncio.sleep(0)
    assert (await chat.receive(timeout=1)).data == Draft("first")
    await writer.publish(CHAT, Draft("second"))
    assert (await chat.receive(timeout=1)).data.topic == "second"
    assert (await reader.receive(timeout=1)).data == "direct"
    await chat.close()
    with pytest.raises(agp.NoRoute, match="start the receiver"):
        await writer.publish(CHAT, "nobody", confirm=True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"bytes", None),
        ("text \u00e9", None),
        ({"a": [1, 2.5, None, True]}, None),
        (Draft("t", "x"), Draft),
        (Point(1, 2), Point),
        ({"n": 7}, Row),
        (Model(title="t", words=["a"]), Model),
    ],
)
async def test_payloads_come_back_as_they_were(
    near: agp.Gateway, far: agp.Gateway, value: Any, kind: Any
) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)

    @reader.on_request(type=kind)
    def echo(value: Any) -> Any:
        return value

    assert await writer.request(READER, value, type=kind, timeout=2) == value


async def test_a_wrong_payload_is_named_with_its_path(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(READER, {"topic": 5})
    message = await reader.receive(timeout=1, type=Draft)
    with pytest.raises(agp.DecodeError, match=r"\$\.topic"):
        _ = message.data


async def test_handler_errors_reach_the_requester(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)

    @reader.on_request
    async def divide(pair: Point, ctx: agp.Context) -> float:
        assert ctx.source == writer.name
        return pair.x / pair.y

    assert await writer.request(READER, Point(6, 3)) == 2.0
    with pytest.raises(agp.RemoteError) as caught:
        await writer.request(READER, Point(1, 0))
    assert caught.value.type == "ZeroDivisionError"
    with pytest.raises(agp.RemoteError, match="DecodeError"):
        await writer.request(READER, "no point")


async def test_requests_are_answered_from_the_inbox(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    asked = asyncio.create_task(writer.request_message(READER, "question", timeout=2, headers={"k": "v"}))
    message = await reader.receive(timeout=1)
    assert message.is_request
    assert message.headers == {"k": "v"}
    await message.reply("answer", headers={"h": "1"})
    answer = await asked
    assert (answer.data, answer.source, answer.headers) == ("answer", reader.name, {"h": "1"})
    await writer.publish(READER, "statement")
    with pytest.raises(TypeError, match="publish"):
        await (await reader.receive(timeout=1)).reply("no")


async def test_timeouts_and_refusals_have_types(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    with pytest.raises(agp.Timeout, match="no answer from acme/prod/reader"):
        await writer.request(reader.name, 1, timeout=0.01)
    with pytest.raises(TimeoutError):
        await writer.receive(timeout=0)
    with pytest.raises(agp.NotPermitted):
        await writer.publish("globex/prod/spy", 1)
    with pytest.raises(agp.NotPermitted):
        await writer.observe("globex/prod/*")
    with pytest.raises(agp.InvalidName, match="segment 'Prod'"):
        await writer.publish("acme/Prod/x", 1)
    with pytest.raises(agp.MessageTooLarge, match="65536"):
        await writer.publish(READER, b"x" * 65536)
    with pytest.raises(ValueError, match="fanout"):
        await writer.publish(READER, 1, fanout=-1)
    with pytest.raises(agp.InvalidName, match="already an agent"):
        await near.create_agent(writer.name)
    with pytest.raises(agp.NameTaken):
        await far.create_agent(writer.name)


async def test_a_refused_publish_is_an_event(near: agp.Gateway) -> None:
    writer = await near.create_agent(WRITER)
    events = near.events()
    await writer.publish(READER, "nobody there")
    event = await events.receive(timeout=1)
    assert isinstance(event, agp.Refused)
    assert (event.code, event.agent, event.destination) == (agp.Code.NO_ROUTE, writer.name, READER)


async def test_observers_see_topics_not_instances(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    watcher = await far.create_agent("acme/prod/auditor")
    seen = await watcher.observe("acme/prod/*")
    await writer.publish(reader.name, "private", confirm=True)
    await writer.publish(READER, "public", confirm=True)
    assert (await seen.receive(timeout=1)).data == "public"
    assert [(await reader.receive(timeout=1)).data for _ in range(2)] == ["private", "public"]


async def test_routes_carry_what_nobody_takes(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, bridge = await near.create_agent(WRITER), await far.create_agent("acme/prod/bridge")
    await far.create_agent("acme/prod/bystander")
    await bridge.set_route("globex/*")
    await writer.publish("globex/prod/anything", "hello", confirm=True)
    message = await bridge.receive(timeout=1)
    assert (message.destination, message.data) == ("globex/prod/anything", "hello")
    await bridge.remove_route("globex/*")
    with pytest.raises(agp.AgpError):
        await writer.publish("globex/prod/anything", "hello", confirm=True)
    with pytest.raises(agp.NotPermitted, match="agent of the same connection"):
        await bridge.set_route("*", via="acme/prod/bridge/00000000-0000-0000-0000-000000000000")
    with pytest.raises(agp.NotPermitted, match="agent of the same connection"):
        await bridge.set_route("*", via=writer)
    with pytest.raises(agp.InvalidName, match="4 segments"):
        await bridge.set_route("*", via="acme/prod/bridge")


async def test_presence(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, first = await near.create_agent(WRITER), await far.create_agent(READER)
    async with writer.watch(READER) as watch:
        assert watch.present == {first.name}
        second = await far.create_agent(READER)
        assert await watch.receive(timeout=1) == agp.Presence(second.name, True)
        await first.close()
        assert await watch.receive(timeout=1) == (first.name, False)
        assert watch.present == {second.name}


async def test_the_default_agent_has_the_same_verbs(near: agp.Gateway, far: agp.Gateway) -> None:
    reader = await far.create_agent(READER)

    @near.on_request
    async def answer(text: str) -> str:
        return text.upper()

    me = await near.default_agent()
    assert await reader.request(me.name, "hello", type=str) == "HELLO"
    await near.subscribe(CHAT)
    await reader.publish(CHAT, 1)
    assert (await near.receive(timeout=1)).data == 1
    await near.unsubscribe(CHAT)
    async with near.watch(READER) as watch:
        assert watch.present == {reader.name}
    await near.publish(READER, 2, confirm=True)
    with pytest.raises(agp.InvalidName, match="pass connect"):
        await far.publish(READER, 1)


async def test_closing_an_agent_ends_iteration_and_tells_requesters(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    begun = asyncio.Event()

    @reader.on_request
    async def never(_: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def drain() -> int:
        return len([message async for message in reader])

    listening, asked = asyncio.create_task(drain()), asyncio.create_task(writer.request(READER, "x"))
    await begun.wait()
    await reader.close()
    assert await listening == 0
    with pytest.raises(agp.RemoteError, match="ended before it answered"):
        await asked
    with pytest.raises(agp.Closed):
        await reader.publish(WRITER, 1)
    with pytest.raises(agp.NoRoute):
        await writer.request(READER, "x")


async def test_drain_waits_for_handlers_and_refuses_new_requests(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    begun, go = asyncio.Event(), asyncio.Event()

    @reader.on_request
    async def slow(x: int) -> int:
        begun.set()
        await go.wait()
        return x

    asked = asyncio.create_task(writer.request(READER, 1))
    await begun.wait()
    with pytest.raises(agp.Timeout):
        await far.drain(timeout=0.01)
    with pytest.raises(agp.RemoteError, match="draining"):
        await writer.request(READER, 2)
    go.set()
    await far.drain(timeout=1)
    assert await asked == 1


async def test_another_loop_is_refused(near: agp.Gateway) -> None:
    writer = await near.create_agent(WRITER)
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, writer.receive())


async def test_local_urls_share_a_gateway_that_ends_with_its_last_user() -> None:
    from agpd_client.transports import local

    async with agp.connect("local://room") as one, agp.connect("local://room") as two:
        reader, writer = await one.create_agent(READER), await two.create_agent(WRITER)
        assert await writer.publish(reader.name, 1, confirm=True) == 1
        async with agp.connect("local://other") as three:
            stranger = await three.create_agent(WRITER)
            with pytest.raises(agp.NoRoute):
                await stranger.publish(reader.name, 1, confirm=True)
    assert not local._shared
