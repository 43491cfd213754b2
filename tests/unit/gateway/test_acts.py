"""agpd/gateway/acts.py: what agents ask for, whichever dialect they ask in. Answers are proved in test_verbs.py."""

from collections.abc import Callable

import pytest
from scenarios.harness import Peer, TokenDesk, World

from agpd.errors import Code, Refused
from agpd.gateway import acts
from agpd.gateway.dialects import Dialect
from agpd.gateway.link import Link
from agpd.gateway.quotas import Allowance
from agpd.names import Name, parse, parse_pattern
from agpd.routing.connections import Agent
from agpd.wire import frames
from agpd.wire.frames import Kind

ME, TYPE, CHAT, NEWS = map(parse, ("acme/lab/clerk/1", "acme/lab/clerk", "acme/lab/chat", "acme/lab/news"))


def code(act: Callable[..., object], *arguments: object, **options: object) -> Code:
    with pytest.raises(Refused) as caught:
        act(*arguments, **options)
    return caught.value.code


def registered(world: World, name: Name = ME, peer: Peer | None = None, **how: bool) -> tuple[Agent, Link]:
    link = (peer or world.peer()).link
    return acts.register(world.hub, link, name, takeover=how.pop("takeover", False), **how).agent, link


def members(world: World, topic: Name) -> list[Name]:
    found = world.hub.router._subscriptions.find_type(topic)
    return [] if found is None else [member.name for member in found.members]


def test_whoever_registers_is_a_source_of_its_link() -> None:
    world = World()
    changes: list[int] = []
    world.hub.types_changed = lambda: changes.append(1)
    agent, link = registered(world)
    assert link.sources == {agent.entry.number: agent}
    assert members(world, TYPE) == [ME]
    assert changes == [1]


def test_an_agent_may_be_reached_by_its_name_alone() -> None:
    world = World()
    agent, link = registered(world, listed=False)
    assert members(world, TYPE) == []
    acts.subscribe(world.hub, link, agent, TYPE)
    acts.subscribe(world.hub, link, agent, TYPE)
    assert members(world, TYPE) == [ME]
    acts.unsubscribe(world.hub, agent, TYPE)
    acts.unsubscribe(world.hub, agent, TYPE)
    assert members(world, TYPE) == []
    assert world.hub.router.agent(ME) is agent


@pytest.mark.parametrize(
    ("instance", "dialect", "fits"),
    [
        ("1", Dialect.NATIVE, True),
        ("agp-1", Dialect.NATIVE, False),
        ("slim-1", Dialect.NATIVE, False),
        ("agp-1", Dialect.AGP, True),
        ("slim-1", Dialect.AGP, False),
        ("1", Dialect.AGP, False),
        ("slim-1", Dialect.SLIM, True),
        ("agp-1", Dialect.SLIM, False),
    ],
)
def test_an_instance_tells_its_dialect(instance: str, dialect: Dialect, fits: bool) -> None:
    world = World()
    peer = world.peer()
    peer.link.dialect = dialect
    if fits:
        registered(world, TYPE.at(instance), peer)
        return
    assert code(registered, world, TYPE.at(instance), peer) is Code.INVALID_NAME
    assert world.hub.router.entries == {}


def test_nothing_has_changed_when_registering_is_refused() -> None:
    world = World(agents_per_connection=1)
    world.hub.quotas.set("acme", Allowance(agents=1))
    _, link = registered(world)
    before = dict(world.hub.router.entries)
    assert code(acts.register, world.hub, link, TYPE.at("2"), takeover=False) is Code.TOO_MANY_AGENTS
    assert code(registered, world, TYPE.at("2")) is Code.QUOTA_EXCEEDED
    assert code(registered, world, ME) is Code.NAME_TAKEN
    assert code(registered, world, ME, world.peer("globex/*")) is Code.NOT_PERMITTED
    assert world.hub.router.entries == before


def test_who_loses_its_name_is_told_and_takes_no_quota() -> None:
    world = World()
    world.hub.quotas.set("acme", Allowance(agents=1))
    loser = world.peer()
    old, _ = registered(world, ME, loser)
    new, _ = registered(world, ME, takeover=True)
    assert world.hub.router.agent(ME) is new
    assert not loser.link.sources
    assert old.entry.number in loser.link.former_sources
    world.turn()
    ended = loser.expect(Kind.ENDED, destination=old.entry.number)
    assert frames.decode(ended.body, frames.Refusal).code == Code.TAKEN_OVER


