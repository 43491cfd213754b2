"""Answers that go on: events of a service, until the caller leaves, the token ends or the gateway does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
CHECK_S = 1.0


class Stream(Generic[Item]):
    """Events of a source, with a regular look at whether they may still be given. Enter it, then iterate.

    Entering raises what the source refuses; from then on it misses no event. `None` stands for a round of `CHECK_S`
    without an event.
    """

    def __init__(self, source: AsyncIterator[Item], may_go_on: Callable[[], bool]) -> None:
        self._source = source
        self._may_go_on = may_go_on
        self._next: asyncio.Future[Item] | None = None

    async def __aenter__(self) -> "Stream[Item]":
        self._next = asyncio.ensure_future(anext(self._source))
        await asyncio.sleep(0)  # the source runs up to its first wait
        if self._next.done() and self._next.exception() is not None:
            await self._next
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait((self._next,))
            if not self._next.cancelled():
                self._next.exception()  # seen: whoever iterates was told, or has gone
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def __aiter__(self) -> AsyncIterator[Item | None]:
        while self._may_go_on():
            assert self._next is not None, "entered"
            await asyncio.wait((self._next,), timeout=CHECK_S)
            if not self._next.done():
                yield None
                continue
            try:
                item = self._next.result()
            except StopAsyncIteration:
                return
            self._next = asyncio.ensure_future(anext(self._source))
            yield item
