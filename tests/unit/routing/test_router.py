"""agpd/routing/router.py: every verb on whole tables, the boundary between tenants, the cost of an end."""

import itertools
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from scenarios.rules import Crossing

from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, parse, parse_pattern
from agpd.routing.connections import Agent
from agpd.routing.fanout import Decision, Hop
from agpd.routing.router import Router
from agpd.routing.subscriptions import InstanceEntry, Presence, TypeEntry

TOPIC = parse("acme/docs/topic")
DOCS = parse_pattern("acme/docs/*")


class Pipe:
    full = False
    hears_itself = True


class World:
    """A router, grants as a set of (verb, organization, target), and agents by their short names."""

    def __init__(self, router_class: type[Router] = Router) -> None:
        self.grants: set[tuple[str, str, str]] = set()
        self.router = router_class(
            itertools.count(1).__next__,
            random.Random(1).randrange,
            Crossing(lambda verb, source, target: (verb, source.organization, str(target)) in self.grants),
        )

    def link(self) -> Pipe:
        link = Pipe()
        self.router.attach(link)
        return link

    def agent(self, name: str, link: Pipe | None = None) -> Agent:
        return self.router.register(link or self.link(), parse(name)).agent

    def send(self, agent: Agent, name: str, fanout: int = 0) -> Decision:
        entry = self.router.pin(agent, parse(name))
        decision = self.router.decide(agent, entry, fanout)
        self.router.unpin(entry)
        return decision


@pytest.fixture
def world() -> World:
    return World()


def refusal(call: Callable[..., object], *arguments: object) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code, caught.value.detail


# -- links and agents ----------------------------------------------------------------------------------


def test_a_registered_agent_is_reached_by_instance_and_by_type(world: World) -> None:
    sender, writer = world.agent("acme/docs/user/u1"), world.agent("acme/docs/writer/u1")
    assert world.send(sender, "acme/docs/writer/u1") == ([Hop(writer.link, None)], 1)
    assert world.send(sender, "acme/docs/writer", 0) == ([Hop(writer.link, None)], 1)
    assert world.send(sender, "acme/docs/writer", 1) == ([Hop(writer.link, writer.entry)], 1)
    assert world.router.agent(writer.name) is writer
    assert world.router.counts(writer.link).agents == 1
    assert world.router.entries[writer.entry.number] is writer.entry


def test_an_agent_has_four_segments(world: World) -> None:
    code, _ = refusal(world.router.register, world.link(), parse("acme/docs/writer"))
    assert code == Code.INVALID_NAME
    assert world.router.entries == {}


def test_a_name_is_taken_once(world: World) -> None:
    writer = world.agent("acme/docs/writer/u1")
    for link in (writer.link, world.link()):
        assert refusal(world.router.register, link, writer.name) == (Code.NAME_TAKEN, str(writer.name))
    assert writer.registered


@pytest.mark.parametrize("same_link", [True, False])
def test_a_takeover_removes_the_old_agent_with_all_it_held(world: World, same_link: bool) -> None:
    old = world.agent("acme/docs/writer/u1")
    neighbour = world.agent("acme/docs/writer/u2", old.link)  # type: ignore[arg-type]
    world.router.subscribe(old, TOPIC)
    world.router.set_route(neighbour, DOCS, old)
    watcher = world.agent("acme/docs/user/u1")
    world.router.watch(watcher, old.name.type_name)
    pinned = world.router.pin(watcher, old.name)

    new, displaced, evicted, presence = world.router.register(
        old.link if same_link else world.link(), old.name, takeover=True
    )

    assert (displaced, evicted) == (old, None)
    assert not old.registered
    assert presence == [
        Presence(watcher.link, watcher, old.name, False),
        Presence(watcher.link, watcher, old.name, True),
    ]
    assert new.entry is pinned  # whoever holds the entry reaches the new one
    assert world.router.decide(watcher, pinned, 0) == ([Hop(new.link, None)], 1)
    assert world.send(watcher, str(TOPIC)) == ([], 0)
    assert world.router.counts(old.link) == (2 if same_link else 1, 0, 0, 0)


def test_a_takeover_of_a_free_name_displaces_nobody(world: World) -> None:
    assert world.router.register(world.link(), parse("acme/docs/writer/u1"), True).displaced is None


