"""The store of the control plane: reads, and writes of which many share one commit.

Work is a plain function of a SQLAlchemy `Connection`. On SQLite it runs in a thread: it touches nothing but the
connection and what it was given, and waits for nothing else. All writes go through one writer: those that wait together
are done in one transaction, and each is acknowledged when it is on the disk.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from agpd.control import chain, together
from agpd.control.database import Database, connect, forget_changes, has_changed
from agpd.control.faults import is_outage, refusal
from agpd.control.resources import AuditEvent
from agpd.control.sealing import Sealer
from agpd.control.together import Asked
from agpd.errors import Code, ConfigError, Refused
from agpd.values import hide_password

Item = TypeVar("Item")
Result = TypeVar("Result")
Listener = Callable[[Sequence[AuditEvent]], None]
BATCH_LIMIT = 128
WRITES_LIMIT = 8192  # that wait
READS_LIMIT = 1024
POLL_S = 1.0
EVENTS_LIMIT = 500  # that are read at once
_log = logging.getLogger(__name__)


class Notes:
    """What a work writes into the audit log, in the transaction of its changes."""

    def __init__(self, now: float) -> None:
        self.now = now  # Unix seconds
        self.events: list[AuditEvent] = []

    def add(
        self, actor: str, tenant: str, action: str, object_: str, detail: dict[str, Any] | None = None
    ) -> None:
        """`action` is `kind.verb`, such as `tenant.create`; `detail` is small, and holds no secret."""
        self.events.append(
            AuditEvent(
                sequence=0,
                at=self.now,
                actor=actor,
                tenant=tenant,
                action=action,
                object=object_,
                detail=detail or {},
            )
        )


Work = Callable[[Connection, Notes], Result]
WorkOnEach = Callable[[Connection, Notes, Sequence[Item]], Sequence[Result | Refused]]


class Store:
    """An open database. Make it with `open`; `close` it."""

    def __init__(self, database: Database, clock: Callable[[], float], sealer: Sealer, poll_s: float) -> None:
        self._database = database
        self._poll_s = poll_s
        self._clock = clock
        self.sealer = sealer
        self._listeners: list[Listener] = []
        self._told = 0  # the sequence of the last event that listeners were told
        self._waiting: list[Asked] = []
        self._reading = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls, url: str, clock: Callable[[], float] = time.time, *, sealer: Sealer, poll_s: float = POLL_S
    ) -> "Store":
        """Open or make the database, and bring its tables up to date.

        `url` is as users write it: `sqlite:///path` or `postgresql://...`; `clock`: Unix seconds;
        `poll_s`: how often changes of other gateways are looked for. Raises `ConfigError`.
        """
        from agpd.control import migrations

        store = cls(connect(url), clock, sealer, poll_s)
        try:
            store._told = await store._database.write(
                lambda connection: migrations.upgrade(connection, sealer)
            )
        except Exception as error:
            await store._database.close()
            if is_outage(error):
                raise ConfigError(
                    f"cannot use control.database {hide_password(url)}: {_reason(error)}"
                ) from None
            raise
        store._tasks += [asyncio.create_task(store._write_all()), asyncio.create_task(store._poll_all())]
        return store

    async def close(self) -> None:
        """Finish the writes that were asked for, then close. Further ones are refused."""
        self._closing = True
        self._wake.set()
        writer, *others = self._tasks
        await writer
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._database.close()

    def listen(self, listener: Listener) -> None:
        """Call it with the events of each commit, each once, in their order, before `write` returns.

        Also with those of other gateways that use the same database, about a second later. They are called on the
        event loop; a fault of one goes to the loop's exception handler.
        """
        self._listeners.append(listener)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run a work that changes nothing, on one snapshot. Raises what it raises, and `Refused(UNAVAILABLE)`."""
        if (reader := together.moment.get()) is not None:
            return await reader(work)
        if self._reading >= READS_LIMIT:
            raise Refused(Code.UNAVAILABLE, f"{self._reading} reads wait already")
        self._reading += 1
        try:
            return await self._read(work)
        finally:
            self._reading -= 1

    async def write(self, work: Work[Result]) -> Result:
        """Run a work that changes something. It is on the disk when this returns, or nothing of it after `Refused`.

        Raises what the work raises; `Refused(ALREADY_EXISTS)` or `Refused(CONFLICT)` when it runs against a constraint;
        `Refused(UNAVAILABLE)` when the database does not answer: if that happened at the commit, the change may have
        been made. A work may run twice, of which only the second counts. One whose caller was cancelled may still be
        done.
        """

        def one(connection: Connection, notes: Notes, _: Sequence[None]) -> Sequence[Result | Refused]:
            return [work(connection, notes)]

        return await self._ask(one, None)

    async def write_each(self, work: WorkOnEach[Item, Result], item: Item) -> Result:
        """As `write`, for a work that does many items at once: those that wait with the same `work` are given together.

        It returns a result, or what to raise, for each item, in their order.
        """
        return await self._ask(work, item)

    async def change_together(self, calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
        """Run calls of services, of which each writes at most once, as one change: all of it or nothing.

        What they read before they write is not of the transaction. Raises what the first raises, and as `write`.
        """
        return await together.changes(calls, self.write)

    @asynccontextmanager
    async def moment(self) -> AsyncIterator[None]:
        """Within it, what this task reads is of one snapshot. Raises `Refused(UNAVAILABLE)`."""
        try:
            async with self._database.snapshot() as reader:
                token = together.moment.set(reader)
                try:
                    yield
                finally:
                    together.moment.reset(token)
        except Exception as error:
            if is_outage(error):
                raise _unavailable(error) from error
            raise

    async def ping(self) -> None:
        """Does the database answer? Raises `Refused(UNAVAILABLE)`."""
        await self.read(lambda connection: connection.scalar(select(1)))

    async def poll(self) -> None:
        """Tell listeners what other gateways have written."""
        events = await self._read(lambda connection: chain.events_after(connection, self._told, EVENTS_LIMIT))
        while events:
            self._tell(events)
            events = await self._read(
                lambda connection: chain.events_after(connection, self._told, EVENTS_LIMIT)
            )

    async def _read(self, work: Callable[[Connection], Result]) -> Result:
        try:
            return await self._database.read(work)
        except Exception as error:  # a connection of the pool may have ended since it was used
            if not is_outage(error):
                raise
        try:
            return await self._database.read(work)
        except Exception as error:
            if not is_outage(error):
                raise
            raise _unavailable(error) from error

    async def _ask(self, work: WorkOnEach[Item, Result], item: Item) -> Result:
        if self._closing:
            raise Refused(Code.UNAVAILABLE, "the control plane is shutting down")
        if len(self._waiting) >= WRITES_LIMIT:
            raise Refused(Code.UNAVAILABLE, f"{len(self._waiting)} changes wait already")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        part = together.part.get()
        if part is not None and not part.done():
            part.set_result(Asked(work, item, answer))
        else:
            self._waiting.append(Asked(work, item, answer))
            self._wake.set()
        return await answer

    async def _write_all(self) -> None:
        while not self._closing:
            await self._wake.wait()
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
                await self._commit([write for write in batch if not write.answer.done()])
            if not self._closing:
                self._wake.clear()

    async def _commit(self, batch: Sequence[Asked]) -> None:
        """Do all in one transaction; after a fault, each in one of its own, so that it hits only its own."""
        if not batch:
            return
        now = self._clock()
        try:
            outcomes, events = await self._write(
                lambda connection, end: self._run(connection, end, batch, now)
            )
        except Exception as error:
            if is_outage(error) or isinstance(error, ConfigError):
                unavailable = _unavailable(error)
                for write in batch:
                    _answer(write.answer, unavailable)
            elif len(batch) == 1:
                _answer(batch[0].answer, refusal(error) or error)
            else:
                for write in batch:
                    await self._commit([write])
            return
        await self._publish(events)
        for write, outcome in zip(batch, outcomes, strict=True):
            _answer(write.answer, outcome)

    async def _write(self, work: Callable[[Connection, chain.Head], Result]) -> Result:
        """Run it behind the head of the audit log. A connection that has ended since it was used is replaced."""
        begun = False

        def run(connection: Connection) -> Result:
            nonlocal begun
            end = chain.head(connection, self.sealer, lock=True)
            begun = True
            return work(connection, end)

        try:
            return await self._database.write(run)
        except Exception as error:
            if begun or not is_outage(error):
                raise
        return await self._database.write(run)

    def _run(
        self, connection: Connection, end: chain.Head, batch: Sequence[Asked], now: float
    ) -> tuple[list[Any], list[AuditEvent]]:
        """Outcomes in the order of `batch`, and what was noted. Any fault ends the transaction."""
        outcomes: dict[int, Any] = {}
        events: list[AuditEvent] = []
        for work, places in _together(batch):
            notes = Notes(now)
            outcomes |= zip(
                places, _try(connection, notes, work, [batch[place].item for place in places]), strict=True
            )
            events += notes.events
        if events:
            chain.append(connection, self.sealer, end, events)
        return [outcomes[place] for place in range(len(batch))], events

    async def _publish(self, events: Sequence[AuditEvent]) -> None:
        """Tell listeners the events of our own commit, after those of others that came between."""
        if events and events[0].sequence > self._told + 1 and not await self._catch_up():
            return
        self._tell(events)

    async def _catch_up(self) -> bool:
        """Poll. What cannot be read now is told after a later poll: no fault of it ends writing or polling."""
        try:
            await self.poll()
        except Refused:  # logged where it was raised
            return False
        except Exception:
            _log.exception("events of the audit log cannot be read")
            return False
        return True

    def _tell(self, events: Sequence[AuditEvent]) -> None:
        new = [event for event in events if event.sequence > self._told]
        if new:
            self._told = new[-1].sequence
            for listener in self._listeners:
                asyncio.get_running_loop().call_soon(listener, new)

    async def _poll_all(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._catch_up()


def _together(batch: Sequence[Asked]) -> Iterable[tuple[WorkOnEach[Any, Any], list[int]]]:
    """Each work with the places of its items in the batch."""
    places: dict[WorkOnEach[Any, Any], list[int]] = {}
    for place, write in enumerate(batch):
        places.setdefault(write.work, []).append(place)
    return places.items()


def _try(
    connection: Connection, notes: Notes, work: WorkOnEach[Any, Any], items: Sequence[Any]
) -> Sequence[Any]:
    """The outcomes of a work. One that refuses all before it has changed anything leaves the transaction whole."""
    forget_changes(connection)
    try:
        return work(connection, notes, items)
    except Refused as error:
        if len(items) > 1 or has_changed(connection):
            raise
        notes.events.clear()
        return [error]


def _answer(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():  # cancelled
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _unavailable(error: Exception) -> Refused:
    """What callers are told; why is for the log alone."""
    _log.error("the database does not answer: %s", _reason(error))
    return Refused(Code.UNAVAILABLE)


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0] or type(cause).__name__
