import asyncio

import pytest

from agpd.control import following
from agpd.control.following import Following
from agpd.errors import Code, Refused


class Database:
    """Counts how often it is read; `gate` holds the read that is under way."""

    def __init__(self) -> None:
        self.reads = 0
        self.away = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def reload(self) -> None:
        self.reads += 1
        await self.gate.wait()
        if self.away:
            self.away -= 1
            raise Refused(Code.UNAVAILABLE)


async def test_marks_before_a_run_become_one() -> None:
    database = Database()
    follower = Following(database.reload)
    for _ in range(5):
        follower.mark()
    await follower.settled()
    assert database.reads == 1
    follower.mark()
    await follower.settled()
    assert database.reads == 2


async def test_a_mark_during_a_run_leads_to_one_more() -> None:
    database = Database()
    follower = Following(database.reload)
    database.gate.clear()
    follower.mark()
    await asyncio.sleep(0)
    assert database.reads == 1
    follower.mark()
    follower.mark()
    database.gate.set()
    await follower.settled()
    assert database.reads == 2


async def test_it_tries_again_until_the_database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_S", 0.0)
    database = Database()
    database.away = 3
    follower = Following(database.reload)
    follower.mark()
    await follower.settled()
    assert database.reads == 4


async def test_closing_ends_what_is_under_way() -> None:
    database = Database()
    follower = Following(database.reload)
    await follower.close()
    database.gate.clear()
    follower.mark()
    await asyncio.sleep(0)
    await follower.close()
    assert database.reads == 1
    await Following(database.reload).settled()
