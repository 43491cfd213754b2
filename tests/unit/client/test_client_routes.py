"""Routes of a gateway object: who may be named, which one carries a delivery, what a reconnect makes of them."""

import asyncio
from typing import Any

import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.names import parse, parse_pattern
from agpd.wire import frames
from agpd.wire.envelope import pack
from agpd.wire.frames import Kind, encode, encode_data
from agpd_client.routes import Route, Routes
from agpd_client.testing import MemoryGateway

ONE, TWO = "acme/prod/a/one", "acme/prod/b/two"


def route(pattern: str, via: str = ONE) -> Route:
    return Route(parse_pattern(pattern), via)


def test_the_longest_pattern_comes_first() -> None:
    routes = Routes()
    for pattern in ("*", "globex/sales/*", "globex/*", "acme/*"):
        routes.put(route(pattern))
    found = [str(each.pattern) for each in routes.matching(parse("globex/sales/orders"))]
    assert found == ["globex/sales/*", "globex/*", "*"]


def test_a_later_route_of_the_same_pattern_and_organization_replaces() -> None:
    routes = Routes()
    routes.put(route("*", ONE))
    routes.put(route("*", TWO))
    routes.put(route("*", "globex/x/y/z"))
    assert {each.via for each in routes.matching(parse("a/b/c"))} == {TWO, "globex/x/y/z"}


def test_what_is_not_in_force_is_kept_and_not_matched() -> None:
    routes = Routes()
    routes.put(route("*", ONE))
    routes.put(route("globex/*", TWO))
    routes.suspend(ONE)
    assert [each.via for each in routes.matching(parse("globex/b/c"))] == [TWO]
    assert routes.waiting(ONE) == [route("*", ONE)]
    assert routes.waiting(TWO) == []
    routes.suspend()
    assert routes.matching(parse("globex/b/c")) == []
    routes.forget(ONE)
    assert routes.waiting(ONE) == []
    routes.remove("acme", parse_pattern("globex/*"))
    routes.remove("acme", parse_pattern("globex/*"))  # not set: no error
    assert routes.waiting(TWO) == []


async def test_via_is_an_agent_its_name_or_nothing() -> None:
    async with MemoryGateway() as server, server.connect() as gateway, server.connect() as far:
        one, two = await gateway.create_agent("acme/prod/a"), await gateway.create_agent("acme/prod/b")
        other = await gateway.create_agent("globex/prod/c")
        sender = await far.create_agent("acme/prod/sender")
        for via, receiver in ((None, one), (two, two), (two.name, two)):
            await one.set_route("globex/*", via)
            await sender.publish("globex/sales/x", receiver.name, confirm=True)
            assert (await receiver.receive(timeout=1)).data == receiver.name
        await one.set_route("globex/sales/x/*")  # longer, and also written in another way
        await sender.publish("globex/sales/x", "longer", confirm=True)
        assert (await one.receive(timeout=1)).data == "longer"
        with pytest.raises(agp.InvalidName, match="4 segments"):
            await one.set_route("*", "acme/prod/b")
        with pytest.raises(agp.InvalidName):
            await one.set_route("globex")
        for foreign in (sender, sender.name):
            with pytest.raises(agp.NotPermitted, match=r"await agent\.set_route"):
                await one.set_route("*", foreign)
        with pytest.raises(agp.NotPermitted, match="is of another"):
            await one.set_route("*", other)
        await two.remove_route("globex/sales/x")
        await sender.publish("globex/sales/x", "two again", confirm=True)
        assert (await two.receive(timeout=1)).data == "two again"
        await two.close()
        with pytest.raises(agp.NotPermitted, match="same connection"):
            await one.set_route("*", two)
        assert gateway.statistics.strays == 0


async def test_a_route_does_not_lead_back_to_its_sender() -> None:
    async with MemoryGateway() as server, server.connect() as gateway:
        one, two = await gateway.create_agent("acme/prod/a"), await gateway.create_agent("acme/prod/b")
        await one.set_route("globex/*", one)
        await one.set_route("*", two)
        assert await one.publish("globex/x/y", 1, confirm=True) == 1
        assert (await two.receive(timeout=1)).data == 1
        assert await two.publish("globex/x/y", 2, confirm=True) == 1
        assert (await one.receive(timeout=1)).data == 2


