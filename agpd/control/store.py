"""The database of the control plane: reads, and writes of which many share one commit.

Work is a plain function of a SQLAlchemy `Connection`; the store runs it on the asynchronous engine. All writes go
through one writer: those that wait together are done in one transaction, and each is acknowledged when it is on the
disk. A work that raises `Refused` must do so before its first change.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agpd.control import audit
from agpd.control.model import metadata
from agpd.control.resources import AuditEvent
from agpd.errors import Refused

Result = TypeVar("Result")
Listener = Callable[[Sequence[AuditEvent]], None]
BATCH_LIMIT = 64


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


class Store:
    """An open database. Make it with `open`; `close` it."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._listeners: list[Listener] = []
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, clock: Callable[[], float] = time.time) -> "Store":
        """`url` is SQLAlchemy's: `sqlite+aiosqlite:///path` or `postgresql+asyncpg://...`. `clock`: Unix seconds."""
        engine = create_async_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        store = cls(engine, clock)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        store._writer = asyncio.create_task(store._write_all())
        return store

    async def close(self) -> None:
        """Finish what was asked for, then close."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._engine.dispose()

    def listen(self, listener: Listener) -> None:
        """Call it with the events of each commit, in their order."""
        self._listeners.append(listener)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run a work that changes nothing."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Work[Result]) -> Result:
        """Run a work that changes something. It is on the disk when this returns."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._wake.set()
        return await future

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
                await self._commit(batch)

    async def _commit(self, batch: list[tuple[Work[Any], asyncio.Future[Any]]]) -> None:
        results: list[tuple[asyncio.Future[Any], Any, Refused | None]] = []
        notes = Notes(self._clock())
        async with self._engine.begin() as connection:
            for work, future in batch:
                try:
                    results.append((future, await connection.run_sync(work, notes), None))
                except Refused as error:
                    results.append((future, None, error))
            if notes.events:
                await connection.run_sync(audit.append, notes.events)
        for future, result, refused in results:
            if future.cancelled():
                continue
            if refused is None:
                future.set_result(result)
            else:
                future.set_exception(refused)
        for listener in self._listeners:
            listener(notes.events)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
