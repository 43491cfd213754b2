"""The router against a naive model, and the promise that nothing crosses tenants unless somebody allowed it.

The model is a list of facts that is searched from end to end. The promise is checked apart from the model:
each delivery between two organizations must have its witness, a grant that once was given.
Planted faults show that both would notice.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

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
from scenarios.rules import Crossing

from agpd.errors import Code, Refused
from agpd.names import Name, Pattern
from agpd.routing.connections import Agent
from agpd.routing.fanout import Decision, Hop
from agpd.routing.router import Router
from agpd.routing.routes import Standing
from agpd.routing.subscriptions import Entry, InstanceEntry, Presence, Subscriptions, TypeEntry

ORGANIZATIONS = ("red", "green", "blue")
TOPICS = st.builds(
    lambda organization, namespace, kind: Name(organization, namespace, kind),
    st.sampled_from(ORGANIZATIONS),
    st.sampled_from(("n", "n", "n", "m")),
    st.sampled_from(("t", "x")),
)
INSTANCES = st.builds(lambda topic, u: topic.at(u), TOPICS, st.sampled_from(("1", "2", "3")))
NAMES = TOPICS | INSTANCES
NAMESPACES = st.builds(lambda topic: Pattern(topic[:2]), TOPICS)
PATTERNS = st.builds(
    lambda name, n: Pattern(tuple(part for part in name[:n] if part)), NAMES, st.integers(0, 4)
)
VERBS = ("publish", "subscribe", "watch", "observe")
GRANTS = st.tuples(st.sampled_from(VERBS), st.sampled_from(ORGANIZATIONS), st.sampled_from(ORGANIZATIONS))
PICK = st.integers(0, 10**6)


class Pipe:
    """A link."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.full = False
        self.hears_itself = True

    def __repr__(self) -> str:
        return f"Pipe({self.number})"


class Pin:
    """A held entry: who asked for it, what for, and whether it is detached."""

    def __init__(self, entry: Entry, agent: Agent, name: Name, detached: bool) -> None:
        self.entry, self.agent, self.name, self.detached = entry, agent, name, detached
        self.organization = agent.name.organization
        self.home = self.organization if detached else name.organization


