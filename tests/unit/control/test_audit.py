"""The audit log: whatever is changed, removed, added or cut off without the key is found, and where."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select, text, update

from agpd.control import chain
from agpd.control.audit import CHUNK, Audit, verify
from agpd.control.caller import Caller
from agpd.control.model import audit
from agpd.control.resources import Tenant
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Notes, Store
from agpd.control.tenants import Tenants
from agpd.errors import Code, Refused

COUNT = 9
AdminOf = Callable[[str], Caller]


@pytest.fixture
async def log(store: Store) -> Store:
    """A store with nine events of three tenants."""
    for number in range(1, COUNT + 1):
        await store.write(note(number))
    return store


def note(number: int) -> Callable[[Connection, Notes], None]:
    def work(_: Connection, notes: Notes) -> None:
        tenant = f"tenant{number % 3}"
        notes.add("actor é", tenant, "thing.create", f"thing{number}", {"b": 1.5, "a": [number, "ü"]})

    return work


async def tamper(store: Store, *statements: str) -> None:
    """As whoever may do everything in the database, but has no key."""

    def work(connection: Connection, _: Notes) -> None:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_update"))
            connection.execute(text("DROP TRIGGER audit_delete"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.execute(text(statement))

    await store.write(work)


async def test_an_untouched_log_is_intact(log: Store) -> None:
    check = await verify(log)
    assert (check.intact, check.sequence, check.broken, check.reason) == (True, COUNT, 0, "")
    assert len(check.digest) == 64


async def test_an_empty_log_is_intact(store: Store) -> None:
    check = await verify(store)
    assert (check.intact, check.sequence, check.digest) == (True, 0, chain.GENESIS)


async def test_a_log_longer_than_is_checked_at_once_is_followed_to_its_end(store: Store) -> None:
    def many(connection: Connection, notes: Notes) -> None:
        for number in range(2 * CHUNK + 1):
            note(number)(connection, notes)

    await store.write(many)
    assert (await verify(store)).sequence == 2 * CHUNK + 1
    await tamper(store, f"UPDATE audit SET actor = 'x' WHERE sequence = {2 * CHUNK}")
    assert (await verify(store)).broken == 2 * CHUNK


@pytest.mark.parametrize(
    "change",
    [
        "at = at + 0.001",
        "actor = actor || ' '",
        "tenant = 'tenant1'",
        "action = 'thing.delete'",
        "object = 'thing4'",
        "detail = replace(detail, '1.5', '1.6')",
        "detail = detail || ' '",
        "detail = ''",
        "digest = replace(digest, substr(digest, 1, 1), 'x')",
        "sequence = 100",
    ],
)
async def test_a_change_of_any_column_is_found(log: Store, change: str) -> None:
    await tamper(log, f"UPDATE audit SET {change} WHERE sequence = 5")
    check = await verify(log)
    assert (check.intact, check.broken) == (False, 5)


async def test_a_missing_event_is_told_from_a_changed_one(log: Store) -> None:
    await tamper(log, "DELETE FROM audit WHERE sequence = 5")
    assert (await verify(log)).reason == "an event is missing"
    await log.write(lambda c, _: c.execute(text("UPDATE audit SET actor = 'x' WHERE sequence = 3")) and None)
    assert (await verify(log)).reason == "an event is not what was written"


@pytest.mark.parametrize("column", ["actor", "tenant", "action", "object", "detail", "digest"])
@pytest.mark.parametrize("value", ["X'ff'", "CAST(X'ff' AS TEXT)", "7"])
async def test_bytes_that_are_no_text_are_found(
    sqlite_database: str, clock: Any, sealer: Sealer, column: str, value: str
) -> None:
    store = await Store.open(sqlite_database, clock, sealer=sealer)
    for number in range(1, COUNT + 1):
        await store.write(note(number))
    await tamper(store, f"UPDATE audit SET {column} = {value} WHERE sequence = 5")
    check = await verify(store)
    assert (check.intact, check.broken) == (False, 5)
    await store.close()


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["DELETE FROM audit WHERE sequence = 1"], 1),
        (["DELETE FROM audit WHERE sequence = 5"], 5),
        (["DELETE FROM audit WHERE sequence = 9"], 9),
        (["DELETE FROM audit WHERE sequence > 6"], 7),
        (["DELETE FROM audit"], 1),
        (
            [
                "UPDATE audit SET sequence = 100 WHERE sequence = 4",
                "UPDATE audit SET sequence = 4 WHERE sequence = 5",
                "UPDATE audit SET sequence = 5 WHERE sequence = 100",
            ],
            4,
        ),
        (
            [
                "INSERT INTO audit SELECT 10, at, actor, tenant, action, object, detail, digest FROM audit LIMIT 1"
            ],
            10,
        ),
    ],
)
async def test_missing_swapped_and_added_events_are_found(
    log: Store, statements: list[str], broken: int
) -> None:
    await tamper(log, *statements)
    check = await verify(log)
    assert (check.intact, check.broken) == (False, broken)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET sequence = 8, digest = (SELECT digest FROM audit WHERE sequence = 8)",
        "UPDATE audit_head SET sequence = 0, digest = '" + chain.GENESIS + "'",
        "UPDATE audit_head SET seal = replace(seal, substr(seal, 1, 1), 'x')",
        "DELETE FROM audit_head",
    ],
)
async def test_a_head_that_is_not_sealed_is_found(log: Store, statement: str) -> None:
    await tamper(log, "DELETE FROM audit WHERE sequence = 9", statement)
    check = await verify(log)
    assert not check.intact
    assert "control.key" in check.reason


async def test_a_chain_that_was_made_anew_without_the_key_is_found(log: Store) -> None:
    def forge(connection: Connection, _: Notes) -> None:
        events = chain.events_after(connection, 0, COUNT)
        events[4].actor = "somebody else"
        connection.execute(text("DELETE FROM audit"))
        chain.append(connection, Sealer(b"x" * KEY_BYTES), chain.START, events)

    await tamper(log)
    await log.write(forge)
    assert not (await verify(log)).intact


async def test_events_with_new_digests_do_not_reach_the_sealed_end(log: Store) -> None:
    def forge(connection: Connection, _: Notes) -> None:
        before = chain.GENESIS
        for row in connection.execute(select(audit).order_by(audit.c.sequence)).all():
            columns = list(row)[:-1]
            if row.sequence == 5:
                columns[2] = "somebody else"
            before = chain.digest(before, columns)
            new = {"actor": columns[2], "digest": before}
            connection.execute(update(audit).where(audit.c.sequence == row.sequence).values(new))

    await tamper(log)
    await log.write(forge)
    check = await verify(log)
    assert (check.intact, check.broken) == (False, COUNT)
    await log.write(note(COUNT + 1))
    assert not (await verify(log)).intact


async def test_control_whoever_has_the_key_is_not_found(log: Store) -> None:
    def forge(connection: Connection, _: Notes) -> None:
        events = chain.events_after(connection, 0, COUNT)
        events[4].actor = "somebody else"
        connection.execute(text("DELETE FROM audit"))
        chain.append(connection, log.sealer, chain.START, events)

    await tamper(log)
    await log.write(forge)
    assert (await verify(log)).intact


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_database_itself_refuses_changes(log: Store, statement: str) -> None:
    with pytest.raises(Exception, match="append-only"):
        await log.write(lambda connection, _: connection.execute(text(statement)) and None)
    assert (await verify(log)).intact


async def test_events_come_in_pages_oldest_first(log: Store, operator: Caller) -> None:
    service = Audit(log, page_limit=4)
    found: list[int] = []
    after = ""
    while True:
        page = await service.events(operator, after=after)
        assert len(page.items) <= 4
        found += [event.sequence for event in page.items]
        if not page.next:
            break
        after = page.next
    assert found == list(range(1, COUNT + 1))


async def test_an_event_reads_as_it_was_written(log: Store, operator: Caller, clock: Any) -> None:
    event = (await Audit(log, 10).events(operator, limit=1)).items[0]
    assert (event.at, event.actor, event.tenant, event.action, event.object, event.detail) == (
        clock.now, "actor é", "tenant1", "thing.create", "thing1", {"a": [1, "ü"], "b": 1.5},
    )  # fmt: skip


async def test_administrators_see_the_events_of_their_tenant_alone(log: Store, admin_of: AdminOf) -> None:
    service = Audit(log, page_limit=10)
    page = await service.events(admin_of("tenant1"), "tenant1")
    assert [event.object for event in page.items] == ["thing1", "thing4", "thing7"]
    for asked, code in (("tenant2", Code.NOT_FOUND), ("nobody", Code.NOT_FOUND), ("", Code.NOT_PERMITTED)):
        with pytest.raises(Refused) as caught:
            await service.events(admin_of("tenant1"), asked)
        assert caught.value.code is code


async def test_a_tenant_does_not_see_what_one_of_its_name_did_before(
    log: Store, operator: Caller, admin_of: AdminOf
) -> None:
    tenants, service = Tenants(log, 10), Audit(log, page_limit=10)
    old = [event.sequence for event in (await service.events(admin_of("tenant1"), "tenant1")).items]
    assert old
    await tenants.put(operator, Tenant(name="tenant1"))
    await tenants.delete(operator, "tenant1")
    await tenants.put(operator, Tenant(name="tenant2"))
    await tenants.put(operator, Tenant(name="tenant1"))
    await tenants.put(operator, Tenant(name="tenant1", title="New"))
    for after in ("", str(old[0])):
        seen = await service.events(admin_of("tenant1"), "tenant1", after=after)
        assert [event.action for event in seen.items] == ["tenant.create", "tenant.update"]
    assert len((await service.events(admin_of("tenant2"), "tenant2")).items) == COUNT // 3 + 1
    everything = [event.sequence for event in (await service.events(operator, "tenant1")).items]
    assert everything[: len(old)] == old
    assert len(everything) == len(old) + 4


async def test_agents_see_no_events(log: Store, agent_of: Callable[[str], Caller]) -> None:
    with pytest.raises(Refused, match="administrators of tenant1"):
        await Audit(log, 10).events(agent_of("tenant1/*"), "tenant1")


async def test_only_operators_verify(log: Store, operator: Caller, admin_of: AdminOf) -> None:
    assert (await Audit(log, 10).verify(operator)).intact
    with pytest.raises(Refused, match="operators"):
        await Audit(log, 10).verify(admin_of("tenant1"))


@pytest.mark.parametrize("after", ["x", "-1", "1" * 19, "²"])
async def test_a_place_that_no_page_named_is_refused(log: Store, operator: Caller, after: str) -> None:
    with pytest.raises(Refused, match="next"):
        await Audit(log, 10).events(operator, after=after)