@pytest.mark.parametrize("takeover", [True, False])
def test_an_address_held_by_a_subscription_goes_to_the_agent_of_that_name(
    world: World, takeover: bool
) -> None:
    squatter, watcher = world.agent("acme/docs/writer/u1"), world.agent("acme/docs/user/u2")
    world.router.subscribe(squatter, TOPIC)
    world.router.watch(watcher, TOPIC)
    pinned = world.router.pin(watcher, TOPIC.at("u1"))
    assert world.router.decide(watcher, pinned, 0) == ([Hop(squatter.link, None)], 1)

    owner, displaced, evicted, presence = world.router.register(world.link(), TOPIC.at("u1"), takeover)

    assert (displaced, evicted) == (None, squatter)
    assert presence == [
        Presence(watcher.link, watcher, owner.name, False),
        Presence(watcher.link, watcher, owner.name, True),
    ]
    assert owner.entry is pinned
    assert world.router.decide(watcher, pinned, 0) == ([Hop(owner.link, None)], 1)
    assert world.send(watcher, str(TOPIC)) == ([Hop(owner.link, None)], 1)
    assert squatter.registered
    assert world.send(watcher, str(squatter.name)) == ([Hop(squatter.link, None)], 1)
    assert world.router.counts(squatter.link) == (1, 0, 0, 0)
    assert refusal(world.router.subscribe, squatter, TOPIC)[0] == Code.NAME_TAKEN
    world.router.unpin(pinned)
    world.router.detach(squatter.link)
    assert owner.registered


def test_a_link_has_the_routes_that_it_set(world: World) -> None:
    setter, other = world.agent("acme/docs/writer/u1"), world.agent("acme/docs/writer/u2")
    foreign = world.agent("globex/docs/writer/u1")
    world.router.set_route(setter, DOCS, setter)
    assert world.router.has_route(setter, DOCS)
    assert not world.router.has_route(setter, parse_pattern("acme/*"))
    assert not world.router.has_route(other, DOCS)
    assert not world.router.has_route(foreign, DOCS)
    world.router.set_route(other, DOCS, other)
    assert world.router.has_route(other, DOCS)
    assert not world.router.has_route(setter, DOCS)


def test_detaching_leaves_nothing(world: World) -> None:
    link = world.link()
    agents = [world.agent(f"acme/docs/writer/u{n}", link) for n in range(3)]
    world.grants.add(("observe", "acme", "acme/docs/*"))
    for agent in agents:
        world.router.subscribe(agent, TOPIC)
        world.router.watch(agent, TOPIC)
        world.router.observe(agent, DOCS)
        world.router.set_route(agent, DOCS, agent)
    assert world.router.counts(link) == (3, 6, 1, 3)
    numbers = set(world.router.entries)
    assert world.router.detach(link) == []  # those who go together are not told
    assert world.router.entries == {}
    assert world.router._subscriptions.tenants == {}
    assert {entry.number for entry in world.router.take_dead()} == numbers
    assert world.router.take_dead() == []
    assert world.router.detach(link) == []
    with pytest.raises(KeyError):
        world.router.counts(link)


def test_detaching_ends_the_routes_that_the_link_set(world: World) -> None:
    owner, via, sender = (world.agent(f"acme/docs/{kind}/u1") for kind in ("owner", "via", "sender"))
    world.router.set_route(owner, DOCS, via)
    assert world.send(sender, "acme/docs/nobody") == ([Hop(via.link, None)], 1)
    world.router.detach(owner.link)
    assert world.send(sender, "acme/docs/nobody") == ([], 0)


def test_one_that_is_gone_is_refused_and_undoes_nothing(world: World) -> None:
    gone, other = world.agent("acme/docs/writer/u1"), world.agent("acme/docs/user/u1")
    world.router.set_route(other, DOCS, other)
    world.router.unregister(gone)
    router = world.router
    acts: list[tuple[Callable[..., object], Any]] = [
        (router.subscribe, TOPIC),
        (router.watch, TOPIC),
        (router.observe, DOCS),
        (router.pin, TOPIC),
    ]
    for act, argument in acts:
        assert refusal(act, gone, argument)[0] == Code.NOT_REGISTERED
    assert refusal(router.set_route, gone, DOCS, other)[0] == Code.NOT_REGISTERED
    router.remove_route(gone, DOCS)
    assert router.unregister(gone) == router.unsubscribe(gone, TOPIC) == []
    router.unwatch(gone, TOPIC)
    router.unobserve(gone, DOCS)
    assert router.counts(other.link).routes == 1


