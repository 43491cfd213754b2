"""The sending half of an agent: one message and many, sizes, what is refused."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.wire.envelope import unpack
from agpd.wire.frames import Frame, Kind, encode
from agpd_client.backlog import OVERHEAD_BYTES
from agpd_client.outgoing import MESSAGES_PER_TURN

TO = "acme/prod/x"


async def publish(agent: agp.Agent, peer: Peer, handle: int = 7) -> Frame:
    sending = asyncio.create_task(agent.publish(TO, 1))
    await peer.ok(Kind.OPEN, handle)
    await sending
    return await peer.read(Kind.PUBLISH)


async def test_the_first_message_opens_and_the_next_do_not() -> None:
    async with standing() as (_, agent, peer, _):
        first = await publish(agent, peer)
        assert (first.destination, first.source, first.flags, first.fanout) == (7, AGENT, 0, agp.ANY)
        await agent.publish(TO, "text", fanout=3, headers={"k": "v"}, ttl=60)
        second = await peer.read(Kind.PUBLISH)
        envelope = unpack(second.body)
        assert (second.fanout, envelope.body, envelope.headers) == (3, b"text", {"k": "v"})
        assert 50_000 < envelope.expires_ms - time.time() * 1000 < 70_000
        assert second.id != first.id


@pytest.mark.parametrize("verb", ["publish", "confirm", "request"])
async def test_what_is_wrong_is_said_before_anything_is_sent(verb: str) -> None:
    async with standing() as (_, agent, peer, _):

        async def act(to: str, data: object) -> object:
            if verb == "request":
                return await agent.request(to, data)
            return await agent.publish(to, data, confirm=verb == "confirm")

        with pytest.raises(agp.InvalidName):
            await act("acme/x", 1)
        with pytest.raises(agp.MessageTooLarge, match="raise frame_limit_bytes"):
            await act(TO, bytes(65536))
        with pytest.raises(TypeError, match="send bytes, str"):
            await act(TO, object())
        for fanout in (-1, 70_000, "all"):
            with pytest.raises((ValueError, TypeError)):
                await agent.publish(TO, 1, fanout=fanout)  # type: ignore[arg-type]
        peer.write(encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)


async def test_an_agent_that_has_ended_sends_nothing() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        await agent.close()
        for work in (agent.publish(TO, 1), agent.publish(TO, 1, confirm=True), agent.request(TO, 1)):
            with pytest.raises(agp.Closed, match="was closed"):
                await work


@pytest.mark.parametrize("fanout", [-1, 70_000, "all", 1.5, None])
async def test_a_fanout_that_is_none_is_refused_where_the_destination_is_open_too(fanout: int) -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        with pytest.raises(ValueError, match="fanout"):
            await agent.publish(TO, 1, fanout=fanout)


async def test_many_are_sent_in_order_with_what_each_has() -> None:
    async with standing() as (_, agent, peer, _):
        sending = asyncio.create_task(agent.publish_many(TO, iter([b"a", "b", 3]), fanout=2))
        await peer.ok(Kind.OPEN, 7)
        assert await sending == 3
        seen = [await peer.read(Kind.PUBLISH) for _ in range(3)]
        assert [unpack(frame.body).body for frame in seen] == [b"a", b"b", b"\x03"]
        assert {(frame.fanout, frame.destination, frame.source) for frame in seen} == {(2, 7, AGENT)}
        assert len({frame.id for frame in seen}) == 3
        assert await agent.publish_many(TO, [b"c"], headers={"k": "v"}, ttl=60) == 1
        envelope = unpack((await peer.read(Kind.PUBLISH)).body)
        assert (envelope.body, envelope.headers, envelope.expires_ms > 0) == (b"c", {"k": "v"}, True)
        assert await agent.publish_many(TO, []) == 0


async def test_many_may_come_from_an_asynchronous_source() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        assert await agent.publish_many(TO, source()) == 3
        assert [unpack((await peer.read(Kind.PUBLISH)).body).body for _ in range(3)] == [b"\0", b"\1", b"\2"]


async def test_items_are_taken_no_faster_than_they_can_be_sent() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    async with standing() as (gateway, agent, peer, _):
        await publish(agent, peer)
        connection = gateway._uplink.connection
        assert connection is not None
        sending = asyncio.create_task(agent.publish_many(TO, endless()))
        await asyncio.sleep(0)
        assert 1 < taken <= MESSAGES_PER_TURN + 1  # others run in between
        connection.pause_writing()
        for _ in range(5):
            await asyncio.sleep(0)
        before = taken
        for _ in range(5):
            await asyncio.sleep(0)
        assert taken == before
        connection.resume_writing()
        for _ in range(5):
            await asyncio.sleep(0)
        assert taken > before
        sending.cancel()


async def test_while_there_is_no_connection_many_wait_up_to_the_bound() -> None:
    async with standing(buffer_bytes=9 * (104 + OVERHEAD_BYTES)) as (gateway, agent, peer, all_):
        await publish(agent, peer)
        peer.writer.close()
        while gateway.state is agp.State.CONNECTED:
            await asyncio.sleep(0)
        taken: list[int] = []

        def numbers() -> Iterator[bytes]:
            for number in range(30):
                taken.append(number)
                yield b"%100d" % number

        sending = asyncio.create_task(agent.publish_many(TO, numbers()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (len(taken), gateway._uplink.backlog.bytes) == (10, 9 * (104 + OVERHEAD_BYTES))
        again = await all_.accept()
        await again.welcome()
        await again.register()
        await again.ok(Kind.OPEN, 9)
        seen = [int(unpack((await again.read(Kind.PUBLISH)).body).body) for _ in range(30)]
        assert (seen, await sending) == (list(range(30)), 30)
        again.writer.close()


async def test_others_run_in_between_while_there_is_no_connection() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b""

    async with standing(buffer_bytes=100_000) as (gateway, agent, peer, _):
        await publish(agent, peer)
        peer.writer.close()
        while gateway.state is agp.State.CONNECTED:
            await asyncio.sleep(0)
        sending = asyncio.create_task(agent.publish_many(TO, endless()))
        await asyncio.sleep(0)
        assert 1 < taken <= MESSAGES_PER_TURN + 1
        sending.cancel()


async def test_what_is_wrong_with_many_is_said_and_those_before_are_sent() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        for items, error in (
            ([1, object(), 2], TypeError),
            ([1, bytes(65536), 2], agp.MessageTooLarge),
        ):
            with pytest.raises(error):
                await agent.publish_many(TO, items)
            assert unpack((await peer.read(Kind.PUBLISH)).body).body == b"\x01"
        for to, many, fanout, wrong in (
            ("acme/x", [], agp.ANY, agp.InvalidName),
            (TO, [], -1, ValueError),
            (TO, b"one", agp.ANY, TypeError),
        ):
            with pytest.raises(wrong):
                await agent.publish_many(to, many, fanout=fanout)
        peer.write(encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)
        await agent.close()
        with pytest.raises(agp.Closed, match="was closed"):
            await agent.publish_many(TO, [1])
