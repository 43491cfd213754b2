"""What a type has, agents of it are found by: a change of it is carried to them in parts, so that nobody waits for it.

The first part is done in the transaction of the change. What is left then is noted in `type_change`, with the last
agent that has been reached; each part gives agents what the type has at that time, so parts may be done by anybody, in
any order with other changes, and once too often.
"""

from sqlalchemy import ColumnElement, Connection, exists, literal, select

from agpd.control import tags
from agpd.control.model import agent, agent_tag, type_change
from agpd.control.tags import Tags
from agpd.names import Name

ROWS_AT_ONCE = 1000  # that are written in one transaction: 10 to 40 ms
AGENTS_AT_ONCE = 250


def begin(connection: Connection, type_name: Name) -> None:
    """The tags of the type have changed: do the first part, and note what is left."""
    connection.execute(type_change.delete().where(_is_of(type_name)))
    _do_part(connection, type_name, "")


def is_left(connection: Connection, type_name: Name) -> bool:
    """Are there agents of this type that have not been reached?"""
    return connection.execute(select(type_change.c.after).where(_is_of(type_name))).first() is not None


def any_left(connection: Connection) -> Name | None:
    """A type of which agents have not been reached."""
    row = connection.execute(
        select(type_change.c.organization, type_change.c.namespace, type_change.c.type).limit(1)
    ).first()
    return None if row is None else Name(*row)


def go_on(connection: Connection, type_name: Name) -> bool:
    """The next part. Is more left?"""
    after = connection.scalar(select(type_change.c.after).where(_is_of(type_name)))
    if after is None:
        return False
    connection.execute(type_change.delete().where(_is_of(type_name)))
    return _do_part(connection, type_name, after)


def _do_part(connection: Connection, type_name: Name, after: str) -> bool:
    """The agents behind this identity. Is more left?"""
    new = tags.types_named(connection, [type_name])[type_name[:3]]
    limit = min(AGENTS_AT_ONCE, max(1, ROWS_AT_ONCE // max(1, len(new))))
    query = select(agent.c.id, agent.c.identity).where(tags.of_type(agent.c, type_name))
    query = query.where(agent.c.identity > after).order_by(agent.c.identity).limit(limit + 1)
    found = connection.execute(query).all()
    _give(connection, type_name, [number for number, _ in found[:limit]], new)
    if len(found) <= limit:
        return False
    key = {"organization": type_name.organization, "namespace": type_name.namespace, "type": type_name.type}
    connection.execute(type_change.insert().values(**key, after=found[limit - 1].identity))
    return True


def _give(connection: Connection, type_name: Name, numbers: list[int], new: Tags) -> None:
    """Let these agents have what the type has, and nothing else of it. What is their own stays."""
    if not numbers:
        return
    tag = agent_tag.c
    connection.execute(agent_tag.delete().where(tag.agent.in_(numbers), tag.inherited.is_(True)))
    for (kind, key), value in new.items():
        constants = tags.row(0, type_name, kind, key, value, inherited=True)
        del constants["agent"]
        columns = [literal(constant, tag[name].type) for name, constant in constants.items()]
        own = exists().where(tag.agent == agent.c.id, tag.kind == kind, tag.key == key)
        heirs = select(agent.c.id, *columns).where(agent.c.id.in_(numbers), ~own)
        connection.execute(agent_tag.insert().from_select(["agent", *constants], heirs))


def _is_of(type_name: Name) -> ColumnElement[bool]:
    return tags.of_type(type_change.c, type_name)
