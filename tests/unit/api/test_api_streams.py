"""Streams end with their source, their caller, or what lets them go on; and miss nothing from the entry on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agpd.api import streams
from agpd.api.streams import Stream
from agpd.errors import Code, Refused


class Source:
    """Events as they are put; records that it was closed."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.begun = self.closed = False

    async def events(self) -> AsyncIterator[str]:
        self.begun = True
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed = True


async def test_events_come_until_the_source_ends() -> None:
    source = Source()
    for item in ("a", "b", None):
        source.queue.put_nowait(item)
    async with Stream(source.events(), lambda: True) as stream:
        assert [item async for item in stream] == ["a", "b"]
    assert source.closed


async def test_the_source_runs_from_the_entry_on() -> None:
    source = Source()
    async with Stream(source.events(), lambda: True):
        assert source.begun
    assert source.closed


async def test_what_the_source_refuses_is_raised_at_the_entry() -> None:
    source = Source()
    source.queue.put_nowait(Refused(Code.TOO_MANY_WATCHES, "full"))
    with pytest.raises(Refused, match="full"):
        await Stream(source.events(), lambda: True).__aenter__()


async def test_a_later_refusal_is_raised_where_one_iterates() -> None:
    source = Source()
    async with Stream(source.events(), lambda: True) as stream:
        source.queue.put_nowait("a")
        source.queue.put_nowait(Refused(Code.CONFLICT, "behind"))
        seen = aiter(stream)
        assert await anext(seen) == "a"
        with pytest.raises(Refused, match="behind"):
            await anext(seen)
    assert source.closed


async def test_it_ends_when_it_may_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHECK_S", 0.01)
    source, may = Source(), [True, True, False]
    async with Stream(source.events(), lambda: may.pop(0)) as stream:
        assert [item async for item in stream] == [None, None]
    assert source.closed