class RoutingMachine(RuleBasedStateMachine):
    router_class: type[Router] = Router

    def __init__(self) -> None:
        super().__init__()
        self.router = self.router_class(
            itertools.count(2**32 - 400).__next__, random.Random(11).randrange, Crossing(self.may_cross)
        )
        self.pipes: list[Pipe] = []
        self.made = 0
        # the facts
        self.agents: list[Agent] = []
        self.subscriptions: list[tuple[Agent, Name]] = []  # own types included
        self.observations: list[tuple[Agent, Pattern]] = []
        self.watches: list[tuple[Agent, Name]] = []
        self.routes: list[tuple[str, Pattern, Agent, Pipe]] = []
        self.standing: dict[str, dict[Pattern, Name]] = {name: {} for name in ORGANIZATIONS}
        self.pins: list[Pin] = []
        self.grants: set[tuple[str, str, str]] = set()
        self.given: set[tuple[str, str, str]] = set()  # every grant that ever was

    @initialize(
        grants=st.sets(GRANTS, min_size=8, max_size=30), names=st.lists(INSTANCES, min_size=6, max_size=12)
    )
    def begin(self, grants: set[tuple[str, str, str]], names: list[Name]) -> None:
        """Three links and some agents, so that a run does not spend its steps on these."""
        self.grants |= grants
        self.given |= grants
        for _ in range(3):
            self.new_link()
        for number, name in enumerate(names):
            self.new_agent(self.pipes[number % 3], name, False)

    def may_cross(self, verb: str, source: Name, target: Name) -> bool:
        return (verb, source.organization, target.organization) in self.grants

    # -- the naive model -------------------------------------------------------------------------------

    def holder(self, address: Name) -> Agent | None:
        for agent, topic in self.subscriptions:
            if topic.at(agent.name.instance) == address:
                return agent
        return None

    def members(self, topic: Name) -> list[Agent]:
        return [agent for agent, subscribed in self.subscriptions if subscribed == topic]

    def told(self, about: Agent, topic: Name, present: bool) -> list[Presence]:
        name = topic.at(about.name.instance)
        return [
            Presence(agent.link, agent, name, present)
            for agent, watched in self.watches
            if watched == topic and agent is not about
        ]

    def allowed(self, verb: str, agent: Agent, name: Name) -> bool:
        own = agent.name.organization == name.organization
        return own or (verb, agent.name.organization, name.organization) in self.grants

    def carriers(self, organization: str, name: Name, sender: Agent) -> tuple[bool, list[Agent]]:
        """Who may get what nobody takes, and whether with another destination: by a standing route."""
        fitting = [
            (len(pattern.prefix), True, [via])
            for tenant, pattern, via, _ in self.routes
            if tenant == organization and pattern.matches(name) and via is not sender
        ]
        for pattern, topic in self.standing[organization].items():
            there = [
                a for a in self.members(topic) if a.name.organization == organization and a is not sender
            ]
            if pattern.matches(name) and there:
                fitting.append((len(pattern.prefix), False, there))
        _, as_it_is, agents = max(fitting, key=lambda each: each[:2]) if fitting else (0, True, [])
        return not as_it_is, agents

    def is_covered(self, organization: str, name: Name) -> bool:
        patterns = [pattern for tenant, pattern, *_ in self.routes if tenant == organization]
        return any(pattern.matches(name) for pattern in (*patterns, *self.standing[organization]))

    def forget(self, agent: Agent) -> list[Presence]:
        self.watches = [fact for fact in self.watches if fact[0] is not agent]
        self.observations = [fact for fact in self.observations if fact[0] is not agent]
        self.routes = [fact for fact in self.routes if fact[2] is not agent]
        events = [
            event
            for holder, topic in self.subscriptions
            if holder is agent
            for event in self.told(agent, topic, False)
        ]
        self.subscriptions = [fact for fact in self.subscriptions if fact[0] is not agent]
        self.agents.remove(agent)
        return events

    def refused(self, code: Code, call: Any, *arguments: Any) -> None:
        with pytest.raises(Refused) as caught:
            call(*arguments)
        assert caught.value.code == code

    def agent(self, pick: int) -> Agent:
        return self.agents[pick % len(self.agents)]

    # -- links and agents ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.pipes) < 4)
    @rule()
    def attach(self) -> None:
        self.new_link()

    def new_link(self) -> None:
        self.made += 1
        self.pipes.append(Pipe(self.made))
        self.router.attach(self.pipes[-1])

    @precondition(lambda self: len(self.pipes) > 2)
    @rule(pick=PICK)
    def detach(self, pick: int) -> None:
        pipe = self.pipes.pop(pick % len(self.pipes))
        going = [agent for agent in self.agents if agent.link is pipe]
        self.watches = [fact for fact in self.watches if fact[0] not in going]
        self.routes = [fact for fact in self.routes if fact[3] is not pipe]
        expected = [event for agent in going for event in self.forget(agent)]
        assert same(self.router.detach(pipe), expected)

    @precondition(lambda self: self.pipes)
    @rule(pick=PICK, full=st.booleans())
    def fill(self, pick: int, full: bool) -> None:
        self.pipes[pick % len(self.pipes)].full = full

    @precondition(lambda self: self.pipes)
    @rule(pick=PICK, name=INSTANCES, takeover=st.booleans())
    def register(self, pick: int, name: Name, takeover: bool) -> None:
        self.new_agent(self.pipes[pick % len(self.pipes)], name, takeover)

    def new_agent(self, pipe: Pipe, name: Name, takeover: bool) -> None:
        holder = self.holder(name)
        losers: tuple[Agent | None, Agent | None] = (None, None)
        expected: list[Presence] = []
        if holder is not None and holder.name != name:  # by a subscription
            expected = self.told(holder, name.type_name, False)
            self.subscriptions.remove((holder, name.type_name))
            losers = (None, holder)
        elif holder is not None and not takeover:
            self.refused(Code.NAME_TAKEN, self.router.register, pipe, name, takeover)
            return
        elif holder is not None:
            expected = self.forget(holder)
            losers = (holder, None)
        agent, *lost, presence = self.router.register(pipe, name, takeover)
        assert tuple(lost) == losers
        assert same(presence, expected + self.told(agent, name.type_name, True))
        self.agents.append(agent)
        self.subscriptions.append((agent, name.type_name))

    @precondition(lambda self: len(self.agents) > 3)
    @rule(pick=PICK)
    def unregister(self, pick: int) -> None:
        agent = self.agent(pick)
        expected = self.forget(agent)
        assert same(self.router.unregister(agent), expected)
        assert self.router.unregister(agent) == []
        self.refused(Code.NOT_REGISTERED, self.router.subscribe, agent, agent.name.type_name)

    # -- grants ----------------------------------------------------------------------------------------

    @rule(grants=st.sets(GRANTS, min_size=1, max_size=12))
    def grant(self, grants: set[tuple[str, str, str]]) -> None:
        self.grants |= grants
        self.given |= grants

    @precondition(lambda self: self.grants)
    @rule(pick=PICK)
    def revoke(self, pick: int) -> None:
        self.grants.remove(sorted(self.grants)[pick % len(self.grants)])

    # -- what agents ask for ---------------------------------------------------------------------------

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, topic=TOPICS)
    def subscribe(self, pick: int, topic: Name) -> None:
        agent = self.agent(pick)
        if not self.allowed("subscribe", agent, topic):
            self.refused(Code.NOT_PERMITTED, self.router.subscribe, agent, topic)
        elif (agent, topic) in self.subscriptions:
            assert self.router.subscribe(agent, topic) == []
        elif self.holder(topic.at(agent.name.instance)) is not None:
            self.refused(Code.NAME_TAKEN, self.router.subscribe, agent, topic)
        else:
            assert same(self.router.subscribe(agent, topic), self.told(agent, topic, True))
            self.subscriptions.append((agent, topic))

    @precondition(lambda self: self.subscriptions)
    @rule(pick=PICK)
    def unsubscribe(self, pick: int) -> None:
        agent, topic = self.subscriptions[pick % len(self.subscriptions)]
        if topic == agent.name.type_name:
            self.refused(Code.INVALID_NAME, self.router.unsubscribe, agent, topic)
            return
        assert same(self.router.unsubscribe(agent, topic), self.told(agent, topic, False))
        self.subscriptions.remove((agent, topic))
        assert self.router.unsubscribe(agent, topic) == []

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, pattern=NAMESPACES)
    def observe(self, pick: int, pattern: Pattern) -> None:
        agent = self.agent(pick)
        if ("observe", agent.name.organization, pattern.prefix[0]) not in self.grants:
            self.refused(Code.NOT_PERMITTED, self.router.observe, agent, pattern)
            return
        self.router.observe(agent, pattern)
        if (agent, pattern) not in self.observations:
            self.observations.append((agent, pattern))

    @precondition(lambda self: self.observations)
    @rule(pick=PICK)
    def unobserve(self, pick: int) -> None:
        agent, pattern = self.observations.pop(pick % len(self.observations))
        self.router.unobserve(agent, pattern)
        self.router.unobserve(agent, pattern)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, topic=TOPICS)
    def watch(self, pick: int, topic: Name) -> None:
        agent = self.agent(pick)
        if not self.allowed("watch", agent, topic):
            self.refused(Code.NOT_PERMITTED, self.router.watch, agent, topic)
            return
        here = [topic.at(member.name.instance) for member in self.members(topic) if member is not agent]
        assert sorted(self.router.watch(agent, topic)) == sorted(here)
        if (agent, topic) not in self.watches:
            self.watches.append((agent, topic))

    @precondition(lambda self: self.watches)
    @rule(pick=PICK)
    def unwatch(self, pick: int) -> None:
        agent, topic = self.watches.pop(pick % len(self.watches))
        self.router.unwatch(agent, topic)
        self.router.unwatch(agent, topic)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, pattern=PATTERNS, other=PICK)
    def set_route(self, pick: int, pattern: Pattern, other: int) -> None:
        agent, via = self.agent(pick), self.agent(other)
        organization = agent.name.organization
        if via.name.organization != organization:
            self.refused(Code.NO_ROUTE, self.router.set_route, agent, pattern, via)
            return
        self.router.set_route(agent, pattern, via)
        self.routes = [fact for fact in self.routes if fact[:2] != (organization, pattern)]
        self.routes.append((organization, pattern, via, agent.link))  # type: ignore[arg-type]

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, pattern=PATTERNS)
    def remove_route(self, pick: int, pattern: Pattern) -> None:
        agent = self.agent(pick)
        self.router.remove_route(agent, pattern)
        self.routes = [fact for fact in self.routes if fact[:2] != (agent.name.organization, pattern)]

    @precondition(lambda self: self.subscriptions)
    @rule(pick=PICK, length=st.integers(0, 2), name=NAMES, there=st.booleans())
    def set_standing(self, pick: int, length: int, name: Name, there: bool) -> None:
        """To a type that somebody is subscribed to, perhaps nobody of its own organization."""
        _, via = self.subscriptions[pick % len(self.subscriptions)]
        table = self.standing[via.organization]
        pattern = Pattern(name[:length])
        if there:
            table[pattern] = via
        else:
            table.pop(pattern, None)
        self.router.set_standing(via.organization, dict(table))

    # -- messages --------------------------------------------------------------------------------------

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, name=NAMES)
    def pin(self, pick: int, name: Name) -> None:
        self.new_pin(self.agent(pick), name)

    def new_pin(self, agent: Agent, name: Name) -> None:
        allowed = self.allowed("publish", agent, name)
        if not allowed and not self.is_covered(agent.name.organization, name):
            with pytest.raises(Refused) as caught:
                self.router.pin(agent, name)
            # One text, whether or not the name exists.
            assert (caught.value.code, caught.value.detail) == (Code.NOT_PERMITTED, f"publish {name}")
            return
        self.pins.append(Pin(self.router.pin(agent, name), agent, name, not allowed))

    @precondition(lambda self: self.pins)
    @rule(pick=PICK)
    def unpin(self, pick: int) -> None:
        self.router.unpin(self.pins.pop(pick % len(self.pins)).entry)

    @precondition(lambda self: self.pins)
    @rule(pick=PICK, fanout=st.integers(0, 4))
    def send(self, pick: int, fanout: int) -> None:
        self.send_by(self.pins[pick % len(self.pins)], fanout)

    def send_by(self, pin: Pin, fanout: int) -> None:
        if not pin.agent.registered:
            return
        before = pin.entry.version if isinstance(pin.entry, TypeEntry) else 0
        decision = self.router.decide(pin.agent, pin.entry, fanout)
        assert not isinstance(pin.entry, TypeEntry) or pin.entry.version == before
        self.check_isolation(pin, decision)
        if pin.name.is_instance:
            self.check_instance(pin, decision)
        else:
            self.check_type(pin, decision, fanout)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, name=NAMES, fanout=st.integers(0, 4))
    def pin_and_send(self, pick: int, name: Name, fanout: int) -> None:
        self.send_from(self.agent(pick), name, fanout)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, other=PICK, instance=st.booleans(), fanout=st.integers(0, 4))
    def send_to_somebody(self, pick: int, other: int, instance: bool, fanout: int) -> None:
        receiver, topic = self.subscriptions[other % len(self.subscriptions)]
        name = topic.at(receiver.name.instance) if instance else topic
        self.send_from(self.agent(self.agents.index(receiver) + 1 + pick), name, fanout)

    def send_from(self, agent: Agent, name: Name, fanout: int) -> None:
        held = len(self.pins)
        self.new_pin(agent, name)
        for pin in self.pins[held:]:
            self.send_by(pin, fanout)

    def check_instance(self, pin: Pin, decision: Decision) -> None:
        holder = None if pin.detached else self.holder(pin.name)
        if holder is not None and holder is not pin.agent:
            assert decision == Decision([Hop(holder.link, None)], 1)
        else:
            assert decision.count == len(decision.hops)
            self.check_carried(pin, decision)

    def check_type(self, pin: Pin, decision: Decision, fanout: int) -> None:
        members = [] if pin.detached else [a for a in self.members(pin.name) if a is not pin.agent]
        as_is = [hop.link for hop in decision.hops if hop.entry is None]
        chosen = [hop for hop in decision.hops if hop.entry is not None]
        observers = set() if pin.detached else self.observed(pin)
        if not members:
            self.check_carried(pin, decision)
            by_route = decision.hops[: decision.count]
            expected = observers | {hop.link for hop in by_route if hop.entry is None}
        elif fanout == 0:
            expected = observers | {member.link for member in members}
            assert (decision.count, chosen) == (len(members), [])
        else:
            expected = observers
            self.check_choice(pin, chosen, members, min(fanout, len(members)))
            assert decision.count == len(chosen)
        assert set(as_is) == expected
        assert len(as_is) == len(expected)

    def check_carried(self, pin: Pin, decision: Decision) -> None:
        """The first hop, if there is somebody to carry it."""
        standing, agents = self.carriers(pin.home, pin.name, pin.agent)
        assert decision.count == bool(agents)
        for hop in decision.hops[: decision.count]:
            if standing:
                assert hop.entry is not None
                assert hop.entry.agent in agents
                assert hop.link is hop.entry.agent.link
                assert hop.link.full <= all(agent.link.full for agent in agents)
            else:
                assert hop == Hop(agents[0].link, None)

    def observed(self, pin: Pin) -> set[Any]:
        return {
            a.link for a, pattern in self.observations if pattern.matches(pin.name) and a is not pin.agent
        }

    def check_choice(self, pin: Pin, chosen: list[Hop], members: list[Agent], n: int) -> None:
        got = [hop.entry for hop in chosen]
        assert len({entry.name for entry in got if entry}) == len(got) == n
        for hop in chosen:
            assert hop.entry is not None
            assert hop.entry.agent in members
            assert hop.entry.name == pin.name.at(hop.entry.agent.name.instance)
            assert hop.link is hop.entry.agent.link
        ready = sum(not member.link.full for member in members)
        assert sum(hop.link.full for hop in chosen) == max(0, n - ready)

    # -- promises --------------------------------------------------------------------------------------

    def check_isolation(self, pin: Pin, decision: Decision) -> None:
        """Each hop has somebody on its link who may have the message, and the message may go there."""
        for hop in decision.hops:
            readers = [hop.entry.agent] if hop.entry else [a for a in self.agents if a.link is hop.link]
            assert any(reader and self.witnessed(pin, reader) for reader in readers)

    def witnessed(self, pin: Pin, reader: Agent) -> bool:
        source, reads, at = pin.organization, reader.name.organization, pin.name.organization
        if source == reads:
            return True
        may_send = source == at or ("publish", source, at) in self.given
        may_read = reads == at or any((verb, reads, at) in self.given for verb in ("subscribe", "observe"))
        return may_send and may_read

    @invariant()
    def the_tables_hold_the_facts(self) -> None:
        assert {pin.entry.number for pin in self.pins} <= self.router.entries.keys()
        for pin in self.pins:
            assert self.router.entries[pin.entry.number] is pin.entry
            assert (pin.entry.name, pin.entry.tenant) == (pin.name, pin.home)
        occupied = {
            e.name: e.agent for e in self.router.entries.values() if isinstance(e, InstanceEntry) and e.agent
        }
        assert occupied == {topic.at(a.name.instance): a for a, topic in self.subscriptions}

    @invariant()
    def nothing_is_left_over(self) -> None:
        needed = {(topic.organization, topic.at(a.name.instance)) for a, topic in self.subscriptions}
        needed |= {(pin.home, pin.name) for pin in self.pins}
        needed |= {(topic.organization, topic) for _, topic in self.watches}
        needed |= {(home, name.type_name) for home, name in needed if home == name.organization}
        assert sorted((e.tenant, e.name) for e in self.router.entries.values()) == sorted(needed)
        assert all(entry.number not in self.router.entries for entry in self.router.take_dead())

    @invariant()
    def limits_are_counted(self) -> None:
        for pipe in self.pipes:
            own = [agent for agent in self.agents if agent.link is pipe]
            there = [agent for agent in own if self.router.agent(agent.name) is agent]
            assert len(there) == len(own)
            here = [a.link for a, _ in self.subscriptions + self.observations].count(pipe)
            assert self.router.counts(pipe) == (
                len(own),
                here - len(own),
                sum(owner is pipe for *_, owner in self.routes),
                [agent.link for agent, _ in self.watches].count(pipe),
            )


