"""agpd/transport/slim.py: bare clients of SLIM at a gateway, the link, subscriptions, delivery, and what is dropped."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from scenarios.harness import TokenDesk
from slim_client import ANY, Peer, name, signed
from unit.transport.grpc_world import OPTIONS, place
from unit.transport.test_transport_tunnel import Client

from agpd import __version__
from agpd._proto import slim_pb2 as pb
from agpd.app import Gateway, memory_gateway
from agpd.config import Agp, Config, Limits, Listen
from agpd.errors import Code
from agpd.transport import slim as transport
from agpd.transport.agp import PATH as AGP_PATH
from agpd.transport.dialect import Dialects
from agpd.transport.services import data_plane
from agpd.transport.tunnel import PATH as TUNNEL_PATH
from agpd.wire import frames, hashes, slim
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import Kind, encode_data

ROOM = "acme/lab/room"


class World:
    """A gateway, and peers at it: `acme/lab/<kind>`."""

    def __init__(self, gateway: Gateway, dialects: Dialects, address: str) -> None:
        self.gateway, self.dialects, self.address = gateway, dialects, address
        self._channels: list[grpc.aio.Channel] = []

    @property
    def counts(self) -> "dict[str, int]":
        return self.dialects.counts

    def channel(self) -> grpc.aio.Channel:
        self._channels.append(grpc.aio.insecure_channel(self.address, options=OPTIONS))
        return self._channels[-1]

    def dial(self, kind: str = "peer", id_: int = 1, token: str = "") -> Peer:
        """A stream on which nothing has been said."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        call = self.channel().stream_stream(slim.PATH)(metadata=metadata)
        return Peer(call, f"acme/lab/{kind}", (0, id_))

    async def open(self, kind: str = "peer", id_: int = 1, token: str = "") -> Peer:
        """A link, nothing subscribed."""
        peer = self.dial(kind, id_, token)
        await peer.negotiate()
        return peer

    async def join(self, kind: str = "peer", id_: int = 1, token: str = "") -> Peer:
        """A link whose own name is in force."""
        peer = await self.open(kind, id_, token)
        await peer.subscribe()
        return peer

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def world_of(
    desk: TokenDesk | None = None, agp: Agp | None = None, **limits: int
) -> AsyncIterator[World]:
    config = Config(listen=Listen(plaintext=True), limits=Limits(**limits), agp=agp or Agp())
    async with memory_gateway(config) as gateway:
        if desk is not None:
            gateway.hub.tokens = desk.tokens()
        dialects, services = data_plane(config, gateway.hub, None)
        async with place(dict(services)) as server:
            world = World(gateway, dialects, server.address)
            yield world
            await world.close()
            await gateway.stop(drain_s=0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of(linger_timeout_ms=300) as world:
        yield world


async def alive(peer: Peer) -> bool:
    """Its stream goes on, and nothing of what came before was for it."""
    await peer.subscribe(name(f"{peer.name}-alive", peer.id))
    return True


# the link


async def test_a_negotiation_is_answered_once_with_a_key_of_the_links_own(world: World) -> None:
    one, other = world.dial("one"), world.dial("other")
    answers = [await peer.negotiate() for peer in (one, other)]
    assert [answer.link_id for answer in answers] == ["link of acme/lab/one", "link of acme/lab/other"]
    assert [answer.connection_type for answer in answers] == [2, 2]
    assert {answer.version for answer in answers} == {__version__}
    assert all(answer.is_reply for answer in answers)
    assert answers[0].public_key != answers[1].public_key
    assert await alive(one)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"is_reply": True}, grpc.StatusCode.FAILED_PRECONDITION),
        ({"link_id": ""}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"public_key": b"short"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"public_key": bytes(32)}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"kem_payload": b"short"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_wrong_negotiation_ends_the_stream(
    world: World, change: "dict[str, object]", status: grpc.StatusCode
) -> None:
    peer = world.dial()
    await peer.say(peer.negotiation(**change))
    assert await peer.status() is status
    assert not world.gateway.hub.links


