"""Keeps the hub from running ahead of its workers.

One process that is busy with its sockets reads no new messages meanwhile. A hub that goes on reading while a worker
is busy would take that for slow receivers, and drop messages. So while a worker has more than `BACKLOG_BYTES` to pass
on, the hub takes nothing from any client, for `PATIENCE_S` at most: a worker that stands still must not stop the
others. After that it is not waited for until it has caught up.
"""

from collections.abc import Callable
from typing import Protocol

BACKLOG_BYTES = 8 * 1024 * 1024  # 10 ms of a worker's time
PATIENCE_S = 1.0


class Timer(Protocol):
    """A call that can still be called off."""

    def cancel(self) -> None: ...


class Gate:
    """One for all workers of a gateway. `call_later(seconds, call)` is the loop's."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._call_later = call_later
        self._busy: dict[Backlog, Timer] = {}
        self._waiting: list[Callable[[], object]] = []

    @property
    def closed(self) -> bool:
        """Is a worker being waited for?"""
        return bool(self._busy)

    def wait(self, call: Callable[[], object]) -> None:
        """Call this when nobody is waited for any more. It does not raise."""
        self._waiting.append(call)

    def close(self, backlog: "Backlog") -> None:
        """Wait for this one."""
        self._busy[backlog] = self._call_later(PATIENCE_S, lambda: self.open(backlog))

    def open(self, backlog: "Backlog") -> None:
        """Wait for this one no longer."""
        timer = self._busy.pop(backlog, None)
        if timer is None:
            return
        timer.cancel()
        if not self._busy:
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()


class Backlog:
    """What one worker has been given for its clients and has not passed on yet."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._bytes = 0
        self._behind = False

    def grow(self, count: int) -> None:
        """It has been given so many bytes more."""
        self._bytes += count
        if self._bytes > BACKLOG_BYTES and not self._behind:
            self._behind = True
            self._gate.close(self)

    def shrink(self, count: int) -> None:
        """It has passed on so many bytes."""
        self._bytes -= count
        if self._behind and self._bytes <= BACKLOG_BYTES // 4:
            self._behind = False
            self._gate.open(self)

    def end(self) -> None:
        """It has ended, and is never waited for again, whatever its clients are still sent."""
        self._behind = True
        self._gate.open(self)
