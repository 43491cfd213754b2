"""Answering requests: `@agent.on_request`. One task per request, bounded."""

import asyncio
import inspect
import logging
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agpd_client.errors import AgpError, Closed
from agpd_client.inbox import Inbox
from agpd_client.message import Context, Message

if TYPE_CHECKING:
    from agpd_client.agent import Agent

CONCURRENCY = 64
Function = Callable[..., Any]
_log = logging.getLogger("agpd_client")


class Handler:
    """The function that answers an agent's requests.

    At most `concurrency` run at once; more wait in `inbox`, whose policy then applies. A function that is not async
    runs in a thread, so that it may block.
    """

    def __init__(self, agent: "Agent", function: Function, kind: Any, concurrency: int, inbox: Inbox) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency {concurrency}: at least 1")
        parameters = _parameters(function)
        self._agent = agent
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)  # 3 µs: asked once, not for each request
        self._kind = _annotation(function, parameters[0]) if kind is None else kind
        self._wants_context = len(parameters) > 1
        self._concurrency = concurrency
        self._inbox = inbox
        self._tasks: dict[asyncio.Task[None], Message[Any]] = {}
        self._idle: list[asyncio.Future[None]] = []
        self.is_refusing = False

    @property
    def is_busy(self) -> bool:
        """Is a request running or waiting?"""
        return bool(self._tasks or self._inbox.items)

    def take(self, message: Message[Any]) -> None:
        """A request has come; never waits."""
        if len(self._tasks) < self._concurrency:
            self._start(message)
        else:
            self._inbox.put(message)

    async def wait_idle(self) -> None:
        """Until no request is running or waiting."""
        while self.is_busy:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    async def close(self) -> None:
        """End what runs and forget what waits; the requesters are told."""
        unheard = self._inbox.remove(lambda _: True)
        running = list(self._tasks.items())
        for task, message in running:
            if task.done():  # without a callback yet; one that was eager has no coroutine any more
                continue
            if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
                unheard.append(message)  # a task cancelled before its first step never runs
            task.cancel()
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)
        for message in unheard:
            await self._tell(message, Closed("the receiver ended before it answered"))

    def _start(self, message: Message[Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(message))
        self._tasks[task] = message
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled():
            task.result()  # what _serve lets through is a bug: the loop's exception handler shows it
        if self._inbox.items:
            self._start(self._inbox.take())
        elif not self._tasks:
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)

    async def _serve(self, message: Message[Any]) -> None:
        try:
            if self.is_refusing:
                raise Closed("the receiver is draining and takes no new requests")
            await message.reply(await self._call(message))
        except asyncio.CancelledError:
            await self._tell(message, Closed("the receiver ended before it answered"))
            raise
        except Exception as error:  # the contract: whatever a handler raises is the requester's RemoteError
            if not isinstance(error, AgpError):
                _log.exception(
                    "%s: the handler of a request from %s raised", self._agent.name, message.source
                )
            await self._tell(message, error)

    async def _tell(self, message: Message[Any], error: BaseException) -> None:
        try:
            await message.reply_failure(error)
        except AgpError as failure:  # the requester or the connection is gone: nobody to tell
            _log.debug("%s: no answer to %s: %s", self._agent.name, message.source, failure)

    async def _call(self, message: Message[Any]) -> Any:
        message.expect(self._kind)
        arguments = (message.data, Context(self._agent, message))[: 1 + self._wants_context]
        if self._is_async:
            return await self._function(*arguments)
        result = await asyncio.to_thread(self._function, *arguments)
        return await result if inspect.isawaitable(result) else result


def _parameters(function: Function) -> list[inspect.Parameter]:
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if not 1 <= len(parameters) <= 2:
        raise TypeError(
            f"a request handler takes the payload and, if it likes, a Context: not {len(parameters)} parameters"
        )
    return parameters


def _annotation(function: Function, parameter: inspect.Parameter) -> Any:
    """The type that the handler wants its payload as; None for any."""
    if parameter.annotation is parameter.empty:
        return None
    try:
        kind = typing.get_type_hints(function).get(parameter.name)
    except NameError as error:
        raise TypeError(
            f"the annotation of {parameter.name!r} cannot be resolved ({error}): pass it as on_request(type=...)"
        ) from None
    return None if kind is Any else kind
