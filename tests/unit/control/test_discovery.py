"""Discovery: what is found by what, in pages, and what is not visible."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agpd.control.caller import Caller
from agpd.control.discovery import Discovery
from agpd.control.policy import Policy, Statement
from agpd.control.registry import Registry
from agpd.control.resources import Agent, AgentType, Namespace, Query, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.control.watching import Feed
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]


class World:
    """Two organizations; `policy` may be set to another one."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.tenants, self.namespaces, self.types = (
            kind(store, 100) for kind in (Tenants, Namespaces, Types)
        )
        self.policy = Policy({})
        self.feed = Feed(store, lambda: self.policy, 10)
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

    def grant(self, *objects: str, verb: str = "publish", deny: tuple[str, ...] = ()) -> None:
        """Let all of acme do it to these of globex, says either side."""

        def both(text: str, allow: bool) -> list[Statement]:
            prefix = tuple(segment for segment in text.split("/") if segment != "*")
            return [Statement(owner, ("acme",), verb, prefix, allow) for owner in ("acme", "globex")]

        self.policy = Policy.compiled(
            [each for text in objects for each in both(text, True)]
            + [each for text in deny for each in both(text, False)]
        )

    async def found(self, caller: Caller, **query: Any) -> list[str]:
        page = await self.discovery.find(caller, Query(**query))
        assert page.next == ""
        return [f"{agent.type}/{agent.identity}" for agent in page.items]


@pytest.fixture
async def world(store: Store, clock: Callable[[], float], operator: Caller) -> AsyncIterator[World]:
    world = World(store, clock)
    for organization in ("acme", "globex"):
        await world.tenants.put(operator, Tenant(name=organization))
        for space in ("prod", "test"):
            await world.namespaces.put(operator, Namespace(name=f"{organization}/{space}"))
    await world.types.put(
        operator, AgentType(name="acme/prod/reader", labels={"team": "blue"}, capabilities=["read"])
    )
    await world.types.put(operator, AgentType(name="globex/prod/reader", labels={"team": "blue"}))
    for agent in (
        Agent(type="acme/prod/reader", identity="a", labels={"region": "eu"}, description="Reads invoices."),
        Agent(type="acme/prod/reader", identity="b", labels={"region": "us", "team": "red"}),
        Agent(type="acme/prod/writer", identity="c", labels={"region": "eu"}, capabilities=["read", "write"]),
        Agent(type="acme/test/reader", identity="d", card={"skills": [{"name": "Über-Summarise"}]}),
        Agent(
            type="globex/prod/reader", identity="a", labels={"region": "eu"}, description="Reads invoices."
        ),
        Agent(type="globex/prod/writer", identity="c", capabilities=["write"]),
    ):
        await world.registry.register(operator, agent)
    await world.registry.start(operator, "acme/prod/reader", "b", "acme/prod/reader/1")
    await world.registry.start(operator, "globex/prod/writer", "c", "globex/prod/writer/1")
    yield world
    await world.feed.close()


A, B, C, D = "acme/prod/reader/a", "acme/prod/reader/b", "acme/prod/writer/c", "acme/test/reader/d"
GA, GC = "globex/prod/reader/a", "globex/prod/writer/c"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, [A, B, C, D]),
        ({"organization": "acme"}, [A, B, C, D]),
        ({"organization": "acme", "namespace": "test"}, [D]),
        ({"namespace": "prod"}, [A, B, C]),
        ({"type": "reader"}, [A, B, D]),
        ({"namespace": "prod", "type": "reader"}, [A, B]),
        ({"labels": {"region": "eu"}}, [A, C]),
        ({"labels": {"region": "eu"}, "type": "writer"}, [C]),
        ({"labels": {"region": "eu", "team": "blue"}}, [A]),
        ({"labels": {"team": "blue"}}, [A]),
        ({"labels": {"team": "red"}}, [B]),
        ({"labels": {"region": ""}}, []),
        ({"capabilities": ["read"]}, [A, B, C]),
        ({"capabilities": ["read", "write"]}, [C]),
        ({"capabilities": ["read"], "labels": {"region": "us"}}, [B]),
        ({"capabilities": ["team"]}, []),
        ({"live": True}, [B]),
        ({"live": True, "labels": {"team": "red"}}, [B]),
        ({"live": True, "labels": {"team": "blue"}}, []),
        ({"text": "INVOICES reads"}, [A]),
        ({"text": "über summarise"}, [D]),
        ({"text": "summarize"}, []),
        ({"text": "eu", "type": "writer"}, [C]),
        ({"text": "eu", "capabilities": ["write"]}, [C]),
        ({"text": "reader", "live": True}, [B]),
        ({"text": "reader NOT invoices"}, []),
        ({"text": 'invoices* OR "writer'}, []),
    ],
)
async def test_what_is_found(world: World, agent_of: Make, query: dict[str, Any], names: list[str]) -> None:
    assert await world.found(agent_of("acme/prod/x"), **query) == names


