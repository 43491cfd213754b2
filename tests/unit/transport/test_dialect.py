"""agpd/transport/dialect.py: one call as a connection of the hub, from its first byte to its last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from scenarios.agp_peer import Office, gateway
from scenarios.harness import TokenDesk

from agpd.config import Limits, Outbox
from agpd.errors import Code, Refused
from agpd.gateway.rates import Rates
from agpd.wire import agp, frames
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import Kind

ASKER, CLERK = "acme/lab/asker", "acme/lab/clerk"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with gateway(Limits(linger_timeout_ms=300)) as made:
        here = Office(made)
        yield here
        await here.close()


# -- entering ------------------------------------------------------------------------------------------


async def test_whoever_comes_too_often_waits_for_the_headers(office: Office) -> None:
    loop = asyncio.get_running_loop()
    office.dialects.openings = Rates(5.0, 1, loop.time)
    await office.peer(ASKER, 1, subscribe=False)
    began = loop.time()
    await office.peer(ASKER, 2, subscribe=False)
    assert loop.time() - began > 0.15


async def test_a_call_that_is_given_up_while_it_waits_leaves_nothing(office: Office) -> None:
    office.dialects.openings = Rates(5.0, 1, asyncio.get_running_loop().time)
    office.dialects.openings.note("127.0.0.1")
    peer = office.dial(ASKER, 1)
    await office.until(lambda: entering())
    await peer.close()
    await office.until(lambda: not entering())
    assert not office.gateway.hub.links
    assert office.gateway.hub.ended.total() == 0


def entering() -> int:
    """How many calls wait to be let in."""
    return sum("DialectSession._enter" in repr(task) for task in asyncio.all_tasks())


async def test_a_call_that_still_waits_when_the_gateway_drains_is_refused(office: Office) -> None:
    office.dialects.openings = Rates(2.0, 1, asyncio.get_running_loop().time)
    office.dialects.openings.note("127.0.0.1")
    peer = office.dial(ASKER, 1)
    assert office.gateway.grpc is not None
    server = office.gateway.grpc.server
    await office.until(lambda: server.calls == 1)
    office.gateway.hub.drain()
    assert await peer.ended() is grpc.StatusCode.UNAVAILABLE
    assert not office.gateway.hub.links


async def test_while_the_gateway_drains_nobody_comes_in_and_streams_go_on(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    office.gateway.hub.drain()
    assert await office.dial(ASKER, 2).ended() is grpc.StatusCode.UNAVAILABLE
    await asker.publish(CLERK, None, b"still")
    assert await clerk.body() == b"still"


@pytest.mark.parametrize(
    "shown", ["Bearer nonsense", "Basic bm86d2F5", "Digest x", "Bearer", "Bearer " + "x" * 5000, ""]
)
async def test_without_a_name_there_are_no_headers_and_no_connection(office: Office, shown: str) -> None:
    office.gateway.hub.tokens = TokenDesk().tokens()
    peer = office.dial(ASKER, 1, metadata=(("authorization", shown),))
    assert await peer.ended() is grpc.StatusCode.UNAUTHENTICATED
    assert dict(iter(await peer.call.initial_metadata() or ())) == {}
    assert not office.gateway.hub.links


async def test_a_fault_of_ours_while_it_enters_costs_one_call(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> float:
        raise RuntimeError("a fault of ours")

    sound, office.dialects.opening_delay_s = office.dialects.opening_delay_s, fail  # type: ignore[method-assign]
    assert await office.dial(ASKER, 1).ended() is grpc.StatusCode.INTERNAL
    office.dialects.opening_delay_s = sound  # type: ignore[method-assign]
    assert "a fault of ours" in caplog.text
    await office.peer(ASKER, 1)
    await office.members(ASKER, 1)


async def test_what_cannot_be_entered_is_refused_and_forgotten(office: Office) -> None:
    """Here the texts of its token: another organization has their hash."""
    desk = TokenDesk()
    office.gateway.hub.tokens = desk.tokens()

    def refuse(*names: object, **how: object) -> None:
        raise Refused(Code.NAME_TAKEN, "a collision")

    office.dialects.spellings.tell = refuse  # type: ignore[method-assign]
    peer = office.dial(ASKER, 1, metadata=(("authorization", f"Bearer {desk.issue()}"),))
    assert await peer.ended() is grpc.StatusCode.ALREADY_EXISTS
    await office.until(lambda: not office.gateway.hub.links)
    assert office.gateway.hub.quotas._links == {}


# -- living --------------------------------------------------------------------------------------------


async def test_a_silent_client_that_answers_pings_lives() -> None:
    async with gateway(Limits(ping_interval_ms=1, ping_misses=1)) as made:
        office = Office(made)
        clerk, asker = await office.peer(CLERK, 1), await office.peer(ASKER, 1)
        await office.members(CLERK, 1)
        rounds = [session.link.watch for session in office.sessions if session.link is not None]
        heard = [watch.heard_at for watch in rounds]
        for _ in range(2):  # it was pinged, and is judged again
            before, heard = heard, [watch.heard_at for watch in rounds]
            await office.until(
                lambda heard=heard: all(now.heard_at > then for now, then in zip(rounds, heard, strict=True))
            )
        assert before
        assert len(made.hub.links) == 2
        await asker.publish(CLERK, None, b"x")
        assert await clerk.body() == b"x"
        await office.close()


async def test_a_peer_that_sends_no_more_has_all_that_was_for_it(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    for number in range(100):
        await asker.publish(CLERK, None, b"%d" % number)
    await asker.call.done_writing()
    assert await asker.ended() is grpc.StatusCode.OK
    assert [await clerk.body() for _ in range(100)] == [b"%d" % number for number in range(100)]
    await clerk.call.done_writing()
    assert await clerk.ended() is grpc.StatusCode.OK
    assert office.gateway.hub.ended == {Code.GOODBYE: 2}


async def test_one_that_never_reads_is_ended_with_the_reason() -> None:
    outbox = Outbox(
        mark_bytes=64 * 1024, limit_bytes=2 * 1024 * 1024, stall_budget_ms=100, write_stall_ms=1000
    )
    async with gateway(Limits(linger_timeout_ms=3000), outbox=outbox) as made:
        office = Office(made)
        asker, healthy, stuck = (
            await office.peer(ASKER, 1),
            await office.peer(CLERK, 1),
            await office.peer(CLERK, 2),
        )
        await office.members(CLERK, 2)
        sent = 0
        while made.hub.ended[Code.SLOW_CONSUMER] == 0:
            await asker.publish(CLERK, None, sent.to_bytes(4, "big") + bytes(20 * 1024), fanout=50)
            assert (await healthy.body())[:4] == sent.to_bytes(4, "big")
            sent += 1
        # It is told at once, although it still has not read what came before.
        await office.until(lambda: not made.hub.lingering)
        read = 0
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(stuck.call.read(), 5) is not grpc.aio.EOF:
                read += 1
        assert 0 < read < sent
        assert await stuck.ended() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing = dict(iter(await stuck.call.trailing_metadata() or ()))
        assert trailing["agpd-code-name"] == "SLOW_CONSUMER"
        assert len(made.hub.links) == 2
        await office.close()


async def test_several_control_frames_and_messages_in_one_write(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    await asker.publish(CLERK, None, b"0")
    await clerk.read()
    session = office.sessions[1]
    source, destination = session.foreign.met
    carried = asker.publication(CLERK).SerializeToString()
    good = pack(Envelope(b"1", carried=agp.parse(carried).carried))

    def frame(envelope: bytes) -> bytes:
        return frames.encode_data(Kind.PUBLISH, envelope, destination=destination, source=source, id=1)

    dropped = frames.encode(Kind.DROPPED, frames.Count(7))
    drain = frames.encode(Kind.DRAIN, frames.Refusal(Code.SHUTTING_DOWN))  # there is no word for it
    session.write(dropped + frame(good) + drain + frame(b"\xc1") + frame(good) + dropped)
    assert [await clerk.body(), await clerk.body()] == [b"1", b"1"]
    assert office.counts == {"unreadable": 1, "slow": 14}


# -- ending --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.MALFORMED_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
        (Code.TOKEN_EXPIRED, grpc.StatusCode.UNAUTHENTICATED),
        (Code.TENANT_SUSPENDED, grpc.StatusCode.PERMISSION_DENIED),
        (Code.SHUTTING_DOWN, grpc.StatusCode.UNAVAILABLE),
        (Code.SLOW_CONSUMER, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_the_end_of_the_link_is_the_status_of_the_call(
    office: Office, code: Code, status: grpc.StatusCode
) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions
    office.gateway.hub.end(session.link, code, "because of this")
    office.gateway.hub.end(session.link, Code.INTERNAL)
    assert await peer.ended() is status
    trailing = dict(iter(await peer.call.trailing_metadata() or ()))
    assert (trailing["agpd-code"], trailing["agpd-code-name"]) == (str(int(code)), code.name)
    assert "because of this" in await peer.call.details()
    await office.until(lambda: not office.gateway.hub.lingering)
    assert office.gateway.hub.ended == {code: 1}


async def test_a_link_that_lingers_too_long_is_cut(office: Office) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions
    session.abort()
    assert await peer.ended() is grpc.StatusCode.CANCELLED
    await office.until(lambda: not office.gateway.hub.links)
    assert office.gateway.hub.ended == {Code.CONNECTION_LOST: 1}


async def test_a_renaming_that_fails_costs_whoever_is_renamed(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions

    def fail() -> None:
        raise RuntimeError("a fault of ours")

    session.foreign.respelled = fail  # type: ignore[method-assign]
    session.respelled()
    session.respelled()
    assert await peer.ended() is grpc.StatusCode.INTERNAL
    assert caplog.text.count("RuntimeError: a fault of ours") == 1
