"""Messages published while there is no connection, bounded in bytes."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agpd_client.agent import Agent


class Waiting(NamedTuple):
    """A message that has no handles yet."""

    agent: "Agent"
    to: str
    kind: int
    envelope: bytes
    fanout: int


class Backlog:
    """First in, first out. `limit_bytes` bounds the envelopes; one that is larger still fits when it is alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._items: deque[Waiting] = deque()
        self._bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """Of the envelopes kept."""
        return self._bytes

    def offer(self, message: Waiting) -> bool:
        """Keep it, if there is room."""
        if self._items and self._bytes + len(message.envelope) > self._limit:
            return False
        self._items.append(message)
        self._bytes += len(message.envelope)
        return True

    def first(self) -> Waiting | None:
        """The next one to send, which stays until `sent`."""
        return self._items[0] if self._items else None

    def sent(self) -> None:
        """The first one is dealt with."""
        self._bytes -= len(self._items.popleft().envelope)
        self.wake()

    async def room(self) -> None:
        """Wait until something has changed: there may be room, a connection, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        """Let those who wait for room look again."""
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