def same(got: list[Presence], expected: list[Presence]) -> bool:
    def key(event: Presence) -> tuple[Any, ...]:
        return id(event.link), event.watcher.name, event.name, event.present

    return sorted(got, key=key) == sorted(expected, key=key)


TestRouting = RoutingMachine.TestCase
TestRouting.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


# -- planted faults ------------------------------------------------------------------------------------


class CrossesAlways(Router):
    """Every foreign name is given out."""

    def __init__(self, numbers: Any, chooser: Any, rules: Any) -> None:
        super().__init__(numbers, chooser, Crossing(lambda verb, source, target: True))


class OneTrieForAll(Router):
    """A trie that forgets the organization."""

    def __init__(self, numbers: Any, chooser: Any, rules: Any) -> None:
        super().__init__(numbers, chooser, rules)
        one = self._subscriptions.namespace("red", "n")

        class Flat(Subscriptions):
            def namespace(self, organization: str, name: str) -> Any:
                return one

        self._subscriptions.__class__ = Flat


class TellsTheSender(Router):
    """The sender gets its own messages."""

    def decide(self, agent: Agent, entry: Entry, fanout: int) -> Decision:
        return super().decide(Agent(agent.name, agent.link, agent.entry), entry, fanout)


class RoutesForAll(Router):
    """Another tenant's routes are used."""

    def decide(self, agent: Agent, entry: Entry, fanout: int) -> Decision:
        decision = super().decide(agent, entry, fanout)
        for tenant in self._subscriptions.tenants.values():
            if not decision.count and tenant.name != entry.tenant:
                hops = [Hop(route.via.link, None) for route in tenant.routes.values()]
                decision = Decision(hops[:1], len(hops[:1]))
        return decision