async def test_anything_before_the_negotiation_ends_the_stream(world: World) -> None:
    peer = world.dial()
    await peer.say(signed(peer.message(name("acme/lab/b", ANY)), slim.Mac(b"k", "l")))
    assert await peer.status() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_second_negotiation_ends_the_stream_and_frees_what_it_held(world: World) -> None:
    peer, other = await world.join(), await world.join("other")
    await peer.say(peer.negotiation())
    assert await peer.status() is grpc.StatusCode.FAILED_PRECONDITION
    await other.publish(name(peer.name, ANY), "for nobody")
    assert await alive(other)
    assert world.counts["unknown_type"] == 1
    assert len(world.gateway.hub.links) == 1


async def test_without_a_negotiation_the_stream_ends_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "NEGOTIATION_TIMEOUT_S", 0.05)
    silent, peer = world.dial("silent"), await world.open()
    assert await silent.status() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.sleep(0.1)  # the other one's time is over too, but it has negotiated
    assert await alive(peer)


async def test_the_time_for_a_negotiation_ends_with_the_stream(world: World) -> None:
    peer = world.dial()
    await peer.call.initial_metadata()
    session_timers = [handle for handle in _timers() if "_too_late" in repr(handle)]
    assert len(session_timers) == 1
    peer.call.cancel()
    async with asyncio.timeout(5):
        while world.gateway.hub.links:
            await asyncio.sleep(0.01)
    assert session_timers[0].cancelled()


def _timers() -> "list[asyncio.TimerHandle]":
    return list(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]


async def test_bytes_that_are_no_message_end_the_stream(world: World) -> None:
    peer = await world.open()
    await peer.say(b"\x1a\xff")
    assert await peer.status() is grpc.StatusCode.INVALID_ARGUMENT


# the MAC, the time to live, hints


async def test_a_wrong_mac_is_dropped_and_counted_and_the_stream_lives(world: World) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    to = name(receiver.name, ANY)
    await sender.say(sender.message(to, "without"))
    await sender.say(
        signed(sender.message(to, "of another key"), slim.Mac(b"k" * 32, "link of acme/lab/sender"))
    )
    await sender.publish(to, "right")
    assert await receiver.text() == "right"
    assert world.counts["bad_mac"] == 2


@pytest.mark.parametrize(("ttl", "arrives"), [(0, 0), (1, 0), (2, 0), (3, 2), (8, 7)])
async def test_the_time_to_live(world: World, ttl: int, arrives: int) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    to = name(receiver.name, ANY)
    await sender.publish(to, "counted down", ttl=ttl)
    await sender.publish(to, "last")
    first = await receiver.receive()
    if arrives:
        assert first.header.ttl == arrives
        first = await receiver.receive()
    assert first.msg.app_payload.blob == b"last"
    assert world.counts["expired"] == (not arrives)


async def test_hints_are_ignored_cleared_and_counted(world: World) -> None:
    sender, receiver, stranger = [await world.join(kind) for kind in ("sender", "receiver", "stranger")]
    for number in range(4):
        await sender.publish(
            name(receiver.name, ANY), "x", recv_from=number, forward_to=number, incoming_conn=number
        )
        got = await receiver.receive()
        assert not any(got.header.HasField(each) for each in ("recv_from", "forward_to", "incoming_conn"))
    await sender.subscribe(name("acme/lab/topic", (0, 9)), recv_from=2)
    assert await alive(stranger)
    assert world.counts["hints"] == 5


async def test_the_rest_arrives_as_it_was_sent(world: World) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    sent = sender.message(
        name(receiver.name, receiver.id, strings=False), "x", error=True, e2e_header_sig=b"s"
    )
    sent.publish.session.session_id = 2**32 - 1
    await sender.say(signed(sent, sender.mac))
    got = await receiver.receive()
    sent.publish.header.ttl = 7
    sent.publish.header.header_mac = got.header.header_mac
    assert got == sent.publish


