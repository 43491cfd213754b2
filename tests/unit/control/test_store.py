"""The store: what was acknowledged is there."""

from sqlalchemy import Connection, select

from agpd.control.model import tenant
from agpd.control.store import Notes, Store


async def test_a_write_can_be_read(store: Store) -> None:
    def write(connection: Connection, notes: Notes) -> None:
        connection.execute(
            tenant.insert().values(
                name="acme", title="", suspended=False, require_encryption=False, quotas={}
            )
        )
        notes.add("test", "acme", "tenant.create", "acme")

    await store.write(write)
    assert await store.read(lambda connection: connection.scalars(select(tenant.c.name)).all()) == ["acme"]
