"""Watches: who is there, every change, differences after a reconnect, and their ends."""

import asyncio

import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind, Refusal, encode

READER = "acme/prod/reader"


async def opened(agent: agp.Agent, peer: Peer, present: list[str]) -> agp.Watch:
    watch = agent.watch(READER)
    opening = asyncio.create_task(watch.open())
    frame = await peer.read(Kind.WATCH)
    peer.write(encode(Kind.OK, frames.Present(present), id=frame.id))
    await opening
    return watch


def change(name: str, present: bool) -> bytes:
    return encode(Kind.PRESENCE, frames.Presence(name, present), destination=AGENT)


async def test_what_is_there_first_is_no_change() -> None:
    async with standing() as (_, agent, peer, _):
        watch = await opened(agent, peer, [f"{READER}/a"])
        await watch.open()  # once is enough
        assert watch.present == {f"{READER}/a"}
        with pytest.raises(agp.Timeout):
            await watch.receive(timeout=0)


async def test_changes_are_told_once_to_every_watch_of_the_type() -> None:
    async with standing() as (_, agent, peer, _):
        one, two = await opened(agent, peer, []), await opened(agent, peer, [])
        peer.write(change(f"{READER}/a", True), change(f"{READER}/a", True), change(f"{READER}/a", False))
        peer.write(change("acme/prod/else/a", True))
        for watch in (one, two):
            assert await watch.receive(timeout=1) == agp.Presence(f"{READER}/a", True)
            assert await watch.receive(timeout=1) == agp.Presence(f"{READER}/a", False)
            assert watch.present == frozenset()
            with pytest.raises(agp.Timeout):
                await watch.receive(timeout=0)


async def test_only_the_last_watch_of_a_type_gives_it_back() -> None:
    async with standing() as (_, agent, peer, _):
        one, two = await opened(agent, peer, []), await opened(agent, peer, [])
        await one.close()
        await one.close()
        peer.write(encode(Kind.PING, id=3))
        await peer.read(Kind.PONG)
        await two.close()
        await peer.read(Kind.UNWATCH)
        with pytest.raises(agp.Closed):
            await two._changes.get(0)


async def test_iteration_ends_with_the_watch_and_tells_an_end_that_is_none_of_its_own() -> None:
    async with standing() as (_, agent, peer, _):
        watch = await opened(agent, peer, [])
        peer.write(change(f"{READER}/a", True))
        seen = []
        async for each in watch:
            seen.append(each)
            await watch.close()
            break
        assert seen == [(f"{READER}/a", True)]
        await peer.read(Kind.UNWATCH)
        other = await opened(agent, peer, [])
        peer.write(encode(Kind.ENDED, Refusal(int(Code.TAKEN_OVER)), destination=AGENT))
        with pytest.raises(agp.NameTaken):
            async for _ in other:
                pass


async def test_a_closed_watch_ends_iteration_in_order(near: agp.Gateway) -> None:
    agent = await near.create_agent("acme/prod/writer")
    watch = agent.watch(READER)
    async with watch:
        listening = asyncio.create_task(_all(watch))
        await asyncio.sleep(0)
    assert await listening == []


async def _all(watch: agp.Watch) -> list[agp.Presence]:
    return [each async for each in watch]


async def test_a_refused_watch_is_no_watch() -> None:
    async with standing() as (_, agent, peer, _):
        watch = agent.watch(READER)
        opening = asyncio.create_task(watch.open())
        frame = await peer.read(Kind.WATCH)
        peer.write(encode(Kind.REFUSED, Refusal(int(Code.NOT_PERMITTED)), id=frame.id))
        with pytest.raises(agp.NotPermitted):
            await opening
        assert agent.watches == {}


async def test_after_a_reconnect_the_difference_is_told() -> None:
    async with standing() as (_, agent, peer, all_):
        watch = await opened(agent, peer, [f"{READER}/a", f"{READER}/b"])
        peer.writer.close()
        second = await all_.accept()
        await second.welcome()
        await second.register()
        frame = await second.read(Kind.WATCH)
        second.write(encode(Kind.OK, frames.Present([f"{READER}/b", f"{READER}/c"]), id=frame.id))
        assert await watch.receive(timeout=1) == (f"{READER}/a", False)
        assert await watch.receive(timeout=1) == (f"{READER}/c", True)
        assert watch.present == {f"{READER}/b", f"{READER}/c"}
        second.writer.close()
