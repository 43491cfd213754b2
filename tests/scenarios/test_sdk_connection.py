"""The SDK over real sockets: TLS, reconnect, refusals of a connection, cancellation, full inboxes."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import agpd_client as agp
from agpd.app import Gateway as Server
from agpd.config import Config, Listen, Tls
from agpd.transport.pki import development

WRITER, READER, CHAT = "acme/prod/writer", "acme/prod/reader", "acme/prod/chat"


class Plain:
    """A gateway on a port of its own, which can be stopped and started again there."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        self.server = Server(Config(listen=Listen(native=self.address, grpc="", plaintext=True)))
        self.server.start()
        host, port = self.server.address
        self.address = f"{host}:{port}"

    async def kill(self) -> None:
        assert self.server is not None
        for link in list(self.server.hub.links):
            link.carrier.abort()
        await self.server.stop(drain_s=0)

    def connect(self, **options: Any) -> agp.Gateway:
        return agp.connect(f"agp+tcp://{self.address}", chance=Quick(), **options)


class Quick(random.Random):
    """Reconnects at once, whatever the attempt."""

    def random(self) -> float:
        return 0.01


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    gateway = Plain()
    await gateway.start()
    yield gateway
    assert gateway.server is not None
    await gateway.server.stop(drain_s=0)


async def test_everything_is_restored_after_the_gateway_was_killed(plain: Plain) -> None:
    async with plain.connect() as near, plain.connect() as far:
        writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
        chat = await reader.subscribe(CHAT)
        await reader.set_route("globex/*")
        watch = writer.watch(READER)
        await watch.open()
        events, far_events = near.events(), far.events()
        await plain.kill()
        assert isinstance(await events.receive(timeout=2), agp.Disconnected)
        assert near.state is agp.State.DISCONNECTED
        await writer.publish(CHAT, "kept while away", fanout=agp.ALL)
        await plain.start()
        assert isinstance(await far_events.receive(timeout=5), agp.Disconnected)
        assert isinstance(await far_events.receive(timeout=5), agp.Connected)
        # Which of the two is back first is open; what was kept may have met nobody.
        event = await events.receive(timeout=5)
        assert isinstance(event, agp.Connected)
        assert event.reconnects == 1
        await writer.publish(CHAT, "afterwards", fanout=agp.ALL, confirm=True)
        texts = [(await chat.receive(timeout=1)).data]
        if texts == ["kept while away"]:
            texts.append((await chat.receive(timeout=1)).data)
        assert texts[-1] == "afterwards"
        assert await writer.publish("globex/x/y", 1, confirm=True) == 1
        assert (await reader.receive(timeout=1)).destination == "globex/x/y"
        await reader.close()
        while watch.present:
            await watch.receive(timeout=1)


async def test_what_is_under_way_fails_with_an_unknown_outcome(plain: Plain) -> None:
    async with plain.connect() as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
        asked = asyncio.create_task(writer.request(reader.name, 1))
        await reader.receive(timeout=1)
        await plain.kill()
        with pytest.raises(agp.Closed, match="outcome is unknown") as caught:
            await asked
        assert caught.value.code is agp.Code.CONNECTION_LOST
        await plain.start()
        assert await writer.publish(reader.name, 2, confirm=True) == 1


async def test_without_reconnect_the_end_is_told_to_everyone(plain: Plain) -> None:
    async with plain.connect(reconnect=False) as near:
        writer = await near.create_agent(WRITER)
        waiting = asyncio.create_task(writer.receive())
        await asyncio.sleep(0)
        await plain.kill()
        with pytest.raises(agp.Closed):
            await waiting
        with pytest.raises(agp.Closed):
            await writer.publish(READER, 1)
        assert near.state is agp.State.CLOSED
    await plain.start()


