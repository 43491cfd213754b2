"""Counting deliveries in the bytes of a connection, without unpacking each of them."""

import asyncio
from collections.abc import Callable

from agpd.cli.load.measure import Received, Stopwatch
from agpd.wire.frames import FIRST_DATA_KIND, LENGTH_SIZE, PREFIX_SIZE, Kind, parse

_FROM = int.from_bytes


class Tally:
    """Deliveries over all connections of a receiver. `gateway_pid`: whose processor time is taken."""

    def __init__(self, expected: int, gateway_pid: int | None) -> None:
        self.expected = expected
        self.received = 0
        self.bytes = 0
        self._pid = gateway_pid
        self._watch: Stopwatch | None = None
        self._error: BaseException | None = None
        self._done = asyncio.Event()

    def begin(self) -> None:
        """Something comes: the clock runs from the first time on."""
        if self._watch is None:
            self._watch = Stopwatch(self._pid)

    def add(self, count: int, size: int) -> None:
        """So many deliveries more, in so many bytes."""
        self.received += count
        self.bytes += size
        if self.received >= self.expected and self._watch is not None:
            self._watch.lap()
            self._done.set()

    def fail(self, error: BaseException | None) -> None:
        """A connection has ended."""
        self._error = error
        self._done.set()

    async def complete(self, idle_s: float) -> None:
        """Until all that is expected has come, or nothing has come for `idle_s` seconds after the first delivery.

        Raises what `fail` was given.
        """
        while not self._done.is_set():
            before = self.received
            try:
                async with asyncio.timeout(idle_s):
                    await self._done.wait()
            except TimeoutError:
                if before and self.received == before:
                    break
        if self._error is not None:
            raise self._error

    def result(self, connections: int) -> Received:
        """What there is to report."""
        watch = self._watch or Stopwatch()
        if not self._done.is_set():
            watch.lap()
        return Received(
            connections=connections,
            expected=self.expected,
            received=self.received,
            lost=self.expected - self.received,
            seconds=watch.seconds,
            deliveries_per_s=watch.per_s(self.received),
            mebibytes_per_s=watch.per_s(self.bytes) / 2**20,
            gateway_cpu_s=watch.cpu_s,
            cpu_us_per_delivery=watch.cpu_us_per(self.received),
        )


class Counter:
    """Counts the data frames that come on one connection into a `Tally`. `pong` answers the ping of this id."""

    def __init__(self, tally: Tally, pong: Callable[[int], None]) -> None:
        self._tally = tally
        self._pong = pong
        self._tail = b""
        self._frame_bytes = 0  # of the last data frame: the next ones are likely as long

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        tally = self._tally
        tally.begin()
        data = self._tail + data if self._tail else data
        count, position = self._uniform(data) if self._frame_bytes else (0, 0)
        if not count:
            count, position = self._walk(data)
        self._tail = data[position:]
        if count:
            tally.add(count, position)

    def _uniform(self, data: bytes) -> tuple[int, int]:
        """Frames counted and bytes used, if all whole frames are data of the usual length; else 0, 0.

        Looks at kind and length of each of them, by slices in steps of a frame: 2 ns a frame instead of 100.
        """
        step = self._frame_bytes
        count = len(data) // step
        end = count * step
        low, high = step - LENGTH_SIZE & 0xFF, step - LENGTH_SIZE >> 8 & 0xFF
        same = (
            data[3:end:step].count(low) == count
            and data[2:end:step].count(high) == count
            and data[4:end:step].count(Kind.PUBLISH) == count
        )
        return (count, end) if same else (0, 0)

    def _walk(self, data: bytes) -> tuple[int, int]:
        count = position = 0
        while len(data) - position >= PREFIX_SIZE:
            end = position + LENGTH_SIZE + _FROM(data[position : position + LENGTH_SIZE], "big")
            if end > len(data):
                break
            kind = data[position + LENGTH_SIZE]
            if kind >= FIRST_DATA_KIND:
                count += 1
                self._frame_bytes = end - position
            elif kind == Kind.PING:
                self._pong(parse(data, position).id)
            position = end
        return count, position
