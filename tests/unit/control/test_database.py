"""URLs as users write them, files of their owner alone, and SQLite set up so that what is acknowledged lasts."""

import asyncio
import gc
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from agpd.control.database import Database, Embedded, connect
from agpd.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("mysql://user:hunter2@host/name", "postgresql://"),
        ("control.db", "sqlite:///path"),
        ("postgresql://user:hunter2@host:port/name", "sqlite:///path"),
        ("sqlite://", "sqlite:///control.db"),
        ("sqlite:///:memory:", "a file is needed"),
        ("sqlite://control.db", "a file is needed"),
        ("sqlite:///control.db?mode=ro", "without options"),
        ("", "sqlite:///path"),
    ],
)
def test_other_urls_are_refused_with_the_fix_and_without_the_password(url: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert fix in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    before = os.umask(0)
    database = connect(f"sqlite:///{tmp_path / 'state' / 'control.db'}")
    yield database
    await database.close()
    os.umask(before)


async def test_the_files_are_of_their_owner_alone(sqlite: Database, tmp_path: Path) -> None:
    await sqlite.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")) and None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == {"control.db": 0o600, "control.db-wal": 0o600, "control.db-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_sqlite_syncs_each_commit_and_heeds_foreign_keys(sqlite: Database) -> None:
    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only")
        return {name: connection.scalar(text(f"PRAGMA {name}")) for name in names}

    assert await sqlite.write(pragmas) == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "query_only": 0,
    }  # fmt: skip
    assert (await sqlite.read(pragmas))["query_only"] == 1


async def test_a_write_holds_the_lock_from_its_start(sqlite: Database, tmp_path: Path) -> None:
    other = connect(f"sqlite:///{tmp_path / 'state' / 'control.db'}")

    def count(connection: Connection) -> int:
        number: int = connection.scalar(text("SELECT count(*) FROM t")) or 0
        connection.execute(text("INSERT INTO t VALUES (:number)"), {"number": number})
        return number

    await sqlite.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")) and None)
    found = await asyncio.gather(*((sqlite, other)[number % 2].write(count) for number in range(40)))
    assert sorted(found) == list(range(40))
    await other.close()


async def test_a_snapshot_is_of_one_moment(sqlite: Database) -> None:
    def count(connection: Connection) -> int | None:
        return connection.scalar(text("SELECT count(*) FROM t"))

    await sqlite.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")) and None)
    async with sqlite.snapshot() as read:
        assert await read(count) == 0
        await sqlite.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (1)")) and None)
        assert await read(count) == 0
    assert await sqlite.read(count) == 1


async def test_a_relative_path_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = connect("sqlite:///here.db")
    await database.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")) and None)
    await database.close()
    assert (tmp_path / "here.db").exists()


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_closing_waits_for_reads_whose_callers_have_gone(sqlite: Database) -> None:
    started, go_on = threading.Event(), threading.Event()
    ended: list[int] = []

    def slow(connection: Connection) -> None:
        started.set()
        assert go_on.wait(15)
        ended.append(connection.scalar(text("SELECT 1")) or 0)

    await sqlite.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")) and None)
    reading = asyncio.create_task(sqlite.read(slow))
    await asyncio.to_thread(started.wait, 15)
    reading.cancel()
    closing = asyncio.create_task(sqlite.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert ended == [1]
    assert isinstance(sqlite, Embedded)
    assert [engine.pool.checkedin() for engine in (sqlite._readers, sqlite._writer)] == [0, 0]
    gc.collect()  # a connection left open would tell now
