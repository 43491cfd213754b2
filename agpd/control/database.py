"""How the control plane reaches its database: SQLite in threads of its own, PostgreSQL over asyncpg.

A transaction is a plain function of a SQLAlchemy `Connection`. On SQLite the whole function runs in a thread, because
handing over each statement costs 100 µs and blocks the loop in between; on PostgreSQL it runs on the loop and waits
for the server. So it may touch nothing but the connection and what it was given.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from agpd.control.sealing import make_directory
from agpd.control.together import Reader
from agpd.errors import ConfigError
from agpd.values import hide_password

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Result = TypeVar("Result")
Transaction = Callable[[Connection], Result]
READERS = 2  # connections that only read
SNAPSHOTS = 1  # connections for many reads at one moment, so that these hold up nobody else's
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 30
BUSY_TIMEOUT_MS = 5000
SWITCH_INTERVAL_S = 0.0001
_FORMS = "write sqlite:///path/control.db, or postgresql://user@host/name"


class Database(Protocol):
    """An open database. Errors are SQLAlchemy's, the driver's, `OSError` and `TimeoutError`."""

    async def read(self, transaction: Transaction[Result]) -> Result:
        """Run it on one snapshot; it cannot change anything."""

    def snapshot(self) -> AbstractAsyncContextManager[Reader]:
        """Several reads on one snapshot."""

    async def write(self, transaction: Transaction[Result]) -> Result:
        """Run it and commit, or roll back if it raises."""

    async def close(self) -> None:
        """Close all connections."""


def connect(url: str) -> Database:
    """The database at a URL as users write it; nothing is opened yet. Raises `ConfigError`."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return Embedded(_sqlite_path(parsed))
    return Server(url)


def has_changed(connection: Connection) -> bool:
    """Was anything written on this connection since `forget_changes`?"""
    return bool(connection.info.get("changed"))


def forget_changes(connection: Connection) -> None:
    """See `has_changed`."""
    connection.info["changed"] = False


class Embedded:
    """A SQLite file: one thread writes, others read."""

    def __init__(self, path: Path) -> None:
        # Of the whole process, and for good, because it is the loop's wait that is meant. A thread that comes back from
        # SQLite takes the interpreter's lock again before the loop wakes up to it; the loop gets it after this time.
        # Beside 20 tokens, 100 registrations and 50 searches a second, the p99 of requests through the gateway grew by
        # a half with 0.5 ms, and by a tenth with this.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._path = path
        self._writer = _sqlite_engine(path, 1, _prepare_writer, "BEGIN IMMEDIATE")
        self._readers = _sqlite_engine(path, READERS, _prepare_reader, "BEGIN")
        self._snapshots = _sqlite_engine(path, SNAPSHOTS, _prepare_reader, "BEGIN")
        self._free_snapshots = asyncio.Semaphore(SNAPSHOTS)
        self._write_thread = ThreadPoolExecutor(1, "agpd-write")
        self._read_threads = ThreadPoolExecutor(READERS, "agpd-read")

    async def read(self, transaction: Transaction[Result]) -> Result:
        def run() -> Result:
            with self._readers.begin() as connection:
                return transaction(connection)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, run)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(
            CONNECT_TIMEOUT_S
        ):  # here, because no thread must wait for another's snapshot
            await self._free_snapshots.acquire()
        try:
            connection = await loop.run_in_executor(self._read_threads, self._snapshots.connect)

            async def read(transaction: Transaction[Result]) -> Result:
                return await loop.run_in_executor(self._read_threads, transaction, connection)

            try:
                yield read
            finally:
                await loop.run_in_executor(self._read_threads, connection.close)
        finally:
            self._free_snapshots.release()

    async def write(self, transaction: Transaction[Result]) -> Result:
        def run() -> Result:
            _make_private(self._path)
            with self._writer.begin() as connection:
                return transaction(connection)

        return await asyncio.get_running_loop().run_in_executor(self._write_thread, run)

    async def close(self) -> None:
        def run() -> None:
            # First wait for transactions whose callers have gone: what is in use then is closed by nobody.
            for threads in (self._read_threads, self._write_thread):
                threads.shutdown()
            for engine in (self._snapshots, self._readers, self._writer):
                engine.dispose()

        await asyncio.to_thread(run)


