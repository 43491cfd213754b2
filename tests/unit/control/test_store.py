"""The store: what was acknowledged is there, a fault hits only its own, listeners hear each event once and in order."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from databases import Cluster
from sqlalchemy import Connection, select, text

from agpd.control import database as database_module
from agpd.control import store as store_module
from agpd.control.model import namespace, tenant
from agpd.control.resources import AuditEvent
from agpd.control.sealing import Sealer
from agpd.control.store import Notes, Store
from agpd.errors import Code, ConfigError, Refused


def insert(name: str) -> Callable[[Connection, Notes], str]:
    """A work that creates a tenant, with its entry in the audit log."""

    def work(connection: Connection, notes: Notes) -> str:
        row = {"name": name, "title": "", "suspended": False, "require_encryption": False, "quotas": {}}
        connection.execute(tenant.insert(), row)
        notes.add("test", name, "tenant.create", name)
        return name

    return work


async def names(store: Store) -> list[str]:
    return list(
        await store.read(
            lambda connection: connection.scalars(select(tenant.c.name).order_by(tenant.c.name)).all()
        )
    )


def code_of(outcome: object) -> Code:
    assert isinstance(outcome, Refused), outcome
    return outcome.code


async def test_a_write_is_there_with_its_entry_after_reopening(
    store: Store, database: str, clock: Any, sealer: Sealer
) -> None:
    assert await store.write(insert("acme")) == "acme"
    other = await Store.open(database, clock, sealer=sealer)
    assert await names(other) == ["acme"]
    row = await other.read(lambda connection: connection.execute(text("SELECT actor, at FROM audit")).one())
    assert tuple(row) == ("test", clock.now)
    await other.close()


async def test_writes_that_wait_together_share_a_commit(store: Store) -> None:
    heard: list[int] = []
    store.listen(lambda events: heard.append(len(events)))
    await asyncio.gather(*(store.write(insert(f"t{number}")) for number in range(100)))
    assert sum(heard) == 100
    assert len(heard) <= 3


async def test_a_refusal_hits_only_its_own_and_leaves_no_trace(store: Store) -> None:
    def refuse(connection: Connection, notes: Notes) -> None:
        notes.add("test", "", "tenant.create", "refused")
        raise Refused(Code.NOT_FOUND, "nothing")

    heard: list[AuditEvent] = []
    store.listen(heard.extend)
    first, second, third = await asyncio.gather(
        store.write(insert("a")), store.write(refuse), store.write(insert("b")), return_exceptions=True
    )
    assert (first, code_of(second), third) == ("a", Code.NOT_FOUND, "b")
    assert [event.object for event in heard] == ["a", "b"]


@pytest.mark.parametrize("error", [Refused(Code.CONFLICT, "late"), ZeroDivisionError("a fault")])
async def test_what_a_work_did_before_it_failed_is_undone(store: Store, error: Exception) -> None:
    def fail(connection: Connection, notes: Notes) -> None:
        insert("half")(connection, notes)
        raise error

    first, second, third = await asyncio.gather(
        store.write(insert("a")), store.write(fail), store.write(insert("b")), return_exceptions=True
    )
    assert (first, third) == ("a", "b")
    assert second is error
    assert await names(store) == ["a", "b"]
    assert await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM audit"))) == 2


async def test_a_broken_constraint_is_a_refusal_that_says_which(store: Store) -> None:
    def orphan(connection: Connection, _: Notes) -> None:
        connection.execute(namespace.insert().values(organization="nobody", name="x", title=""))

    await store.write(insert("a"))
    outcomes = await asyncio.gather(
        store.write(insert("a")), store.write(orphan), store.write(insert("b")), return_exceptions=True
    )
    assert [code_of(one) for one in outcomes[:2]] == [Code.ALREADY_EXISTS, Code.CONFLICT]
    assert outcomes[2] == "b"


async def test_a_fault_of_the_program_is_raised_without_the_values(store: Store) -> None:
    def wrong(connection: Connection, _: Notes) -> None:
        connection.execute(text("INSERT INTO no_such_table VALUES (:value)"), {"value": "secret"})

    with pytest.raises(Exception, match="no_such_table") as caught:
        await store.write(wrong)
    assert not isinstance(caught.value, Refused)
    assert "secret" not in str(caught.value)


async def test_items_that_wait_together_are_given_together(store: Store) -> None:
    calls: list[int] = []

    def insert_all(connection: Connection, notes: Notes, items: Sequence[str]) -> list[str | Refused]:
        calls.append(len(items))
        for item in items:
            if item != "bad":
                insert(item)(connection, notes)
        return [Refused(Code.CONFLICT, "bad") if item == "bad" else item.upper() for item in items]

    outcomes = await asyncio.gather(
        *(store.write_each(insert_all, item) for item in ("a", "bad", "b")), return_exceptions=True
    )
    assert (outcomes[0], code_of(outcomes[1]), outcomes[2]) == ("A", Code.CONFLICT, "B")
    assert calls == [3]
    assert await names(store) == ["a", "b"]


async def test_a_fault_among_items_hits_only_its_own(store: Store) -> None:
    def insert_all(connection: Connection, notes: Notes, items: Sequence[str]) -> list[str]:
        return [insert(item)(connection, notes) for item in items]

    await store.write(insert("b"))
    outcomes = await asyncio.gather(
        *(store.write_each(insert_all, item) for item in ("a", "b", "c")), return_exceptions=True
    )
    assert (outcomes[0], code_of(outcomes[1]), outcomes[2]) == ("a", Code.ALREADY_EXISTS, "c")


async def test_a_read_cannot_change_anything(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refused):
        await store.read(lambda connection: insert("a")(connection, Notes(0)))
    assert re.search("readonly|read-only", caplog.text)
    assert await names(store) == []


async def test_a_cancelled_caller_holds_up_nobody(store: Store) -> None:
    cancelled = asyncio.create_task(store.write(insert("a")))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await store.write(insert("b")) == "b"
    assert cancelled.cancelled()
    assert "b" in await names(store)


async def test_more_writes_than_may_wait_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WRITES_LIMIT", 3)
    outcomes = await asyncio.gather(
        *(store.write(insert(f"t{number}")) for number in range(5)), return_exceptions=True
    )
    assert outcomes[:3] == ["t0", "t1", "t2"]
    assert {code_of(one) for one in outcomes[3:]} == {Code.UNAVAILABLE}


async def test_more_reads_than_may_wait_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "READS_LIMIT", 2)
    outcomes = await asyncio.gather(*(names(store) for _ in range(3)), return_exceptions=True)
    assert outcomes[:2] == [[], []]
    assert code_of(outcomes[2]) is Code.UNAVAILABLE


async def test_closing_finishes_what_was_asked_and_refuses_the_rest(
    database: str, clock: Any, sealer: Sealer
) -> None:
    store = await Store.open(database, clock, sealer=sealer)
    asked = [asyncio.create_task(store.write(insert(f"t{number}"))) for number in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="shutting down"):
        await store.write(insert("late"))
    await closing
    assert await asyncio.gather(*asked) == [f"t{number}" for number in range(5)]


async def test_listeners_hear_each_event_once_in_order_before_the_write_returns(store: Store) -> None:
    heard: list[AuditEvent] = []
    store.listen(heard.extend)

    async def write(number: int) -> None:
        await store.write(insert(f"t{number}"))
        assert f"t{number}" in [event.object for event in heard]

    await asyncio.gather(*(write(number) for number in range(50)))
    await store.poll()
    assert [event.sequence for event in heard] == list(range(1, 51))


async def test_the_fault_of_a_listener_goes_to_the_loop_and_stops_nothing(store: Store) -> None:
    faults: list[object] = []
    heard: list[AuditEvent] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    error = ValueError("a fault")

    def fail(_: Sequence[AuditEvent]) -> None:
        raise error

    store.listen(fail)
    store.listen(heard.extend)
    await store.write(insert("a"))
    assert faults == [error]
    assert len(heard) == 1


async def test_a_moment_does_not_see_what_is_written_meanwhile(store: Store) -> None:
    await store.write(insert("a"))
    async with store.moment():
        assert await names(store) == ["a"]
        await asyncio.create_task(store.write(insert("b")))
        assert await names(store) == ["a"]
    assert await names(store) == ["a", "b"]


async def test_moments_follow_each_other_and_hold_up_no_reads(store: Store) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def first() -> None:
        async with store.moment():
            await names(store)
            order.append("first")
            begun.set()
            await go_on.wait()
            await names(store)

    async def other(name: str) -> None:
        async with store.moment():
            await names(store)
            order.append(name)

    tasks = [asyncio.create_task(one) for one in (first(), other("second"), other("third"))]
    await begun.wait()
    for _ in range(5):
        assert await names(store) == []
    assert order == ["first"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert sorted(order[1:]) == ["second", "third"]


async def test_changes_together_are_all_done_or_none(store: Store) -> None:
    calls: list[Callable[[], Any]] = [lambda: store.write(insert("a")), lambda: store.write(insert("b"))]
    assert await store.change_together(calls) == ["a", "b"]
    again: list[Callable[[], Any]] = [lambda: store.write(insert("c")), lambda: store.write(insert("b"))]
    with pytest.raises(Refused) as caught:
        await store.change_together(again)
    assert caught.value.code is Code.ALREADY_EXISTS
    assert await names(store) == ["a", "b"]


async def test_changes_together_end_with_a_call_that_refuses_before_it_writes(store: Store) -> None:
    async def refuse() -> None:
        raise Refused(Code.NOT_PERMITTED, "no")

    calls: list[Callable[[], Any]] = [
        lambda: store.write(insert("a")),
        refuse,
        lambda: store.write(insert("b")),
    ]
    with pytest.raises(Refused, match="no"):
        await store.change_together(calls)
    assert await names(store) == []
    assert await store.write(insert("c")) == "c"


async def test_writes_do_not_block_the_loop(sqlite_database: str, clock: Any, sealer: Sealer) -> None:
    store = await Store.open(sqlite_database, clock, sealer=sealer)
    go_on = threading.Event()
    writing = asyncio.create_task(store.write(lambda _connection, _notes: go_on.wait(15)))
    assert await names(store) == []  # while the other work stands still
    go_on.set()
    assert await writing is True
    await store.close()


async def test_a_locked_file_is_unavailable_and_comes_back(
    sqlite_database: str, clock: Any, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 10)
    store = await Store.open(sqlite_database, clock, sealer=sealer)
    other = sqlite3.connect(sqlite_database.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(
        *(store.write(insert(f"t{number}")) for number in range(3)), return_exceptions=True
    )
    assert {code_of(one) for one in outcomes} == {Code.UNAVAILABLE}
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(insert("a")) == "a"
    await store.close()


async def test_another_key_than_that_of_the_audit_log_is_refused(
    store: Store, database: str, clock: Any
) -> None:
    with pytest.raises(ConfigError, match=r"control\.key"):
        await Store.open(database, clock, sealer=Sealer(b"x" * 32))


async def test_nothing_is_written_behind_an_end_that_was_forged(store: Store) -> None:
    def forge(connection: Connection, _: Notes) -> None:
        connection.execute(text("UPDATE audit_head SET sequence = 7"))

    await store.write(forge)
    outcomes = await asyncio.gather(
        store.write(insert("a")), store.write(insert("b")), return_exceptions=True
    )
    assert {code_of(one) for one in outcomes} == {Code.UNAVAILABLE}
    assert await names(store) == []


@asynccontextmanager
async def two_stores(
    database: str, clock: Any, sealer: Sealer, poll_s: float
) -> AsyncIterator[tuple[Store, Store]]:
    """Two gateways on one database."""
    stores = [await Store.open(database, clock, sealer=sealer, poll_s=poll_s) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


@pytest.fixture
async def two(database: str, clock: Any, sealer: Sealer) -> AsyncIterator[tuple[Store, Store]]:
    """They ask for each other's changes only when the test says so."""
    async with two_stores(database, clock, sealer, poll_s=3600) as stores:
        yield stores


