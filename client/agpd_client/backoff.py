"""How long to wait before connecting again."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

FIRST_S = 0.05
LIMIT_S = 5.0
# A connection that stood for less does not count as a success: a gateway that welcomes and then cuts is left in peace.
STABLE_S = 5.0


class Clock(NamedTuple):
    """Time to reconnect by: `now()` in seconds from any origin, `sleep(seconds)`."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Backoff:
    """Exponential with full jitter: a fleet does not come back at once.

    The ceiling of the delays doubles with each attempt from 50 ms to 5 s. It begins again only after a connection
    that has stood for 5 s. Times are those of one monotonic clock, in seconds.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._attempts = 0
        self._stands_since: float | None = None

    def stands(self, now: float) -> None:
        """A connection has been made and restored."""
        self._stands_since = now

    def lost(self, now: float) -> None:
        """It has ended."""
        if self._stands_since is not None and now - self._stands_since >= STABLE_S:
            self._attempts = 0
        self._stands_since = None

    def delay(self) -> float:
        """Seconds before the next attempt."""
        ceiling: float = min(LIMIT_S, FIRST_S * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return self._chance.random() * ceiling
