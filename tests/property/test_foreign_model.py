"""agpd/gateway/foreign.py under any sequence of what peers, renamings and policies do: its tables say what is there.

Two peers of one dialect compete for a few names, with little room for agents, subscriptions and handles.
"""

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from scenarios.harness import World
from unit.gateway.test_foreign import Peer

from agpd.control.policy import Policy, Statement
from agpd.errors import Code, Refused
from agpd.names import parse
from agpd.wire.frames import Kind

TYPES = ["lab/a", "lab/b", "lab/c"]
NAMES = [f"{kind}/agp-{number}" for kind in TYPES for number in (1, 2)]
SPELLINGS = ["lab/a", "lab/x", "lab/y"]

sources = st.sampled_from(NAMES)
addresses = st.sampled_from([*TYPES, *NAMES, "globex/lab/w/1"])
DENIALS = [
    Statement("acme", ("acme", "lab", "a"), "register", ("acme",), allow=False),
    Statement("acme", ("acme", "lab", "b"), "subscribe", ("acme", "lab", "c"), allow=False),
    Statement("acme", ("acme",), "publish", ("acme", "lab", "c"), allow=False),
]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(agents_per_connection=4, subscriptions_per_connection=3, handles_per_connection=3)
        self.peers = [Peer(self.world), Peer(self.world)]
        self.native = self.world.agent("acme/lab/native/1")
        self.denied: set[str] = set()  # topics that somebody has not been allowed to subscribe to

    @rule(who=st.integers(0, 1), source=sources, destination=addresses)
    def write(self, who: int, source: str, destination: str) -> None:
        peer = self.peers[who]
        heard = not peer.unheard
        try:
            way = peer.foreign.way(source, destination)
        except Refused:
            return
        assert way.kind == Kind.PUBLISH
        if heard:
            assert way.source in peer.link.sources
            assert way.destination in peer.link.opened

    @rule(who=st.integers(0, 1), source=sources, destination=addresses)
    def subscribe(self, who: int, source: str, destination: str) -> None:
        try:
            self.peers[who].foreign.subscribe(source, destination)
        except Refused:
            return
        assert (source, destination) in {(s, d) for s, d, _ in self.peers[who].foreign._wants.each()}

    @rule(who=st.integers(0, 1), destination=addresses)
    def unsubscribe(self, who: int, destination: str) -> None:
        self.peers[who].foreign.unsubscribe(destination)
        assert destination not in set(self.peers[who].foreign._wants.destinations())

    @rule(kind=st.sampled_from(TYPES), to=st.sampled_from(SPELLINGS), both=st.booleans())
    def rename(self, kind: str, to: str, both: bool) -> None:
        """A text becomes known, or known no more: for both, as they are asked in turn."""
        for peer in self.peers[:: 1 if both else -1]:
            for number in ("", "/agp-1", "/agp-2"):
                peer.spelled.renamed[kind + number] = to + number
        for peer in self.peers[:: 1 if both else -1]:
            peer.foreign.respelled()

    @rule(denied=st.sampled_from([[], *([each] for each in DENIALS)]))
    def rule_otherwise(self, denied: list[Statement]) -> None:
        self.denied |= {"/".join(each.object) for each in denied if each.verb == "subscribe"}
        self.world.hub.adopt(Policy.compiled(denied))
        self.world.clock.advance(1.0)

    @rule(topic=st.sampled_from(TYPES), join=st.booleans())
    def native_agents_come_and_go(self, topic: str, join: bool) -> None:
        verb = Kind.SUBSCRIBE if join else Kind.UNSUBSCRIBE
        with contextlib.suppress(Refused):  # an agent of this instance is there
            self.native.ask(verb, "acme/" + topic)

    @rule(who=st.integers(0, 1))
    def leave(self, who: int) -> None:
        peer = self.peers[who]
        self.world.hub.end(peer.link, Code.GOODBYE)
        self.peers[who] = Peer(self.world)
        self.peers[who].spelled.renamed = dict(self.peers[1 - who].spelled.renamed)

    @rule(who=st.integers(0, 1))
    def hear(self, who: int) -> None:
        self.peers[who].hear()

    @invariant()
    def the_tables_say_what_is_there(self) -> None:
        """As soon as everything has been heard that the gateway has for them."""
        if not any(peer.unheard for peer in self.peers):
            for peer in self.peers:
                self.check(peer)

    def everything_is_heard(self) -> None:
        while any(peer.unheard for peer in self.peers):  # what one hears may have the other hear something
            for peer in self.peers:
                peer.hear()

    def check(self, peer: Peer) -> None:
        foreign, link, router = peer.foreign, peer.link, self.world.hub.router
        assert {agent.entry.number: agent for agent in foreign._agents.values()} == link.sources
        assert set(foreign._addresses) == set(link.sources)
        assert all(agent.registered for agent in foreign._agents.values())
        assert +peer.spelled.owned == dict.fromkeys(foreign._agents, 1)
        assert set(link.opened) == {number for number, _ in foreign._ways.destinations()}
        assert len(foreign._ways) <= 3
        parts = set(foreign._wants._parts)
        there = {
            (address, topic)
            for address, agent in foreign._agents.items()
            for topic, entry in agent.entries.items()
            if entry.place >= 0
        }
        assert there <= parts, "it takes part in what nobody wants"
        for _, topic in parts - there:  # a review took it; that it is allowed again does not bring it back
            assert str(topic) in self.denied
        for _, destination, topic in foreign._wants.each():
            assert topic == peer.spelled.spell(destination).type_name
        for address, agent in foreign._agents.items():
            assert agent.name.type_name == peer.spelled.spell(address).type_name
        assert router.counts(link).agents == len(foreign._agents)

    def teardown(self) -> None:
        self.everything_is_heard()
        for peer in self.peers:
            self.check(peer)
        for peer in self.peers:
            self.world.hub.end(peer.link, Code.GOODBYE)
        self.world.hub.end(self.native.peer.link, Code.GOODBYE)
        assert self.world.hub.router.entries == {}
        assert self.world.hub.told_by == {}


TestForeign = Machine.TestCase
TestForeign.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)


def test_control_the_names_of_the_model_meet() -> None:
    """Two of its addresses can be spelled as one name, and two of its agents meet in one topic."""
    assert set(TYPES) & set(SPELLINGS)
    assert len({parse("acme/" + name).instance for name in NAMES}) < len(NAMES)
    machine = Machine()
    machine.peers[0].foreign.subscribe(NAMES[0], TYPES[2])
    machine.check(machine.peers[0])
    machine.peers[0].foreign._wants.remove(TYPES[2])
    with pytest.raises(AssertionError):
        machine.check(machine.peers[0])
