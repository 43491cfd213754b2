"""Three tenants on one gateway, beside a model that knows every rule and every fact: nothing crosses unasked.

Agents do whatever the protocol has, tenants grant, deny, restrict and revoke, the operator suspends. After each step
all that came to any connection is judged: who may have sent it there, and who may read it. A refusal says the same of
what does not exist and of what belongs to somebody else. Policies that forget one rule show that this would notice.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scenarios.harness import Agent, Peer, World
from scenarios.rules import Naive, begins

from agpd.control.policy import DISCOVERS, Policy, Side, Statement
from agpd.control.resources import VERBS
from agpd.errors import Code, Refused, code_of
from agpd.gateway.review import REPLY_GRACE_S
from agpd.names import Name, Pattern, parse
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ALL, FANOUT_ANY, Frame, Kind

ORGANIZATIONS = ("red", "green", "blue")
ORGANIZATION = st.sampled_from(ORGANIZATIONS)
TOPICS = st.tuples(ORGANIZATION, st.sampled_from("nnm"), st.sampled_from("tx")).map(
    lambda parts: Name(*parts)
)
INSTANCES = st.builds(lambda topic, instance: topic.at(instance), TOPICS, st.sampled_from("12"))
PREFIXES = st.builds(lambda name, length: tuple(name)[:length], INSTANCES, st.integers(0, 4))
NAMESPACES = st.builds(lambda topic: Pattern(topic[:2]), TOPICS)
VERB_OF = {Kind.PUBLISH: "publish", Kind.REQUEST: "request"}
KINDS = st.sampled_from(list(VERB_OF))
SAID_VERBS = st.sampled_from((*VERBS, "publish", "request"))
PICK = st.integers(0, 10**6)


class Member:
    """An agent, and what it should hold."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.peer, self.name = agent, agent.peer, parse(agent.name)
        self.topics: set[Name] = set()
        self.observed: set[Pattern] = set()
        self.watched: set[Name] = set()
        self.handles: dict[int, Name] = {}  # every one that it ever opened

    @property
    def organization(self) -> str:
        return self.name.organization


