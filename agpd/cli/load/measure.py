"""What a load run reports, and how processor time and percentiles are taken."""

import time
from collections.abc import Sequence

import msgspec


class Published(msgspec.Struct, kw_only=True):
    """Of a sender, until the gateway has read everything.

    `refused` counts messages that the gateway sent back, `refused_as` is the code of most of them, empty if none.
    """

    pattern: str
    size_bytes: int
    connections: int
    messages: int
    refused: int
    refused_as: str
    seconds: float
    messages_per_s: float
    gateway_cpu_s: float | None
    cpu_us_per_message: float | None


class Received(msgspec.Struct, kw_only=True):
    """Of the receivers together, from the first bytes of a message to the last. `lost`: expected, never came."""

    connections: int
    expected: int
    received: int
    lost: int
    seconds: float
    deliveries_per_s: float
    mebibytes_per_s: float
    gateway_cpu_s: float | None
    cpu_us_per_delivery: float | None


class Answered(msgspec.Struct, kw_only=True):
    """Of a requester: times from sending a request to having its reply, in microseconds."""

    size_bytes: int
    concurrency: int
    requests: int
    lost: int
    seconds: float
    requests_per_s: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    gateway_cpu_s: float | None
    cpu_us_per_request: float | None


class Loaded(msgspec.Struct, kw_only=True):
    """Of a background load. `lost`: sent, not refused, and never came."""

    size_bytes: int
    wanted_per_s: float
    achieved_per_s: float
    seconds: float
    refused: int
    lost: int


class AnsweredUnderLoad(Answered, kw_only=True):
    """Of a requester beside a background load. The gateway's time is that of both, so none is given for a request."""

    background: Loaded

    @classmethod
    def of(cls, alone: Answered, background: Loaded) -> "AnsweredUnderLoad":
        """Both results in one."""
        fields = {name: getattr(alone, name) for name in alone.__struct_fields__}
        return cls(**fields | {"cpu_us_per_request": None, "background": background})


Result = Published | Received | Answered | Loaded


class Stopwatch:
    """Wall time and, if a process id is given, the processor time (user and system) of that process since then."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self.seconds = 0.0
        self.cpu_s: float | None = None
        self._cpu_began = None if pid is None else cpu_s(pid)
        self._began = time.perf_counter()

    def lap(self) -> None:
        """Set `seconds` and `cpu_s` to what has passed since the start."""
        self.seconds = time.perf_counter() - self._began
        if self._pid is not None and self._cpu_began is not None:
            self.cpu_s = cpu_s(self._pid) - self._cpu_began

    def per_s(self, count: int) -> float:
        """Events per second."""
        return count / self.seconds if self.seconds else 0.0

    def cpu_us_per(self, count: int) -> float | None:
        """Processor time for each of `count` events, in microseconds."""
        return None if self.cpu_s is None or not count else self.cpu_s / count * 1e6


def cpu_s(pid: int) -> float:
    """Processor time that a process of this machine has used, in seconds, to the nanosecond.

    Raises `ProcessLookupError`.
    """
    # Linux: the clock of clock_getcpuclockid(3), which Python offers for threads only. /proc/PID/stat counts the
    # same in steps of 10 ms.
    clock = (~pid << 3) | 2
    try:
        return time.clock_gettime(clock)
    except OSError:
        raise ProcessLookupError(f"no process {pid} to take the processor time of") from None


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered) - 1, int(rank) - 1))]


def answered(
    size: int, concurrency: int, requests: int, times_s: Sequence[float], watch: Stopwatch
) -> Answered:
    """The result of a requester that asked `requests` times and has had one of `times_s` for each answer."""
    ordered = sorted(times_s)
    p50, p99, p999, most = (percentile(ordered, share) * 1e6 for share in (0.5, 0.99, 0.999, 1.0))
    return Answered(
        size_bytes=size,
        concurrency=concurrency,
        requests=requests,
        lost=requests - len(ordered),
        seconds=watch.seconds,
        requests_per_s=watch.per_s(len(ordered)),
        p50_us=p50,
        p99_us=p99,
        p999_us=p999,
        max_us=most,
        gateway_cpu_s=watch.cpu_s,
        cpu_us_per_request=watch.cpu_us_per(len(ordered)),
    )
