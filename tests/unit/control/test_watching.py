"""Watching the registry: who is told what, bounded queues, the end of a watch."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agpd.control import watching
from agpd.control.caller import Caller
from agpd.control.discovery import Discovery
from agpd.control.policy import Policy, Statement
from agpd.control.registry import Registry
from agpd.control.resources import Agent, AgentEvent, AgentType, Namespace, Query, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.control.watching import Feed, Watch
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]
LIMIT = 3


class World:
    """Two organizations; `policy` may be set to another one."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.tenants, self.namespaces, self.types = (
            kind(store, 100) for kind in (Tenants, Namespaces, Types)
        )
        self.policy = Policy({})
        self.feed = Feed(store, lambda: self.policy, LIMIT)
        numbers = itertools.count()
        self.registry = Registry(
            store,
            self.feed,
            lambda: self.policy,
            instance_life=60,
            clock=clock,
            chance=lambda _: next(numbers),
        )
        self.discovery = Discovery(store, self.feed, lambda: self.policy, 100)

    def share(self) -> None:
        """Let acme find the readers of globex."""
        target = ("globex", "prod", "reader")
        sides = [Statement(owner, ("acme",), "watch", target) for owner in ("acme", "globex")]
        self.policy = Policy.compiled(sides)


@pytest.fixture
async def world(store: Store, clock: Callable[[], float], operator: Caller) -> AsyncIterator[World]:
    world = World(store, clock)
    for organization in ("acme", "globex"):
        await world.tenants.put(operator, Tenant(name=organization))
        await world.namespaces.put(operator, Namespace(name=f"{organization}/prod"))
    yield world
    await world.feed.close()


async def told(watch: Watch, count: int) -> list[tuple[str, str]]:
    """The next events: their kind, and the name of the agent."""
    events = [await asyncio.wait_for(anext(watch), 10) for _ in range(count)]
    return [(event.kind, f"{event.agent.type}/{event.agent.identity}") for event in events]


READER = "acme/prod/reader"


async def test_the_life_of_an_agent(world: World, agent_of: Make, clock: Any) -> None:
    caller = agent_of("acme/*")
    watch = world.discovery.watch(caller, Query())
    await world.registry.register(caller, Agent(type=READER, identity="a", labels={"x": "1"}))
    first: AgentEvent = await anext(watch)
    assert (first.kind, first.agent.labels) == ("registered", {"x": "1"})
    await world.registry.register(caller, Agent(type=READER, identity="a", labels={"x": "1"}))
    await world.registry.register(caller, Agent(type=READER, identity="a", labels={"x": "2"}))
    assert (await anext(watch)).agent.labels == {"x": "2"}
    await world.registry.start(caller, READER, "a", f"{READER}/1")
    event = await anext(watch)
    assert (event.kind, [each.name for each in event.agent.instances]) == ("started", [f"{READER}/1"])
    await world.registry.heartbeat(caller, f"{READER}/1")
    await world.registry.start(caller, READER, "a", f"{READER}/1")
    await world.registry.stop(caller, f"{READER}/1")
    event = await anext(watch)
    assert (event.kind, event.agent.instances) == ("stopped", [])
    await world.registry.stop(caller, f"{READER}/1")
    await world.registry.start(caller, READER, "a", f"{READER}/2")
    assert (await anext(watch)).kind == "started"
    clock.advance(60)
    await world.registry.tick(clock.now)
    assert (await anext(watch)).kind == "stopped"
    await world.registry.deregister(caller, READER, "a")
    assert await anext(watch) == AgentEvent(kind="deregistered", agent=Agent(type=READER, identity="a"))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"type": "reader"}, ["registered a", "started a", "stopped a", "changed a", "deregistered a"]),
        ({"labels": {"x": "1"}}, ["registered a", "started a", "stopped a", "changed a"]),
        ({"labels": {"team": "blue"}}, ["registered a", "started a", "stopped a", "changed a"]),
        ({"capabilities": ["skim"]}, ["changed a"]),
        ({"live": True}, ["started a", "stopped a", "changed a"]),
        ({"text": "Invoices"}, ["registered a", "started a", "stopped a", "changed a"]),
        ({"namespace": "prod", "type": "writer"}, ["registered b"]),
        ({"organization": "globex"}, []),
    ],
)
async def test_what_is_filtered(
    world: World, operator: Caller, agent_of: Make, query: dict[str, Any], wanted: list[str]
) -> None:
    caller = agent_of("acme/*")
    await world.types.put(operator, AgentType(name=READER, labels={"team": "blue"}))
    watch = world.discovery.watch(caller, Query(**query))
    await world.registry.register(
        caller, Agent(type=READER, identity="a", labels={"x": "1"}, description="Invoices")
    )
    await world.registry.start(caller, READER, "a", f"{READER}/1")
    end = world.discovery.watch(operator, Query(organization="globex"))
    # An agent is told as it is when it is read: let the events so far be read before it changes.
    await world.registry.register(operator, Agent(type="globex/prod/mark", identity="one"))
    assert await told(end, 1) == [("registered", "globex/prod/mark/one")]
    await world.registry.stop(caller, f"{READER}/1")
    await world.registry.register(operator, Agent(type="globex/prod/mark", identity="two"))
    assert await told(end, 1) == [("registered", "globex/prod/mark/two")]
    await world.registry.register(caller, Agent(type=READER, identity="a", labels={"x": "2"}))
    await world.registry.register(caller, Agent(type="acme/prod/writer", identity="b"))
    await world.registry.deregister(caller, READER, "a")
    await world.registry.register(operator, Agent(type="globex/prod/mark", identity="three"))
    assert await told(end, 1) == [("registered", "globex/prod/mark/three")]
    events = [f"{event.kind} {event.agent.identity}" for event in watch._events]
    always = (
        ["changed a", "deregistered a"]
        if query.get("type") != "writer" and "organization" not in query
        else []
    )
    assert sorted(events) == sorted({*wanted, *always})


