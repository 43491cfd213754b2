"""A PostgreSQL server for tests: Debian's programs, a temporary directory, a Unix socket, no password."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

INSTALL = "PostgreSQL is not installed: apt-get install postgresql"
DEADLINE_S = 60


class Cluster:
    """A running server; `directory` holds its socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def url(self, name: str) -> str:
        """The URL of a database as users write it."""
        return f"postgresql://postgres@/{name}?host={self.directory}"

    async def run(self, *statements: str) -> None:
        """Run statements in the database `postgres`, each in a transaction of its own."""
        connection = await asyncpg.connect(host=str(self.directory), user="postgres", database="postgres")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def create(self, name: str, template: str = "template1") -> str:
        """Make a database; its URL."""
        await self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    async def drop(self, name: str) -> None:
        """Remove a database, whoever uses it."""
        await self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def programs() -> Path | None:
    """The directory with the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return Path(other).resolve().parent if other else None


@contextmanager
def cluster(directory_of_programs: Path) -> Iterator[Cluster]:
    """Run a server until the end of the block. It does not sync: processes may be killed, not the machine."""
    directory = Path(tempfile.mkdtemp(prefix="agpd-pg-"))  # short: a socket's path has at most 107 bytes
    if os.getuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    try:
        _run(directory, directory_of_programs / "initdb", "-D", directory / "data", "-U", "postgres",
             "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")  # fmt: skip
        options = (
            f"-k {directory} -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
        )
        control = directory_of_programs / "pg_ctl"
        _run(
            directory,
            control,
            "-D",
            directory / "data",
            "-l",
            directory / "log",
            "-w",
            "-o",
            options,
            "start",
        )
        try:
            yield Cluster(directory)
        finally:
            _run(directory, control, "-D", directory / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory)


def _run(directory: Path, *command: object) -> None:
    """Run a program of PostgreSQL, which refuses to be root, as its own user."""
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
    output = directory / "output"
    with output.open("w") as file:
        done = subprocess.run(
            [*user, *map(str, command)],
            cwd=directory,
            stdout=file,
            stderr=file,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 0, output.read_text()