class TenantsMachine(RuleBasedStateMachine):
    policy_class: ClassVar[type[Policy]] = Policy

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.rules: list[Statement] = []
        self.callers: dict[tuple[str, ...], frozenset[tuple[str, ...]]] = {}
        self.suspended: set[str] = set()
        self.members: list[Member] = []
        self.routes: dict[tuple[str, tuple[str, ...]], Member] = {}
        self.sent: dict[bytes, tuple[Name, Name, Kind]] = {}  # payload -> sender, destination
        self.heard: set[tuple[Name, Name]] = set()  # whose message came to whose connection
        self.to_answer: list[tuple[Member, int, Name]] = []
        self.delivered: list[tuple[bytes, Peer]] = []
        self.payloads = (b"%d" % n for n in itertools.count())

    @initialize(names=st.lists(INSTANCES, min_size=6, max_size=9, unique=True))
    def begin(self, names: list[Name]) -> None:
        """Some agents, and what lets some of them talk."""
        for verb in VERBS:
            both = [Statement(side, ("red",), verb, ("green",)) for side in ("red", "green")]
            self.rules += [*both, Statement("blue", ("blue",), "observe", ("blue",))]
        self.adopt()
        for name in names:
            self.connect(name)

    # -- the model -------------------------------------------------------------------------------------

    def allows(self, verb: str, subject: Name, target: Name | Pattern) -> bool:
        prefix = target.prefix if isinstance(target, Pattern) else tuple(filter(None, target))
        sides = [subject.organization] if verb == "route" else [subject.organization, *prefix[:1]]
        return Naive(self.rules, self.callers, self.suspended).allows(verb, subject, prefix, sides)

    def member(self, pick: int) -> Member:
        return self.members[pick % len(self.members)]

    def holder(self, address: Name) -> Member | None:
        for member in self.members:
            if member.name.instance == address.instance and address.type_name in {
                member.name.type_name,
                *member.topics,
            }:
                return member
        return None

    def reached(self, topic: Name) -> list[Member]:
        return [member for member in self.members if topic in {member.name.type_name, *member.topics}]

    def carrier(self, organization: str, name: Name, sender: Member) -> Member | None:
        for length in (4, 3, 2, 1, 0):
            via = self.routes.get((organization, name[:length]))
            if via is not None and via is not sender:
                return via
        return None

    def forget(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)
        self.routes = {key: via for key, via in self.routes.items() if via is not member}

    def refused(self, verb: str, name: Name | Pattern, act: Any, *arguments: Any) -> None:
        """The one text of the refusal, whether or not there is anybody."""
        with pytest.raises(Refused) as caught:
            act(*arguments)
        assert (caught.value.code, caught.value.detail) == (Code.NOT_PERMITTED, f"{verb} {name}")

    # -- what agents do --------------------------------------------------------------------------------

    @precondition(lambda self: len(self.members) < 14)
    @rule(name=INSTANCES)
    def connect(self, name: Name) -> None:
        peer = self.world.peer(f"{name.organization}/*", greet=False)
        peer.send(Kind.HELLO, frames.Hello([frames.VERSION], "test", 1))
        if name.organization in self.suspended:
            peer.expect_closed(Code.TENANT_SUSPENDED)
            return
        peer.expect(Kind.WELCOME)
        self.register(peer, name)

    @precondition(lambda self: self.members and len(self.members) < 14)
    @rule(pick=PICK, name=INSTANCES)
    def register_beside(self, pick: int, name: Name) -> None:
        peer = self.member(pick).peer
        self.register(peer, name._replace(organization=self.member(pick).organization))

    def register(self, peer: Peer, name: Name) -> None:
        if not self.allows("register", name, name):
            self.refused("register", name, peer.register, str(name))
        elif any(member.name == name for member in self.members):
            with pytest.raises(Refused) as caught:
                peer.register(str(name))
            assert caught.value.code is Code.NAME_TAKEN
        else:
            squatter = self.holder(name)
            if squatter is not None:
                squatter.topics.discard(name.type_name)
            self.members.append(Member(peer.register(str(name))))

    @precondition(lambda self: len(self.members) > 4)
    @rule(pick=PICK)
    def disconnect(self, pick: int) -> None:
        peer = self.member(pick).peer
        peer.carrier.lose()
        self.world.turn()
        for member in [each for each in self.members if each.peer is peer]:
            self.forget(member)

    @precondition(lambda self: self.members)
    @rule(pick=PICK, topic=TOPICS)
    def subscribe(self, pick: int, topic: Name) -> None:
        member = self.member(pick)
        if not self.allows("subscribe", member.name, topic):
            self.refused("subscribe", topic, member.agent.subscribe, str(topic))
            return
        other = self.holder(topic.at(member.name.instance))
        if other is not None and other is not member:
            with pytest.raises(Refused) as caught:
                member.agent.subscribe(str(topic))
            assert caught.value.code is Code.NAME_TAKEN
        else:
            member.agent.subscribe(str(topic))
            member.topics |= {topic} - {member.name.type_name}

    @precondition(lambda self: self.members)
    @rule(pick=PICK, pattern=NAMESPACES)
    def observe(self, pick: int, pattern: Pattern) -> None:
        member = self.member(pick)
        if not self.allows("observe", member.name, pattern):
            self.refused("observe", pattern, member.agent.subscribe, str(pattern))
            return
        member.agent.subscribe(str(pattern))
        member.observed.add(pattern)

    @precondition(lambda self: self.members)
    @rule(pick=PICK, topic=TOPICS)
    def watch(self, pick: int, topic: Name) -> None:
        member = self.member(pick)
        if not self.allows("watch", member.name, topic):
            self.refused("watch", topic, member.agent.watch, str(topic))
            return
        there = [str(topic.at(each.name.instance)) for each in self.reached(topic) if each is not member]
        assert sorted(member.agent.watch(str(topic))) == sorted(there)
        member.watched.add(topic)

    @precondition(lambda self: self.members)
    @rule(pick=PICK, prefix=PREFIXES)
    def set_route(self, pick: int, prefix: tuple[str, ...]) -> None:
        member, pattern = self.member(pick), Pattern(prefix)
        if not self.allows("route", member.name, pattern):
            self.refused("route", pattern, member.agent.set_route, str(pattern), str(member.name))
            return
        member.agent.set_route(str(pattern), str(member.name))
        self.routes[member.organization, prefix] = member

    @precondition(lambda self: self.members)
    @rule(pick=PICK, name=TOPICS | INSTANCES, kind=KINDS, fanout=st.sampled_from((FANOUT_ANY, FANOUT_ALL)))
    def send(self, pick: int, name: Name, kind: Kind, fanout: int) -> None:
        """Open the name and send there; each outcome is the model's."""
        member = self.member(pick)
        may = [self.allows(verb, member.name, name) for verb in VERB_OF.values()]
        foreign = name.organization != member.organization
        carried = foreign and any(
            begins(name, key[1]) for key in self.routes if key[0] == member.organization
        )
        if not any(may) and not carried:
            self.refused("publish", name, member.agent.ask, Kind.OPEN, str(name))
            return
        number = member.agent.ask(Kind.OPEN, str(name)).destination
        member.handles[number] = name
        outcome = self.emit(member, number, name, kind, fanout)
        if any(may) and not self.allows(VERB_OF[kind], member.name, name):
            assert outcome is Code.NOT_PERMITTED
            return
        home = name.organization if any(may) else member.organization
        self.check_outcome(member, name, home, fanout, outcome)

    def check_outcome(self, member: Member, name: Name, home: str, fanout: int, outcome: Code | int) -> None:
        there: list[Member] = []
        if home == name.organization:
            there = [
                each for each in ([self.holder(name)] if name.is_instance else self.reached(name)) if each
            ]
        there = [each for each in there if each is not member]
        if not there:
            via = self.carrier(home, name, member)
            there = [via] if via is not None else []
        expected: Code | int = Code.NO_ROUTE
        if there:
            expected = len(there) if fanout == FANOUT_ALL and not name.is_instance else 1
        assert outcome == expected, (outcome, expected, name)

    @precondition(lambda self: any(member.handles for member in self.members))
    @rule(pick=PICK, which=PICK, kind=KINDS, fanout=st.sampled_from((FANOUT_ANY, FANOUT_ALL)))
    def send_by_an_old_handle(self, pick: int, which: int, kind: Kind, fanout: int) -> None:
        """It may have been withdrawn, or the grant revoked: who gets it is judged as always."""
        able = [member for member in self.members if member.handles]
        member = able[pick % len(able)]
        number = list(member.handles)[which % len(member.handles)]
        self.emit(member, number, member.handles[number], kind, fanout)

    def emit(self, member: Member, number: int, name: Name, kind: Kind, fanout: int) -> Code | int:
        """How many got it, or why nobody did."""
        payload = next(self.payloads)
        self.sent[payload] = member.name, name, kind
        self.drain()
        member.agent.publish(number, payload, kind=kind, fanout=fanout, receipt=True)
        answers = [frame for frame in member.peer.read() if frame.kind in (Kind.RECEIPT, Kind.REFUSED)]
        member.peer.inbox = [frame for frame in member.peer.inbox if frame not in answers]
        if answers[-1].kind == Kind.RECEIPT:
            return frames.decode(answers[-1].body, frames.Count).count
        return code_of(frames.decode(answers[-1].body, frames.Refusal).code)

    @precondition(lambda self: self.to_answer)
    @rule(pick=PICK)
    def answer(self, pick: int) -> None:
        member, number, to = self.to_answer.pop(pick % len(self.to_answer))
        if member in self.members:
            payload = next(self.payloads)
            self.sent[payload] = member.name, to, Kind.REPLY
            member.agent.publish(number, payload, kind=Kind.REPLY)

    @rule()
    def time_passes(self) -> None:
        """Who may not be sent to any more is not answered either."""
        self.world.clock.advance(2 * REPLY_GRACE_S)
        self.world.turn()
        self.heard = {
            (of, by)
            for of, by in self.heard
            if of.organization == by.organization
            or any(self.may_reach(of, each) for each in self.members if each.organization == by.organization)
        }

    def may_reach(self, sender: Name, member: Member) -> bool:
        addresses = [topic.at(member.name.instance) for topic in (member.name.type_name, *member.topics)]
        return any(self.allows(verb, sender, address) for verb in VERB_OF.values() for address in addresses)

    # -- what tenants and the operator do --------------------------------------------------------------

    @rule(owner=ORGANIZATION, subject=PREFIXES, verb=SAID_VERBS, what=PREFIXES, allow=st.booleans())
    def say(
        self, owner: str, subject: tuple[str, ...], verb: str, what: tuple[str, ...], allow: bool
    ) -> None:
        if owner in (*subject[:1], *what[:1]):
            self.rules.append(Statement(owner, subject, verb, what, allow))
            self.adopt()

    @rule(subject=ORGANIZATION, verb=SAID_VERBS, what=ORGANIZATION)
    def agree(self, subject: str, verb: str, what: str) -> None:
        self.rules += [Statement(owner, (subject,), verb, (what,)) for owner in {subject, what}]
        self.adopt()

    @precondition(lambda self: self.rules)
    @rule(pick=PICK)
    def revoke(self, pick: int) -> None:
        self.rules.pop(pick % len(self.rules))
        self.adopt()

    @rule()
    def revoke_all_denials(self) -> None:
        self.rules = [each for each in self.rules if each.allow]
        self.callers.clear()
        self.adopt()

    @rule(topic=TOPICS, callers=st.frozensets(PREFIXES, max_size=2))
    def restrict(self, topic: Name, callers: frozenset[tuple[str, ...]]) -> None:
        self.callers.pop(topic[:3], None)
        if callers:
            self.callers[topic[:3]] = callers
        self.adopt()

    @rule(organization=st.none() | ORGANIZATION)
    def suspend(self, organization: str | None) -> None:
        self.suspended = {organization} if organization else set()
        self.adopt()

    def adopt(self) -> None:
        """The new policy, and the two seconds in which it has to be everywhere."""
        self.drain()
        self.world.hub.adopt(self.policy_class.compiled(self.rules, self.callers, self.suspended))
        self.world.clock.advance(2)
        self.world.turn()
        for member in list(self.members):
            if not self.allows("register", member.name, member.name):
                self.forget(member)
            member.topics = {each for each in member.topics if self.allows("subscribe", member.name, each)}
            member.observed = {each for each in member.observed if self.allows("observe", member.name, each)}
            member.watched = {each for each in member.watched if self.allows("watch", member.name, each)}
        for key, via in list(self.routes.items()):
            others = [each for each in self.members if each.peer is via.peer]
            if not any(self.allows("route", each.name, Pattern(key[1])) for each in others):
                del self.routes[key]
        self.drain()

    @rule(who=PREFIXES.filter(bool), topic=TOPICS)
    def discover(self, who: tuple[str, ...], topic: Name) -> None:
        """A type is found by whoever covers a name that may; three values of a segment are all that matter."""
        compiled = self.world.hub.admission.policy
        names = [Name(who[0], *rest) for rest in itertools.product("nmz", "txz", "12z")]
        may = who[0] == topic.organization or any(
            self.allows(verb, name, topic) for name in names if begins(name, who) for verb in DISCOVERS
        )
        assert isinstance(compiled, Policy)
        assert compiled.discovers(Pattern(who), topic) is may

    # -- promises --------------------------------------------------------------------------------------

    @invariant()
    def drain(self) -> None:
        """Judge all that has come."""
        for peer in self.world.peers:
            if peer.carrier.sent or peer.inbox:
                for frame in peer.read():
                    self.judge(peer, frame)
                peer.inbox.clear()
        self.world.peers = [peer for peer in self.world.peers if peer.link.close_code is None]

    def judge(self, peer: Peer, frame: Frame) -> None:
        organization = peer.link.principal.organization
        here = [member for member in self.members if member.peer is peer]
        if frame.kind == Kind.PRESENCE:
            topic = parse(frames.decode(frame.body, frames.Presence).name).type_name
            assert any(self.allows("watch", member.name, topic) for member in here)
        if frame.kind not in (Kind.PUBLISH, Kind.REQUEST, Kind.REPLY):
            return
        source, name, kind = self.sent[frame.body]
        assert parse(peer.names[frame.source]) == source, "nobody speaks for somebody else"
        assert frame.kind == kind
        self.check_crossing(source, name, kind, organization, here)
        self.heard.add((source, here[0].name))
        self.to_answer += [(member, frame.source, source) for member in here if kind is Kind.REQUEST]

    def check_crossing(
        self, source: Name, name: Name, kind: Kind, organization: str, here: list[Member]
    ) -> None:
        """Has the sender been allowed to send there, and somebody on the connection to read there?"""
        own = source.organization
        if kind is Kind.REPLY:
            asked = any(of == name and by.organization == own for of, by in self.heard)
            assert asked or self.allows("publish", source, name)
            return
        carried = any(
            key[0] == own and via in here and begins(name, key[1]) for key, via in self.routes.items()
        )
        assert self.allows(VERB_OF[kind], source, name) or (carried and name.organization != own)
        reads = organization == name.organization or any(
            topic == name.type_name or begins(name, each.prefix)
            for member in here
            for topic in [*member.topics, None]
            for each in [*member.observed, Pattern(("nobody",))]
        )
        assert reads or carried

    @invariant()
    def links_hold_what_is_allowed(self) -> None:
        agents = {
            agent.name: agent
            for link in self.world.hub.links
            for agent in link.sources.values()
            if agent.registered
        }
        assert set(agents) == {member.name for member in self.members}
        for member in self.members:
            agent = agents[member.name]
            assert set(agent.entries) == {member.name.type_name, *member.topics}
            assert (set(agent.observing), set(agent.watches)) == (member.observed, member.watched)
        routes = {
            (route.tenant.name, route.pattern.prefix): route.via.name
            for link in self.world.hub.links
            for route in self.world.hub.router.routes_of(link)
        }
        assert routes == {key: via.name for key, via in self.routes.items()}
        assert not {link.principal.organization for link in self.world.hub.links} & self.suspended


