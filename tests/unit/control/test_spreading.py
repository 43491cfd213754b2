"""What a type has reaches all its agents, in parts, whoever ends meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
from conftest import Clock
from sqlalchemy import Connection, select

from agpd.config import Control as Settings
from agpd.control import spreading
from agpd.control.caller import Caller
from agpd.control.model import agent, agent_tag
from agpd.control.resources import Agent, AgentType, AuditEvent, Namespace, Tenant
from agpd.control.service import Control
from agpd.control.store import Notes, Store
from agpd.control.tags import RUNNING
from agpd.names import Name

WRITER = Name("acme", "prod", "writer")
COUNT = 7
OWN = {("l", "tier", "own", False)}


@pytest.fixture
async def control(store: Store, clock: Clock, operator: Caller, monkeypatch: pytest.MonkeyPatch) -> Control:
    """A type with seven agents, one of which has a label of its own, beside another type; parts are of two agents."""
    monkeypatch.setattr(spreading, "AGENTS_AT_ONCE", 2)
    control = Control(Settings(), store, clock)
    await control.tenants.put(operator, Tenant(name="acme"))
    await control.namespaces.put(operator, Namespace(name="acme/prod"))
    await control.types.put(operator, AgentType(name=str(WRITER), labels={"tier": "base", "old": "x"}))
    await control.types.put(operator, AgentType(name="acme/prod/other", labels={"tier": "base"}))
    for number in range(COUNT):
        labels = {"tier": "own"} if number == 3 else {}
        await control.registry.register(
            operator, Agent(type=str(WRITER), identity=f"i{number}", labels=labels)
        )
    await control.registry.register(operator, Agent(type="acme/prod/other", identity="i0"))
    await control.registry.start(operator, str(WRITER), "i0", f"{WRITER}/one")
    return control


def changed(**labels: str) -> AgentType:
    return AgentType(name=str(WRITER), labels=labels, capabilities=["sum"])


async def found(control: Control, kind: str = "writer") -> dict[str, set[tuple[str, str, str, bool]]]:
    """Identity to tags: kind, key, value, inherited."""

    def read(connection: Connection) -> dict[str, set[tuple[str, str, str, bool]]]:
        tag = agent_tag.c
        query = select(agent.c.identity, tag.kind, tag.key, tag.value, tag.inherited)
        query = query.join(agent_tag, tag.agent == agent.c.id).where(agent.c.type == kind)
        tags: dict[str, set[tuple[str, str, str, bool]]] = {}
        for identity, *rest in connection.execute(query):
            tags.setdefault(identity, set()).add(tuple(rest))
        return tags

    return await control.store.read(read)


def expected(tier: str) -> dict[str, set[tuple[str, str, str, bool]]]:
    """All agents have the new tags; what is their own, and that one runs, stays."""
    inherited = {("l", "tier", tier, True), ("c", "sum", "", True)}
    tags = {f"i{number}": set(inherited) for number in range(COUNT)}
    tags["i3"] = OWN | {("c", "sum", "", True)}
    tags["i0"].add((RUNNING, "", "", False))
    return tags


async def begun(control: Control, operator: Caller, resource: AgentType) -> None:
    """A change whose caller goes away as soon as it has been committed."""
    put = asyncio.create_task(control.types.put(operator, resource))

    def hear(events: Sequence[AuditEvent]) -> None:
        put.cancel()

    control.store.listen(hear)
    with pytest.raises(asyncio.CancelledError):
        await put


async def test_all_agents_have_it_when_the_change_returns(control: Control, operator: Caller) -> None:
    before = await found(control, "other")
    await control.types.put(operator, changed(tier="gold"))
    assert await found(control) == expected("gold")
    assert await found(control, "other") == before
    assert await control.store.read(spreading.any_left) is None


async def test_others_write_between_two_parts(
    control: Control, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    go_on = spreading.go_on

    def part(connection: Connection, type_name: Name) -> bool:
        order.append("part")
        return go_on(connection, type_name)

    def other(connection: Connection, notes: Notes) -> None:
        order.append("other")

    async def write() -> None:
        for _ in range(3):
            await control.store.write(other)

    monkeypatch.setattr(spreading, "go_on", part)
    await asyncio.gather(control.types.put(operator, changed(tier="gold")), write())
    assert order.count("part") == COUNT // 2
    assert "other" in order[: order.index("part") + 2]


async def test_what_is_left_is_finished_later(control: Control, operator: Caller, clock: Clock) -> None:
    await begun(control, operator, changed(tier="gold"))
    assert await control.store.read(spreading.any_left) == WRITER
    half = await found(control)
    assert half["i0"] == expected("gold")["i0"]
    assert ("l", "old", "x", True) in half["i6"]
    await control.types.tick(clock.now)
    assert await found(control) == expected("gold")
    assert await control.store.read(spreading.any_left) is None


async def test_a_change_amid_another_begins_anew(control: Control, operator: Caller) -> None:
    await begun(control, operator, changed(tier="gold"))
    await control.types.put(operator, changed(tier="silver"))
    assert await found(control) == expected("silver")


async def test_agents_that_come_meanwhile_have_it_once(
    control: Control, operator: Caller, clock: Clock
) -> None:
    await begun(control, operator, changed(tier="gold"))
    await control.registry.register(operator, Agent(type=str(WRITER), identity="i9"))
    await control.registry.register(operator, Agent(type=str(WRITER), identity="i5", description="new"))
    await control.types.tick(clock.now)
    tags = await found(control)
    assert tags.pop("i9") == expected("gold")["i6"]
    assert tags == expected("gold")


async def test_a_type_that_goes_takes_along_what_was_left(
    control: Control, operator: Caller, clock: Clock
) -> None:
    await begun(control, operator, changed(tier="gold"))
    for number in range(COUNT):
        await control.registry.deregister(operator, str(WRITER), f"i{number}")
    await control.types.delete(operator, str(WRITER))
    assert await control.store.read(spreading.any_left) is None
    await control.types.tick(clock.now)