# subscriptions


async def test_without_a_number_nothing_is_acknowledged(world: World) -> None:
    peer = await world.open()
    made = pb.Subscribe(header=peer.header(name(peer.name, peer.id)))
    await peer.say(signed(pb.Message(subscribe=made), peer.mac))
    assert await alive(peer)  # the next answer is to the next question


async def test_a_refused_subscription_is_acknowledged_with_the_reason() -> None:
    desk = TokenDesk()
    async with world_of(desk) as world:
        peer = await world.join("peer", token=desk.issue("acme/lab/*"))
        for wanted, source in (
            (name("other/lab/topic", (0, 9)), None),
            (name("acme/ops/peer", (0, 1)), name("acme/ops/peer", (0, 1))),
        ):
            changes = {} if source is None else {"source": source}
            ack = await peer.ask("subscribe", wanted, **changes)
            assert not ack.success
            assert ack.error.startswith("NOT_PERMITTED: ")
        assert await alive(peer)
        assert world.counts["not_permitted"] == 2


async def test_too_many_subscriptions_are_refused() -> None:
    async with world_of(subscriptions_per_connection=3, agents_per_connection=2) as world:
        peer = await world.join()
        acks = [await peer.ask("subscribe", name(ROOM, (0, number))) for number in range(10, 20)]
        assert [ack.success for ack in acks] == [True] * 4 + [False] * 6
        assert acks[-1].error.startswith("TOO_MANY_SUBSCRIPTIONS")
        again = await peer.ask("subscribe", name(ROOM, (0, 10)))
        assert again.success  # it is there already
        assert (await peer.ask("unsubscribe", name(ROOM, (0, 10)))).success
        assert (await peer.ask("subscribe", name(ROOM, (0, 30)))).success


async def test_unsubscribing_ends_what_one_has_subscribed_to_and_nothing_else(world: World) -> None:
    sender, peer = await world.join("sender"), await world.join("peer")
    topic = name("acme/lab/topic", ANY)
    await peer.subscribe(topic)
    await peer.subscribe(topic)
    assert (await peer.ask("unsubscribe", topic)).success
    assert (await peer.ask("unsubscribe", topic)).success  # no error
    await sender.publish(topic, "for nobody")
    await sender.publish(name(peer.name, ANY), "to the own name")
    assert await peer.text() == "to the own name"
    assert (await peer.ask("unsubscribe", name(peer.name, peer.id))).success
    await sender.publish(name(peer.name, ANY), "for nobody either")
    assert await alive(sender)
    assert await alive(peer)


async def test_what_two_agents_of_a_client_asked_for_ends_with_the_second(world: World) -> None:
    sender, peer = await world.join("sender"), await world.join("peer")
    second = name("acme/lab/second", (0, 2))
    own = name(peer.name, peer.id)
    await peer.subscribe(own, source=second)  # an id that is not the asker's own
    room = name(ROOM, (0, 9))
    await peer.subscribe(room)
    await peer.subscribe(room, source=second)
    for each, count in ((own, 0), (room, 256)):
        assert (await peer.ask("unsubscribe", each)).success
        await sender.publish(each, "still heard", fanout=count)
        assert await peer.text() == "still heard"
        assert (await peer.ask("unsubscribe", each, source=second)).success
        await sender.publish(each, "heard no more", fanout=count)
    assert await alive(sender)
    assert await alive(peer)


# delivery