async def test_only_what_is_visible_now_is_told(world: World, operator: Caller, agent_of: Make) -> None:
    watch = world.discovery.watch(agent_of("acme/prod/x"), Query())

    async def change(identity: str) -> list[str]:
        for kind in ("globex/prod/reader", "globex/prod/writer"):
            await world.registry.register(operator, Agent(type=kind, identity=identity))
        await world.registry.register(operator, Agent(type=READER, identity=identity))
        names = []
        while not names or names[-1] != f"{READER}/{identity}":
            names += [name for _, name in await told(watch, 1)]
        return names

    assert await change("one") == [f"{READER}/one"]
    world.share()
    assert await change("two") == ["globex/prod/reader/two", f"{READER}/two"]
    world.policy = Policy({})
    assert await change("three") == [f"{READER}/three"]


async def test_operators_are_told_everything(world: World, operator: Caller) -> None:
    watch = world.discovery.watch(operator, Query())
    await world.registry.register(operator, Agent(type="globex/prod/reader", identity="a"))
    assert await told(watch, 1) == [("registered", "globex/prod/reader/a")]


async def test_who_falls_behind_is_ended(
    world: World, agent_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "QUEUE_LIMIT", 5)
    caller = agent_of("acme/*")
    slow, fast = (world.discovery.watch(caller, Query()) for _ in range(2))
    for n in range(8):
        await world.registry.register(caller, Agent(type=READER, identity=f"a{n}"))
        assert await told(fast, 1) == [("registered", f"{READER}/a{n}")]
    assert len(await told(slow, 5)) == 5
    for _ in range(2):
        with pytest.raises(Refused, match="find again") as caught:
            await anext(slow)
        assert caught.value.code is Code.RECEIVER_FULL


async def test_too_much_at_once_ends_all_watches(
    world: World, agent_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PENDING_LIMIT", 5)
    watch = world.discovery.watch(agent_of("acme/*"), Query())
    world.feed.tell_stopped(list(range(6)))
    with pytest.raises(Refused, match="find again"):
        await anext(watch)


async def test_there_may_be_so_many_watches(world: World, agent_of: Make) -> None:
    callers = [agent_of(f"{name}/*") for name in ("acme", "globex", "initech")]
    watches = [world.discovery.watch(caller, Query()) for caller in callers]
    assert len(watches) == LIMIT
    with pytest.raises(Refused, match="the registry has") as caught:
        world.discovery.watch(callers[0], Query())
    assert caught.value.code is Code.TOO_MANY_WATCHES
    await watches.pop().aclose()
    world.discovery.watch(callers[0], Query())
    watches.clear()
    gc.collect()
    assert len([world.discovery.watch(caller, Query()) for caller in callers]) == LIMIT


async def test_one_organization_leaves_half_of_the_watches_to_others(world: World, agent_of: Make) -> None:
    own, other = agent_of("acme/*"), agent_of("globex/*")
    watches = [world.discovery.watch(own, Query()) for _ in range(2)]
    with pytest.raises(Refused, match="acme has 2") as caught:
        world.discovery.watch(agent_of("acme/prod/reader"), Query())
    assert caught.value.code is Code.TOO_MANY_WATCHES
    watches.append(world.discovery.watch(other, Query()))


async def test_a_watch_ends_when_it_is_closed(world: World, agent_of: Make) -> None:
    watch = world.discovery.watch(agent_of("acme/*"), Query())
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await watch.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_watches_end_with_the_feed(world: World, agent_of: Make) -> None:
    watch = world.discovery.watch(agent_of("acme/*"), Query())
    await world.feed.close()
    assert [event async for event in watch] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(Refused(Code.UNAVAILABLE), Code.UNAVAILABLE), (ValueError("a fault"), Code.INTERNAL)],
)
async def test_watches_end_when_changes_cannot_be_read(
    world: World, store: Store, agent_of: Make, error: Exception, code: Code
) -> None:
    watch = world.discovery.watch(agent_of("acme/*"), Query())

    async def away(_: Any) -> None:
        raise error

    store.read = away  # type: ignore[method-assign]
    world.feed.tell_started(1)
    with pytest.raises(Refused) as caught:
        await anext(watch)
    assert caught.value.code is code


async def test_many_watchers_do_not_hold_the_loop(
    world: World, store: Store, agent_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "TURN", 2)
    feed = Feed(store, lambda: world.policy, 1000)
    caller = agent_of("acme/*")
    watches = [feed.watch(caller, Query()) for _ in range(50)]
    turns: list[int] = []

    async def others() -> None:
        while not all(watch._events for watch in watches):
            turns.append(sum(bool(watch._events) for watch in watches))
            await asyncio.sleep(0)

    await world.registry.register(caller, Agent(type=READER, identity="a"))
    await asyncio.wait_for(others(), 10)
    assert len({turn for turn in turns if turn}) > 10
    await feed.close()