@pytest.fixture
async def two_on_a_server(
    postgres_database: str, clock: Any, sealer: Sealer
) -> AsyncIterator[tuple[Store, Store]]:
    """The same on PostgreSQL alone."""
    async with two_stores(postgres_database, clock, sealer, poll_s=3600) as stores:
        yield stores


async def test_gateways_look_for_each_others_changes_by_themselves(
    database: str, clock: Any, sealer: Sealer
) -> None:
    async with two_stores(database, clock, sealer, poll_s=0.01) as (one, other):
        heard: asyncio.Future[Sequence[AuditEvent]] = asyncio.get_running_loop().create_future()
        other.listen(heard.set_result)
        await one.write(insert("a"))
        assert [event.object for event in await asyncio.wait_for(heard, 10)] == ["a"]


async def test_changes_of_another_gateway_reach_listeners(two: tuple[Store, Store]) -> None:
    one, other = two
    heard: list[AuditEvent] = []
    other.listen(heard.extend)
    await one.write(insert("a"))
    assert heard == []
    await other.poll()
    await asyncio.sleep(0)
    assert [event.object for event in heard] == ["a"]


async def test_gateways_that_write_at_the_same_time_hear_one_order(two: tuple[Store, Store]) -> None:
    heard: tuple[list[AuditEvent], list[AuditEvent]] = ([], [])
    for store, events in zip(two, heard, strict=True):
        store.listen(events.extend)

    async def write(store: Store, prefix: str) -> None:
        for number in range(30):
            await store.write(insert(f"{prefix}{number}"))

    await asyncio.gather(write(two[0], "a"), write(two[1], "b"))
    for store in two:
        await store.poll()
    await asyncio.sleep(0)
    for events in heard:
        assert [event.sequence for event in events] == list(range(1, 61))
    assert [event.object for event in heard[0]] == [event.object for event in heard[1]]