async def test_operators_find_everything(world: World, operator: Caller) -> None:
    assert await world.found(operator) == [A, B, C, D, GA, GC]
    assert await world.found(operator, labels={"region": "eu"}) == [A, C, GA]
    assert await world.found(operator, live=True) == [B, GC]
    assert await world.found(operator, type="reader") == [A, B, D, GA]
    assert await world.found(operator, namespace="test", type="reader") == [D]
    assert await world.found(operator, namespace="prod", type="reader", labels={"region": "eu"}) == [A, GA]
    assert await world.found(operator, text="invoices", organization="globex") == [GA]
    with pytest.raises(Refused, match="name it"):
        await world.found(operator, text="invoices")


async def test_a_type_gives_what_it_has_to_its_agents(world: World, operator: Caller, agent_of: Make) -> None:
    caller = agent_of("acme/prod/x")
    changed = AgentType(
        name="acme/prod/reader", labels={"team": "green", "region": "any"}, capabilities=["skim"]
    )
    await world.types.put(operator, changed)
    assert await world.found(caller, labels={"team": "blue"}) == []
    assert await world.found(caller, labels={"team": "green"}) == [A]
    assert await world.found(caller, labels={"team": "red"}) == [B]
    assert await world.found(caller, labels={"region": "any"}) == []
    assert await world.found(caller, capabilities=["read"]) == [C]
    assert await world.found(caller, capabilities=["skim"]) == [A, B]
    await world.registry.register(operator, Agent(type="acme/prod/reader", identity="b"))
    assert await world.found(caller, labels={"team": "green"}) == [A, B]
    assert await world.found(caller, labels={"region": "any"}) == [B]
    assert await world.found(caller, live=True) == [B]


async def test_an_agent_that_changes_is_found_by_what_it_is_now(
    world: World, operator: Caller, agent_of: Make
) -> None:
    caller = agent_of("acme/prod/x")
    await world.registry.register(
        operator, Agent(type="acme/prod/reader", identity="a", description="Counts.")
    )
    assert await world.found(caller, labels={"region": "eu"}) == [C]
    assert await world.found(caller, text="invoices") == []
    assert await world.found(caller, text="counts") == [A]
    await world.registry.deregister(operator, "acme/prod/reader", "a")
    assert await world.found(caller, text="counts") == []
    assert await world.found(caller, labels={"team": "blue"}) == []


async def test_an_agent_runs_until_its_last_instance_stops(
    world: World, operator: Caller, agent_of: Make
) -> None:
    caller = agent_of("acme/prod/x")
    await world.registry.start(operator, "acme/prod/reader", "b", "acme/prod/reader/2")
    await world.registry.stop(operator, "acme/prod/reader/1")
    assert await world.found(caller, live=True) == [B]
    await world.registry.stop(operator, "acme/prod/reader/2")
    assert await world.found(caller, live=True) == []


@pytest.mark.parametrize("query", [{}, {"labels": {"kind": "many"}}, {"text": "many"}, {"live": True}])
async def test_pages_hold_everything_once(
    world: World, operator: Caller, agent_of: Make, query: dict[str, Any]
) -> None:
    many = [
        Agent(type=f"acme/{space}/t{n % 3}", identity=f"i{n}", labels={"kind": "many"})
        for space in ("prod", "test")
        for n in range(10)
    ]
    await asyncio.gather(*(world.registry.register(operator, agent) for agent in many))
    await asyncio.gather(
        *(
            world.registry.start(operator, agent.type, agent.identity, f"{agent.type}/{agent.identity}")
            for agent in many
        )
    )
    world.grant("globex/*")
    whole = await world.found(agent_of("acme/prod/x"), **query)
    assert len(whole) == len(set(whole)) >= 20
    for size in (1, 3, len(whole)):
        seen: list[str] = []
        after = "-"
        while after:
            page = await world.discovery.find(
                agent_of("acme/prod/x"), Query(**query), after=after.strip("-"), limit=size
            )
            assert len(page.items) <= size
            seen += [f"{agent.type}/{agent.identity}" for agent in page.items]
            after = page.next
        assert seen == whole


async def test_a_page_ends_behind_large_cards(world: World, operator: Caller, agent_of: Make) -> None:
    card = {"text": "x" * 30_000}
    many = [Agent(type="acme/prod/big", identity=f"i{n}", card=card) for n in range(50)]
    await asyncio.gather(*(world.registry.register(operator, agent) for agent in many))
    page = await world.discovery.find(agent_of("acme/*"), Query(type="big", namespace="prod"))
    rest = await world.discovery.find(
        agent_of("acme/*"), Query(type="big", namespace="prod"), after=page.next
    )
    assert 30 < len(page.items) < 40
    assert len(page.items) + len(rest.items) == 50
    assert rest.next == ""


