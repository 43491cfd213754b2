"""A token bucket in whole nanoseconds, so that it neither drifts nor loses fractions."""

from collections.abc import Callable

_SECOND_NS = 1_000_000_000


class Bucket:
    """Lets `per_second` acts through, evenly, after a first burst of at most a tenth of a second's worth.

    The burst is small because every act costs the event loop milliseconds. `clock` returns monotonic seconds.
    """

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._interval_ns = _SECOND_NS // per_second
        self._slack_ns = max(0, per_second // 10 - 1) * self._interval_ns
        self._clock = clock
        self._next_ns = self._now_ns() - self._slack_ns

    def take(self) -> bool:
        """Take a token if there is one."""
        now = self._now_ns()
        due = max(self._next_ns, now - self._slack_ns)
        if due > now:
            return False
        self._next_ns = due + self._interval_ns
        return True

    def wait_s(self) -> float:
        """Seconds until there is a token; 0 if there is one."""
        return max(0, self._next_ns - self._now_ns()) / _SECOND_NS

    def _now_ns(self) -> int:
        return round(self._clock() * _SECOND_NS)