async def test_the_id_reaches_one_and_the_wildcard_any(world: World) -> None:
    sender = await world.join("sender")
    crew = [await world.join("crew", id_) for id_ in (1, 2, 2**64 - 1)]
    for number, member in enumerate(crew):
        await sender.publish(name(member.name, member.id), f"for {number}")
    assert [await member.text() for member in crew] == ["for 0", "for 1", "for 2"]
    await sender.publish(name("acme/lab/crew", (0, 7)), "for an id that nobody has")
    await sender.publish(name("acme/lab/crew", None), "for all", fanout=256)
    assert [await member.text() for member in crew] == ["for all"] * 3
    await asyncio.sleep(0)
    assert world.counts["unknown_id"] == 1


@pytest.mark.parametrize(
    ("fanout", "reached"), [(0, 5), (1, 1), (2, 2), (3, 3), (5, 5), (49, 5), (50, 5), (256, 5)]
)
async def test_the_fan_out(world: World, fanout: int, reached: int) -> None:
    crew = [await world.join("crew", id_) for id_ in range(5)]
    sender = crew[0] if fanout == 256 else await world.join("crew", 9)
    await sender.publish(name("acme/lab/crew", ANY), "x", fanout=fanout)
    end = await world.join("end")
    for member in crew:
        await end.publish(name(member.name, member.id), "end")
    texts = []
    for member in crew:
        while (text := await member.text()) != "end":
            texts.append(text)
    assert len(texts) == reached - (fanout == 256)  # nothing comes back to the sender


async def test_the_members_of_a_group_share_an_id(world: World) -> None:
    moderator, first, second, other = [await world.join(f"m{number}") for number in range(4)]
    room, elsewhere = name(ROOM, (5, 5)), name(ROOM, (6, 6))
    for member in (moderator, first, second):
        await member.subscribe(room)
    await other.subscribe(elsewhere)
    await moderator.publish(room, "to all", fanout=256)
    assert [await first.text(), await second.text()] == ["to all", "to all"]
    await other.publish(elsewhere, "to nobody here", fanout=256)
    await first.publish(room, "from a member", fanout=256)
    assert [await moderator.text(), await second.text()] == ["from a member"] * 2
    assert [await alive(member) for member in (moderator, first, second, other)] == [True] * 4


async def test_an_agent_is_reached_by_its_id_under_every_name_that_it_has(world: World) -> None:
    sender, peer = await world.join("sender"), await world.join("peer", 7)
    await peer.subscribe(name("acme/lab/alias", peer.id))
    for to in (name("acme/lab/alias", ANY), name("acme/lab/alias", peer.id)):
        await sender.publish(to, "by another name")
        assert await peer.text() == "by another name"


async def test_order_is_kept_and_what_comes_together_acts_in_its_place(world: World) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    to = name(receiver.name, receiver.id)
    for number in range(50):
        await sender.publish(to, str(number))
        if number == 25:
            await sender.subscribe(name("acme/lab/topic", ANY))
    assert [await receiver.text() for _ in range(50)] == [str(number) for number in range(50)]


async def test_a_source_that_is_not_permitted_reaches_nobody() -> None:
    desk = TokenDesk()
    async with world_of(desk) as world:
        receiver = await world.join("receiver", token=desk.issue("acme/*"))
        own = "acme/lab/slim-sender"
        scope = f"register:{own} subscribe:{own} publish:acme/*"
        sender = await world.join("sender", token=desk.issue(own, scope))
        to = name(receiver.name, ANY)
        await sender.publish(to, "forged", source=name("acme/lab/boss", (0, 1)))
        await sender.publish(to, "honest")
        assert await receiver.text() == "honest"
        assert world.counts["not_permitted"] == 1


async def test_too_long_metadata_are_dropped_and_counted() -> None:
    async with world_of(agp=Agp(metadata_limit_bytes=100)) as world:
        sender, receiver = await world.join("sender"), await world.join("receiver")
        long = sender.message(name(receiver.name, ANY), "long")
        long.metadata["x"] = "y" * 100
        await sender.say(signed(long, sender.mac))
        await sender.publish(name(receiver.name, ANY), "short")
        assert await receiver.text() == "short"
        assert world.counts["metadata_too_long"] == 1


