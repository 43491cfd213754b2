"""Whoever is killed, and whenever: each acknowledged change of the control plane is there, and the audit log intact."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import databases
import pytest
from databases import Cluster
from sqlalchemy import select

from agpd.control.audit import verify
from agpd.control.model import tenant
from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.control.store import Store

WRITER = Path(__file__).with_name("control_writer.py")
SEED = 20_260
ROUNDS = 8
DEADLINE_S = 60


class Writer:
    """A process that writes. `acknowledged` grows while it is read from."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.acknowledged: set[str] = set()
        self.refusals = 0

    def read(self, count: int) -> None:
        """Wait for `count` more acknowledgements."""
        for line in self._lines():
            count -= not line.startswith("!")
            if count <= 0:
                return
        raise AssertionError("the writer has ended by itself")

    def read_until_refused(self) -> None:
        """Wait until the database is away for it."""
        before = self.refusals
        for _ in self._lines():
            if self.refusals > before:
                return
        raise AssertionError("the writer has ended by itself")

    def kill(self) -> None:
        """End it at once, and read what it had said."""
        self.process.send_signal(signal.SIGKILL)
        for _ in self._lines():
            pass
        self.process.wait(DEADLINE_S)

    def _lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):  # cut off by the end
                return
            self._note(line.rstrip("\n"))
            yield line

    def _note(self, line: str) -> None:
        if line.startswith("!"):
            self.refusals += 1
        else:
            self.acknowledged.add(line)


@contextmanager
def writer(url: str, prefix: str, when: str = "after") -> Iterator[Writer]:
    command = [sys.executable, str(WRITER), url, prefix, when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        found = Writer(process)
        try:
            yield found
        finally:
            process.kill()


async def lost(url: str, acknowledged: set[str]) -> set[str]:
    """What was acknowledged and is not there. The audit log must be intact, and have what is there."""
    store = await Store.open(url, sealer=Sealer(bytes(KEY_BYTES)))
    try:
        there = set(await store.read(lambda connection: connection.scalars(select(tenant.c.name)).all()))
        check = await verify(store)
    finally:
        await store.close()
    assert check.intact, check
    assert check.sequence == len(there)
    return acknowledged - there


async def kill_in_rounds(url: str, when: str, rounds: int) -> set[str]:
    """Kill a writer again and again on the same database, each at a moment of chance; what is lost."""
    chance = random.Random(SEED)
    acknowledged: set[str] = set()
    for number in range(rounds):
        with writer(url, f"r{number}", when) as one:
            one.read(chance.randrange(1, 400))
            one.kill()
            acknowledged |= one.acknowledged
    assert len(acknowledged) >= rounds
    return await lost(url, acknowledged)


async def test_a_killed_gateway_loses_no_acknowledged_change_on_sqlite(tmp_path: Path) -> None:
    assert await kill_in_rounds(f"sqlite:///{tmp_path / 'control.db'}", "after", ROUNDS) == set()


async def test_a_killed_gateway_loses_no_acknowledged_change_on_postgresql(postgres: Cluster) -> None:
    url = await postgres.create("crash")
    assert await kill_in_rounds(url, "after", ROUNDS) == set()
    await postgres.drop("crash")


async def test_control_what_is_acknowledged_before_the_commit_is_lost(tmp_path: Path) -> None:
    assert await kill_in_rounds(f"sqlite:///{tmp_path / 'control.db'}", "before", ROUNDS) != set()


async def kill_server_process(cluster: Cluster, database: str, chance: random.Random) -> None:
    """Kill one of the server's processes that serve the database: the server ends all others and recovers."""
    connection = await asyncpg.connect(host=str(cluster.directory), user="postgres", database=database)
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'agpd' AND datname = $1"
    pids = [row["pid"] for row in await connection.fetch(query, database)]
    os.kill(chance.choice(pids), signal.SIGKILL)
    connection.terminate()


async def test_a_killed_server_loses_no_acknowledged_change_and_writes_go_on_after_it() -> None:
    programs = databases.programs()
    if programs is None:
        pytest.skip(databases.INSTALL)
    chance = random.Random(SEED)
    with databases.cluster(programs) as cluster:
        url = await cluster.create("crash")
        with writer(url, "t") as one:
            for _ in range(3):
                one.read(chance.randrange(1, 400))
                await kill_server_process(cluster, "crash", chance)
                one.read_until_refused()
            one.read(20)
            one.kill()
        assert one.refusals > 0
        assert await lost(url, one.acknowledged) == set()