async def test_an_event_that_cannot_be_read_ends_no_writing(
    two_on_a_server: tuple[Store, Store], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two_on_a_server
    await other.write(insert("a"))

    def spoil(connection: Connection, _: Notes) -> None:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE audit SET detail = 'no JSON'"))

    await other.write(spoil)
    assert await one.write(insert("b")) == "b"  # and has to read what came before it
    assert "events of the audit log cannot be read" in caplog.text
    assert await one.write(insert("c")) == "c"


async def test_ended_connections_are_replaced_without_a_word(
    two_on_a_server: tuple[Store, Store], postgres: Cluster
) -> None:
    store = two_on_a_server[0]
    await store.write(insert("a"))
    await names(store)
    await postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agpd'"
    )
    assert await store.write(insert("b")) == "b"
    assert await names(store) == ["a", "b"]


async def test_a_database_that_is_gone_is_unavailable_and_comes_back(
    two_on_a_server: tuple[Store, Store],
    postgres: Cluster,
    postgres_database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = two_on_a_server[0]
    await store.write(insert("a"))
    name = postgres_database.partition("@/")[2].partition("?")[0]
    await postgres.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agpd'"
    )
    outcomes = await asyncio.gather(
        store.write(insert("b")), store.write(insert("c")), names(store), store.ping(), return_exceptions=True
    )
    assert {code_of(one) for one in outcomes} == {Code.UNAVAILABLE}
    assert "not currently accepting connections" in caplog.text
    await postgres.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert await store.write(insert("d")) == "d"
    assert await names(store) == ["a", "d"]


async def test_a_server_that_is_not_there_is_a_fault_of_the_configuration(clock: Any, sealer: Sealer) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/name"
    with pytest.raises(ConfigError, match=r"cannot use control\.database") as caught:
        await Store.open(url, clock, sealer=sealer)
    assert "hunter2" not in str(caught.value)
