"""agpd/gateway/foreign.py: the agents of a peer that names them by something else, without any socket."""

from collections import Counter

import pytest
from scenarios.harness import World

from agpd.errors import Code, Refused
from agpd.gateway.dialects import Dialect
from agpd.gateway.foreign import Foreign
from agpd.names import Name, parse
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

A, B, CHAT = "lab/a/agp-1", "lab/b/agp-1", "lab/chat"


class Spelled:
    """Addresses are names without their organization if it is acme; `renamed` puts others in their place."""

    def __init__(self) -> None:
        self.renamed: dict[str, str] = {}
        self.owned: Counter[str] = Counter()
        self.settled = 0

    def spell(self, address: str) -> Name:
        return parse(
            address if address.startswith("globex/") else "acme/" + self.renamed.get(address, address)
        )

    def own(self, address: str) -> Name:
        self.owned[address] += 1
        return self.spell(address)

    def disown(self, address: str) -> None:
        self.owned[address] -= 1
        assert self.owned[address] >= 0

    def settle(self) -> None:
        self.settled += 1


class Peer:
    def __init__(self, world: World, key: bytes = b"") -> None:
        self.world = world
        connection = world.peer(key=key)
        self.link, self.carrier = connection.link, connection.carrier
        self.link.dialect, self.link.hears_itself = Dialect.AGP, False
        self.spelled = Spelled()
        self.foreign: Foreign[str] = Foreign(world.hub, self.link, self.spelled)

    @property
    def unheard(self) -> bytes:
        """What the gateway has for the peer."""
        return bytes(self.carrier.sent) + b"".join(self.link.queue)

    def hear(self) -> None:
        data = self.unheard
        self.carrier.sent.clear()
        self.link.queue.clear()
        self.link.queued = 0
        for each in frames.apart(data):
            self.foreign.hear(frames.parse(each))

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
    assert len(peer.foreign._ways) == 3


def test_a_withdrawn_handle_is_opened_anew(peer: Peer) -> None:
    way = peer.foreign.way(A, CHAT)
    body = frames.encode(Kind.WITHDRAW, frames.Handles([way.destination]))[24:]
    peer.foreign.hear(Frame(Kind.WITHDRAW, 0, 0, 0, 0, 0, body))
    assert not peer.foreign._ways
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


# -- nothing grows, nothing is done over and over ------------------------------------------------------


def test_a_source_is_a_claim_also_where_another_agent_subscribes() -> None:
    peer = Peer(World(agents_per_connection=3))
    for number in range(3):
        peer.foreign.subscribe(f"lab/a/agp-{number}", "lab/a/agp-0")
    assert code(peer.foreign.subscribe, "lab/a/agp-7", "lab/a/agp-0") is Code.TOO_MANY_AGENTS
    assert len(list(peer.foreign._wants.each())) == 3


def test_handles_do_not_outlive_the_ways_that_lead_to_them() -> None:
    world = World(handles_per_connection=4)
    older, newer = Peer(world), Peer(world)
    for number in range(4):
        older.foreign.way(A, f"lab/t{number}")
    newer.foreign.agent(A)
    older.hear()
    assert older.link.opened == {}
    for number in range(4):
        older.foreign.way(A, f"lab/u{number}")
    older.spelled.renamed = {f"lab/u{number}": f"lab/v{number}" for number in range(4)}
    older.foreign.respelled()
    assert older.link.opened == {}
    assert not older.foreign._ways
    for number in range(4):
        older.foreign.way(A, f"lab/w{number}")


def test_what_was_said_goes_to_the_hub_before_its_handle_is_shut() -> None:
    peer = Peer(World(handles_per_connection=1))
    peer.foreign.way(A, "lab/t1")
    assert peer.spelled.settled == 0
    peer.foreign.way(A, "lab/t2")
    assert peer.spelled.settled == 1