async def test_the_backlog_is_bounded_and_then_waits(plain: Plain) -> None:
    async with plain.connect(buffer_bytes=10_000) as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
        events = near.events()
        await plain.kill()
        await events.receive(timeout=2)
        sent = asyncio.create_task(_send_many(writer, reader.name, 20))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not sent.done()
        assert near._uplink.backlog.bytes <= 10_000
        await plain.start()
        await sent
        assert [int((await reader.receive(timeout=5)).body[:2]) for _ in range(20)] == list(range(10, 30))


async def _send_many(writer: agp.Agent, to: str, count: int) -> None:
    for number in range(10, 10 + count):
        await writer.publish(to, b"%d" % number + b"x" * 1000)


async def test_a_draining_gateway_is_left_in_order(plain: Plain) -> None:
    async with plain.connect() as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
        begun, go = asyncio.Event(), asyncio.Event()

        @reader.on_request
        async def slow(x: int) -> int:
            begun.set()
            await go.wait()
            return x

        asked = asyncio.create_task(writer.request(reader.name, 5))
        await begun.wait()
        events = near.events()
        assert plain.server is not None
        stopping = asyncio.create_task(plain.server.stop(drain_s=5))
        while near.state is not agp.State.DRAINING:
            await asyncio.sleep(0)
        go.set()
        assert await asked == 5
        assert isinstance(await events.receive(timeout=2), agp.Disconnected)
        await stopping
        await plain.start()
        assert isinstance(await events.receive(timeout=5), agp.Connected)


@pytest.mark.parametrize("verb", ["publish", "confirm", "request", "receive", "subscribe", "create_agent"])
async def test_cancelling_any_call_at_any_await_leaves_the_connection_usable(plain: Plain, verb: str) -> None:
    async with plain.connect() as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)

        @reader.on_request
        async def echo(x: int) -> int:
            return x

        for steps in range(12):
            task = asyncio.ensure_future(_act(near, writer, verb, steps))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await writer.request(reader.name, 7, timeout=2) == 7
        if verb == "create_agent":
            await near._uplink.connection.barrier()  # type: ignore[union-attr]
            assert plain.server is not None
            known = [agent for link in plain.server.hub.links for agent in link.sources.values()]
            assert {str(agent.name) for agent in known} == set(near._uplink.agents)


def _act(near: agp.Gateway, writer: agp.Agent, verb: str, step: int) -> Any:
    return {
        "publish": lambda: writer.publish(f"acme/prod/r{step}", 1),
        "confirm": lambda: writer.publish(READER, 1, confirm=True),
        "request": lambda: writer.request(READER, 1),
        "receive": lambda: writer.receive(),
        "subscribe": lambda: writer.subscribe(f"acme/prod/t{step}"),
        "create_agent": lambda: near.create_agent("acme/prod/extra"),
    }[verb]()


async def test_a_full_inbox_that_blocks_loses_nothing(plain: Plain) -> None:
    async with plain.connect() as near, plain.connect() as far:
        writer = await near.create_agent(WRITER)
        reader = await far.create_agent(READER, inbox_limit=10)
        sending = asyncio.create_task(_send_numbers(writer, reader.name, 3000))
        while not far._uplink.valve.paused:
            await asyncio.sleep(0)
        numbers = [(await reader.receive(timeout=2)).data for _ in range(3000)]
        await sending
        assert numbers == list(range(3000))
        assert not far._uplink.valve.paused


async def _send_numbers(writer: agp.Agent, to: str, count: int) -> None:
    for number in range(count):
        await writer.publish(to, number)


