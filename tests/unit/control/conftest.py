"""A fresh store on each kind of database, a clock that stands until it is set, and callers of each role."""

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from databases import Cluster

from agpd.control.caller import OPERATOR_TENANT, Caller, Role
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


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a fresh database that has the tables."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'control.db'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = f"test{next(_numbers)}"
    yield (await cluster.create(name)).replace("postgresql:", "postgresql+asyncpg:")
    await cluster.drop(name)


@pytest.fixture
async def store(database: str, clock: Clock) -> AsyncIterator[Store]:
    """An open store on a fresh database; the test runs once on SQLite and once on PostgreSQL."""
    store = await Store.open(database, clock)
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
