"""agpd/gateway/foreign.py: the agents of a peer that names them by something else, without any socket."""

import pytest
from scenarios.harness import World

from agpd.errors import Code, Refused
from agpd.gateway.dialects import Dialect
from agpd.gateway.foreign import Foreign
from agpd.gateway.link import Link
from agpd.names import Name, parse
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

A, B, CHAT = "lab/a/agp-1", "lab/b/agp-1", "lab/chat"


class Spelled:
    """Addresses are names without their organization; `renamed` puts others in their place."""

    def __init__(self) -> None:
        self.renamed: dict[str, str] = {}

    def spell(self, address: str) -> Name:
        return parse("acme/" + self.renamed.get(address, address))


class Peer:
    def __init__(self, world: World) -> None:
        self.world = world
        self.link: Link = world.peer().link
        self.link.dialect, self.link.hears_itself = Dialect.AGP, False
        self.spelled = Spelled()
        self.foreign: Foreign[str] = Foreign(world.hub, self.link, self.spelled)

    def hear(self) -> None:
        """What the gateway has for the peer."""
        for data in self.link.queue:
            for each in frames.apart(data):
                self.foreign.hear(frames.parse(each))
        self.link.queue.clear()
        self.link.queued = 0

    def members(self, topic: str) -> int:
        found = self.world.hub.router._subscriptions.find_type(parse("acme/" + topic))
        return 0 if found is None else len(found.members)


@pytest.fixture
def peer() -> Peer:
    return Peer(World())


def code(call: object, *arguments: object) -> Code:
    with pytest.raises(Refused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_who_speaks_is_registered_and_takes_part_once_it_has_subscribed(peer: Peer) -> None:
    way = peer.foreign.way(A, CHAT)
    assert way.kind == Kind.PUBLISH
    assert set(peer.link.sources) == {way.source}
    assert peer.foreign.way(A, CHAT) is way
    assert peer.members("lab/a") == 0
    peer.foreign.subscribe(A, A)
    peer.foreign.subscribe(A, A)
    assert peer.members("lab/a") == 1


def test_one_unsubscribe_undoes_several_subscribes(peer: Peer) -> None:
    for source in (A, B):
        peer.foreign.subscribe(source, CHAT)
    assert peer.members(CHAT) == 2  # although both have the same instance
    peer.foreign.unsubscribe(CHAT)
    peer.foreign.unsubscribe(CHAT)
    assert peer.members(CHAT) == 0
    assert peer.world.hub.router.counts(peer.link).subscriptions == 0


def test_by_its_own_name_it_still_takes_part_when_the_type_is_given_up(peer: Peer) -> None:
    peer.foreign.subscribe(A, A)
    peer.foreign.subscribe(A, "lab/a")
    peer.foreign.unsubscribe("lab/a")
    assert peer.members("lab/a") == 1
    peer.foreign.unsubscribe(A)
    assert peer.members("lab/a") == 0


def test_ways_are_as_many_as_there_may_be_handles() -> None:
    peer = Peer(World(handles_per_connection=3))
    ways = [peer.foreign.way(A, f"lab/t{number}") for number in range(10)]
    assert len(peer.link.opened) == 3
    assert set(peer.link.opened) == {way.destination for way in ways[-3:]}
    assert len(peer.foreign._ways) == len(peer.foreign._ways_to) == 3


def test_a_withdrawn_handle_is_opened_anew(peer: Peer) -> None:
    way = peer.foreign.way(A, CHAT)
    body = frames.encode(Kind.WITHDRAW, frames.Handles([way.destination]))[24:]
    peer.foreign.hear(Frame(Kind.WITHDRAW, 0, 0, 0, 0, 0, body))
    assert peer.foreign._ways == {}
    assert peer.foreign.way(A, CHAT) == way  # it was still open


def test_a_name_goes_to_the_newer_connection_and_the_topics_stay() -> None:
    world = World()
    older, newer = Peer(world), Peer(world)
    older.foreign.subscribe(A, A)
    older.foreign.subscribe(A, CHAT)
    older.foreign.way(A, CHAT)
    newer.foreign.subscribe(A, A)
    assert world.hub.router.agent(parse("acme/" + A)).link is newer.link  # type: ignore[union-attr]
    older.hear()
    assert older.members(CHAT) == 1
    assert older.members("lab/a") == 2
    assert {agent.name.type for agent in older.link.sources.values()} == {"a"}
    assert older.foreign.way(A, CHAT).source in older.link.sources


def test_a_name_of_somebody_else_stays_where_it_is() -> None:
    world = World()
    holder = Peer(world)
    holder.foreign.subscribe(A, A)
    object.__setattr__(holder.link.principal, "label", "somebody")
    stranger = Peer(world)
    stranger.link.principal = world.peer("acme/*").link.principal
    assert code(stranger.foreign.subscribe, A, A) in (Code.NAME_TAKEN, Code.NOT_PERMITTED)
    assert world.hub.router.agent(parse("acme/" + A)).link is holder.link  # type: ignore[union-attr]


def test_everything_moves_when_names_are_spelled_otherwise(peer: Peer) -> None:
    peer.foreign.subscribe(A, A)
    peer.foreign.subscribe(A, CHAT)
    peer.foreign.way(A, CHAT)
    peer.spelled.renamed = {A: "lab/better/agp-1", CHAT: "lab/talk"}
    peer.foreign.respelled()
    assert (peer.members("lab/a"), peer.members(CHAT)) == (0, 0)
    assert (peer.members("lab/better"), peer.members("lab/talk")) == (1, 1)
    assert len(peer.link.sources) == 1


def test_no_native_instance_looks_like_one_of_a_dialect(peer: Peer) -> None:
    peer.spelled.renamed = {A: "lab/a/native"}
    assert code(peer.foreign.agent, A) is Code.INVALID_NAME
