"""Agents as the database has them: reading them with their instances."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, tuple_

from agpd.control.model import agent, instance
from agpd.control.resources import Agent, Instance
from agpd.names import Name

PART = 100  # rows that are read and decoded at once, well below a millisecond


class Stored(NamedTuple):
    """An agent and its number in the database."""

    id: int
    agent: Agent


def agent_name(found: Agent) -> Name:
    """The type's name at the identity."""
    organization, namespace, kind = found.type.split("/")
    return Name(organization, namespace, kind, found.identity)


def agents_named(connection: Connection, names: Collection[Name]) -> dict[Name, Stored]:
    """Those of these names that are registered, without their instances."""
    columns = tuple_(agent.c.organization, agent.c.namespace, agent.c.type, agent.c.identity)
    rows = connection.execute(select(agent).where(columns.in_([tuple(name) for name in names])))
    return {agent_name(stored.agent): stored for stored in map(_stored, rows)}


def agents_numbered(connection: Connection, numbers: Sequence[int]) -> list[Stored]:
    """Those of these that are registered, in the order asked for, with their instances."""
    found: dict[int, Stored] = {}
    for start in range(0, len(numbers), PART):
        part = select(agent).where(agent.c.id.in_(numbers[start : start + PART]))
        found.update((stored.id, stored) for stored in map(_stored, connection.execute(part)))
    ordered = [found[number] for number in numbers if number in found]
    return with_instances(connection, ordered)


def with_instances(connection: Connection, agents: Sequence[Stored]) -> list[Stored]:
    """The same agents, with their instances, sorted by name."""
    by_number = {stored.id: stored.agent for stored in agents}
    for start in range(0, len(agents), PART):
        numbers = [stored.id for stored in agents[start : start + PART]]
        query = select(instance).where(instance.c.agent.in_(numbers)).order_by(instance.c.name)
        for row in connection.execute(query):
            by_number[row.agent].instances.append(to_instance(row))
    return list(agents)


def to_instance(row: Row[Any]) -> Instance:
    """Of a row of `instance`."""
    return Instance(name=row.name, since=row.since, expires=row.expires)


def values_of(registered: Agent) -> Mapping[str, Any]:
    """The columns of `agent` that whoever registers it decides about."""
    return {
        "description": registered.description,
        "labels": registered.labels,
        "capabilities": registered.capabilities,
        "card": registered.card,
        "public_keys": registered.public_keys,
    }


def _stored(row: Row[Any]) -> Stored:
    return Stored(
        row.id,
        Agent(
            type=f"{row.organization}/{row.namespace}/{row.type}",
            identity=row.identity,
            description=row.description,
            labels=row.labels,
            capabilities=row.capabilities,
            card=row.card,
            public_keys=row.public_keys,
            created=row.created,
            updated=row.updated,
            instances=[],
        ),
    )