def test_unsubscribing_asks_nothing_about_the_other_subscriptions(peer: Peer) -> None:
    for number in range(50):
        peer.foreign.subscribe(A, f"lab/t{number}")
    asked: list[str] = []
    policy = peer.world.hub.admission.policy

    class Counting:
        def allows(self, verb: str, subject: Name, target: Name) -> bool:
            asked.append(verb)
            return policy.allows(verb, subject, target)

    peer.world.hub.admission.policy = Counting()  # type: ignore[assignment]
    peer.foreign.unsubscribe("lab/t7")
    assert asked == []
    assert peer.members("lab/t7") == 0
    assert peer.members("lab/t8") == 1


def test_names_are_owned_as_long_as_there_is_an_agent() -> None:
    world = World()
    older, newer = Peer(world), Peer(world)
    older.foreign.subscribe(A, A)
    newer.foreign.subscribe(A, A)
    older.hear()
    older.foreign.agent(B)
    assert +older.spelled.owned == {A: 1, B: 1}
    older.spelled.renamed = {A: "lab/c/agp-1"}
    older.foreign.respelled()
    assert +older.spelled.owned == {A: 1, B: 1}
    older.spelled.renamed = {"lab/d/agp-1": "lab/d/native"}
    assert code(older.foreign.agent, "lab/d/agp-1") is Code.INVALID_NAME
    assert +older.spelled.owned == {A: 1, B: 1}


# -- who moves, and who does not --------------------------------------------------------------------------


def test_nobody_moves_for_a_text_that_changes_no_name(peer: Peer) -> None:
    peer.foreign.subscribe(A, A)
    peer.foreign.subscribe(A, CHAT)
    way, agents = peer.foreign.way(A, CHAT), list(peer.link.sources.values())
    peer.foreign.respelled()
    assert list(peer.link.sources.values()) == agents
    assert peer.foreign.way(A, CHAT) is way


def test_nobody_moves_while_something_is_under_way(peer: Peer) -> None:
    """What comes into use by a subscription may be the text of a hash."""
    peer.foreign.subscribe(A, A)

    def changed() -> None:
        if not peer.spelled.renamed:
            peer.spelled.renamed = {A: "lab/better/agp-1"}
            peer.foreign.respelled()

    peer.world.hub.types_changed = changed
    peer.foreign.subscribe(A, CHAT)
    [agent] = peer.link.sources.values()
    assert str(agent.name) == "acme/lab/better/agp-1"
    assert peer.members(CHAT) == 1
    assert peer.spelled.settled == 1

    def changed_again() -> None:
        peer.spelled.renamed = {A: "lab/best/agp-1"}
        peer.foreign.respelled()

    peer.world.hub.types_changed = changed_again
    way = peer.foreign.way(A, "lab/new")
    assert str(peer.link.sources[way.source].name) == "acme/lab/best/agp-1"
    assert peer.foreign.way(A, "lab/new") is way


def test_the_older_connection_does_not_get_its_name_back_by_moving() -> None:
    world = World()
    older, newer = Peer(world), Peer(world)
    older.foreign.subscribe(A, A)
    newer.foreign.subscribe(A, A)
    older.hear()
    for each in (newer, older):
        each.spelled.renamed = {A: "lab/better/agp-1"}
        each.foreign.respelled()
        older.hear()
        newer.hear()
    assert world.hub.router.agent(parse("acme/lab/better/agp-1")).link is newer.link  # type: ignore[union-attr]
    assert older.members("lab/better") == 2


def test_whoever_loses_an_address_in_a_topic_takes_part_by_another(peer: Peer) -> None:
    peer.foreign.subscribe(A, CHAT)
    owner = Peer(peer.world)
    owner.foreign.subscribe("lab/chat/agp-1", "lab/chat/agp-1")
    assert peer.members(CHAT) == 1
    peer.hear()
    assert peer.members(CHAT) == 2
    peer.foreign.unsubscribe(CHAT)
    assert peer.members(CHAT) == 1


def test_whoever_did_not_want_it_any_more_loses_an_address_without_another(peer: Peer) -> None:
    peer.foreign.subscribe(A, CHAT)
    owner = Peer(peer.world)
    owner.foreign.subscribe("lab/chat/agp-1", "lab/chat/agp-1")
    peer.foreign.unsubscribe(CHAT)
    peer.hear()
    assert peer.members(CHAT) == 1


