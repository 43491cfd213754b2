"""A fresh store on each kind of database, a clock that stands until it is set, and callers of each role."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from databases import Cluster

from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Store
from agpd.names import parse_pattern

_numbers = itertools.count(1)


class Clock:
    """Returns `now` (Unix seconds) until it is set to something else."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sealer() -> Sealer:
    """With the key that the fresh databases are sealed with."""
    return Sealer(bytes(KEY_BYTES))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that has the tables."""
    path = tmp_path_factory.mktemp("template") / "control.db"
    asyncio.run(_make_tables(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    """The name of a PostgreSQL database that has the tables."""

    async def make() -> None:
        await _make_tables(await postgres.create("template_of_tests"))

    asyncio.run(make())
    return "template_of_tests"


async def _make_tables(url: str) -> None:
    store = await Store.open(url, sealer=Sealer(bytes(KEY_BYTES)))
    await store.close()


@pytest.fixture
async def postgres_database(postgres: Cluster, postgres_template: str) -> AsyncIterator[str]:
    """The URL of a fresh PostgreSQL database that has the tables."""
    name = f"test{next(_numbers)}"
    yield await postgres.create(name, postgres_template)
    await postgres.drop(name)


@pytest.fixture
def sqlite_database(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a fresh SQLite database that has the tables."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database that has the tables: a test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(
        "sqlite_database" if request.param == "sqlite" else "postgres_database"
    )
    return url


@pytest.fixture
async def store(database: str, clock: Clock, sealer: Sealer) -> AsyncIterator[Store]:
    """An open store on a fresh database of each kind."""
    store = await Store.open(database, clock, sealer=sealer)
    yield store
    await store.close()


@pytest.fixture
def operator() -> Caller:
    """An operator of the whole gateway."""
    return Caller(OPERATOR_TENANT, parse_pattern(f"{OPERATOR_TENANT}/*"), Role.OPERATOR, "operator")


@pytest.fixture
def admin_of() -> Callable[[str], Caller]:
    """`admin_of("acme")` is an administrator of that tenant."""

    def make(organization: str) -> Caller:
        return Caller(
            organization, parse_pattern(f"{organization}/*"), Role.ADMIN, f"admin of {organization}"
        )

    return make


@pytest.fixture
def agent_of() -> Callable[[str], Caller]:
    """`agent_of("acme/prod/writer")` is an agent that may speak as the names of this pattern."""

    def make(pattern: str) -> Caller:
        return Caller(pattern.partition("/")[0], parse_pattern(pattern), Role.AGENT, pattern)

    return make