class Server:
    """A PostgreSQL server, which several gateways may share."""

    def __init__(self, url: str) -> None:
        self._writer = _postgres_engine(_without_driver(url), 1)
        self._readers = self._reading_engine(url, READERS)
        self._snapshots = self._reading_engine(url, SNAPSHOTS)

    async def read(self, transaction: Transaction[Result]) -> Result:
        async with self._readers.begin() as connection:
            return await connection.run_sync(transaction)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        async with self._snapshots.connect() as connection:

            async def read(transaction: Transaction[Result]) -> Result:
                return await connection.run_sync(transaction)

            yield read

    async def write(self, transaction: Transaction[Result]) -> Result:
        async with self._writer.begin() as connection:
            return await connection.run_sync(transaction)

    async def close(self) -> None:
        for engine in (self._snapshots, self._readers, self._writer):
            await engine.dispose()

    def _reading_engine(self, url: str, size: int) -> "AsyncEngine":
        engine = _postgres_engine(_without_driver(url), size)
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):  # its text would hold the password
        raise ConfigError(f"control.database is no URL: {_FORMS}") from None
    if backend not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"control.database: {backend} is not supported; {_FORMS}")
    return parsed


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:" or url.query or url.host:
        raise ConfigError(
            f"control.database = {hide_password(str(url))}: a file is needed, without options; "
            "write sqlite:///control.db for one in the working directory, sqlite:////var/lib/agpd/control.db elsewhere"
        )
    return Path(url.database)


def _without_driver(url: str) -> str:
    scheme, colon, rest = url.partition(":")
    return f"{scheme.partition('+')[0]}{colon}{rest}"


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sqlite_engine(path: Path, size: int, prepare: Callable[[Any, Any], None], begin: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
        json_serializer=_encode,
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine, "connect", prepare)
    # The driver's own BEGIN comes too late for a transaction that reads before it writes.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
    event.listen(engine, "after_cursor_execute", _note_change)
    return engine


def _prepare_writer(connection: Any, _: Any) -> None:
    # FULL: an acknowledged change survives the loss of power. The log is cut back after a burst of writes.
    _prepare(connection, "journal_mode=WAL", "synchronous=FULL", "journal_size_limit=67108864")


def _prepare_reader(connection: Any, _: Any) -> None:
    _prepare(connection, "query_only=ON")


def _prepare(connection: Any, *pragmas: str) -> None:
    connection.isolation_level = None
    common = ("foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}", "cache_size=-16384", "temp_store=MEMORY")
    with closing(connection.cursor()) as cursor:
        for pragma in (*common, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")


def _make_private(path: Path) -> None:
    """SQLite gives its other files the mode of this one."""
    if not path.exists():
        make_directory(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _postgres_engine(url: str, size: int) -> "AsyncEngine":
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("PostgreSQL needs one more package: pip install 'agpd[postgres]'") from None
    from sqlalchemy.ext.asyncio import create_async_engine

    async def dial() -> Any:  # asyncpg reads the URL: it knows sslmode, PGPASSFILE and the like
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            server_settings={"jit": "off", "application_name": "agpd"},
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=dial,
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        hide_parameters=True,
        json_serializer=_encode,
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine.sync_engine, "after_cursor_execute", _note_change)
    return engine


def _note_change(connection: Connection, _: Any, _text: str, _values: Any, context: Any, _many: bool) -> None:
    statement = None if context is None else context.invoked_statement
    if statement is None or not statement.is_select:
        connection.info["changed"] = True