@pytest.mark.parametrize("verb", ["publish", "request", "watch"])
async def test_what_a_grant_of_both_sides_lets_be_found(
    world: World, agent_of: Make, admin_of: Make, verb: str
) -> None:
    for caller in (agent_of("acme/prod/x"), admin_of("acme")):
        world.policy = Policy({})
        assert await world.found(caller, organization="globex") == []
        world.grant("globex/prod/reader", verb=verb)
        assert await world.found(caller) == [A, B, C, D, GA]
        assert await world.found(caller, organization="globex") == [GA]
        assert await world.found(caller, labels={"region": "eu"}) == [A, C, GA]
        assert await world.found(caller, text="invoices") == [A, GA]
        assert await world.found(caller, live=True) == [B]
        assert (await world.discovery.get(caller, "globex/prod/reader", "a")).identity == "a"
        world.grant("globex/*", verb=verb, deny=("globex/prod/reader",))
        assert await world.found(caller, organization="globex") == [GC]
        assert await world.found(caller, organization="globex", live=True) == [GC]
        world.grant("globex/prod/writer/c", "globex/prod/writer/nobody", verb=verb)
        assert await world.found(caller, organization="globex") == [GC]
        assert await world.found(caller, organization="globex", capabilities=["write"]) == [GC]
        assert await world.found(caller, organization="globex", capabilities=["read"]) == []


async def test_one_side_or_another_verb_shows_nothing(world: World, agent_of: Make) -> None:
    for statements in (
        [Statement("acme", ("acme",), "publish", ("globex",))],
        [Statement("globex", ("acme",), "publish", ("globex",))],
        [Statement(owner, ("acme",), "observe", ("globex",)) for owner in ("acme", "globex")],
        [Statement(owner, ("globex",), "publish", ("acme",)) for owner in ("acme", "globex")],
        [Statement(owner, ("acme", "test"), "publish", ("globex",)) for owner in ("acme", "globex")],
    ):
        world.policy = Policy.compiled(statements)
        assert await world.found(agent_of("acme/prod/x")) == [A, B, C, D]
        with pytest.raises(Refused):
            await world.discovery.get(agent_of("acme/prod/x"), "globex/prod/reader", "a")


async def test_what_is_not_visible_does_not_exist(world: World, agent_of: Make, admin_of: Make) -> None:
    """The same answer, and the same statements with it."""
    statements: list[str] = []
    read = world.store.read

    async def counted(work: Any) -> Any:
        def run(connection: Any) -> Any:
            execute = connection.execute
            connection.execute = lambda query, *rest: statements.append(str(query)) or execute(query, *rest)
            try:
                return work(connection)
            finally:
                del connection.execute

        return await read(run)

    world.store.read = counted  # type: ignore[method-assign]
    for caller in (agent_of("acme/prod/x"), admin_of("acme")):
        seen = set()
        for organization, identity in (("globex", "a"), ("globex", "nobody"), ("nobody", "a")):
            statements.clear()
            assert await world.found(caller, organization=organization) == []
            assert await world.found(caller, organization=organization, text="invoices", live=True) == []
            with pytest.raises(Refused) as caught:
                await world.discovery.get(caller, f"{organization}/prod/reader", identity)
            assert caught.value.code is Code.NOT_FOUND
            assert caught.value.detail == f"agent {organization}/prod/reader/{identity}"
            seen.add(tuple(statements))
        assert len(seen) == 1
        statements.clear()
        assert await world.found(caller)
        assert statements


@pytest.mark.parametrize(
    "query",
    [
        {"organization": "Acme"},
        {"namespace": "a/b"},
        {"type": "*"},
        {"text": "!?"},
        {"labels": {"a": "\0"}},
        {"text": "\ud800"},
    ],
)
async def test_queries_that_are_refused(world: World, agent_of: Make, query: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        await world.found(agent_of("acme/*"), **query)
    assert caught.value.code in (Code.INVALID_NAME, Code.INVALID_REQUEST)
    with pytest.raises(Refused):
        world.discovery.watch(agent_of("acme/*"), Query(**query))


@pytest.mark.parametrize(
    "after", ["x", "a/b/c", "a/b/c/d", "a/b/c/-1", f"a/b/c/{2**63}", "a/b/c/d/1", "\0", "a/b/c/²"]
)
async def test_what_is_no_place_is_refused(world: World, agent_of: Make, after: str) -> None:
    with pytest.raises(Refused) as caught:
        await world.discovery.find(agent_of("acme/*"), Query(), after=after)
    assert caught.value.code is Code.INVALID_REQUEST


async def test_a_place_elsewhere_shows_nothing_of_others(world: World, agent_of: Make) -> None:
    for after in ("globex/prod/reader/0", "acme/prod/reader/0", "globex/a/b/0"):
        page = await world.discovery.find(agent_of("acme/*"), Query(), after=after)
        assert all(agent.type.startswith("acme/") for agent in page.items)
