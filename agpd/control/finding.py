"""The statements that find agents: which, in what order, driven by which index. See docs/topics/registry.md.

A search goes through *scopes*, prefixes of names that the caller may see, one after the other, in the order
(organization, namespace, type, number); full text in the order (scope, number). Each is one range of one index, so that
what lies outside the scopes costs nothing and its presence cannot be felt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TextClause,
    column,
    exists,
    func,
    literal_column,
    select,
    table,
    text,
    tuple_,
)

from agpd.control import tags, words
from agpd.control.model import agent, agent_tag, agent_type
from agpd.control.resources import Query
from agpd.errors import Code, Refused

COUNTED = 1000  # how far a condition is counted to find the rarest one
TYPES_LIMIT = 32  # of one name in a scope that are searched one by one
_PARTS = ("organization", "namespace", "type")
_WORDS = table("agent_words", column("rowid"))


class Scope(NamedTuple):
    """Names that begin with a prefix of at most three segments; if `identities` are given, only those of them."""

    prefix: tuple[str, ...]
    identities: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where an agent stands in the order."""

    organization: str
    namespace: str
    type: str
    id: int

    def __str__(self) -> str:
        return "/".join(map(str, self))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, taken apart. `tags` are (kind, key, value); `words` None: no text."""

    parts: tuple[str, str, str]
    tags: Sequence[tuple[str, str, str]]
    words: frozenset[str] | None


def wanted(query: Query) -> Wanted:
    """Raises `Refused(INVALID_REQUEST)` for a text without a word."""
    conditions = [
        (kind, key, value) for (kind, key), value in tags.tags_of(query.labels, query.capabilities).items()
    ]
    if query.live:
        conditions.append((tags.RUNNING, "", ""))
    searched = frozenset(words.split(query.text))
    if query.text and not searched:
        raise Refused(Code.INVALID_REQUEST, f"text {query.text!r} has no word to search for")
    return Wanted(
        (query.organization, query.namespace, query.type), conditions, searched if query.text else None
    )


def place(text: str) -> Place | None:
    """What was printed by `str(place)`; None for the empty text. Raises `Refused(INVALID_REQUEST)`."""
    parts = text.split("/")
    if not text:
        return None
    if len(parts) != 4 or not parts[3].isdecimal() or int(parts[3]) >= 2**63:
        raise Refused(Code.INVALID_REQUEST, "`after` is not what a page before has given as `next`")
    return Place(parts[0], parts[1], parts[2], int(parts[3]))


def scopes(visible: Iterable[tuple[str, ...]], parts: Sequence[str]) -> list[Scope]:
    """What is visible (prefixes of names) of what is wanted (`parts`; empty: any); sorted, none within another."""
    narrowed = {narrow for prefix in visible if (narrow := _narrow(prefix, parts)) is not None}
    found: list[Scope] = []
    last: tuple[str, ...] | None = None
    for prefix in sorted(narrowed):
        if last is not None and prefix[: len(last)] == last:
            continue
        last = prefix
        if len(prefix) < 4:
            found.append(Scope(prefix))
        elif found and found[-1].prefix == prefix[:3]:
            found[-1] = Scope(prefix[:3], (*found[-1].identities, prefix[3]))
        else:
            found.append(Scope(prefix[:3], (prefix[3],)))
    return found


def _narrow(prefix: tuple[str, ...], parts: Sequence[str]) -> tuple[str, ...] | None:
    if any(part and part != segment for part, segment in zip(parts, prefix, strict=False)):
        return None
    for part in parts[len(prefix) :]:
        if not part:
            break
        prefix = (*prefix, part)
    return prefix


def find(
    connection: Connection, want: Wanted, within: Sequence[Scope], after: Place | None, count: int
) -> list[Place]:
    """The first `count` places behind `after`."""
    found: list[Place] = []
    for scope in chain.from_iterable(_with_types(connection, want, each) for each in within):
        length = len(scope.prefix)
        if after is not None and scope.prefix < after[:length]:
            continue
        start = after if after is not None and scope.prefix == after[:length] else None
        rows = connection.execute(_query(connection, want, scope, start, count - len(found)))
        found += [Place(*row) for row in rows]
        if len(found) >= count:
            break
    return found


def _with_types(connection: Connection, want: Wanted, scope: Scope) -> list[Scope]:
    """The types of the wanted name in a scope, if they are few; else the scope, which is searched through then."""
    kind = want.parts[2]
    if not kind or len(scope.prefix) > 2:
        return [scope]
    columns = (agent_type.c.organization, agent_type.c.namespace)
    parts = (*scope.prefix, *want.parts[len(scope.prefix) : 2])
    here = [column == part for column, part in zip(columns, parts, strict=True) if part]
    query = select(*columns).where(*here, agent_type.c.name == kind).order_by(*columns).limit(TYPES_LIMIT + 1)
    found = [Scope((organization, space, kind)) for organization, space in connection.execute(query)]
    return found if len(found) <= TYPES_LIMIT else [scope]


def _query(
    connection: Connection, want: Wanted, scope: Scope, start: Place | None, count: int
) -> Select[Any]:
    if want.words is not None:
        return _by_words(connection, want, scope, start, count)
    if want.tags and not scope.identities:
        return _by_tag(connection, want, scope, start, count)
    here = agent.c
    query = _select(here, here.id, want, scope, want.tags).limit(count)
    return _behind(query, here, here.id, scope, start)


def _by_tag(
    connection: Connection, want: Wanted, scope: Scope, start: Place | None, count: int
) -> Select[Any]:
    """Driven by the rarest tag."""
    rarest = want.tags[0] if len(want.tags) == 1 else _rarest(connection, want, scope)
    here = agent_tag.c
    others = [tag for tag in want.tags if tag != rarest]
    query = _select(here, here.agent, want, scope, others).where(_is_tag(agent_tag, rarest)).limit(count)
    return _behind(query, here, here.agent, scope, start)


def _rarest(connection: Connection, want: Wanted, scope: Scope) -> tuple[str, str, str]:
    """The tag that fewest agents of the scope have, counted as far as `COUNTED`."""
    where = dict(zip(_PARTS, scope.prefix, strict=False))
    query = _counting(tuple(where))
    counts = [
        connection.scalar(query, {"kind": kind, "key": key, "value": value, **where})
        for kind, key, value in want.tags
    ]
    return min(zip(counts, want.tags, strict=True))[1]


@cache
def _counting(parts: tuple[str, ...]) -> TextClause:
    """As text: to build and to compile it costs several times as much as to run it."""
    where = " AND ".join(f"{name} = :{name}" for name in ("kind", "key", "value", *parts))
    return text(f"SELECT count(*) FROM (SELECT 1 FROM agent_tag WHERE {where} LIMIT {COUNTED}) AS counted")  # noqa: S608


def _by_words(
    connection: Connection, want: Wanted, scope: Scope, start: Place | None, count: int
) -> Select[Any]:
    """By full text: the words of one organization."""
    assert want.words is not None
    blinded = words.blind(scope.prefix[0], want.words)
    query = _select(agent.c, agent.c.id, want, scope, want.tags)
    number: ColumnElement[Any] = agent.c.id
    if connection.dialect.name == "sqlite":
        number = _WORDS.c.rowid
        query = query.select_from(_WORDS.join(agent, agent.c.id == number))
        query = query.where(literal_column("agent_words").op("MATCH")(blinded))
    else:
        simple: ColumnElement[Any] = literal_column("'simple'")
        vector = func.to_tsvector(simple, agent.c.words)
        query = query.where(vector.op("@@")(func.plainto_tsquery(simple, blinded)))
    if start is not None:
        query = query.where(number > start.id)
    return query.order_by(number).limit(count)


def _select(
    here: Any,
    number: ColumnElement[Any],
    want: Wanted,
    scope: Scope,
    conditions: Sequence[tuple[str, str, str]],
) -> Select[Any]:
    """Places in a table that has the columns `here`, of which `number` is that of the agent."""
    fixed = len(scope.prefix)
    parts = (*scope.prefix, *want.parts[fixed:])
    query = select(here.organization, here.namespace, here.type, number).where(*_within(here, parts))
    if scope.identities:
        query = query.where(here.identity.in_(scope.identities))
    return query.where(*(_has(number, tag) for tag in conditions))


def _within(here: Any, parts: Sequence[str]) -> list[ColumnElement[bool]]:
    """Rows whose name has these parts; empty: any."""
    return [here[name] == part for name, part in zip(_PARTS, parts, strict=False) if part]


def _has(number: ColumnElement[Any], tag: tuple[str, str, str]) -> ColumnElement[bool]:
    other = agent_tag.alias()
    return exists().where(other.c.agent == number, _is_tag(other, tag))


def _is_tag(which: FromClause, tag: tuple[str, str, str]) -> ColumnElement[bool]:
    kind, key, value = tag
    return (which.c.kind == kind) & (which.c.key == key) & (which.c.value == value)


def _behind(
    query: Select[Any], here: Any, number: ColumnElement[Any], scope: Scope, start: Place | None
) -> Select[Any]:
    """In order, and behind a place. Only by what the scope leaves open: SQLite would sort otherwise."""
    order = (here.organization, here.namespace, here.type, number)[len(scope.prefix) :]
    if start is not None:
        query = query.where(tuple_(*order) > tuple_(*start[len(scope.prefix) :]))
    return query.order_by(*order)
