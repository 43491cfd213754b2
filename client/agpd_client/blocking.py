"""Waiting, in a thread without a loop, for what the SDK does on its own loop in the background."""

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from agpd_client.errors import Closed

Result = TypeVar("Result")
Item = TypeVar("Item")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The background loop, started at first use; its thread ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="agpd-client", daemon=True).start()
    return loop


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    """What it gives. Raises `RuntimeError` on the background loop itself."""
    loop = _loop()
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        work.close()
        raise RuntimeError(
            "a blocking call within the SDK's own loop; use the asynchronous API in async handlers"
        )
    future: concurrent.futures.Future[Result] = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    finally:
        future.cancel()


async def call(function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """A function that has to run on the background loop, as work to `wait` for."""
    return function(*arguments, **options)


class Source(Generic[Item]):
    """Blocking iteration over what `receive` gives, until it is closed in order."""

    def receive(self, *, timeout: float | None = None) -> Item:
        """The next one, within `timeout` seconds."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                yield self.receive()
            except Closed as error:
                if error.code is Closed.default:
                    return
                raise
