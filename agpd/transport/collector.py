"""When Python's cyclic garbage collector runs in a gateway: in quiet moments, not in the way of messages.

The data path makes no objects that the collector counts, so traffic alone never starts it. Connections and
subscriptions do, about 30 objects for a connection with an agent and 3 for a subscription. Young collections look at
what came last, 0.1 ms for the youngest and 1 to 2 ms for the middle generation, and stay as CPython has them. A full
one looks at everything that is alive: with 10,000 connections and 100,000 subscriptions it stops the gateway for 110
to 190 ms. CPython makes one whenever the tables have grown by a quarter. Here they wait until there is little to do.

They are an insurance: connections that end leave no cycles, which a test keeps so, and reference counts free them.
Whatever else may leave some (a library, a future change) stays bounded by `OVERDUE`.
"""

import gc
import time
from collections.abc import Callable
from typing import Protocol

YOUNG, MIDDLE = 700, 10  # CPython's own: net new objects, and collections of the younger generation
NEVER = 2**31 - 1
LOOK_S = 10.0
QUIET = 0.05  # of a core
# In collections of the middle generation, each of at least YOUNG * (MIDDLE + 1) net new objects: a full collection is
# worth its pause from 770,000 on, and is made in busy times too from 7,700,000 on, about 1 GiB if all were garbage.
WORTH = 100
OVERDUE = 1000


class Timers(Protocol):
    """The part of an event loop that is needed here."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


class Collector:
    """The collector of this process. `cpu_s` is the processor time that it has used, in seconds.

    For this whole process, so only where the process is the gateway's own.
    """

    def __init__(self, loop: Timers, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._loop = loop
        self._cpu_s = cpu_s
        self._looked_at = 0.0
        self._cpu_then = 0.0

    def start(self) -> None:
        """Leave out what is here now, for good, and take full collections into our own hands."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._again()

    def _again(self) -> None:
        self._looked_at, self._cpu_then = self._loop.time(), self._cpu_s()
        self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        seconds = self._loop.time() - self._looked_at
        busy = (self._cpu_s() - self._cpu_then) / seconds
        _, _, grown = gc.get_count()
        if grown >= OVERDUE or (grown >= WORTH and busy < QUIET):
            gc.collect()
        self._again()
