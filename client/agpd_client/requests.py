"""What this side has asked and not yet been answered: control requests, receipts, requests to other agents."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from agpd.wire.frames import Frame
from agpd_client.errors import AgpError

Accept = Callable[[Frame], None]


class Call(NamedTuple):
    """`source`: handle of the agent that asked, 0 for control requests; only its answers count."""

    future: asyncio.Future[Any]
    source: int
    accept: Accept | None


class Calls:
    """Calls under way on one connection, by id. `changed` is called when the first begins and when the last ends."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._calls: dict[int, Call] = {}
        self._changed = changed
        self._waiters: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, id_: int, source: int = 0, accept: Accept | None = None) -> asyncio.Future[Any]:
        """The future of an answer. `accept` sees a control answer at once, before the frames behind it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[id_] = Call(future, source, accept)
        if len(self._calls) == 1:
            self._changed()
        return future

    def forget(self, id_: int) -> None:
        """Nobody waits for this answer any more."""
        if self._calls.pop(id_, None) is not None:
            self._one_less()

    def answer(self, id_: int, source: int, value: Any) -> bool:
        """The answer to `id_`, meant for the agent with the handle `source`. False: nobody waits for it."""
        call = self._take(id_, source)
        if call is None:
            return False
        if call.accept is not None:
            call.accept(value)
        if not call.future.done():
            call.future.set_result(value)
        return True

    def refuse(self, id_: int, source: int, error: AgpError) -> bool:
        """The answer to `id_` is an error. False: nobody waits for it."""
        call = self._take(id_, source)
        if call is not None:
            _fail(call.future, error)
        return call is not None

    def fail(self, error: AgpError) -> None:
        """No answer will come any more."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            _fail(call.future, error)
        self._empty()

    async def wait_empty(self) -> None:
        """Until nothing is under way."""
        while self._calls:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _take(self, id_: int, source: int) -> Call | None:
        call = self._calls.get(id_)
        if call is None or call.source != source:
            return None
        self.forget(id_)
        return call

    def _one_less(self) -> None:
        if not self._calls:
            self._empty()

    def _empty(self) -> None:
        self._changed()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _fail(future: asyncio.Future[Any], error: AgpError) -> None:
    if not future.done():
        future.set_exception(error)
        # A shared future may have lost all who waited for it; its error is then nobody's.
        future.exception()