# -- topics, presence, observation ---------------------------------------------------------------------


def test_a_subscriber_is_reached_by_the_topic_in_every_way(world: World) -> None:
    sender, writer = world.agent("acme/docs/user/u1"), world.agent("acme/docs/writer/u7")
    world.router.subscribe(writer, TOPIC)
    assert world.router.subscribe(writer, TOPIC) == []
    assert world.router.counts(writer.link).subscriptions == 1
    assert world.send(sender, "acme/docs/topic/u7") == ([Hop(writer.link, None)], 1)
    assert world.send(sender, "acme/docs/topic") == ([Hop(writer.link, None)], 1)
    assert world.send(sender, "acme/docs/topic", 3) == ([Hop(writer.link, writer.entries[TOPIC])], 1)
    world.router.unsubscribe(writer, TOPIC)
    assert world.router.counts(writer.link).subscriptions == 0
    assert world.send(sender, "acme/docs/topic") == ([], 0)


def test_an_address_under_a_topic_is_held_by_one(world: World) -> None:
    world.router.subscribe(world.agent("acme/docs/writer/u1"), TOPIC)
    second = world.agent("acme/docs/reviewer/u1")
    assert refusal(world.router.subscribe, second, TOPIC) == (Code.NAME_TAKEN, "acme/docs/topic/u1")
    assert world.router.counts(second.link).subscriptions == 0


def test_what_cannot_be_subscribed(world: World) -> None:
    writer = world.agent("acme/docs/writer/u1")
    for act in (world.router.subscribe, world.router.watch):
        assert refusal(act, writer, TOPIC.at("u1"))[0] == Code.INVALID_NAME
    assert refusal(world.router.unsubscribe, writer, writer.name.type_name)[0] == Code.INVALID_NAME
    world.grants.add(("observe", "acme", "acme/*"))
    for text in ("*", "acme/*", "acme/docs/topic"):
        assert refusal(world.router.observe, writer, parse_pattern(text))[0] == Code.INVALID_NAME


def test_a_watcher_hears_of_others_only(world: World) -> None:
    watcher, early = world.agent("acme/docs/user/u0"), world.agent("acme/docs/writer/u1")
    world.router.subscribe(early, TOPIC)
    assert world.router.watch(watcher, TOPIC) == [TOPIC.at("u1")]
    late = world.agent("acme/docs/writer/u2")
    assert world.router.subscribe(late, TOPIC) == [Presence(watcher.link, watcher, TOPIC.at("u2"), True)]
    assert world.router.unregister(late) == [Presence(watcher.link, watcher, TOPIC.at("u2"), False)]
    assert world.router.unsubscribe(early, TOPIC) == [Presence(watcher.link, watcher, TOPIC.at("u1"), False)]
    assert world.router.subscribe(watcher, TOPIC) == []
    assert world.router.watch(watcher, TOPIC) == []  # again: a snapshot without itself
    assert world.router.counts(watcher.link).watches == 1
    other = world.agent("acme/docs/user/u9")
    world.router.watch(other, TOPIC)
    world.router.unwatch(watcher, TOPIC)
    assert world.router.counts(watcher.link).watches == 0
    assert world.router.subscribe(early, TOPIC) == [Presence(other.link, other, TOPIC.at("u1"), True)]


