"""Registering many agents at once: a work of the store that takes a whole batch through a few statements.

Of one agent at a time, statements and their preparation would cost most of the time; see docs/topics/registry.md.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from agpd.control import tags, words
from agpd.control.caller import missing
from agpd.control.checks import changes
from agpd.control.model import agent, agent_tag, agent_type, namespace, tenant
from agpd.control.resources import Agent
from agpd.control.rows import Stored, agents_named, keys_of, values_of, with_instances
from agpd.control.store import Notes
from agpd.control.tags import types_named
from agpd.errors import Code, Refused
from agpd.names import Name


@dataclass(frozen=True, slots=True)
class Registration:
    """Someone (`actor`, for the audit log) registers an agent. `id` is its number in the database if it is new."""

    actor: str
    agent: Agent
    name: Name  # the type's, at the identity
    id: int
    create: bool


@dataclass(slots=True)
class _Known:
    """What the database has of the names in a batch."""

    limits: Mapping[str, int]  # of agents; of all tenants that are not suspended; 0: none
    counts: dict[str, int]  # of agents, where there is a limit
    namespaces: Collection[tuple[str, ...]]
    types: dict[tuple[str, ...], tags.Tags]
    agents: Mapping[Name, Stored]


@dataclass(slots=True)
class _Plan:
    """What is to be written."""

    created: list[Registration] = field(default_factory=list)
    changed: list[tuple[Registration, Stored]] = field(default_factory=list)


def register_all(
    connection: Connection, notes: Notes, asked: Sequence[Registration]
) -> Sequence[Agent | Refused]:
    """Create or replace them. Types that do not exist yet are created; their namespaces must exist."""
    outcomes: dict[int, Agent | Refused] = {}
    for places in rounds([each.name for each in asked]):
        group = [asked[place] for place in places]
        outcomes |= zip(places, _register(connection, notes, group), strict=True)
    return [outcomes[place] for place in range(len(asked))]


def rounds(keys: Sequence[Any]) -> Iterator[list[int]]:
    """The places of all keys in their order, in as few lists as possible, in none of which a key is twice."""
    pending = list(range(len(keys)))
    while pending:
        seen: set[Any] = set()
        now: list[int] = []
        later: list[int] = []
        for place in pending:
            (later if keys[place] in seen else now).append(place)
            seen.add(keys[place])
        yield now
        pending = later


def _register(connection: Connection, notes: Notes, group: Sequence[Registration]) -> list[Agent | Refused]:
    known, plan = _look_up(connection, {each.name for each in group}), _Plan()
    outcomes = [_decide(known, plan, each, notes.now) for each in group]
    _create_types(connection, notes, known, plan)
    _create(connection, notes, known, plan.created)
    _change(connection, notes, known, plan.changed)
    return outcomes


def _decide(known: _Known, plan: _Plan, asked: Registration, now: float) -> Agent | Refused:
    """The answer; what it needs is added to the plan."""
    before = known.agents.get(asked.name)
    if refused := _refusal(known, asked, before):
        return refused
    if before is None:
        plan.created.append(asked)
        if asked.name.organization in known.counts:
            known.counts[asked.name.organization] += 1
        return msgspec.structs.replace(asked.agent, created=now, updated=now, instances=[])
    if values_of(asked.agent) == values_of(before.agent):
        return before.agent
    plan.changed.append((asked, before))
    since = before.agent.created
    return msgspec.structs.replace(asked.agent, created=since, updated=now, instances=before.agent.instances)


def _refusal(known: _Known, asked: Registration, before: Stored | None) -> Refused | None:
    organization, space = asked.name.organization, "/".join(asked.name[:2])
    if asked.name[:2] not in known.namespaces:
        return missing(f"namespace {space}; an administrator of {organization} creates it")
    if organization not in known.limits:
        return Refused(Code.NOT_PERMITTED, f"tenant {organization} is suspended")
    if before is not None:
        what = f"agent {asked.agent.type}/{asked.agent.identity}"
        return Refused(Code.ALREADY_EXISTS, what) if asked.create else None
    limit = known.limits[organization]
    if limit and known.counts[organization] >= limit:
        return Refused(Code.QUOTA_EXCEEDED, f"{organization} may register {limit} agents (quotas.agents)")
    return None


def _look_up(connection: Connection, names: Collection[Name]) -> _Known:
    limits = _limits(connection, {name.organization for name in names})
    agents = agents_named(connection, names)
    with_instances(connection, list(agents.values()))
    return _Known(
        limits,
        _counts(connection, [name for name, limit in limits.items() if limit]),
        _namespaces(connection, {name[:2] for name in names}),
        types_named(connection, names),
        agents,
    )


def _limits(connection: Connection, organizations: Collection[str]) -> dict[str, int]:
    query = select(tenant.c.name, tenant.c.quotas).where(
        tenant.c.name.in_(organizations), tenant.c.suspended.is_(False)
    )
    return {name: quotas.get("agents", 0) for name, quotas in connection.execute(query)}


def _counts(connection: Connection, organizations: Collection[str]) -> dict[str, int]:
    counts = dict.fromkeys(organizations, 0)
    if organizations:
        query = select(agent.c.organization, func.count()).where(agent.c.organization.in_(organizations))
        counts.update(connection.execute(query.group_by(agent.c.organization)).all())
    return counts


def _namespaces(connection: Connection, keys: Collection[tuple[str, ...]]) -> set[tuple[str, ...]]:
    columns = (namespace.c.organization, namespace.c.name)
    asked, (organization, name) = keys_of(connection.dialect.name, 2)
    same = and_(columns[0] == organization, columns[1] == name)
    query = select(*columns).select_from(asked.join(namespace, same))
    return {tuple(row) for row in connection.execute(query, {"keys": [list(key) for key in keys]})}


def _create_types(connection: Connection, notes: Notes, known: _Known, plan: _Plan) -> None:
    """Of the new agents that are the first of their type."""
    first = {asked.name.type_name: asked for asked in plan.created if asked.name[:3] not in known.types}
    if first:
        empty = {"category": "", "description": "", "labels": {}, "capabilities": [], "callers": []}
        keys = [
            {"organization": name.organization, "namespace": name.namespace, "name": name.type}
            for name in first
        ]
        connection.execute(agent_type.insert(), [key | empty for key in keys])
    for name, asked in first.items():
        known.types[name[:3]] = {}
        notes.add(asked.actor, name.organization, "type.create", str(name))


def _create(connection: Connection, notes: Notes, known: _Known, created: Sequence[Registration]) -> None:
    if not created:
        return
    connection.execute(agent.insert(), [_row(asked, notes.now) for asked in created])
    _tag(connection, known, [(asked.id, asked) for asked in created])
    for asked in created:
        notes.add(asked.actor, asked.name.organization, "agent.register", str(asked.name))


def _row(asked: Registration, now: float) -> dict[str, Any]:
    organization, space, kind, identity = asked.name
    return {
        "id": asked.id,
        "organization": organization,
        "namespace": space,
        "type": kind,
        "identity": identity,
        **_values(asked),
        "created": now,
        "updated": now,
    }


def _values(asked: Registration) -> dict[str, Any]:
    blinded = words.blind(asked.name.organization, words.words_of(asked.agent))
    return {**values_of(asked.agent), "words": blinded}


def _change(
    connection: Connection, notes: Notes, known: _Known, changed: Sequence[tuple[Registration, Stored]]
) -> None:
    if not changed:
        return
    for asked, before in changed:
        values = _values(asked) | {"updated": notes.now}
        connection.execute(agent.update().where(agent.c.id == before.id).values(values))
    kept = agent_tag.c.kind == tags.RUNNING
    numbers = [before.id for _, before in changed]
    connection.execute(agent_tag.delete().where(agent_tag.c.agent.in_(numbers), ~kept))
    _tag(connection, known, [(before.id, asked) for asked, before in changed])
    for asked, before in changed:
        fields = sorted(changes(before.agent, asked.agent).keys() & values_of(asked.agent).keys())
        notes.add(asked.actor, asked.name.organization, "agent.update", str(asked.name), {"changed": fields})


def _tag(connection: Connection, known: _Known, agents: Sequence[tuple[int, Registration]]) -> None:
    rows = [
        row
        for number, asked in agents
        for row in tags.rows(
            number,
            asked.name.type_name,
            tags.tags_of(asked.agent.labels, asked.agent.capabilities),
            known.types[asked.name[:3]],
        )
    ]
    if rows:
        connection.execute(agent_tag.insert(), rows)
