"""Writes tenants as fast as it can and prints the name of each once it is acknowledged. Killed by test_control_crash.

Arguments: URL of the database, a prefix of the names, and when to print: `after` or `before` the acknowledgement.
"""

import asyncio
import itertools
import os
import sys

from sqlalchemy import Connection

from agpd.control.model import tenant
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Notes, Store
from agpd.errors import Refused

WRITERS = 8


def say(name: str) -> None:
    os.write(1, f"{name}\n".encode())


async def write_all(store: Store, names: "itertools.count[int]", prefix: str, early: bool) -> None:
    for number in names:
        name = f"{prefix}-{number}"
        row = {"name": name, "title": "", "suspended": False, "require_encryption": False, "quotas": {}}

        def work(
            connection: Connection, notes: Notes, name: str = name, row: dict[str, object] = row
        ) -> None:
            connection.execute(tenant.insert(), row)
            notes.add("writer", name, "tenant.create", name)

        if early:
            say(name)
        try:
            await store.write(work)
        except Refused as error:
            say(f"!{error.code.name}")
            await asyncio.sleep(0.01)
        else:
            if not early:
                say(name)


async def main(url: str, prefix: str, when: str) -> None:
    store = await Store.open(url, sealer=Sealer(bytes(KEY_BYTES)))
    names = itertools.count()
    await asyncio.gather(*(write_all(store, names, prefix, when == "before") for _ in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
