from collections.abc import Sequence
from functools import partial

import pytest
from conftest import Clock
from sqlalchemy import Connection, func, select

from agpd.control.model import revocation
from agpd.control.revocations import SWEEP_S, Revocation, Revocations, revoke, use_up, used_before
from agpd.control.store import Notes, Store

TOKEN = Revocation("token", "t1", 100.0, 2_000_000_000.0)


@pytest.fixture
async def revocations(store: Store) -> Revocations:
    revocations = Revocations(store)
    await revocations.load()
    return revocations


async def note(store: Store, *every: Revocation) -> None:
    def work(connection: Connection, notes: Notes, every: Sequence[Revocation]) -> None:
        notes.add("test", "acme", "token.revoke", "x", revoke(connection, every))

    await store.write(partial(work, every=every))


async def test_what_was_issued_until_then_is_revoked(store: Store, revocations: Revocations) -> None:
    await note(store, TOKEN)
    assert revocations.holds("token", "t1", 99.0)
    assert revocations.holds("token", "t1", 100.0)
    assert not revocations.holds("token", "t1", 100.1)
    assert not revocations.holds("token", "t2", 99.0)
    assert not revocations.holds("client", "t1", 99.0)


async def test_the_last_revocation_counts(store: Store, revocations: Revocations) -> None:
    await note(store, TOKEN._replace(before=500.0))
    await note(store, TOKEN)
    assert not revocations.holds("token", "t1", 200.0)


async def test_they_are_read_at_the_start_unless_newer_ones_were_heard(store: Store) -> None:
    await note(store, TOKEN)
    late = Revocations(store)
    await note(store, TOKEN._replace(before=300.0))
    late._held["token", "t1"] = (300.0, TOKEN.until)
    await late.load()
    assert late.holds("token", "t1", 300.0)
    again = Revocations(store)
    await again.load()
    assert again.holds("token", "t1", 300.0)
    assert not again.holds("token", "t1", 301.0)


async def test_they_are_forgotten_when_the_last_token_has_ended(
    store: Store, revocations: Revocations, clock: Clock
) -> None:
    await note(store, TOKEN._replace(until=clock.now + 10))
    await revocations.tick(clock.now)
    assert revocations.holds("token", "t1", 100.0)
    await revocations.tick(clock.now + SWEEP_S - 1)
    assert revocations.holds("token", "t1", 100.0)
    await revocations.tick(clock.now + SWEEP_S)
    assert not revocations.holds("token", "t1", 100.0)
    count = select(func.count()).select_from(revocation)
    assert await store.read(lambda connection: connection.execute(count).scalar_one()) == 0


async def test_assertions_are_noted_and_never_loaded(store: Store, revocations: Revocations) -> None:
    await store.write(lambda connection, notes: use_up(connection, [("a", 2e9), ("b", 2e9)]))
    assert await store.read(lambda connection: used_before(connection, ["a", "c"])) == {"a"}
    assert await store.read(lambda connection: used_before(connection, [])) == set()
    again = Revocations(store)
    await again.load()
    assert not again.holds("assertion", "a", -1.0)
