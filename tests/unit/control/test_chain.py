"""The chain as documented, so that others can check it too. What it finds is in test_audit.py."""

import hashlib

import pytest
from sqlalchemy import select

from agpd.control import chain
from agpd.control.model import audit
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Store
from agpd.errors import ConfigError


def test_a_digest_is_the_hash_of_the_one_before_and_of_json() -> None:
    columns = [7, 1.5, "actor é", "acme", "tenant.create", "acme", '{"a":1}']
    text = "0" * 64 + '[7,1.5,"actor \\u00e9","acme","tenant.create","acme","{\\"a\\":1}"]'
    assert chain.digest(chain.GENESIS, columns) == hashlib.sha256(text.encode()).hexdigest()


async def test_an_event_is_stored_as_it_was_digested(store: Store) -> None:
    await store.write(lambda _, notes: notes.add("actor", "acme", "x.do", "thing", {"b": 1, "a": "é"}))
    row = (await store.read(lambda connection: connection.execute(select(audit)).all()))[0]
    assert row.detail == '{"a":"é","b":1}'
    assert chain.digest(chain.GENESIS, list(row)[:-1]) == row.digest
    assert await store.read(lambda connection: chain.head(connection, store.sealer)) == (1, row.digest)
    assert await store.read(chain.last) == 1


async def test_a_head_is_of_its_key(store: Store) -> None:
    other = Sealer(b"x" * KEY_BYTES)
    with pytest.raises(ConfigError, match="belong together"):
        await store.read(lambda connection: chain.head(connection, other))


async def test_following_stops_at_the_limit(store: Store) -> None:
    for number in range(5):
        await store.write(lambda _, notes, number=number: notes.add("a", "t", "x.do", str(number)))
    end = await store.read(lambda connection: chain.follow(connection, chain.START, 3))
    assert end.sequence == 3
    assert (await store.read(lambda connection: chain.follow(connection, end, 3))).sequence == 5