def test_only_the_same_key_takes_a_name_over() -> None:
    world = World()
    holder, twin, stranger = Peer(world, b"1"), Peer(world, b"1"), Peer(world, b"2")
    holder.foreign.agent(A)
    assert code(stranger.foreign.agent, A) is Code.NAME_TAKEN
    assert twin.foreign.agent(A).registered
    assert not holder.link.sources


def test_nobody_takes_a_name_over_from_itself(peer: Peer) -> None:
    agent = peer.foreign.agent(A)
    peer.spelled.renamed = {B: A}
    assert code(peer.foreign.agent, B) is Code.NAME_TAKEN
    assert agent.registered


def test_who_could_not_stay_beside_the_newer_has_its_name_when_that_has_gone() -> None:
    world = World()
    older, newer = Peer(world), Peer(world)
    older.foreign.subscribe(A, A)
    newer.foreign.agent(A)
    older.spelled.renamed = {A: "lab/a/native"}
    older.hear()
    assert older.members("lab/a") == 0
    older.spelled.renamed = {}
    world.hub.end(newer.link, Code.GOODBYE)
    assert str(older.foreign.agent(A).name) == "acme/" + A


def test_what_an_agent_without_permission_wanted_is_forgotten(peer: Peer) -> None:
    peer.foreign.subscribe(A, A)
    peer.foreign.subscribe(A, CHAT)
    [number] = peer.link.sources
    peer.world.hub.router.unregister(peer.link.sources[number])
    peer.link.give_up(number)
    body = frames.encode(Kind.ENDED, frames.Refusal(Code.NOT_PERMITTED))[24:]
    peer.foreign.hear(Frame(Kind.ENDED, 0, 0, number, 0, 0, body))
    assert list(peer.foreign._wants.each()) == []
    assert list(peer.foreign.addresses()) == []


# -- answers ------------------------------------------------------------------------------------------------


WRITER = "globex/lab/w/1"


def written_to(*grants: tuple[str, str, str]) -> Peer:
    """A peer that has got a message from an agent of another organization."""
    peer = Peer(World(grants=[("globex/*", "publish", "acme/*"), *grants]))
    peer.foreign.subscribe(A, A)
    peer.world.agent(WRITER).publish("acme/lab/a", b"hello")
    return peer


def test_whoever_has_written_may_be_answered() -> None:
    peer = written_to()
    assert peer.foreign.way(A, WRITER).kind == Kind.REPLY
    assert code(peer.foreign.way, A, "globex/lab/w/2") is Code.NOT_PERMITTED
    assert code(peer.foreign.way, A, "globex/lab/w") is Code.NOT_PERMITTED


def test_an_answer_does_not_take_the_route_of_what_is_not_permitted() -> None:
    peer = written_to()
    carrier = peer.world.agent("acme/lab/carrier/1")
    carrier.set_route("*", carrier.name)
    assert peer.foreign.way(A, WRITER).kind == Kind.REPLY
    assert peer.foreign.way(A, "globex/lab/w/2").kind == Kind.PUBLISH


def test_once_it_is_permitted_an_answer_is_a_message_like_any_other() -> None:
    peer = written_to()
    peer.foreign.way(A, WRITER)
    peer.world.hub.adopt(World(grants=[("acme/*", "publish", "globex/*")]).hub.admission.policy)
    assert peer.foreign.way(A, WRITER).kind == Kind.PUBLISH


def test_an_id_that_nobody_had_may_come_to_stand_for_somebody(peer: Peer) -> None:
    stale = peer.foreign.way(A, "lab/c/agp-7")
    kept = peer.foreign.way(A, CHAT)
    for way in (stale, kept):
        body = frames.encode(Kind.REFUSED, frames.Refusal(Code.NO_ROUTE))[24:]
        peer.foreign.hear(Frame(Kind.REFUSED, 0, 0, way.source, way.destination, 0, body))
    assert set(peer.link.opened) == {kept.destination}
    peer.spelled.renamed = {"lab/c/agp-7": "lab/c/native"}
    found = peer.foreign.way(A, "lab/c/agp-7").destination
    assert str(peer.world.hub.router.entries[found].name) == "acme/lab/c/native"
    assert peer.foreign.way(A, CHAT) is kept
