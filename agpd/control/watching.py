"""Watching the registry: what changes is told to those who may see it, and asked for it.

Changes come from the store, after their commit, and from the instances; they say who changed, and the agent is read
then.
Every watcher has a bounded queue: one that falls behind is ended, and has to find again what there is.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol
from weakref import WeakSet

from sqlalchemy import Connection

from agpd.control import tags, words
from agpd.control.caller import Caller, Role
from agpd.control.finding import wanted
from agpd.control.resources import Agent, AgentEvent, AuditEvent, Query
from agpd.control.rows import agent_name, agents_named, agents_numbered, with_instances
from agpd.control.store import Store
from agpd.control.tags import types_named
from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, parse

QUEUE_LIMIT = 1000  # events that wait for one watcher
PENDING_LIMIT = 10_000  # changes that wait to be read
PART = 50  # changes that are read at once
TURN = 200  # watchers that are asked before the loop gets its turn
_KINDS: Mapping[str, Literal["registered", "changed", "deregistered"]] = {
    "agent.register": "registered",
    "agent.update": "changed",
    "agent.deregister": "deregistered",
}


class Sight(Protocol):
    """Who may find what; see `agpd.control.policy`."""

    def discovers(self, who: Pattern, target: Name) -> bool: ...

    def visible_patterns(self, who: Pattern) -> list[Pattern]: ...


class Change(NamedTuple):
    """What happened to the agent with this name or, without one, with this number."""

    kind: Literal["registered", "changed", "deregistered", "started", "stopped"]
    name: Name | None
    number: int = 0


class _Told(NamedTuple):
    """An event, and what it is filtered by. `tags` are those of its type too."""

    event: AgentEvent
    name: Name
    tags: tags.Tags


class Watch:
    """The events of one watcher, an asynchronous iterator. Close it with `aclose`; one that is dropped is forgotten."""

    def __init__(self, caller: Caller, query: Query, close: Callable[["Watch"], None]) -> None:
        self.caller = caller
        self._wanted = wanted(query)
        self._live = query.live
        self._close = close
        self._events: deque[AgentEvent] = deque()
        self._ended: Exception | None = None
        self._wake = asyncio.Event()

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> AgentEvent:
        """The next event. Raises `Refused(RECEIVER_FULL)` when some were lost."""
        while not self._events:
            if self._ended is not None:
                raise self._ended
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    async def aclose(self) -> None:
        """Watch no more."""
        self._close(self)
        self.end(StopAsyncIteration())

    def end(self, reason: Exception) -> None:
        """Raise this behind the events that wait."""
        self._ended = self._ended or reason
        self._wake.set()

    def offer(self, told: _Told) -> None:
        """Queue an event that its caller may see, if it is what is watched for."""
        if self._ended is not None or not self._wants(told):
            return
        if len(self._events) >= QUEUE_LIMIT:
            self._close(self)
            self.end(Refused(Code.RECEIVER_FULL, "events were lost: find again what there is, then watch"))
        else:
            self._events.append(told.event)
            self._wake.set()

    def _wants(self, told: _Told) -> bool:
        """What an agent was before is not known: of `changed` and `deregistered` only the name decides."""
        want, event = self._wanted, told.event
        if any(part and part != segment for part, segment in zip(want.parts, told.name, strict=False)):
            return False
        if event.kind in ("changed", "deregistered"):
            return True
        if self._live and event.kind == "registered":
            return False
        held = told.tags
        found = all(held.get((kind, key)) == value for kind, key, value in want.tags if kind != tags.RUNNING)
        return found and (want.words is None or want.words <= words.words_of(event.agent))


class Feed:
    """All watchers. `policy` returns the current one.

    `limit` is how many there may be, of which one organization has half at most, so that it cannot keep out others.
    """

    def __init__(self, store: Store, policy: Callable[[], Sight], limit: int) -> None:
        self._store = store
        self._policy = policy
        self._limit = limit
        self._watches: WeakSet[Watch] = WeakSet()
        self._pending: list[Change] = []
        self._task: asyncio.Task[None] | None = None
        store.listen(self._on_events)

    def watch(self, caller: Caller, query: Query) -> Watch:
        """Raises `Refused`: TOO_MANY_WATCHES, INVALID_REQUEST."""
        if len(self._watches) >= self._limit:
            raise Refused(Code.TOO_MANY_WATCHES, f"the registry has {self._limit} (control.watchers)")
        own = sum(watch.caller.organization == caller.organization for watch in self._watches)
        if own >= (self._limit + 1) // 2:
            raise Refused(Code.TOO_MANY_WATCHES, f"{caller.organization} has {own}, half of control.watchers")
        watch = Watch(caller, query, self._watches.discard)
        self._watches.add(watch)
        return watch

    def tell_started(self, number: int) -> None:
        """An instance of the agent with this number has started."""
        self._tell([Change("started", None, number)])

    def tell_stopped(self, numbers: Sequence[int]) -> None:
        """An instance of each of these has stopped."""
        self._tell([Change("stopped", None, number) for number in numbers])

    async def close(self) -> None:
        """End all watches."""
        self._end(StopAsyncIteration())
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_events(self, events: Sequence[AuditEvent]) -> None:
        self._tell(
            [Change(_KINDS[event.action], parse(event.object)) for event in events if event.action in _KINDS]
        )

    def _tell(self, changes: Sequence[Change]) -> None:
        if not changes or not self._watches:
            return
        self._pending += changes
        if len(self._pending) > PENDING_LIMIT:
            self._pending.clear()
            self._end(
                Refused(Code.RECEIVER_FULL, "too much has changed: find again what there is, then watch")
            )
        elif self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell_all())

    async def _tell_all(self) -> None:
        while self._pending:
            part, self._pending = self._pending[:PART], self._pending[PART:]
            try:
                read = await self._store.read(lambda connection, part=part: _read(connection, part))  # type: ignore[misc]
            except Refused as error:
                self._end(error)
                return
            except Exception:  # a fault of ours: whoever watches must not believe that nothing has happened
                self._end(Refused(Code.INTERNAL))
                raise
            for told in read:
                await self._offer(told)

    async def _offer(self, told: _Told) -> None:
        policy = self._policy()
        for turn, watch in enumerate(list(self._watches), 1):
            if may_see(policy, watch.caller, told.name):
                watch.offer(told)
            if turn % TURN == 0:
                await asyncio.sleep(0)
                policy = self._policy()

    def _end(self, reason: Exception) -> None:
        for watch in list(self._watches):
            watch.end(reason)
        self._watches.clear()


def may_see(policy: Sight, caller: Caller, name: Name) -> bool:
    """May this caller find this agent?"""
    if caller.role is Role.OPERATOR or caller.organization == name.organization:
        return True
    return policy.discovers(caller.pattern, name)


def _read(connection: Connection, changes: Sequence[Change]) -> list[_Told]:
    """What to tell, in the same order. Of an agent that is gone meanwhile only that it is."""
    named = agents_named(connection, {change.name for change in changes if change.name is not None})
    with_instances(connection, list(named.values()))
    numbers = {change.number for change in changes if change.name is None}
    numbered = {stored.id: stored for stored in agents_numbered(connection, sorted(numbers))}
    inherited = types_named(
        connection, [agent_name(stored.agent) for stored in (*named.values(), *numbered.values())]
    )
    told: list[_Told] = []
    for kind, name, number in changes:
        stored = numbered.get(number) if name is None else named.get(name)
        if kind == "deregistered" and name is not None:
            gone = Agent(type=str(name.type_name), identity=name.instance)
            told.append(_Told(AgentEvent(kind=kind, agent=gone), name, {}))
        elif stored is not None:
            agent = stored.agent
            called = agent_name(agent)
            held = {**inherited.get(called[:3], {}), **tags.tags_of(agent.labels, agent.capabilities)}
            told.append(_Told(AgentEvent(kind=kind, agent=agent), called, held))
    return told