@pytest.mark.parametrize("fanout", [0, 1, 2])
def test_an_observer_gets_a_copy_of_what_goes_to_types_and_is_not_counted(world: World, fanout: int) -> None:
    observer = world.agent("acme/audit/observer/u1")
    assert refusal(world.router.observe, observer, DOCS) == (Code.NOT_PERMITTED, "observe acme/docs/*")
    world.grants.add(("observe", "acme", "acme/docs/*"))
    world.router.observe(observer, DOCS)
    world.router.observe(observer, DOCS)
    assert world.router.counts(observer.link).subscriptions == 1
    sender, writer = world.agent("acme/docs/user/u1"), world.agent("acme/docs/writer/u1")
    hops, count = world.send(sender, "acme/docs/writer", fanout)
    assert count == 1
    assert hops[1:] == [Hop(observer.link, None)]
    assert world.send(sender, "acme/docs/writer/u1") == ([Hop(writer.link, None)], 1)
    assert world.send(sender, "acme/docs/nobody", fanout) == ([Hop(observer.link, None)], 0)
    assert world.send(sender, "acme/mail/nobody", fanout) == ([], 0)
    world.router.unobserve(observer, DOCS)
    assert world.send(sender, "acme/docs/nobody", fanout) == ([], 0)
    assert world.router.counts(observer.link).subscriptions == 0


# -- routes --------------------------------------------------------------------------------------------


def test_a_route_carries_what_reaches_nobody_else(world: World) -> None:
    sender, via = world.agent("acme/docs/user/u1"), world.agent("acme/net/bridge/u1")
    world.router.set_route(sender, parse_pattern("*"), via)
    carried = ([Hop(via.link, None)], 1)
    for name in ("acme/docs/nobody", "acme/docs/nobody/u1", "acme/docs/user", "acme/docs/user/u1"):
        assert world.send(sender, name, 2) == carried
    other = world.agent("acme/docs/user/u2")
    assert world.send(sender, "acme/docs/user") == ([Hop(other.link, None)], 1)
    assert world.send(sender, "acme/docs/user/u9") == carried  # never another instance
    assert world.send(via, "acme/docs/nobody") == ([], 0)  # never back
    world.router.remove_route(other, parse_pattern("*"))
    world.router.remove_route(other, parse_pattern("*"))
    assert world.send(sender, "acme/docs/nobody") == ([], 0)


def test_a_route_for_one_instance_carries_that_one_only(world: World) -> None:
    sender, via = world.agent("acme/docs/user/u1"), world.agent("acme/net/bridge/u1")
    world.router.set_route(sender, parse_pattern("acme/docs/writer/u1"), via)
    assert world.send(sender, "acme/docs/writer/u1") == ([Hop(via.link, None)], 1)
    assert world.send(sender, "acme/docs/writer/u2") == world.send(sender, "acme/docs/writer") == ([], 0)


def test_a_route_ends_with_the_agent_it_goes_through(world: World) -> None:
    setter, via = world.agent("acme/docs/user/u1"), world.agent("acme/net/bridge/u1")
    world.router.set_route(setter, DOCS, via)
    world.router.unregister(via)
    assert world.router.counts(setter.link).routes == 0
    assert world.send(setter, "acme/docs/nobody") == ([], 0)


def test_a_route_outlives_the_agent_that_set_it_on_a_link_that_stays(world: World) -> None:
    setter, via, sender = (world.agent(f"acme/docs/{kind}/u1") for kind in ("setter", "via", "sender"))
    world.router.set_route(setter, DOCS, via)
    world.router.unregister(setter)
    assert world.send(sender, "acme/docs/nobody").count == 1
    assert world.router.counts(setter.link).routes == 1


def test_a_route_leads_to_somebody_here_and_of_the_same_tenant(world: World) -> None:
    setter, foreign = world.agent("acme/docs/user/u1"), world.agent("other/net/bridge/u1")
    gone = world.agent("acme/net/bridge/u1")
    world.router.unregister(gone)
    answers = {refusal(world.router.set_route, setter, DOCS, via) for via in (None, gone, foreign)}
    assert [code for code, _ in answers] == [Code.NO_ROUTE]


# -- between tenants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["other/docs/writer", "other/docs/writer/u1"])
def test_a_foreign_name_is_refused_alike_whether_or_not_it_exists(world: World, name: str) -> None:
    sender = world.agent("acme/docs/user/u1")
    absent = refusal(world.router.pin, sender, parse(name))
    world.agent("other/docs/writer/u1")
    assert refusal(world.router.pin, sender, parse(name)) == absent == (Code.NOT_PERMITTED, f"publish {name}")