class ObservesUnasked(Router):
    """An observer of one namespace gets what is sent to all."""

    def decide(self, agent: Agent, entry: Entry, fanout: int) -> Decision:
        decision = super().decide(agent, entry, fanout)
        for tenant in self._subscriptions.tenants.values():
            for namespace in tenant.namespaces.values():
                decision.hops.extend(Hop(observer.link, None) for observer in namespace.observers)
        return decision


class ForgetsNothing(Router):
    """A link that went away stays in the trie."""

    def detach(self, link: Any) -> list[Presence]:
        held = self._connections.links[link]
        held.agents = {}
        return super().detach(link)


class StandsForOthers(Router):
    """Another tenant's standing routes are used."""

    def standing(self, organization: str) -> Standing:
        return {prefix: via for table in self._standing.values() for prefix, via in table.items()}


FAULTS = [
    StandsForOthers,
    CrossesAlways,
    OneTrieForAll,
    TellsTheSender,
    RoutesForAll,
    ObservesUnasked,
    ForgetsNothing,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault: type[Router]) -> None:
    class Faulty(RoutingMachine):
        router_class = fault

    quick = settings(
        max_examples=300,
        stateful_step_count=60,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, KeyError, Refused, pytest.fail.Exception)):
        run_state_machine_as_test(Faulty, settings=quick)


def test_isolation_alone_finds_a_leak() -> None:
    """The check that does not look into the model finds a router that lets everybody cross."""
    router = CrossesAlways(
        itertools.count(1).__next__, random.Random(1).randrange, Crossing(lambda *_: False)
    )
    machine = RoutingMachine()
    pipes = [Pipe(1), Pipe(2)]
    for pipe, organization in zip(pipes, ("red", "blue"), strict=True):
        router.attach(pipe)
        machine.agents.append(router.register(pipe, Name(organization, "n", "t", "1")).agent)
    entry = router.pin(machine.agents[0], Name("blue", "n", "t"))
    pin = Pin(entry, machine.agents[0], entry.name, detached=False)
    with pytest.raises(AssertionError):
        machine.check_isolation(pin, router.decide(pin.agent, entry, 0))
    machine.given.add(("publish", "red", "blue"))
    machine.check_isolation(pin, router.decide(pin.agent, entry, 0))