async def test_the_senders_organization_decides_between_routes() -> None:
    async with MemoryGateway() as server, server.connect() as gateway, server.connect() as far:
        acme, globex = (
            await gateway.create_agent("acme/p/bridge"),
            await gateway.create_agent("globex/p/bridge"),
        )
        await globex.set_route("umbrella/p/*")  # longer, and of another organization
        await acme.set_route("umbrella/*")
        sender = await far.create_agent("acme/p/sender")
        await sender.publish("umbrella/p/x", 1, confirm=True)
        assert (await acme.receive(timeout=1)).data == 1


async def test_what_no_route_here_covers_is_a_stray() -> None:
    async with standing() as (gateway, _, peer, _):
        peer.write(encode(Kind.ANNOUNCE, frames.Named("globex/x/y"), destination=5))
        peer.write(encode(Kind.ANNOUNCE, frames.Named("acme/prod/s/u"), destination=6))
        peer.write(encode_data(Kind.PUBLISH, pack((b"x",)), destination=5, source=6, id=1))
        await _read_so_far(peer)
        assert (gateway.statistics.strays, gateway.statistics.received) == (1, 0)


async def _read_so_far(peer: Peer) -> None:
    peer.write(encode(Kind.PING, id=3))
    await peer.read(Kind.PONG)


def refused(code: Code, id_: int) -> bytes:
    return encode(Kind.REFUSED, frames.Refusal(int(code)), id=id_)


async def _set(agent: agp.Agent, peer: Peer) -> None:
    setting = asyncio.create_task(agent.set_route("globex/*"))
    assert frames.decode((await peer.ok(Kind.SET_ROUTE)).body, frames.Route).via == agent.name
    await setting


async def test_a_route_refused_at_a_reconnect_is_told_and_asked_for_at_the_next() -> None:
    async with standing() as (gateway, agent, peer, all_):
        await _set(agent, peer)
        events: Any = gateway.events()
        for _ in range(2):
            peer.writer.close()
            peer = await all_.accept()
            await peer.welcome()
            await peer.register()
            frame = await peer.read(Kind.SET_ROUTE)  # behind the agents
            assert frame.source == AGENT
            peer.write(refused(Code.TOO_MANY_ROUTES, frame.id))
            told = [await events.receive(timeout=2) for _ in range(3)]
            assert [type(each) for each in told] == [agp.Disconnected, agp.Refused, agp.Connected]
            assert (told[1].code, told[1].destination) == (Code.TOO_MANY_ROUTES, "globex/*")
        peer.writer.close()


@pytest.mark.parametrize("code", [None, Code.TOO_MANY_ROUTES])
async def test_a_route_comes_back_with_its_agent(code: Code | None) -> None:
    async with standing() as (gateway, agent, peer, _):
        await _set(agent, peer)
        events: Any = gateway.events()
        peer.write(encode(Kind.ENDED, frames.Refusal(int(Code.TAKEN_OVER)), destination=AGENT))
        await _read_so_far(peer)
        creating = asyncio.create_task(gateway.create_agent(agent.name))
        await peer.register()
        again = await creating
        frame = await peer.read(Kind.SET_ROUTE)
        peer.write(encode(Kind.OK, id=frame.id) if code is None else refused(code, frame.id))
        await _read_so_far(peer)
        assert len(gateway._uplink.routes.waiting(again.name)) == (0 if code is None else 1)
        if code is not None:
            assert (await events.receive(timeout=1)).code is code


async def test_a_closed_agent_takes_its_routes_along() -> None:
    async with standing() as (gateway, agent, peer, _):
        await _set(agent, peer)
        setting = asyncio.create_task(agent.set_route("umbrella/*"))
        late = await peer.read(Kind.SET_ROUTE)
        await agent.close()
        await peer.ok(Kind.UNREGISTER)
        peer.write(encode(Kind.OK, id=late.id))
        await setting
        assert gateway._uplink.routes.matching(parse("globex/x/y")) == []
        assert gateway._uplink.routes.matching(parse("umbrella/x/y")) == []
        creating = asyncio.create_task(gateway.create_agent(agent.name))
        await peer.register()
        await creating
        await _read_so_far(peer)  # and no SET_ROUTE
