"""Messages published while there is no connection, bounded in bytes."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agpd_client.agent import Agent


OVERHEAD_BYTES = 240  # of the objects that hold an envelope, measured with CPython 3.11


class Waiting(NamedTuple):
    """A message that has no handles yet."""

    agent: "Agent"
    to: str
    kind: int
    envelope: bytes
    fanout: int

    @property
    def cost_bytes(self) -> int:
        """What it counts as: else a million empty messages would cost nothing, and take 240 MB."""
        return len(self.envelope) + OVERHEAD_BYTES


class Backlog:
    """First in, first out. `limit_bytes` bounds what they cost; one that is larger still fits when it is alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._items: deque[Waiting] = deque()
        self._bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """What the messages kept cost."""
        return self._bytes

    def offer(self, message: Waiting) -> bool:
        """Keep it, if there is room."""
        if self._items and self._bytes + message.cost_bytes > self._limit:
            return False
        self._items.append(message)
        self._bytes += message.cost_bytes
        return True

    def first(self) -> Waiting | None:
        """The next one to send, which stays until `sent`."""
        return self._items[0] if self._items else None

    def sent(self) -> None:
        """The first one is dealt with."""
        self._bytes -= self._items.popleft().cost_bytes
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
