"""Migrations make exactly the tables of the model, once, and what they make by hand works."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import Cluster
from sqlalchemy import Connection, text

from agpd.control import migrations
from agpd.control.model import agent, agent_type, metadata, namespace, tenant
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Notes, Store
from agpd.errors import ConfigError


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "include_name": migrations.is_of_the_model}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found


async def test_migrations_make_the_tables_of_the_model(store: Store) -> None:
    assert await store.read(differences) == []


async def test_control_a_missing_column_is_a_difference(store: Store) -> None:
    def drop(connection: Connection, _: Notes) -> None:
        connection.execute(text("ALTER TABLE tenant DROP COLUMN title"))

    await store.write(drop)
    assert [one[0] for one in await store.read(differences)] == ["add_column"]


def test_all_migrations_are_known_in_their_order() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [one.revision for one in script.walk_revisions()] == list(reversed(migrations.REVISIONS))


async def test_a_database_of_a_newer_program_is_refused(store: Store, database: str, sealer: Sealer) -> None:
    def age(connection: Connection, _: Notes) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await store.write(age)
    with pytest.raises(ConfigError, match="made by a newer agpd"):
        await Store.open(database, sealer=sealer)


async def test_a_database_of_something_else_is_refused(store: Store, database: str, sealer: Sealer) -> None:
    await store.write(lambda connection, _: connection.execute(text("DROP TABLE alembic_version")) and None)
    with pytest.raises(ConfigError, match="of its own"):
        await Store.open(database, sealer=sealer)


async def open_twice(url: str) -> None:
    """Two gateways start on an empty database at the same time."""
    sealer = Sealer(bytes(KEY_BYTES))
    stores = await asyncio.gather(Store.open(url, sealer=sealer), Store.open(url, sealer=sealer))
    for one in stores:
        assert await one.read(migrations.revision) == migrations.REVISIONS[-1]
        await one.close()


async def test_of_two_that_start_at_once_on_sqlite_one_migrates(tmp_path: Path) -> None:
    await open_twice(f"sqlite:///{tmp_path / 'control.db'}")


async def test_of_two_that_start_at_once_on_postgresql_one_migrates(postgres: Cluster) -> None:
    await open_twice(await postgres.create("empty"))
    await postgres.drop("empty")


def test_alembic_is_not_loaded_for_a_database_that_is_up_to_date(sqlite_database: str) -> None:
    program = (
        "import asyncio, sys; from agpd.control.store import Store; from agpd.control.sealing import Sealer\n"
        "async def main(): await (await Store.open(sys.argv[1], sealer=Sealer(bytes(32)))).close()\n"
        "asyncio.run(main()); print([name for name in ('alembic', 'asyncpg') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, sqlite_database],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"


def insert_agent(connection: Connection, _: Notes) -> None:
    path = {"organization": "acme", "namespace": "prod"}
    flags = {"suspended": False, "require_encryption": False, "quotas": {}}
    connection.execute(tenant.insert(), {"name": "acme", "title": "", **flags})
    connection.execute(namespace.insert(), {"organization": "acme", "name": "prod", "title": ""})
    lists: dict[str, Any] = {"labels": {}, "capabilities": [], "description": ""}
    connection.execute(
        agent_type.insert(), {**path, "name": "writer", "category": "", "callers": [], **lists}
    )
    row = {**path, "type": "writer", "identity": "one", "public_keys": {}, "words": "hello", **lists}
    connection.execute(agent.insert(), {"id": 7, "created": 0.0, "updated": 0.0, **row})


async def test_full_text_follows_the_agents(store: Store) -> None:
    dialect = await store.read(lambda connection: connection.dialect.name)
    search = {
        "sqlite": "SELECT rowid FROM agent_words WHERE agent_words MATCH :word",
        "postgresql": "SELECT id FROM agent WHERE to_tsvector('simple', words) @@ plainto_tsquery('simple', :word)",
    }[dialect]

    async def found(word: str) -> list[int]:
        return list(await store.read(lambda c: c.scalars(text(search), {"word": word}).all()))

    await store.write(insert_agent)
    assert (await found("hello"), await found("other")) == ([7], [])
    await store.write(lambda c, _: c.execute(agent.update().values(words="other")) and None)
    assert (await found("hello"), await found("other")) == ([], [7])
    await store.write(lambda c, _: c.execute(agent.delete()) and None)
    assert await found("other") == []
