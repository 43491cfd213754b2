"""The control plane as one object: its rounds, and an opening that fails."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, text

from agpd.config import Control as Settings
from agpd.control.service import Control
from agpd.control.store import Notes
from agpd.errors import Code, Refused


class Service:
    """Fails with this, or counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.count = 0

    async def tick(self, now: float) -> None:
        if self.error is not None:
            raise self.error
        self.count += 1


async def test_a_service_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    control = await Control.open(Settings(state_directory=str(tmp_path)))
    last = Service()
    control.timed[:0] = [Service(Refused(Code.UNAVAILABLE)), Service(ZeroDivisionError())]
    control.timed.append(last)
    with pytest.raises(ZeroDivisionError):
        await control.tick(0.0)
    assert last.count == 1
    await control.close()


async def test_an_opening_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    def spoil(connection: Connection, _: Notes) -> None:
        connection.execute(text("INSERT INTO tenant VALUES ('acme', '', 0, 0, '{}')"))
        connection.execute(text("INSERT INTO namespace VALUES ('acme', 'prod', '')"))
        connection.execute(
            text("INSERT INTO agent_type VALUES ('acme', 'prod', 'x', '', '', '{}', '[]', 'no JSON')")
        )

    control = await Control.open(Settings(state_directory=str(tmp_path)))
    await control.store.write(spoil)
    await control.close()
    with pytest.raises(msgspec.DecodeError):
        await Control.open(Settings(state_directory=str(tmp_path)))
    assert asyncio.all_tasks() == {asyncio.current_task()}