async def test_a_request_from_within_a_full_receive_loop_is_answered(plain: Plain) -> None:
    async with plain.connect() as near, plain.connect() as far:
        writer = await near.create_agent(WRITER)
        reader = await far.create_agent(READER, inbox_limit=4)

        @writer.on_request
        async def double(x: int) -> int:
            return 2 * x

        await _send_numbers(writer, reader.name, 10)
        while not far._uplink.valve.paused:
            await asyncio.sleep(0)
        assert await reader.request(writer.name, 4, timeout=2) == 8
        assert far._uplink.valve.paused


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", [7, 8, 9]), ("drop_new", [0, 1, 2])])
async def test_drop_policies(plain: Plain, policy: Any, kept: list[int]) -> None:
    async with plain.connect() as near:
        writer = await near.create_agent(WRITER)
        reader = await near.create_agent(READER, inbox_limit=3, inbox_policy=policy)
        await _send_numbers(writer, reader.name, 10)
        await near._uplink.connection.barrier()  # type: ignore[union-attr]
        messages = [await reader.receive(timeout=1) for _ in range(3)]
        assert [message.data for message in messages] == kept
        await writer.publish(reader.name, 10)
        told = messages[0] if policy == "drop_oldest" else await reader.receive(timeout=1)
        assert told.dropped == 7
        assert near.statistics.dropped_here == 7


# Refusals of a connection


async def test_nobody_listens() -> None:
    gateway = Plain()
    await gateway.start()
    await gateway.kill()
    with pytest.raises(
        agp.ConnectError, match=r"no gateway at 127\.0\.0\.1:\d+: start one with `agpd dev`, or mend"
    ):
        await gateway.connect().open()


async def test_tls_both_ways(tmp_path: Path) -> None:
    now = time.time()
    development(tmp_path, now)
    server = Server(
        Config(
            listen=Listen(native="127.0.0.1:0", grpc=""),
            tls=Tls(
                certificate=str(tmp_path / "gateway.pem"),
                key=str(tmp_path / "gateway.key"),
                ca=str(tmp_path / "ca.pem"),
                accept_any_name=True,
            ),
        )
    )
    server.start()
    url = f"agp://127.0.0.1:{server.address[1]}"
    mine = {"certificate": tmp_path / "agent.pem", "key": tmp_path / "agent.key", "ca": tmp_path / "ca.pem"}
    other = tmp_path / "other"
    development(other, now)
    foreign = {"certificate": other / "agent.pem", "key": other / "agent.key"}
    async with server:
        async with agp.connect(url, **mine) as gateway:
            agent = await gateway.create_agent(WRITER)
            assert await agent.publish(agent.name, "x" * 1000) is None
        with pytest.raises(agp.Unauthorized, match=r"is not accepted.*other/ca\.pem.*pass ca= / --ca"):
            await agp.connect(url, **{**mine, "ca": other / "ca.pem"}).open()
        # The refusal may be lost: the gateway's end comes as a reset where our hello was still unread.
        with pytest.raises((agp.Unauthorized, agp.ConnectError), match=r"other/agent\.pem"):
            await agp.connect(url, **{**mine, **foreign}).open()
        with pytest.raises(agp.Unauthorized, match="key"):
            await agp.connect(url, certificate="a", ca="b").open()


# The blocking facade


def test_the_blocking_facade() -> None:
    _use_blocking()


async def test_the_blocking_facade_within_a_running_loop() -> None:
    _use_blocking()


def _use_blocking() -> None:
    with agp.sync.connect("local://blocking", agent="acme/prod/me") as gateway:
        events = gateway.events()
        reader = gateway.create_agent(READER)
        threads: set[str] = set()

        @reader.on_request
        def add(x: int) -> int:
            threads.add(threading.current_thread().name)
            gateway.publish(CHAT, x)  # a handler may use the blocking verbs
            return x + 1

        with reader.subscribe(CHAT) as chat:
            assert gateway.request(READER, 1) == 2
            assert chat.receive(timeout=1).data == 1
        assert "agpd-client" not in threads
        gateway.publish(reader.name, "hello")
        assert reader.receive(timeout=1).data == "hello"
        with gateway.watch(READER) as watch:
            assert watch.present == {reader.name}
        with pytest.raises(agp.NoRoute):
            gateway.request("acme/prod/nobody", 1)
        reader.close()
        assert list(reader) == []
        assert gateway.state is agp.State.CONNECTED
    assert isinstance(list(events)[-1], agp.Disconnected)