TestTenants = TenantsMachine.TestCase
TestTenants.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@pytest.mark.slow
def test_a_hundred_thousand_steps() -> None:
    long = settings(
        max_examples=1000,
        stateful_step_count=100,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(TenantsMachine, settings=long)


# -- policies that forget a rule -----------------------------------------------------------------------


class OneSideIsEnough(Policy):
    def _agree(self, verb: str, mine: Side, theirs: Side, subject: Any, target: Any) -> bool:
        return mine.allows(verb, subject, target)


class TheirSideIsEnough(Policy):
    def _agree(self, verb: str, mine: Side, theirs: Side, subject: Any, target: Any) -> bool:
        return theirs.allows(verb, subject, target)


class NobodyDenies(Policy):
    @classmethod
    def compiled(cls, statements: Any = (), callers: Any = None, suspended: Any = ()) -> Policy:
        return super().compiled([each for each in statements if each.allow], callers, suspended)


class NoCallers(Policy):
    @classmethod
    def compiled(cls, statements: Any = (), callers: Any = None, suspended: Any = ()) -> Policy:
        return super().compiled(statements, None, suspended)


class NobodyIsSuspended(Policy):
    @classmethod
    def compiled(cls, statements: Any = (), callers: Any = None, suspended: Any = ()) -> Policy:
        return super().compiled(statements, callers, ())


class AskingIsPublishing(Policy):
    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        return super().allows("publish" if verb == "request" else verb, subject, target)


class FindsEverything(Policy):
    def discovers(self, who: Pattern, target: Name) -> bool:
        return True


FAULTS = [
    OneSideIsEnough,
    TheirSideIsEnough,
    NobodyDenies,
    NoCallers,
    NobodyIsSuspended,
    AskingIsPublishing,
    FindsEverything,
]
QUICK = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_forgotten_rule_is_found(fault: type[Policy]) -> None:
    class Faulty(TenantsMachine):
        policy_class = fault

    with pytest.raises((AssertionError, Refused, pytest.fail.Exception)):
        run_state_machine_as_test(Faulty, settings=QUICK)


def test_links_that_are_not_looked_at_again_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agpd.gateway.review.Review.begin", lambda self: None)
    with pytest.raises((AssertionError, Refused, pytest.fail.Exception)):
        run_state_machine_as_test(TenantsMachine, settings=QUICK)
