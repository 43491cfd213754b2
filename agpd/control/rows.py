"""Agents as the database has them: reading them with their instances."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    cast,
    func,
    select,
)

from agpd.control.model import agent, instance
from agpd.control.resources import Agent, Instance
from agpd.names import Name

_COLUMNS = [column for column in agent.c if column is not agent.c.words]
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
    rows = connection.execute(_named(connection.dialect.name), {"keys": [list(name) for name in names]})
    return {agent_name(stored.agent): stored for stored in map(_stored, rows)}


def agents_numbered(connection: Connection, numbers: Sequence[int]) -> list[Stored]:
    """Those of these that are registered, in the order asked for, with their instances."""
    found: dict[int, Stored] = {}
    for start in range(0, len(numbers), PART):
        part = {"keys": numbers[start : start + PART]}
        rows = connection.execute(_numbered(connection.dialect.name), part)
        found.update((stored.id, stored) for stored in map(_stored, rows))
    return with_instances(connection, [found[number] for number in numbers if number in found])


def with_instances(connection: Connection, agents: Sequence[Stored]) -> list[Stored]:
    """The same agents, with their instances, sorted by name."""
    by_number = {stored.id: stored.agent for stored in agents}
    for start in range(0, len(agents), PART):
        part = {"keys": [stored.id for stored in agents[start : start + PART]]}
        for row in connection.execute(_instances(connection.dialect.name), part):
            by_number[row.agent].instances.append(to_instance(row))
    return list(agents)


def keys_of(dialect: str, width: int) -> tuple[FromClause, list[ColumnElement[str]]]:
    """Keys of `width` texts each, to join with: a row for each list in the JSON that is the parameter `keys`.

    `(a, b) IN ((...), ...)` reads the whole table on SQLite: 150 ms of 100,000 agents, where this takes 0.3 ms.
    """
    keys = bindparam("keys", type_=JSON())
    if dialect == "sqlite":
        each = func.json_each(keys).table_valued("value", name="key")
        return each, [func.json_extract(each.c.value, f"$[{place}]") for place in range(width)]
    each = func.json_array_elements(keys).table_valued("value", name="key")
    return each, [func.json_extract_path_text(each.c.value, str(place)) for place in range(width)]


# Statements are built once: of a few rows, that costs more than to run them.


@cache
def _named(dialect: str) -> Select[Any]:
    each, parts = keys_of(dialect, 4)
    columns = (agent.c.organization, agent.c.namespace, agent.c.type, agent.c.identity)
    same = and_(*(column == part for column, part in zip(columns, parts, strict=True)))
    return select(*_COLUMNS).select_from(each.join(agent, same))


@cache
def _numbered(dialect: str) -> Select[Any]:
    each, number = _numbers(dialect)
    return select(*_COLUMNS).select_from(each.join(agent, agent.c.id == number))


@cache
def _instances(dialect: str) -> Select[Any]:
    each, number = _numbers(dialect)
    found = each.join(instance, instance.c.agent == number)
    return select(instance).select_from(found).order_by(instance.c.name)


def _numbers(dialect: str) -> tuple[FromClause, ColumnElement[int]]:
    """The numbers in the JSON that is the parameter `keys`."""
    keys = bindparam("keys", type_=JSON())
    if dialect == "sqlite":
        each = func.json_each(keys).table_valued("value", name="key")
        return each, each.c.value
    each = func.json_array_elements_text(keys).table_valued("value", name="key")
    return each, cast(each.c.value, BigInteger)


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
    number, organization, space, kind, identity, description, labels, capabilities, card, keys, *times = (
        tuple(row)
    )
    return Stored(
        number,
        Agent(
            type=f"{organization}/{space}/{kind}",
            identity=identity,
            description=description,
            labels=labels,
            capabilities=capabilities,
            card=card,
            public_keys=keys,
            created=times[0],
            updated=times[1],
            instances=[],
        ),
    )