def test_who_loses_an_address_of_a_topic_is_told_whose_it_is() -> None:
    world = World()
    loser = world.peer()
    agent, link = registered(world, ME, loser)
    acts.subscribe(world.hub, link, agent, CHAT)
    owner, _ = registered(world, CHAT.at("1"))
    assert CHAT not in agent.entries
    world.turn()
    frame = loser.expect_refused(
        Code.TAKEN_OVER, 0, destination=agent.entry.number, source=owner.entry.number
    )
    assert frames.decode(frame.body, frames.Refusal).detail == "acme/lab/chat/1"
    assert loser.names[owner.entry.number] == "acme/lab/chat/1"


def test_in_a_topic_an_agent_may_be_another_instance() -> None:
    world = World()
    agent, link = registered(world)
    other, its = registered(world, parse("acme/lab/boss/1"))
    acts.subscribe(world.hub, link, agent, CHAT)
    assert code(acts.subscribe, world.hub, its, other, CHAT) is Code.NAME_TAKEN
    acts.subscribe(world.hub, its, other, CHAT, instance="boss-1")
    assert members(world, CHAT) == [CHAT.at("1"), CHAT.at("boss-1")]


def test_room_is_asked_for_only_by_what_is_new() -> None:
    world = World(subscriptions_per_connection=2, grants=[("acme/*", "observe", "acme/lab/*")])
    agent, link = registered(world)
    hub, pattern = world.hub, parse_pattern("acme/lab/*")
    for _ in range(2):
        acts.subscribe(hub, link, agent, CHAT)
        acts.observe(hub, link, agent, pattern)
        acts.subscribe(hub, link, agent, TYPE)  # its own needs none
    assert code(acts.subscribe, hub, link, agent, NEWS) is Code.TOO_MANY_SUBSCRIPTIONS
    acts.unsubscribe(hub, agent, CHAT)
    acts.subscribe(hub, link, agent, NEWS)
    acts.unsubscribe(hub, agent, NEWS)
    hub.quotas.set("acme", Allowance(subscriptions=1))
    assert code(acts.subscribe, hub, link, agent, NEWS) is Code.QUOTA_EXCEEDED


def test_a_name_is_held_once_and_given_back() -> None:
    world = World(handles_per_connection=1)
    agent, link = registered(world)
    entry = acts.open_name(world.hub, link, agent, CHAT)
    assert acts.open_name(world.hub, link, agent, CHAT) is entry
    assert entry.pins == 1
    assert code(acts.open_name, world.hub, link, agent, NEWS) is Code.TOO_MANY_HANDLES
    assert members(world, NEWS) == []
    acts.shut(world.hub, link, entry.number)
    acts.shut(world.hub, link, entry.number)
    assert entry.number not in world.hub.router.entries
    assert set(world.hub.router.entries) == {agent.entry.number, agent.entry.type.number}  # type: ignore[union-attr]


def test_a_token_may_not_go_so_far() -> None:
    desk = TokenDesk()
    world = World(tokens=desk.tokens(), grants=[("acme/*", "observe", "acme/*")])
    peer = world.peer(token=desk.issue("acme/*", "register:acme/* request:acme/lab/news"))
    agent, link = registered(world, ME, peer)
    hub = world.hub
    assert code(acts.subscribe, hub, link, agent, CHAT) is Code.NOT_PERMITTED
    assert code(acts.subscribe, hub, link, agent, TYPE) is Code.NOT_PERMITTED
    assert code(acts.observe, hub, link, agent, parse_pattern("acme/lab/*")) is Code.NOT_PERMITTED
    assert code(acts.open_name, hub, link, agent, CHAT) is Code.NOT_PERMITTED
    acts.open_name(hub, link, agent, NEWS)  # to ask is enough


def test_an_agent_that_leaves_is_no_source_any_more() -> None:
    world = World()
    agent, link = registered(world)
    watcher = world.agent("acme/lab/watcher/1")
    watcher.watch(str(TYPE))
    presence = acts.unregister(world.hub, link, agent)
    assert [(each.name, each.present) for each in presence] == [(ME, False)]
    assert link.sources == {}
    assert acts.unregister(world.hub, link, agent) == []


def test_who_comes_to_an_address_that_it_wrote_to_gets_nothing_of_its_own() -> None:
    """Another agent of the same connection had it before, so the way there is known."""
    world = World()
    peer = world.peer()
    one, other = peer.register("acme/lab/a/1"), peer.register("acme/lab/b/1")
    other.subscribe(str(CHAT))
    for _ in range(2):
        one.publish("acme/lab/chat/1", b"x")
        one.expect_delivery(b"x", to="acme/lab/chat/1", of="acme/lab/a/1")
    other.ask(Kind.UNSUBSCRIBE, str(CHAT))
    one.subscribe(str(CHAT))
    one.publish("acme/lab/chat/1", b"to myself")
    peer.expect_refused(Code.NO_ROUTE)
