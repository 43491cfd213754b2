"""The life of a gateway object: opening once, draining, leaving, ending; and its notices."""

import asyncio
from typing import Any

import pytest
from scripted_peer import AGENT, peers, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.envelope import pack
from agpd.wire.frames import Kind, Refusal, encode, encode_data


async def test_an_object_is_opened_once_and_closed_as_often_as_one_likes() -> None:
    async with peers() as all_:
        gateway = all_.connect()
        with pytest.raises(RuntimeError, match="use `async with"):
            await gateway.create_agent("acme/prod/me")
        await gateway.close()  # never opened
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.welcome()
        await opening
        assert gateway.may_speak_as == "acme/*"
        with pytest.raises(RuntimeError, match="already open"):
            await gateway.open()
        closing = asyncio.create_task(gateway.close())
        assert frames.decode((await peer.read(Kind.CLOSE)).body, Refusal).code == Code.GOODBYE
        peer.writer.close()
        await closing
        await gateway.close()
        with pytest.raises(agp.Closed):
            await gateway.open()


async def test_a_failed_opening_can_be_tried_again() -> None:
    async with peers() as all_:
        gateway = all_.connect()
        opening = asyncio.create_task(gateway.open())
        (await all_.accept()).reset()
        with pytest.raises(agp.ConnectError):
            await opening
        with pytest.raises(RuntimeError, match="not open"):
            await gateway.create_agent("acme/prod/me")
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.welcome()
        await opening
        assert gateway.state is agp.State.CONNECTED
        peer.writer.close()
        await gateway.close()


async def test_a_draining_gateway_is_left_once_all_is_answered() -> None:
    async with standing() as (gateway, agent, peer, all_):
        events: Any = gateway.events()
        sending = asyncio.create_task(agent.publish("acme/prod/x", 1, confirm=True))
        await peer.ok(Kind.OPEN, 7)
        frame = await peer.read(Kind.PUBLISH)
        drain = encode(Kind.DRAIN, Refusal(int(Code.SHUTTING_DOWN)))
        peer.write(drain, encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)
        assert gateway.state is agp.State.DRAINING
        peer.write(encode(Kind.RECEIPT, frames.Count(1), id=frame.id, destination=AGENT, source=7))
        assert await sending == 1
        assert frames.decode((await peer.read(Kind.CLOSE)).body, Refusal).code == Code.GOODBYE
        event = await events.receive(timeout=2)
        assert event.error.code is Code.SHUTTING_DOWN
        assert not event.final
        await agent.publish("acme/prod/x", "for the next one")
        again = await all_.accept()
        await again.welcome()
        await again.register()
        await again.ok(Kind.OPEN, 8)
        await again.read(Kind.PUBLISH)
        again.writer.close()


async def test_drain_waits_for_handlers_and_for_the_gateway_to_have_read_all() -> None:
    async with standing() as (gateway, agent, peer, _):
        begun, go = asyncio.Event(), asyncio.Event()

        @agent.on_request
        async def slow(_: bytes) -> str:
            begun.set()
            await go.wait()
            return "done"

        peer.write(encode(Kind.ANNOUNCE, frames.Named("acme/prod/asker/u"), destination=5))
        peer.write(encode_data(Kind.REQUEST, pack((b"q",)), destination=AGENT, source=5, id=1, fanout=1))
        await begun.wait()
        with pytest.raises(agp.Timeout, match="handlers are still running"):
            await gateway.drain(0.01)
        assert gateway.state is agp.State.DRAINING
        draining = asyncio.create_task(gateway.drain())
        go.set()
        await peer.read(Kind.REPLY)
        ping = await peer.read(Kind.PING)
        assert not draining.done()
        peer.write(encode(Kind.PONG, id=ping.id))
        await draining


async def test_notices() -> None:
    async with standing() as (gateway, agent, peer, _):
        events = gateway.events()
        peer.write(encode(Kind.ANNOUNCE, frames.Named("acme/prod/x"), destination=7))
        body = Refusal(int(Code.RECEIVER_FULL), "slow", 4)
        peer.write(encode(Kind.REFUSED, body, id=99, destination=AGENT, source=7))
        event = await events.receive(timeout=1)
        assert event == agp.Refused(Code.RECEIVER_FULL, "slow", agent.name, "acme/prod/x", 4)
        assert gateway.statistics.refused == 4
        events.close()
        peer.write(encode(Kind.DROPPED, frames.Count(2)), encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)
        with pytest.raises(agp.Timeout):
            await events.receive(timeout=0)
        events.close()
        # Notices for agents that have gone harm nobody.
        peer.write(encode(Kind.PRESENCE, frames.Presence("acme/prod/x/u", True), destination=99))
        peer.write(encode(Kind.ENDED, Refusal(int(Code.TAKEN_OVER)), destination=99), encode(Kind.PING, id=2))
        await peer.read(Kind.PONG)
        assert gateway.state is agp.State.CONNECTED


