"""Coming back: order, refusals on the way, what had waited."""

import asyncio
from typing import Any

import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.envelope import unpack
from agpd.wire.frames import Frame, Kind, Refusal, encode
from agpd_client.backoff import Clock
from agpd_client.restore import NAME_TAKEN_PATIENCE_S

CHAT, READER = "acme/prod/chat", "acme/prod/reader"


def refused(code: Code, frame: Frame) -> bytes:
    return encode(Kind.REFUSED, Refusal(int(code)), id=frame.id)


async def furnished(gateway: agp.Gateway, agent: agp.Agent, peer: Peer) -> tuple[Any, agp.Watch]:
    """A second agent; a subscription, a route to the second agent and a watch of the first."""
    creating = asyncio.create_task(gateway.create_agent("acme/prod/second"))
    await peer.register(AGENT + 1)
    second = await creating
    watch = agent.watch(READER)
    for work, kind in (
        (agent.subscribe(CHAT), Kind.SUBSCRIBE),
        (agent.set_route("*", second), Kind.SET_ROUTE),
        (watch.open(), Kind.WATCH),
    ):
        task: asyncio.Task[Any] = asyncio.create_task(work)
        frame = await peer.read(kind)
        body = frames.Present([]) if kind is Kind.WATCH else None
        peer.write(encode(Kind.OK, body, id=frame.id))
        await task
    return agent.subscriptions[CHAT], watch


async def test_first_all_agents_then_what_each_had_then_what_waited() -> None:
    async with standing() as (gateway, agent, peer, all_):
        await furnished(gateway, agent, peer)
        events: Any = gateway.events()
        peer.writer.close()
        assert isinstance(await events.receive(timeout=2), agp.Disconnected)
        await agent.publish("acme/prod/x", "waited")
        again = await all_.accept()
        hello = await again.welcome()
        assert hello.epoch > 0
        first, second = await again.read(Kind.REGISTER), await again.read(Kind.REGISTER)
        # Other handles than before, answered out of order of sending by the numbers.
        for frame, handle in ((first, 21), (second, 22)):
            again.write(encode(Kind.OK, id=frame.id, destination=handle))
        states = {}
        for _ in range(3):
            frame = await _any(again, (Kind.SUBSCRIBE, Kind.SET_ROUTE, Kind.WATCH))
            states[frame.kind] = frame.source
            body = frames.Present([]) if frame.kind == Kind.WATCH else None
            again.write(encode(Kind.OK, body, id=frame.id))
        assert states == {Kind.SUBSCRIBE: 21, Kind.SET_ROUTE: 22, Kind.WATCH: 21}
        await again.ok(Kind.OPEN, 7)
        assert unpack((await again.read(Kind.PUBLISH)).body).body == b"waited"
        assert isinstance(await events.receive(timeout=2), agp.Connected)
        again.writer.close()


async def _any(peer: Peer, kinds: tuple[Kind, ...]) -> Frame:
    frame = await peer.next()
    assert frame.kind in kinds
    return frame


async def test_what_is_refused_now_ends_and_is_told() -> None:
    async with standing() as (gateway, agent, peer, all_):
        subscription, watch = await furnished(gateway, agent, peer)
        events: Any = gateway.events()
        peer.writer.close()
        again = await all_.accept()
        await again.welcome()
        await again.register()
        await again.register(AGENT + 1)
        for _ in range(3):
            frame = await _any(again, (Kind.SUBSCRIBE, Kind.SET_ROUTE, Kind.WATCH))
            again.write(refused(Code.NOT_PERMITTED, frame))
        told = [await events.receive(timeout=2) for _ in range(5)]
        assert {each.destination for each in told[1:4]} == {CHAT, "*", READER}
        assert isinstance(told[4], agp.Connected)
        with pytest.raises(agp.NotPermitted):
            await subscription.receive(timeout=1)
        with pytest.raises(agp.NotPermitted):
            await watch.receive(timeout=1)
        assert CHAT not in agent.subscriptions
        again.writer.close()


async def test_a_waiting_message_that_is_refused_does_not_hold_up_the_next() -> None:
    async with standing() as (gateway, agent, peer, all_):
        events: Any = gateway.events()
        peer.writer.close()
        assert isinstance(await events.receive(timeout=2), agp.Disconnected)
        for to in ("globex/x/y", "acme/prod/x"):
            await agent.publish(to, to)
        again = await all_.accept()
        await again.welcome()
        await again.register()
        again.write(refused(Code.NOT_PERMITTED, await again.read(Kind.OPEN)))
        await again.ok(Kind.OPEN, 7)
        assert unpack((await again.read(Kind.PUBLISH)).body).body == b"acme/prod/x"
        event = await events.receive(timeout=2)
        assert (event.code, event.destination, event.count) == (Code.NOT_PERMITTED, "globex/x/y", 1)
        assert gateway.statistics.refused == 1
        again.writer.close()


async def test_messages_of_an_agent_that_was_closed_meanwhile_are_not_sent() -> None:
    async with standing() as (gateway, agent, peer, all_):
        events: Any = gateway.events()
        peer.writer.close()
        assert isinstance(await events.receive(timeout=2), agp.Disconnected)
        await agent.publish("acme/prod/x", 1)
        await agent.close()
        again = await all_.accept()
        await again.welcome()
        assert isinstance(await events.receive(timeout=2), agp.Connected)
        assert len(gateway._uplink.backlog) == 0
        again.write(encode(Kind.PING, id=1))
        await again.read(Kind.PONG)
        again.writer.close()


async def test_a_connection_lost_while_restoring_is_replaced() -> None:
    async with standing() as (gateway, agent, peer, all_):
        peer.writer.close()
        for _ in range(2):
            half = await all_.accept()
            await half.welcome()
            await half.read(Kind.REGISTER)
            half.writer.close()
        again = await all_.accept()
        await again.welcome()
        assert await again.register() == agent.name
        while gateway.state is not agp.State.CONNECTED:
            await asyncio.sleep(0)
        assert gateway.statistics.reconnects == 1
        again.writer.close()


async def test_a_refused_name_ends_the_object() -> None:
    async with standing() as (gateway, agent, peer, all_):
        waiting = asyncio.create_task(agent.receive())
        peer.writer.close()
        again = await all_.accept()
        await again.welcome()
        again.write(refused(Code.NOT_PERMITTED, await again.read(Kind.REGISTER)))
        with pytest.raises(agp.NotPermitted):
            await waiting
        assert gateway.state is agp.State.CLOSED


async def test_a_name_held_by_another_is_asked_for_with_patience_that_ends() -> None:
    now = [0.0]
    async with standing(clock=Clock(lambda: now[0], lambda _: asyncio.sleep(0))) as (
        gateway,
        agent,
        peer,
        all_,
    ):
        waiting = asyncio.create_task(agent.receive())
        peer.writer.close()
        for passed in (0.0, NAME_TAKEN_PATIENCE_S - 1, NAME_TAKEN_PATIENCE_S):
            assert gateway.error is None
            again = await all_.accept()
            now[0] = passed
            await again.welcome()
            again.write(refused(Code.NAME_TAKEN, await again.read(Kind.REGISTER)))
        with pytest.raises(agp.NameTaken):
            await waiting