async def test_the_largest_message_passes_and_a_larger_one_costs_nobody_the_stream(world: World) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    to = name(receiver.name, ANY)
    frame = len(signed(sender.message(to), sender.mac)) + 13  # by which the lengths round the payload grow
    await sender.publish(to, "x" * (slim.DELIVERY_LIMIT_BYTES + 100))
    await sender.publish(to, "y" * (slim.DELIVERY_LIMIT_BYTES - frame))
    assert (await receiver.text())[:1] == "y"
    assert world.counts["too_large"] == 1


async def test_a_header_that_does_not_fit_beside_a_large_payload_costs_nobody_the_stream(
    world: World,
) -> None:
    sender, receiver = await world.join("sender"), await world.join("receiver")
    to = name(receiver.name, ANY)
    await sender.publish(to, "x" * (slim.DELIVERY_LIMIT_BYTES - 40_000), identity="i" * 38_000)
    await sender.publish(to, "small")
    assert await receiver.text() == "small"
    assert world.counts["too_large"] == 1


async def test_an_end_of_the_stream_takes_the_agent_away(world: World) -> None:
    sender, peer = await world.join("sender"), await world.join("peer")
    peer.call.cancel()
    async with asyncio.timeout(5):
        while len(world.gateway.hub.links) > 1:
            await asyncio.sleep(0.01)
    await sender.publish(name(peer.name, ANY), "for nobody")
    assert await alive(sender)
    assert world.counts["unknown_type"] == 1


async def test_a_newer_stream_of_the_same_client_has_its_name(world: World) -> None:
    sender, old = await world.join("sender"), await world.join("peer")
    new = await world.join("peer")
    await sender.publish(name("acme/lab/peer", (0, 1)), "to the newer")
    assert await new.text() == "to the newer"
    assert await alive(old)


# names


async def test_what_an_agent_is_called(world: World) -> None:
    peer = await world.join("peer", 0x1F)
    odd = world.dial()
    odd.name = "acme/lab/Chief of staff"
    await odd.negotiate()
    await odd.subscribe()
    agents = {str(agent.name) for link in world.gateway.hub.links for agent in link.sources.values()}
    hashed = hashes.xxhash64("Chief of staff")
    assert agents == {
        f"acme/lab/slim-peer/slim-{0x1F:032x}",
        f"acme/lab/slim-h-{hashed:016x}/slim-{1:032x}",
    }
    await peer.publish(name(odd.name, ANY), "x")
    assert await odd.text() == "x"


async def test_who_comes_later_is_reached_by_who_has_named_it_before(world: World) -> None:
    sender = await world.join("sender")
    await sender.publish(name("acme/lab/late", ANY), "too early")
    assert await alive(sender)
    (own,) = (agent.entry.number for link in world.gateway.hub.links for agent in link.sources.values())
    late = await world.join("late")
    await sender.publish(name(late.name, ANY), "in time")
    assert await late.text() == "in time"
    assert own in world.gateway.hub.router.entries  # nothing has moved


def told_by_clients(world: World, monkeypatch: pytest.MonkeyPatch) -> "Counter[tuple[str, ...]]":
    """How often each name has been told and not untold, from now on."""
    spellings = world.dialects.spellings
    told: Counter[tuple[str, ...]] = Counter()
    tell, untell = spellings.tell, spellings.untell

    def telling(names: "list[str]", *, ours: bool = False) -> None:
        tell(names, ours=ours)
        told[tuple(names)] += 1

    def untelling(names: "list[str]", *, ours: bool = False) -> None:
        untell(names, ours=ours)
        told[tuple(names)] -= 1

    monkeypatch.setattr(spellings, "tell", telling)
    monkeypatch.setattr(spellings, "untell", untelling)
    return told


async def until_nobody_is_there(world: World) -> None:
    async with asyncio.timeout(5):
        while world.gateway.hub.links:
            await asyncio.sleep(0.01)