def test_a_refused_look_at_a_foreign_name_costs_the_same_work(world: World) -> None:
    sender = world.agent("acme/docs/user/u1")
    absent = work(lambda: refusal(world.router.pin, sender, parse("other/docs/writer")))
    world.agent("other/docs/writer/u1")
    assert work(lambda: refusal(world.router.pin, sender, parse("other/docs/writer"))) == absent


def test_a_grant_to_publish_opens_the_real_entry(world: World) -> None:
    sender, writer = world.agent("acme/docs/user/u1"), world.agent("other/docs/writer/u1")
    world.grants.add(("publish", "acme", "other/docs/writer"))
    assert world.send(sender, "other/docs/writer") == ([Hop(writer.link, None)], 1)
    assert refusal(world.router.pin, sender, writer.name)[0] == Code.NOT_PERMITTED


def test_a_foreign_topic_takes_a_grant_for_each_verb(world: World) -> None:
    reader, sender = world.agent("acme/docs/user/u1"), world.agent("other/docs/writer/u2")
    topic = parse("other/docs/topic")
    world.grants.add(("publish", "acme", str(topic)))
    assert refusal(world.router.subscribe, reader, topic) == (Code.NOT_PERMITTED, f"subscribe {topic}")
    assert refusal(world.router.watch, reader, topic) == (Code.NOT_PERMITTED, f"watch {topic}")
    assert refusal(world.router.observe, reader, parse_pattern("other/docs/*"))[0] == Code.NOT_PERMITTED
    world.grants |= {("subscribe", "acme", str(topic)), ("observe", "acme", "other/docs/*")}
    world.router.subscribe(reader, topic)
    world.router.observe(reader, parse_pattern("other/docs/*"))
    assert world.send(sender, str(topic)) == ([Hop(reader.link, None)], 1)
    assert world.send(sender, "other/docs/nobody") == ([Hop(reader.link, None)], 0)


@pytest.mark.parametrize("name", ["other/docs/writer", "other/docs/writer/u1"])
def test_a_route_of_ones_own_carries_a_foreign_name_and_reaches_nobody_there(world: World, name: str) -> None:
    sender, via = world.agent("acme/docs/user/u1"), world.agent("acme/net/bridge/u1")
    writer = world.agent("other/docs/writer/u1")
    world.grants.add(("observe", "other", "other/docs/*"))
    world.router.observe(writer, parse_pattern("other/docs/*"))
    world.router.set_route(via, parse_pattern("other/*"), via)
    entry = world.router.pin(sender, parse(name))
    assert entry.tenant == "acme"
    assert world.router.pin(via, parse(name)) is entry
    assert world.router.decide(sender, entry, 1) == ([Hop(via.link, None)], 1)
    world.router.unregister(via)
    assert world.router.decide(sender, entry, 1) == ([], 0)
    world.router.unpin(entry)
    world.router.unpin(entry)
    assert entry in world.router.take_dead()


def test_the_routes_of_one_tenant_do_not_serve_another(world: World) -> None:
    sender, bridge = world.agent("acme/docs/user/u1"), world.agent("other/net/bridge/u1")
    world.router.set_route(bridge, parse_pattern("*"), bridge)
    assert world.send(sender, "acme/docs/nobody") == ([], 0)
    assert refusal(world.router.pin, sender, parse("other/docs/writer"))[0] == Code.NOT_PERMITTED


# -- entries -------------------------------------------------------------------------------------------


def test_a_pinned_entry_outlives_who_was_there(world: World) -> None:
    sender, writer = world.agent("acme/docs/user/u1"), world.agent("acme/docs/writer/u1")
    instance, of = world.router.pin(sender, writer.name), world.router.pin(sender, writer.name.type_name)
    assert isinstance(instance, InstanceEntry)
    assert isinstance(of, TypeEntry)
    world.router.detach(writer.link)
    assert world.router.take_dead() == []
    assert world.router.decide(sender, instance, 0) == world.router.decide(sender, of, 0) == ([], 0)
    again = world.agent(str(writer.name))
    assert again.entry is instance
    assert world.router.decide(sender, of, 0) == ([Hop(again.link, None)], 1)
    with pytest.raises(AssertionError, match="not pinned"):
        world.router.unpin(world.router.entries[sender.entry.number])


# -- costs ---------------------------------------------------------------------------------------------


