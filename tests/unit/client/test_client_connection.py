"""The connection against a peer whose every frame is written here."""

import asyncio
import ssl
from typing import Any

import pytest
from scripted_peer import AGENT, Peer, peers, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import Kind, Refusal, encode, encode_data
from agpd_client.connection import _lost


def refused(code: Code, id_: int, destination: int = 0, source: int = 0) -> bytes:
    return encode(Kind.REFUSED, Refusal(int(code)), id=id_, destination=destination, source=source)


def delivery(envelope: bytes, source: int = 5, destination: int = AGENT, kind: int = Kind.PUBLISH) -> bytes:
    return encode_data(kind, envelope, destination=destination, source=source, id=1)


async def test_a_request_whose_handle_has_died_is_sent_again() -> None:
    async with standing() as (_, agent, peer, _):
        asked = asyncio.create_task(agent.request("acme/prod/x", 1))
        await peer.ok(Kind.OPEN, 7)
        first = await peer.read(Kind.REQUEST)
        assert (first.destination, first.source) == (7, AGENT)
        peer.write(refused(Code.UNKNOWN_HANDLE, first.id, AGENT, 7))
        await peer.ok(Kind.OPEN, 8)
        second = await peer.read(Kind.REQUEST)
        assert second.destination == 8
        peer.write(delivery(pack(Envelope(b"yes", 1, second.id)), 8, AGENT, Kind.REPLY))
        assert await asked == "yes"


async def test_a_reply_to_somebody_else_is_no_answer() -> None:
    async with standing() as (gateway, agent, peer, _):
        asked = asyncio.create_task(agent.request("acme/prod/x", 1))
        await peer.ok(Kind.OPEN, 7)
        id_ = (await peer.read(Kind.REQUEST)).id
        reply = pack(Envelope(b"forged", 1, id_))
        peer.write(delivery(reply, 8, AGENT + 1, Kind.REPLY))
        peer.write(delivery(pack(Envelope(b"yes", 1, id_)), 8, AGENT, Kind.REPLY))
        assert await asked == "yes"
        assert gateway.statistics.strays == 1


async def test_concurrent_senders_share_one_open() -> None:
    async with standing() as (_, agent, peer, _):
        tasks = [asyncio.create_task(agent.publish("acme/prod/x", n)) for n in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await peer.ok(Kind.OPEN, 7)
        assert [(await peer.read(Kind.PUBLISH)).destination for _ in range(2)] == [7, 7]
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_withdrawn_handle_is_opened_again() -> None:
    async with standing() as (_, agent, peer, _):
        publishing = asyncio.create_task(agent.publish("acme/prod/x", 1))
        await peer.ok(Kind.OPEN, 7)
        await publishing
        await peer.read(Kind.PUBLISH)
        peer.write(encode(Kind.WITHDRAW, frames.Handles([7])), encode(Kind.PING, id=3))
        assert (await peer.read(Kind.PONG)).id == 3
        publishing = asyncio.create_task(agent.publish("acme/prod/x", 2))
        await peer.ok(Kind.OPEN, 9)
        await publishing
        assert (await peer.read(Kind.PUBLISH)).destination == 9


async def test_unreadable_expired_and_stray_deliveries_are_counted_and_harm_nobody() -> None:
    async with standing() as (gateway, agent, peer, _):
        peer.write(
            delivery(b"\xc1"),
            delivery(pack(Envelope(b"late", expires_ms=1))),
            delivery(pack((b"to nobody",)), destination=999),
            delivery(pack((b"own",)), source=AGENT),
            encode(Kind.ANNOUNCE, frames.Named("acme/prod/x/u"), destination=5),
            delivery(pack((b"good",))),
        )
        message = await agent.receive(timeout=1)
        assert (message.data, message.source) == (b"good", "acme/prod/x/u")
        counts = gateway.statistics
        assert (counts.unreadable, counts.expired, counts.strays, counts.received) == (1, 1, 2, 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\x00\x00\x01" + b"x" * 30, Code.MALFORMED_FRAME),
        (b"\x7f\x00\x00\x01" + b"x" * 30, Code.FRAME_TOO_LARGE),
        (encode(0x7E), Code.UNKNOWN_KIND),
        (encode(Kind.HELLO), Code.ILLEGAL_MOVE),
        (encode(Kind.ANNOUNCE), Code.MALFORMED_FRAME),
    ],
)
async def test_a_gateway_that_breaks_the_protocol_ends_the_object(data: bytes, code: Code) -> None:
    async with standing() as (gateway, agent, peer, _):
        waiting = asyncio.create_task(agent.receive())
        peer.write(data)
        assert frames.decode((await peer.read(Kind.CLOSE)).body, Refusal).code == code
        with pytest.raises(agp.AgpError) as caught:
            await waiting
        assert caught.value.code is code
        assert gateway.state is agp.State.CLOSED