async def test_texts_are_told_once_and_forgotten_with_the_stream(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TEXTS_LIMIT", 3)
    monkeypatch.setattr(transport, "MENTIONED_LIMIT", 2)
    told = told_by_clients(world, monkeypatch)
    peer = await world.join()
    for number in range(5):
        await peer.publish(name(f"acme/lab/to-{number}", ANY))
        await peer.subscribe(name(f"acme/lab/topic-{number}", ANY))
    await peer.publish(name("acme/lab/to-4", ANY))
    await peer.publish(name(f"acme/lab/{'x' * 300}", ANY))
    assert await alive(peer)
    assert ("acme", "lab") in told  # without the text that is too long
    assert max(told.values()) == 1
    assert sum(told.values()) == 5
    peer.call.cancel()
    await until_nobody_is_there(world)
    assert not any(told.values())


async def test_a_name_that_is_refused_leaves_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = TokenDesk()
    async with world_of(desk) as world:
        told = told_by_clients(world, monkeypatch)
        peer = await world.join(token=desk.issue("acme/lab/slim-peer"))
        assert told == {("acme", "lab", "peer"): 2}  # by the token, and by the client
        assert not (await peer.ask("subscribe", name("acme/lab/never", ANY))).success
        forged = name("acme/lab/nor-this", (0, 1))
        await peer.publish(name("acme/lab/mentioned", ANY), source=forged)
        await peer.publish(name("globex/lab/of-another", ANY))
        await peer.subscribe()
        told += Counter()  # without those at 0
        assert told == {("acme", "lab", "peer"): 2, ("acme", "lab", "mentioned"): 1}
        peer.call.cancel()
        await until_nobody_is_there(world)
        assert not any(told.values())


# others


async def test_native_agents_and_slim_clients_get_nothing_from_each_other(world: World) -> None:
    """They may meet in a type, but what SLIM clients say can be read by nobody else."""
    sender, receiver = await world.join("sender"), await world.join("crew", 1)
    native = Client(world.channel().stream_stream(TUNNEL_PATH)())
    await native.greet()
    me = await native.join("acme/lab/slim-crew/one")
    crew = await native.open(me, "acme/lab/slim-crew")
    other = await native.open(me, f"acme/lab/slim-crew/slim-{1:032x}")

    def frame(to: int, fanout: int) -> bytes:
        envelope = pack(Envelope(b"in no SLIM message"))
        return encode_data(Kind.PUBLISH, envelope, destination=to, source=me, id=1, fanout=fanout)

    for fanout in (0, 1, 1, 1, 2):
        await sender.publish(name("acme/lab/crew", ANY), f"fan-out {fanout}", fanout=fanout)
        assert await receiver.text() == f"fan-out {fanout}"  # each time it, never the native member
        for to in (crew, other):
            await native.send(frame(to, fanout))
            refused = frames.decode((await native.expect(Kind.REFUSED)).body, frames.Refusal)
            assert refused.code == Code.NO_ROUTE
    second = Client(world.channel().stream_stream(TUNNEL_PATH)())
    await second.greet()
    await second.join("acme/lab/slim-crew/two")
    for _ in range(20):
        await native.send(frame(crew, 1))
        await second.expect(Kind.PUBLISH)
    assert not world.counts["other_dialect"]
    await native.send(frames.encode(Kind.PING, id=7))
    while (kind := (await next_frame(native)).kind) != Kind.PONG:
        assert kind != Kind.PUBLISH
    assert await alive(receiver)


async def next_frame(native: Client) -> frames.Frame:
    while not native.inbox:
        await native.read()
    return native.inbox.pop(0)


async def test_agp_and_slim_share_a_listener(world: World) -> None:
    peer = await world.join()
    agp = world.channel().stream_stream(AGP_PATH)()
    await agp.write(b"")
    assert await agp.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await alive(peer)