def work(act: Callable[[], object]) -> int:
    """How many bytecode instructions `act` runs in the routing core: work without a clock."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "agpd/routing/" not in frame.f_code.co_filename and event == "call":
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = (
        True  # Python 3.12 asks when tracing begins whether anybody wants opcodes
    )
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def populated(others: int, router_class: type[Router] = Router) -> tuple[World, Pipe]:
    """A world where one link holds ten agents with ten topics each, beside `others` in the same topics."""
    world = World(router_class)
    crowd, link = world.link(), world.link()
    for number in range(others):
        stranger = world.agent(f"acme/docs/crowd/c{number}", crowd)
        world.router.subscribe(stranger, parse(f"acme/docs/topic{number % 10}"))
    for number in range(10):
        agent = world.agent(f"acme/docs/writer/u{number}", link)
        for topic in range(10):
            world.router.subscribe(agent, parse(f"acme/docs/topic{topic}"))
    return world, link


def test_the_end_of_a_link_costs_what_it_held() -> None:
    costs = []
    for others in (10, 5000):
        world, link = populated(others)
        costs.append(work(lambda w=world, one=link: w.router.detach(one)))  # type: ignore[misc]
    assert costs[0] == costs[1] > 1000


def test_the_measure_of_work_notices_a_scan() -> None:
    class Scanning(Router):
        def detach(self, link: Any) -> list[Presence]:
            presence = super().detach(link)
            for entry in self.entries.values():
                assert entry.tenant
            return presence

    costs = []
    for others in (10, 500):
        world, link = populated(others, Scanning)
        costs.append(work(lambda w=world, one=link: w.router.detach(one)))  # type: ignore[misc]
    assert costs[1] > costs[0]


def test_a_decision_costs_the_same_among_many_subscriptions() -> None:
    costs = []
    for others in (10, 5000):
        world, _ = populated(others)
        sender = world.agent("acme/docs/user/u1")
        world.agent("acme/docs/few/f1"), world.agent("acme/docs/few/f2")
        entries = [world.router.pin(sender, parse(f"acme/docs/{n}")) for n in ("few", "few/f1")]
        costs.append([work(lambda w=world, s=sender, e=e: w.router.decide(s, e, 0)) for e in entries])  # type: ignore[misc]
    assert costs[0] == costs[1]


class Denying(Crossing):
    """Denies what is in it: (verb, text of the target)."""

    def __init__(self, *denied: tuple[str, str]) -> None:
        super().__init__(lambda *_: False)
        self.denied = set(denied)

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        return (verb, str(target)) not in self.denied and super().allows(verb, subject, target)

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        return (verb, str(target)) not in self.denied and super().allows_pattern(verb, subject, target)


def denying(*denied: tuple[str, str]) -> World:
    world = World()
    world.router = Router(itertools.count(1).__next__, random.Random(1).randrange, Denying(*denied))
    return world


def test_what_is_denied_in_the_own_organization_is_refused() -> None:
    topic = "acme/docs/topic"
    verbs = ("subscribe", "watch", "publish", "request")
    world = denying(*((verb, topic) for verb in verbs), ("route", "acme/docs/*"))
    agent, router = world.agent("acme/docs/writer/1"), world.router
    router.set_route(agent, parse_pattern("*"), agent)
    for verb, call in (("subscribe", router.subscribe), ("watch", router.watch), ("publish", router.pin)):
        assert refusal(call, agent, parse(topic)) == (Code.NOT_PERMITTED, f"{verb} {topic}")
    assert refusal(router.set_route, agent, DOCS, agent) == (Code.NOT_PERMITTED, "route acme/docs/*")
    router.pin(agent, parse("acme/docs/other"))


@pytest.mark.parametrize("verb", ["publish", "request"])
def test_who_may_do_one_of_publish_and_request_opens_the_name(verb: str) -> None:
    world = denying((verb, "acme/docs/topic"))
    entry = world.router.pin(world.agent("acme/docs/writer/1"), parse("acme/docs/topic"))
    assert not entry.detached


def test_routes_of_a_link_are_dropped_once(world: World) -> None:
    link = world.link()
    agent = world.agent("acme/docs/writer/1", link)
    for text in ("acme/*", "*"):
        world.router.set_route(agent, parse_pattern(text), agent)
    first, second = world.router.routes_of(link)
    assert (str(first.pattern), str(second.pattern), first.via) == ("acme/*", "*", agent)
    assert world.router.drop_route(first)
    assert not world.router.drop_route(first)
    assert world.router.routes_of(link) == [second]
    world.router.detach(link)
    assert world.router.routes_of(link) == []
    assert not world.router.drop_route(second)


# -- agents that take no part in their type ------------------------------------------------------------


def test_an_unlisted_agent_is_reached_by_its_full_name_alone(world: World) -> None:
    sender, watcher = world.agent("acme/docs/user/u1"), world.agent("acme/docs/user/u2")
    world.router.watch(watcher, parse("acme/docs/writer"))
    quiet, *_, presence = world.router.register(world.link(), parse("acme/docs/writer/u1"), listed=False)
    assert presence == []
    assert world.send(sender, "acme/docs/writer/u1") == ([Hop(quiet.link, None)], 1)
    for fanout in (0, 1, 3):
        assert world.send(sender, "acme/docs/writer", fanout).count == 0

    event = Presence(watcher.link, watcher, quiet.name, True)
    assert world.router.enlist(quiet) == [event]
    assert world.router.enlist(quiet) == []
    assert world.send(sender, "acme/docs/writer", 0).count == 1
    assert world.router.delist(quiet) == [event._replace(present=False)]
    assert world.router.delist(quiet) == []
    assert world.send(sender, "acme/docs/writer", 0).count == 0
    assert world.send(sender, "acme/docs/writer/u1").count == 1


def test_an_unlisted_agent_leaves_without_a_trace(world: World) -> None:
    others = [world.agent(f"acme/docs/writer/u{number}") for number in range(3)]
    quiet = world.router.register(world.link(), parse("acme/docs/writer/q"), listed=False).agent
    assert world.router.unregister(quiet) == []
    assert [member.agent for member in others[0].entry.type.members] == others  # type: ignore[union-attr]
    assert world.router.delist(quiet) == []
    assert refusal(world.router.enlist, quiet)[0] == Code.NOT_REGISTERED


def test_only_who_may_subscribe_to_its_own_type_takes_part_in_it() -> None:
    world = World()
    quiet = world.router.register(world.link(), parse("acme/docs/writer/q"), listed=False).agent
    world.router._rules.allows = lambda verb, subject, target: False  # type: ignore[attr-defined]
    assert refusal(world.router.enlist, quiet)[0] == Code.NOT_PERMITTED


def test_a_message_to_an_instance_does_not_go_back_to_a_link_that_does_not_hear_itself(world: World) -> None:
    home = world.link()
    home.hears_itself = False
    one, other = world.agent("acme/docs/writer/u1", home), world.agent("acme/docs/writer/u2", home)
    assert world.send(one, str(other.name)) == ([], 0)
    home.hears_itself = True
    assert world.send(one, str(other.name)).count == 1


def test_an_agent_is_separate_by_its_instance_and_reached_by_its_own_kind_alone(world: World) -> None:
    plain, other = world.agent("acme/docs/writer/u1"), world.agent("acme/docs/writer/slim")
    one, two = world.agent("acme/docs/writer/slim-1"), world.agent("acme/docs/writer/slim-2")
    assert [agent.separate for agent in (plain, other, one, two)] == [False, False, True, True]
    assert world.send(one, str(two.name)).count == world.send(plain, str(other.name)).count == 1
    assert world.send(one, str(plain.name)) == world.send(plain, str(one.name)) == ([], 0)
    assert {hop.link for hop in world.send(one, "acme/docs/writer").hops} == {two.link}
    assert {hop.link for hop in world.send(plain, "acme/docs/writer").hops} == {other.link}


def test_a_route_does_not_lead_from_separate_agents_to_others(world: World) -> None:
    plain, bridge = world.agent("acme/docs/writer/u1"), world.agent("acme/docs/bridge/u1")
    one = world.agent("acme/docs/writer/slim-1")
    world.router.set_route(plain, parse_pattern("acme/*"), bridge)
    assert world.send(plain, "acme/docs/nobody").count == 1
    assert world.send(one, "acme/docs/nobody") == ([], 0)
