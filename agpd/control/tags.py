"""What agents are found by: their labels and capabilities, those of their type, and whether an instance runs.

An agent has what its type has; its own label of the same key counts instead of the type's.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from agpd.control.model import agent_type
from agpd.control.rows import keys_of
from agpd.names import Name

LABEL, CAPABILITY, RUNNING = "l", "c", "r"

Tags = Mapping[tuple[str, str], str]
"""(kind, key) to value."""


def tags_of(labels: Mapping[str, str], capabilities: Sequence[str]) -> Tags:
    """A capability has an empty value."""
    found = {(LABEL, key): value for key, value in labels.items()}
    found.update(((CAPABILITY, capability), "") for capability in capabilities)
    return found


def types_named(connection: Connection, names: Collection[Name]) -> dict[tuple[str, ...], Tags]:
    """What types give to their agents, by organization, namespace and type; those of these names that exist."""
    keys = [list(name) for name in {name[:3] for name in names}]
    return {
        (organization, space, name): tags_of(labels, capabilities)
        for organization, space, name, labels, capabilities in connection.execute(
            _types(connection.dialect.name), {"keys": keys}
        )
    }


@cache
def _types(dialect: str) -> Select[Any]:
    kind = agent_type.c
    columns = (kind.organization, kind.namespace, kind.name)
    each, parts = keys_of(dialect, 3)
    same = and_(*(column == part for column, part in zip(columns, parts, strict=True)))
    return select(*columns, kind.labels, kind.capabilities).select_from(each.join(agent_type, same))


def rows(agent_id: int, type_name: Name, own: Tags, inherited: Tags) -> list[dict[str, Any]]:
    """The rows of `agent_tag` for an agent."""
    return [
        row(agent_id, type_name, kind, key, value, inherited=(kind, key) not in own)
        for (kind, key), value in {**inherited, **own}.items()
    ]


def row(
    agent_id: int, type_name: Name, kind: str, key: str, value: str, *, inherited: bool = False
) -> dict[str, Any]:
    """One row of `agent_tag`."""
    return {
        "agent": agent_id,
        "kind": kind,
        "key": key,
        "value": value,
        "inherited": inherited,
        "organization": type_name.organization,
        "namespace": type_name.namespace,
        "type": type_name.type,
    }


def of_type(columns: Any, type_name: Name) -> ColumnElement[bool]:
    """The rows of a table's columns `organization`, `namespace`, `type` that are of this type."""
    return and_(
        columns.organization == type_name.organization,
        columns.namespace == type_name.namespace,
        columns.type == type_name.type,
    )
