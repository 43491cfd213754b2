"""What is sent and answered: handles, receipts, replies, timeouts, lost connections."""

import asyncio
import itertools

import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.envelope import Envelope, pack, unpack
from agpd.wire.frames import RECEIPT_WANTED, Frame, Kind, Refusal, encode, encode_data

TO = "acme/prod/x"


def refused(code: Code, frame: Frame) -> bytes:
    return encode(Kind.REFUSED, Refusal(int(code)), id=frame.id, destination=AGENT, source=frame.destination)


def receipt(frame: Frame, count: int) -> bytes:
    return encode(Kind.RECEIPT, frames.Count(count), id=frame.id, destination=AGENT, source=frame.destination)


async def publish(agent: agp.Agent, peer: Peer, handle: int = 7) -> Frame:
    sending = asyncio.create_task(agent.publish(TO, 1))
    await peer.ok(Kind.OPEN, handle)
    await sending
    return await peer.read(Kind.PUBLISH)


async def test_a_receipt_says_how_many() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        sending = asyncio.create_task(agent.publish(TO, 1, fanout=agp.ALL, confirm=True))
        frame = await peer.read(Kind.PUBLISH)
        assert frame.flags == RECEIPT_WANTED
        peer.write(receipt(frame, 5))
        assert await sending == 5


async def test_a_dead_handle_is_opened_again_once() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        sending = asyncio.create_task(agent.publish(TO, 1, confirm=True))
        peer.write(refused(Code.UNKNOWN_HANDLE, await peer.read(Kind.PUBLISH)))
        await peer.ok(Kind.OPEN, 8)
        second = await peer.read(Kind.PUBLISH)
        assert second.destination == 8
        peer.write(refused(Code.UNKNOWN_HANDLE, second))
        with pytest.raises(agp.AgpError) as caught:
            await sending
        assert caught.value.code is Code.UNKNOWN_HANDLE


async def test_what_takes_too_long_says_what_is_unknown() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        with pytest.raises(agp.Timeout, match=r"no receipt .* whether it was delivered is unknown"):
            await agent.publish(TO, 1, confirm=True, timeout=0.01)
        with pytest.raises(agp.Timeout, match="no answer from acme/prod/x within"):
            await agent.request(TO, 1, timeout=0.01)
        await peer.read(Kind.PUBLISH)
        late = await peer.read(Kind.REQUEST)
        peer.write(
            encode_data(Kind.REPLY, pack(Envelope(b"late", 1, late.id)), destination=AGENT, source=7, id=1)
        )
        peer.write(encode(Kind.PING, id=1))
        await peer.read(Kind.PONG)
        assert agent._uplink.statistics.strays == 1


async def test_ids_of_requests_cannot_be_guessed_from_one_another() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        tasks = [asyncio.create_task(agent.request(TO, 1)) for _ in range(3)]
        ids = sorted([(await peer.read(Kind.REQUEST)).id for _ in range(3)])
        assert min(after - before for before, after in itertools.pairwise(ids)) > 2**32
        for task in tasks:
            task.cancel()


async def test_a_message_not_yet_sent_waits_for_the_next_connection() -> None:
    async with standing() as (_gateway, agent, peer, all_):
        tasks = [
            asyncio.create_task(agent.publish(TO, 1)),
            asyncio.create_task(agent.publish(TO, 2, confirm=True)),
        ]
        await peer.read(Kind.OPEN)
        peer.writer.close()
        second = await all_.accept()
        await second.welcome()
        await second.register()
        await second.ok(Kind.OPEN, 9)
        seen = [await second.read(Kind.PUBLISH) for _ in range(2)]
        assert sorted(unpack(frame.body).body for frame in seen) == [b"\x01", b"\x02"]
        second.write(*(receipt(frame, 1) for frame in seen if frame.flags))
        assert await asyncio.gather(*tasks) == [None, 1]
        second.writer.close()


async def test_when_there_will_be_no_next_connection_all_are_told() -> None:
    async with standing(reconnect=False) as (_, agent, peer, _):
        tasks = [
            asyncio.create_task(agent.publish(TO, 1)),
            asyncio.create_task(agent.publish(TO, 2, confirm=True)),
            asyncio.create_task(agent.request(TO, 2)),
        ]
        await peer.read(Kind.OPEN)
        peer.writer.close()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, agp.Closed)


async def test_answers_go_by_the_handle_that_came_with_the_request() -> None:
    async with standing() as (_, agent, peer, all_):
        peer.write(encode(Kind.ANNOUNCE, frames.Named("acme/prod/asker/u"), destination=5))
        for number in (1, 2):
            peer.write(
                encode_data(Kind.REQUEST, pack((b"q",)), destination=AGENT, source=5, id=number, fanout=1)
            )
        first, second = await agent.receive(timeout=1), await agent.receive(timeout=1)
        await first.reply("a", headers={"k": "v"})
        answer = await peer.read(Kind.REPLY)
        envelope = unpack(answer.body)
        assert (answer.destination, envelope.correlation, envelope.headers) == (5, 1, {"k": "v"})
        peer.writer.close()
        other = await all_.accept()
        await other.welcome()
        await other.register()
        replying = asyncio.create_task(second.reply("b"))
        frame = await other.ok(Kind.OPEN, 77)  # the handle of the old connection is not known to be valid
        assert frames.decode(frame.body, frames.Named).name == "acme/prod/asker/u"
        await replying
        assert (await other.read(Kind.REPLY)).destination == 77
        other.writer.close()


async def test_a_full_carrier_holds_every_verb() -> None:
    async with standing() as (gateway, agent, peer, _):
        await publish(agent, peer)
        connection = gateway._uplink.connection
        assert connection is not None
        connection.pause_writing()
        sending = asyncio.create_task(agent.publish(TO, 1))
        asking = asyncio.create_task(agent.request(TO, 2))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sending.done()
        connection.resume_writing()
        await sending
        assert {(await peer.read(kind)).kind for kind in (Kind.PUBLISH, Kind.REQUEST)}
        asking.cancel()


async def test_a_request_whose_known_handle_has_died_is_sent_once_more() -> None:
    async with standing() as (gateway, agent, peer, _):
        await publish(agent, peer)
        asked = asyncio.create_task(agent.request(TO, 1))
        peer.write(refused(Code.UNKNOWN_HANDLE, await peer.read(Kind.REQUEST)))
        await peer.ok(Kind.OPEN, 8)
        second = await peer.read(Kind.REQUEST)
        assert second.destination == 8
        peer.write(refused(Code.UNKNOWN_HANDLE, second))
        with pytest.raises(agp.AgpError) as caught:
            await asked
        assert caught.value.code is Code.UNKNOWN_HANDLE
        assert gateway._uplink.connection is not None
        assert len(gateway._uplink.connection.calls) == 0


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    async with standing() as (gateway, agent, peer, _):
        await publish(agent, peer)
        asked = asyncio.create_task(agent.request(TO, 1))
        await peer.read(Kind.REQUEST)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert gateway._uplink.connection is not None
        assert len(gateway._uplink.connection.calls) == 0


async def test_a_request_that_is_sent_again_has_no_more_time() -> None:
    async with standing() as (_, agent, peer, _):
        await publish(agent, peer)
        asked = asyncio.create_task(agent.request(TO, 1, timeout=0.05))
        peer.write(refused(Code.UNKNOWN_HANDLE, await peer.read(Kind.REQUEST)))
        await peer.read(Kind.OPEN)  # and no answer
        with pytest.raises(agp.Timeout, match=r"within 0\.05 s"):
            await asyncio.wait_for(asked, 2)