async def test_a_subscription_ends_when_the_agent_of_its_address_comes(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    events: Any = near.events()
    squatter = await near.create_agent("acme/prod/writer")
    taken, other = await squatter.subscribe("acme/prod/editor"), await squatter.subscribe("acme/prod/chat")
    editor = await far.create_agent("acme/prod/editor", instance=squatter.instance)
    with pytest.raises(agp.NameTaken):
        await taken.receive(timeout=1)
    event = await events.receive(timeout=1)
    assert event == agp.Refused(Code.TAKEN_OVER, editor.name, squatter.name, editor.name, 0)
    assert set(squatter.subscriptions) == {"acme/prod/chat"}
    sender = await near.create_agent("acme/prod/boss")
    await sender.publish(editor.name, 1, confirm=True)
    await sender.publish("acme/prod/chat", 2, confirm=True)
    assert (await editor.receive(timeout=1)).data == 1
    assert (await other.receive(timeout=1)).data == 2


async def test_an_eviction_of_one_that_has_gone_harms_nobody() -> None:
    async with standing() as (gateway, _, peer, _):
        taken = Refusal(int(Code.TAKEN_OVER), count=0)
        for handle in (AGENT, 99):
            peer.write(encode(Kind.REFUSED, taken, destination=handle, source=7))
        peer.write(encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)
        assert gateway.state is agp.State.CONNECTED
        assert gateway.statistics.refused == 0


async def test_a_drain_is_the_end_where_nobody_wants_a_reconnect() -> None:
    async with standing(reconnect=False) as (gateway, agent, peer, _):
        waiting = asyncio.create_task(agent.receive())
        peer.write(encode(Kind.DRAIN, Refusal(int(Code.SHUTTING_DOWN))))
        assert frames.decode((await peer.read(Kind.CLOSE)).body, Refusal).code == Code.GOODBYE
        peer.writer.close()
        with pytest.raises(agp.Closed):
            await asyncio.wait_for(waiting, 5)
        assert gateway.state is agp.State.CLOSED


async def test_events_end_after_the_last_one() -> None:
    async with standing(reconnect=False) as (gateway, _, peer, _):
        events = gateway.events()
        peer.writer.close()
        seen = [event async for event in events]
        assert len(seen) == 1
        assert isinstance(seen[0], agp.Disconnected)
        assert seen[0].final
        assert [event async for event in gateway.events()] == []
        with pytest.raises(agp.Closed):
            await gateway.events().receive()
        with pytest.raises(agp.Closed):
            await gateway.create_agent("acme/prod/late")


async def test_a_refused_name_says_what_the_certificate_allows() -> None:
    async with standing() as (gateway, _, peer, _):
        creating = asyncio.create_task(gateway.create_agent("globex/prod/spy"))
        frame = await peer.read(Kind.REGISTER)
        peer.write(encode(Kind.REFUSED, Refusal(int(Code.NOT_PERMITTED)), id=frame.id))
        with pytest.raises(agp.NotPermitted, match=r"this certificate allows acme/\*"):
            await creating


async def test_an_agent_whose_creation_was_cancelled_gives_the_name_back() -> None:
    async with standing() as (gateway, _, peer, _):
        creating = asyncio.create_task(gateway.create_agent("acme/prod/other"))
        frame = await peer.read(Kind.REGISTER)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        peer.write(encode(Kind.OK, id=frame.id, destination=12))
        assert (await peer.read(Kind.UNREGISTER)).source == 12
        assert len(gateway._uplink.agents) == 1


async def test_a_request_of_the_protocol_survives_the_connection() -> None:
    async with standing() as (_, agent, peer, all_):
        subscribing = asyncio.create_task(agent.subscribe("acme/prod/chat"))
        await peer.read(Kind.SUBSCRIBE)
        peer.writer.close()
        again = await all_.accept()
        await again.welcome()
        await again.register()
        await again.ok(Kind.SUBSCRIBE)  # what the agent has
        await again.ok(Kind.SUBSCRIBE)  # what was asked and not answered
        assert (await subscribing).topic == "acme/prod/chat"
        again.writer.close()
