"""Who of the local agents gets a delivery, against a peer whose every frame is written here."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from scripted_peer import AGENT, Peer, standing

import agpd_client as agp
from agpd.wire import frames
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import Kind, encode, encode_data
from agpd_client.delivery import EXPIRY_LEEWAY_MS
from agpd_client.events import Statistics

SENDER, TOPIC, TYPE, INSTANCE = 50, 51, 52, 53
CHAT = "acme/prod/chat"


class Scene:
    """Three agents: `one` and `two` of the type me, `other` of another; announced names."""

    def __init__(self, gateway: agp.Gateway, peer: Peer, one: agp.Agent) -> None:
        self.gateway, self.peer, self.one = gateway, peer, one
        self.two = self.other = one

    async def create(self, name: str, handle: int) -> agp.Agent:
        creating = asyncio.create_task(self.gateway.create_agent(name))
        await self.peer.register(handle)
        return await creating

    async def subscribe(self, agent: agp.Agent, topic: str) -> agp.Subscription[object]:
        subscribing = asyncio.create_task(
            agent.observe(topic) if topic.endswith("*") else agent.subscribe(topic)
        )
        await self.peer.ok(Kind.SUBSCRIBE)
        return await subscribing

    def announce(self, handle: int, name: str) -> None:
        self.peer.write(encode(Kind.ANNOUNCE, frames.Named(name), destination=handle))

    async def deliver(
        self,
        destination: int,
        fanout: int = 0,
        source: int = SENDER,
        kind: Kind = Kind.PUBLISH,
        body: bytes = b"",
    ) -> None:
        envelope = body or pack((b"x", 0))
        self.peer.write(
            encode_data(kind, envelope, destination=destination, source=source, fanout=fanout, id=1)
        )
        self.peer.write(encode(Kind.PING, id=9))
        await self.peer.read(Kind.PONG)

    @property
    def got(self) -> str:
        """Who has something in the inbox, which is emptied."""
        names = {"one": self.one, "two": self.two, "other": self.other}
        return " ".join(name for name, agent in names.items() if agent.inbox.remove(lambda _: True))

    @property
    def counts(self) -> Statistics:
        return self.gateway.statistics


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with standing() as (gateway, one, peer, _):
        scene = Scene(gateway, peer, one)
        scene.two = await scene.create("acme/prod/me", AGENT + 1)
        scene.other = await scene.create("acme/prod/other", AGENT + 2)
        scene.announce(SENDER, "acme/prod/sender/s")
        scene.announce(TOPIC, CHAT)
        scene.announce(TYPE, "acme/prod/me")
        scene.announce(INSTANCE, f"{CHAT}/{scene.two.instance}")
        yield scene


async def test_a_broadcast_goes_to_everybody_subscribed_here(scene: Scene) -> None:
    await scene.deliver(TYPE)
    assert scene.got == "one two"
    await scene.subscribe(scene.two, CHAT)
    await scene.subscribe(scene.other, CHAT)
    await scene.deliver(TOPIC)
    assert scene.got == "two other"
    assert (scene.counts.received, scene.counts.strays) == (4, 0)


async def test_the_source_gets_no_copy(scene: Scene) -> None:
    await scene.deliver(TYPE, source=scene.one.handle)
    assert scene.got == "two"


async def test_a_chosen_instance_is_named_by_its_handle(scene: Scene) -> None:
    await scene.deliver(scene.one.handle, fanout=1)
    assert scene.got == "one"
    await scene.subscribe(scene.two, CHAT)
    await scene.subscribe(scene.other, CHAT)
    await scene.deliver(INSTANCE, fanout=1)
    assert scene.got == "two"


async def test_observers_get_every_fanout_and_only_one_copy(scene: Scene) -> None:
    await scene.subscribe(scene.other, "acme/prod/*")
    await scene.deliver(TOPIC, fanout=1)
    assert scene.got == "other"
    await scene.deliver(TYPE, fanout=0)
    assert scene.got == "one two other"
    await scene.subscribe(scene.other, CHAT)
    await scene.deliver(TOPIC, fanout=0)
    assert len(scene.other.inbox.items) == 1


async def test_what_is_known_of_receivers_follows_every_change(scene: Scene) -> None:
    await scene.deliver(TOPIC)
    assert scene.counts.strays == 1
    subscription = await scene.subscribe(scene.one, CHAT)
    await scene.deliver(TOPIC)
    assert scene.got == "one"
    with pytest.raises(agp.Timeout):
        await subscription.receive(timeout=0)  # now it has a queue of its own
    await scene.deliver(TOPIC)
    assert scene.got == ""
    assert (await subscription.receive(timeout=0)).body == b"x"
    leaving = asyncio.create_task(subscription.close())
    await scene.peer.ok(Kind.UNSUBSCRIBE)
    await leaving
    await scene.deliver(TOPIC)
    assert scene.counts.strays == 2
    await scene.one.close()
    await scene.peer.read(Kind.UNREGISTER)
    await scene.deliver(TYPE)
    assert scene.got == "two"


async def test_a_withdrawn_handle_stands_for_nobody(scene: Scene) -> None:
    await scene.deliver(TYPE)
    assert scene.got == "one two"
    scene.peer.write(encode(Kind.WITHDRAW, frames.Handles([TYPE])))
    await scene.deliver(TYPE)
    assert (scene.got, scene.counts.strays) == ("", 1)
    scene.announce(TYPE, "acme/prod/other")
    await scene.deliver(TYPE)
    assert scene.got == "other"


async def test_requests_go_to_the_handler_and_messages_do_not(scene: Scene) -> None:
    asked: list[bytes] = []
    scene.one.on_request(lambda data: asked.append(data))
    await scene.deliver(scene.one.handle, kind=Kind.PUBLISH)
    assert scene.got == "one"
    await scene.deliver(scene.one.handle, kind=Kind.REQUEST)
    assert scene.got == ""
    await scene.one.idle()
    assert asked == [b"x"]


async def test_expiry_has_a_leeway(scene: Scene) -> None:
    assert scene.gateway._uplink.connection is not None
    delivery = scene.gateway._uplink.connection.delivery
    delivery._now_ms = lambda: 1_000_000
    for expires, kept in (
        (0, True),
        (1_000_000 - EXPIRY_LEEWAY_MS, True),
        (999_999 - EXPIRY_LEEWAY_MS, False),
    ):
        await scene.deliver(scene.one.handle, body=pack(Envelope(b"x", expires_ms=expires)))
        assert scene.got == ("one" if kept else "")
    assert scene.counts.expired == 1


@pytest.mark.parametrize("newer", [[], [{"more": 1}]])
async def test_what_another_dialect_carries_beside_the_payload_is_ignored(
    scene: Scene, newer: list[object]
) -> None:
    carrying = [b"x", "msg", 0, 0, {"traceparent": "t"}, b"\x01" + bytes(99), *newer]
    await scene.deliver(scene.one.handle, body=msgspec.msgpack.encode(carrying))
    message = await scene.one.receive(timeout=1)
    assert (message.body, message.content_type, message.headers) == (b"x", "msg", {"traceparent": "t"})
    assert message.data == b"x"
    assert scene.counts.unreadable == 0


async def test_unreadable_envelopes_and_unasked_replies_are_counted(scene: Scene) -> None:
    await scene.deliver(scene.one.handle, body=b"\xc1")
    assert scene.counts.unreadable == 1
    await scene.deliver(scene.one.handle, kind=Kind.REPLY, body=pack(Envelope(b"x", 0, 99)))
    assert (scene.got, scene.counts.strays) == ("", 1)


async def test_routes_take_what_nobody_else_here_takes(scene: Scene) -> None:
    setting = asyncio.create_task(scene.one.set_route("acme/*", scene.other))
    await scene.peer.ok(Kind.SET_ROUTE)
    await setting
    await scene.deliver(TOPIC)
    assert scene.got == "other"
    await scene.deliver(TYPE)
    assert scene.got == "one two"
    scene.announce(SENDER, "globex/prod/sender/s")
    await scene.deliver(TOPIC)
    assert (scene.got, scene.counts.strays) == ("", 1)
    await scene.deliver(99)
    assert scene.counts.strays == 2


async def test_a_handler_that_runs_at_once_may_change_who_receives(scene: Scene) -> None:
    class Eager:
        asked = 0

        def take(self, message: object) -> None:
            self.asked += 1
            scene.gateway._uplink.rerouted()

    eager = Eager()
    scene.one.handler = eager  # type: ignore[assignment]
    for source in (SENDER, TOPIC, SENDER):  # three runs in one read
        scene.peer.write(
            encode_data(Kind.REQUEST, pack((b"x", 0)), destination=AGENT, source=source, fanout=1, id=1)
        )
    await scene.deliver(scene.one.handle)
    assert (eager.asked, scene.got) == (3, "one")
    scene.one.handler = None
