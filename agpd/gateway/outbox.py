"""What a full receiver costs, and whom: a bounded queue per link with a written policy.

1. Up to `mark_bytes` wait while the carrier takes no more.
2. Above the mark, the connections that still send here are not read: at most `stall_budget_s` in all, until this
   link has drained (then the budget is whole again). Once the budget is used up it comes back slowly, one part in
   twenty of the time, so that a link that only trickles cannot hold its producers for long.
   A message for several has a budget of its own, which always comes back slowly, unless most of its receivers
   take no more either: who keeps pace with the others is waited for, who lags behind them is not.
3. Without budget, and always above `limit_bytes`, what is sent here is dropped and counted.
4. A link that takes nothing for `write_stall_s`, or stays above its mark six times as long, is cut
   (`lifecycle.py`).

Nothing here waits. One receiver's trouble is its own.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from agpd.hotpath import Port, Turn

# Handed to the carrier in one piece. What the carrier holds can be neither dropped nor shared between receivers, so it
# is little: with whole turns (8 MiB of one sender) 200 stuck receivers of a broadcast took 840 MiB.
FLUSH_BYTES = 256 * 1024
TRICKLE_REFILL = 0.05  # seconds of budget per second, after a budget was used up
SHORTEST_STALL_S = 0.01  # less budget than this is none


class OutboxLimits(NamedTuple):
    """The numbers of the policy."""

    mark_bytes: int
    limit_bytes: int
    stall_budget_s: float


class Producer(Protocol):
    """A connection that can be told to stop reading."""

    def hold(self) -> None: ...
    def release(self) -> None: ...


class Timer(Protocol):
    """A call that can still be called off."""

    def cancel(self) -> None: ...


class Clock(NamedTuple):
    """Time as an argument. `now` is monotonic, in seconds."""

    now: Callable[[], float]
    call_later: Callable[[float, Callable[[], None]], Timer]


class Outbox(Port):
    """The queue of one link.

    Invariant: `queued > 0` means that it is marked in the turn, or that the carrier takes no more (`writable` is
    false).
    The forwarding loop appends to `queue` itself and calls `pressed` when `queued` passes `threshold`: the part of an
    outbox that it touches is `agpd.hotpath.Port`.
    """

    __slots__ = (
        "_clock",
        "_flush_at",
        "_lag",
        "_lag_since",
        "_limits",
        "_spent_at",
        "_timer",
        "_waiting",
        "bytes_out",
        "drains",
        "dropped",
        "dropped_untold",
        "write",
    )

    def __init__(
        self, turn: Turn, limits: OutboxLimits, clock: Clock, write: Callable[[bytes], None]
    ) -> None:
        self._flush_at = min(limits.limit_bytes, FLUSH_BYTES)
        super().__init__(turn, self._flush_at)
        self.write = write
        self.bytes_out = 0
        self.drains = 0  # how often it has caught up
        self.dropped = 0
        self.dropped_untold = 0
        self._limits = limits
        self._clock = clock
        self._spent_at: float | None = None
        self._timer: Timer | None = None
        self._waiting: set[Producer] = set()
        self._lag = Bucket(limits.stall_budget_s, clock.now())
        self._lag_since: float | None = None  # a producer is held although others would take its message

    @property
    def answers_limit(self) -> int:
        """More than this is queued only if the peer asks and asks, and does not read the answers. In bytes."""
        return 2 * self._limits.limit_bytes

    def pressed(self, size: int, count: int, producer: Producer, crowd: "Crowd | None" = None) -> bool:
        """The last thing queued, `size` bytes and `count` messages, went past the threshold: keep or drop it.

        False if it was dropped.
        """
        if self.writable:
            self.flush()
            return True
        self.full = True
        if self.queued <= self._limits.limit_bytes and self._stall(
            producer, crowd is not None and crowd.mostly_free()
        ):
            return True
        self.queue.pop()
        self.queued -= size
        self.dropped += count
        self.dropped_untold += count
        return False

    def flush(self) -> None:
        """Hand everything queued to the carrier as one buffer, or in pieces as long as it takes them."""
        if not self.writable or not self.queued:
            return
        if self.queued > 2 * FLUSH_BYTES:
            self._flush_pieces()
            return
        queue = self.queue
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        queue.clear()
        self.queued = 0
        self.bytes_out += len(data)
        self.write(data)

    def _flush_pieces(self) -> None:
        queue = self.queue
        while self.writable and queue:
            size = taken = 0
            while size < FLUSH_BYTES and taken < len(queue):
                size += len(queue[taken])
                taken += 1
            data = b"".join(queue[:taken])
            del queue[:taken]
            self.queued -= size
            self.bytes_out += size
            self.write(data)

    def carrier_full(self) -> None:
        """The carrier takes no more."""
        self.writable = False
        self.threshold = self._limits.mark_bytes

    def carrier_drained(self) -> None:
        """The carrier takes more: flush, and let the producers go on if that emptied the queue."""
        self.writable = True
        self.threshold = self._flush_at
        self.flush()
        if not self.writable:
            return
        self.full = False
        self.drains += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._spent_at = None
        self._let_go()

    def discard(self) -> int:
        """Forget what is queued (the link ends) and let the producers go on. Returns the bytes forgotten."""
        lost = self.queued
        self.queue.clear()
        self.queued = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()
        return lost

    def _stall(self, producer: Producer, lags: bool) -> bool:
        """Stop reading from the producer, if there is budget for it."""
        now = self._clock.now()
        credit = self._lag.credit(now) if lags and self._lag_since is None else self._limits.stall_budget_s
        if self._timer is None:
            credit = min(credit, self._credit())
        if credit < SHORTEST_STALL_S:
            return False
        if self._timer is None:
            self._timer = self._clock.call_later(credit, self._spent)
        if lags and self._lag_since is None:
            self._lag_since = now
        if producer not in self._waiting:
            self._waiting.add(producer)
            producer.hold()
        return True

    def _credit(self) -> float:
        """Seconds for which producers may be held now."""
        if self._spent_at is None:
            return self._limits.stall_budget_s
        back = (self._clock.now() - self._spent_at) * TRICKLE_REFILL
        return min(self._limits.stall_budget_s, back)

    def _spent(self) -> None:
        """The budget is used up and the link has not drained: its producers go on, it loses messages."""
        self._timer = None
        if self._lag_since is None:
            self._spent_at = self._clock.now()
        self._let_go()

    def _let_go(self) -> None:
        if self._lag_since is not None:
            now = self._clock.now()
            self._lag.spend(now - self._lag_since, now)
            self._lag_since = None
        waiting, self._waiting = self._waiting, set()
        for producer in waiting:
            producer.release()


class Bucket:
    """Seconds that come back slowly. Starts full."""

    __slots__ = ("_at", "_capacity_s", "_level_s")

    def __init__(self, capacity_s: float, now: float) -> None:
        self._capacity_s = self._level_s = capacity_s
        self._at = now

    def credit(self, now: float) -> float:
        """What is in it."""
        return min(self._capacity_s, self._level_s + (now - self._at) * TRICKLE_REFILL)

    def spend(self, seconds: float, now: float) -> None:
        """Take so many out, as far as they are there."""
        self._level_s = max(0.0, self.credit(now) - seconds)
        self._at = now


class Crowd:
    """The receivers of one message. Whether most of them still take it is asked once, and only if somebody does not."""

    __slots__ = ("_free", "_links")

    def __init__(self, links: Sequence[Outbox]) -> None:
        self._links = links
        self._free: bool | None = None

    def mostly_free(self) -> bool:
        """Do at least half of several receivers take more?"""
        if self._free is None:
            links = self._links
            self._free = len(links) > 1 and 2 * sum(not each.writable for each in links) <= len(links)
        return self._free