async def test_an_agent_that_loses_its_name_is_told() -> None:
    async with standing() as (gateway, agent, peer, _):
        waiting = asyncio.create_task(agent.receive())
        peer.write(encode(Kind.ENDED, Refusal(int(Code.TAKEN_OVER)), destination=AGENT))
        with pytest.raises(agp.NameTaken) as caught:
            await waiting
        assert caught.value.code is Code.TAKEN_OVER
        with pytest.raises(agp.NameTaken):
            await agent.publish("acme/prod/x", 1)
        assert gateway.state is agp.State.CONNECTED


async def test_notices_become_events() -> None:
    async with standing() as (gateway, _, peer, _):
        events = gateway.events()
        peer.write(encode(Kind.DROPPED, frames.Count(3)))
        assert await events.receive(timeout=1) == agp.Dropped(3)
        assert gateway.statistics.dropped_at_gateway == 3


async def test_a_revoked_certificate_ends_the_object_at_the_reconnect() -> None:
    async with standing() as (gateway, agent, peer, all_):
        waiting = asyncio.create_task(agent.receive())
        peer.writer.close()
        second = await all_.accept()
        hello = frames.decode((await second.read(Kind.HELLO)).body, frames.Hello)
        assert hello.epoch > 0
        second.write(encode(Kind.CLOSE, Refusal(int(Code.CERTIFICATE_REVOKED))))
        with pytest.raises(agp.Unauthorized):
            await waiting
        assert isinstance(gateway.error, agp.Unauthorized)


async def test_a_name_still_held_by_the_dead_connection_is_asked_for_again() -> None:
    async with standing() as (gateway, agent, peer, all_):
        peer.writer.close()
        second = await all_.accept()
        await second.welcome()
        frame = await second.read(Kind.REGISTER)
        second.write(refused(Code.NAME_TAKEN, frame.id))
        third: Peer = await all_.accept()
        await third.welcome()
        assert await third.register() == agent.name
        events: Any = gateway.events()
        if gateway.state is not agp.State.CONNECTED:
            assert isinstance(await events.receive(timeout=2), agp.Connected)
        third.writer.close()


async def test_a_silent_gateway_is_found_dead() -> None:
    async with peers() as all_:
        gateway = all_.connect(reconnect=False)
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.welcome(ping_interval_ms=10)
        await opening
        events = gateway.events()
        await peer.read(Kind.PING)
        event = await events.receive(timeout=2)
        assert isinstance(event, agp.Disconnected)
        assert event.error.code is Code.PING_TIMEOUT
        peer.writer.close()


async def test_something_else_listens_there() -> None:
    async with peers() as all_:
        with pytest.raises(agp.ConnectError, match="does not speak"):
            await all_.connect(connect_timeout=0.05).open()
        gateway = all_.connect()
        opening = asyncio.create_task(gateway.open())
        await all_.accept()
        (await all_.accept()).writer.close()
        with pytest.raises(agp.ConnectError, match="before it welcomed us"):
            await opening


@pytest.mark.parametrize(
    ("reason", "greeted", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", False, agp.Unauthorized),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", False, agp.Unauthorized),
        ("TLSV1_ALERT_UNKNOWN_CA", False, agp.Unauthorized),
        ("TLSV1_ALERT_INTERNAL_ERROR", False, agp.Closed),  # says nothing about the certificate
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", True, agp.Closed),
        (None, False, agp.Closed),
    ],
)
def test_only_an_alert_about_the_certificate_is_a_refusal(
    reason: str | None, greeted: bool, kind: type[agp.AgpError]
) -> None:
    error = ssl.SSLError(1, "alert")
    error.reason = reason  # type: ignore[assignment]
    assert type(_lost(error, greeted=greeted)) is kind
    assert type(_lost(None, greeted=greeted)) is agp.Closed


async def test_a_message_before_the_welcome_breaks_the_protocol() -> None:
    async with peers() as all_:
        gateway = all_.connect()
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.read(Kind.HELLO)
        peer.write(delivery(pack((b"x", 0))))
        close = await peer.read(Kind.CLOSE)
        assert frames.decode(close.body, Refusal).code == Code.ILLEGAL_MOVE
        with pytest.raises(agp.AgpError):
            await opening
