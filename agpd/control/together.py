"""Several calls of services as one change, and several as a look at one moment.

The services do not know: within `changes` what they write is gathered and committed at once; within `moment` what they
read is of one snapshot.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar, copy_context
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection

from agpd.errors import Refused

Result = TypeVar("Result")


class Asked(NamedTuple):
    """A write that a call has asked for: the work, its item, and where the answer goes."""

    work: Callable[[Connection, Any, Sequence[Any]], Sequence[Any]]
    item: Any
    answer: asyncio.Future[Any]


class Reader(Protocol):
    """Reads from one snapshot."""

    async def __call__(self, work: Callable[[Connection], Result], /) -> Result: ...


# Of the call that runs in this context: where its first write goes, and what it reads from.
part: ContextVar[asyncio.Future[Asked] | None] = ContextVar("part", default=None)
moment: ContextVar[Reader | None] = ContextVar("moment", default=None)

AskAll = Callable[[Callable[[Connection, Any], Sequence[Any]]], Awaitable[Sequence[Any]]]


async def changes(calls: Sequence[Callable[[], Awaitable[Any]]], ask: AskAll) -> list[Any]:
    """The results of all calls, whose first writes are done in one transaction, in their order, by `ask`.

    The first fault ends all, and nothing is changed.
    """
    parts = [asyncio.get_running_loop().create_future() for _ in calls]
    tasks = [_start(call, own) for call, own in zip(calls, parts, strict=True)]
    try:
        for task, own in zip(tasks, parts, strict=True):
            await asyncio.wait({task, own}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()  # raises what it raised
        asked: list[Asked] = [own.result() for own in parts if own.done()]
        answers = await ask(lambda connection, notes: _do_all(connection, notes, asked))
        for one, answer in zip(asked, answers, strict=True):
            one.answer.set_result(answer)
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start(call: Callable[[], Awaitable[Any]], own: asyncio.Future[Asked]) -> asyncio.Task[Any]:
    async def run() -> Any:
        return await call()

    context = copy_context()
    context.run(part.set, own)
    return asyncio.get_running_loop().create_task(run(), context=context)


def _do_all(connection: Connection, notes: Any, asked: Sequence[Asked]) -> list[Any]:
    """Each in its turn; those beside each other that have the same work are given to it together."""
    outcomes: list[Any] = []
    for work, group in groupby(asked, key=lambda one: one.work):
        outcomes += work(connection, notes, [one.item for one in group])
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise outcome
    return outcomes
