"""Instances of registered agents, many at once: works of the store that start, renew and stop them.

Whether an agent runs is not in the audit log. An instance that nobody renews in time is gone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from agpd.control import tags
from agpd.control.caller import missing
from agpd.control.model import agent_tag, instance
from agpd.control.registration import rounds
from agpd.control.resources import Instance
from agpd.control.rows import agents_named, to_instance
from agpd.control.store import Notes
from agpd.errors import Code, Refused
from agpd.names import Name

INSTANCES_LIMIT = 256  # of one agent: they are in every answer that has the agent
EXPIRED_LIMIT = 500  # that are removed in one transaction


@dataclass(frozen=True, slots=True)
class Start:
    """An instance of the agent `name` (the type's name at the identity) starts, or goes on. `life` in seconds."""

    name: Name
    instance: str
    life: float


@dataclass(frozen=True, slots=True)
class Renewal:
    """An instance says that it runs. `life` in seconds."""

    instance: str
    life: float


class Started(NamedTuple):
    """An instance, the number of its agent, and whether it is new."""

    instance: Instance
    agent: int
    new: bool


def start_all(connection: Connection, notes: Notes, asked: Sequence[Start]) -> Sequence[Started | Refused]:
    """Start instances. One that runs already is renewed."""
    outcomes: dict[int, Started | Refused] = {}
    for places in rounds([each.instance for each in asked]):
        group = [asked[place] for place in places]
        outcomes |= zip(places, _start(connection, notes.now, group), strict=True)
    return [outcomes[place] for place in range(len(asked))]


def renew_all(connection: Connection, notes: Notes, asked: Sequence[Renewal]) -> Sequence[Instance | Refused]:
    """Let instances run on."""
    found = _renew(connection, [(each.instance, notes.now + each.life) for each in asked])
    return [found.get(each.instance) or missing(f"instance {each.instance}") for each in asked]


def stop_all(connection: Connection, _: Notes, asked: Sequence[str]) -> Sequence[int]:
    """Stop instances by name: the numbers of their agents, 0 for one that did not run."""
    query = instance.delete().where(instance.c.name.in_(asked))
    stopped: dict[str, int] = dict(
        connection.execute(query.returning(instance.c.name, instance.c.agent)).all()
    )
    _untag(connection, stopped.values())
    return [stopped.pop(name, 0) for name in asked]


def any_late(connection: Connection, now: float) -> bool:
    """Is there an instance whose time is over?"""
    return (
        connection.execute(select(instance.c.name).where(instance.c.expires <= now).limit(1)).first()
        is not None
    )


def expire(connection: Connection, _: Notes, now: float) -> list[int]:
    """Remove instances whose time is over, at most `EXPIRED_LIMIT`: the numbers of their agents."""
    late = select(instance.c.name).where(instance.c.expires <= now).limit(EXPIRED_LIMIT)
    query = instance.delete().where(instance.c.name.in_(late))
    gone = list(connection.execute(query.returning(instance.c.agent)).scalars())
    _untag(connection, gone)
    return gone


def _start(connection: Connection, now: float, group: Sequence[Start]) -> list[Started | Refused]:
    agents = agents_named(connection, {each.name for each in group})
    running = _running(connection, [each.instance for each in group])
    counts = _counts(connection, [stored.id for stored in agents.values()])
    idle = {stored.id: name.type_name for name, stored in agents.items() if stored.id not in counts}
    outcomes: list[Started | Refused] = []
    for each in group:
        number = agents[each.name].id if each.name in agents else 0
        before = running.get(each.instance)
        count = counts.get(number, 0)
        refused = _refusal(each, number, before, count)
        outcomes.append(refused or _started(each, number, before, now))
        if refused is None and before is None:
            counts[number] = count + 1
    started = [outcome for outcome in outcomes if isinstance(outcome, Started)]
    _add(connection, [each for each in started if each.new], idle)
    _renew(connection, [(each.instance.name, each.instance.expires) for each in started if not each.new])
    return outcomes


def _started(asked: Start, number: int, before: tuple[int, float] | None, now: float) -> Started:
    since = now if before is None else before[1]
    return Started(
        Instance(name=asked.instance, since=since, expires=now + asked.life), number, before is None
    )


def _refusal(asked: Start, number: int, before: tuple[int, float] | None, count: int) -> Refused | None:
    """`before`: whose instance it is already, and since when. `count`: how many this agent has."""
    what = f"agent {asked.name.type_name}/{asked.name.instance}"
    if not number:
        return missing(f"{what}; register it first")
    if before is not None and before[0] != number:
        return Refused(Code.CONFLICT, f"instance {asked.instance} is another agent's")
    if before is None and count >= INSTANCES_LIMIT:
        return Refused(Code.CONFLICT, f"{what} has {count} instances already")
    return None


def _running(connection: Connection, names: Collection[str]) -> dict[str, tuple[int, float]]:
    """Of those that run: the number of the agent, and since when."""
    query = select(instance.c.name, instance.c.agent, instance.c.since).where(instance.c.name.in_(names))
    return {name: (number, since) for name, number, since in connection.execute(query)}


def _counts(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """How many instances the agents have that have any."""
    query = select(instance.c.agent, func.count()).where(instance.c.agent.in_(numbers))
    return dict(connection.execute(query.group_by(instance.c.agent)).all())


def _add(connection: Connection, new: Sequence[Started], idle: Mapping[int, Name]) -> None:
    """Insert new instances. `idle`: the agents that have had none, with their types."""
    if not new:
        return
    rows = [
        {
            "name": each.instance.name,
            "agent": each.agent,
            "since": each.instance.since,
            "expires": each.instance.expires,
        }
        for each in new
    ]
    connection.execute(instance.insert(), rows)
    first = {each.agent for each in new} & idle.keys()
    if first:
        marks = [tags.row(number, idle[number], tags.RUNNING, "", "") for number in first]
        connection.execute(agent_tag.insert(), marks)


def _renew(connection: Connection, wanted: Iterable[tuple[str, float]]) -> dict[str, Instance]:
    """Let instances live until a time each; those that run, by name."""
    by_end: dict[float, list[str]] = {}
    for name, expires in wanted:
        by_end.setdefault(expires, []).append(name)
    found: dict[str, Instance] = {}
    for expires, names in by_end.items():
        query = instance.update().where(instance.c.name.in_(names)).values(expires=expires)
        found.update((row.name, to_instance(row)) for row in connection.execute(query.returning(instance)))
    return found


def _untag(connection: Connection, numbers: Collection[int]) -> None:
    """Of these agents, those of which no instance is left do not run any more."""
    if numbers:
        left = exists().where(instance.c.agent == agent_tag.c.agent)
        mark = agent_tag.c.kind == tags.RUNNING
        connection.execute(agent_tag.delete().where(agent_tag.c.agent.in_(set(numbers)), mark, ~left))
