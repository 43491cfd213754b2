"""Async functions as services of gRPC: one request, and one answer or many. Each call is a task, which ends with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from agpd.errors import AgpdError, Code, Fatal, Refused
from agpd.transport.grpc import Call, Receiver, Service
from agpd.wire.grpc import Failed, Status

CALLS = 1000
REQUEST_S = 30.0

Unary = Callable[[bytes, Call], Awaitable[bytes]]
Streaming = Callable[[bytes, Call], AsyncIterator[bytes]]

_log = logging.getLogger(__name__)


class Room:
    """How many calls run at once, over all services that share it."""

    def __init__(self, limit: int = CALLS) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, function: Callable[[], Any]) -> asyncio.Task[None]:
        """Run a coroutine function as a task. Raises `Refused` if there is no room."""
        if len(self._tasks) >= self._limit:
            raise Refused(Code.UNAVAILABLE, "too many calls at once")
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(function())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel what runs, and wait for it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def unary(function: Unary, room: Room | None = None, *, request_limit_bytes: int | None = None) -> Service:
    """A service of one request and one answer.

    What the function raises of `AgpdError` and `Failed` is the status. It is cancelled when its call ends, by the
    client or the deadline. Without a room of its own it shares none.
    """
    room = Room() if room is None else room

    def serve(call: Call) -> Receiver:
        return _Running(call, room, request_limit_bytes, lambda request: _answer(function, request, call))

    return serve


def server_streaming(
    function: Streaming, room: Room | None = None, *, request_limit_bytes: int | None = None
) -> Service:
    """A service of one request and many answers, from an async generator; otherwise as `unary`.

    The generator is not asked for more while the client does not take what there is.
    """
    room = Room() if room is None else room

    def serve(call: Call) -> Receiver:
        running = _Running(
            call, room, request_limit_bytes, lambda request: _stream(function, request, running)
        )
        return running

    return serve


async def _answer(function: Unary, request: bytes, call: Call) -> None:
    call.send(await function(request, call))
    call.finish()


async def _stream(function: Streaming, request: bytes, running: "_Running") -> None:
    call = running.call
    async with aclosing(cast(Any, function(request, call))) as answers:
        async for answer in answers:
            call.send(answer)
            await running.writable.wait()
    call.finish()


class _Running:
    """The receiver of such a call."""

    def __init__(
        self,
        call: Call,
        room: Room,
        request_limit_bytes: int | None,
        serve: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.call = call
        self.writable = asyncio.Event()
        self.writable.set()
        self._room = room
        self._serve = serve
        self._request: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        if request_limit_bytes is not None:
            call.limit_messages(request_limit_bytes)
        self._timer = asyncio.get_running_loop().call_later(REQUEST_S, self._too_slow)

    def messages(self, messages: list[bytes]) -> None:
        """The request, which is one."""
        if len(messages) > 1 or self._request is not None:
            raise Failed(Status.INTERNAL, "more than one request")
        self._request = messages[0]

    def half_closed(self) -> None:
        """The request is whole: begin."""
        if self._request is None:
            raise Failed(Status.INTERNAL, "no request")
        self._timer.cancel()
        self._task = self._room.run(self._run)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def lost(self, detail: str) -> None:
        """The call is over, and so is its task."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _too_slow(self) -> None:
        self.call.fail(
            Failed(Status.DEADLINE_EXCEEDED, f"the request was not there within {REQUEST_S:.0f} s")
        )

    async def _run(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        try:
            await self._serve(request)
        except (AgpdError, Failed) as error:
            self.call.fail(error)
        except Exception:
            _log.exception("fault in %s for %s", self.call.path, self.call.peer)
            self.call.fail(Fatal(Code.INTERNAL))
