"""Background load: messages at a steady rate through the gateway while something else is measured.

Open loop: what is due is due by the clock, whether or not what was sent before has arrived. `run` is the load itself;
`beside` starts it as a process of its own, so that it does not share a core with the measurement by design.
"""

import asyncio
import contextlib
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import msgspec

from agpd.cli.load.measure import Loaded
from agpd.cli.load.peer import Peer, connect
from agpd.cli.load.plan import Blobs
from agpd.cli.load.tally import Counter, Tally
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ANY, Kind
from agpd_client.errors import ConnectError
from agpd_client.transports.carrier import Carrier

TICK_S = 0.002
CALIBRATION_S = 1.0
# What was missed longer ago than this is not made up for: a burst would be another load.
CATCH_UP_S = 0.05
FOR_EVER = 2**62
START_TIMEOUT_S = 30.0


class Pace:
    """How many messages are due. `rate`: in a second."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._owed = 0.0
        self._at = now

    def due(self, now: float) -> int:
        """Messages to be sent now; the rest of one is owed."""
        most = max(1.0, self._rate * CATCH_UP_S)
        self._owed = min(self._owed + self._rate * (now - self._at), most)
        self._at = now
        whole = int(self._owed)
        self._owed -= whole
        return whole


class Pair:
    """A sender and a receiver of one type, on a connection each."""

    def __init__(self, sender: Peer, receiver: Peer, blobs: Blobs, tally: Tally) -> None:
        self._sender = sender
        self._receiver = receiver
        self._blobs = blobs
        self._tally = tally
        self.sent = 0

    @classmethod
    async def connect(cls, carrier: Carrier, name: str, size: int) -> "Pair":
        """Two agents of the type `name`."""
        mark = secrets.token_hex(4)
        receiver, sender = await connect(carrier), await connect(carrier)
        await receiver.register(f"{name}/sink-{mark}")
        own = await sender.register(f"{name}/load-{mark}")
        handle = await sender.open(own, f"{name}/sink-{mark}")
        tally = Tally(FOR_EVER, None)
        receiver.sink = Counter(
            tally, lambda id_: receiver.transport.write(frames.encode(Kind.PONG, id=id_))
        ).feed
        return cls(sender, receiver, Blobs(size, own, [handle], FANOUT_ANY, random.Random(1)), tally)  # noqa: S311

    @property
    def received(self) -> int:
        """Messages that have arrived."""
        return self._tally.received

    def send(self, count: int) -> None:
        """So many messages, unless the carrier takes no more."""
        if self._sender.writable.is_set():
            self.sent += count
            for buffer in self._blobs.take(count):
                self._sender.transport.write(buffer)

    async def capacity(self) -> float:
        """Messages that arrive in a second when as many are sent as the gateway takes."""
        loop, began = asyncio.get_running_loop(), self.received
        end = loop.time() + CALIBRATION_S
        while loop.time() < end:
            await self._sender.writable.wait()
            self.send(self._blobs.per_blob)
            await asyncio.sleep(0)
            self._check()
        return (self.received - began) / CALIBRATION_S

    async def keep_up(self, rate: float, stop: asyncio.Event) -> None:
        """Send at this rate until `stop` is set."""
        clock = time.perf_counter
        pace = Pace(rate, clock())
        while not stop.is_set():
            self.send(pace.due(clock()))
            await asyncio.sleep(TICK_S)
            self._check()

    def _check(self) -> None:
        for peer in (self._sender, self._receiver):
            if peer.lost.done():
                peer.lost.result()

    async def settle(self) -> None:
        """Until the gateway has read everything, and everything it has delivered has come. Raises `TimeoutError`."""
        await self._sender.barrier()
        async with asyncio.timeout(CALIBRATION_S):
            while self.received + self.refused < self.sent:  # noqa: ASYNC110  (counted from bytes)
                await asyncio.sleep(TICK_S)

    @property
    def refused(self) -> int:
        """Messages that the gateway sent back."""
        return self._sender.refused.total()

    async def close(self) -> None:
        """Both connections."""
        await asyncio.gather(self._sender.close(), self._receiver.close())


async def run(
    carrier: Carrier,
    name: str,
    *,
    size: int,
    rate: float | None,
    share: float | None,
    seconds: float | None,
    ready: Callable[[], None],
) -> Loaded:
    """Load the gateway at `rate` messages a second, or this share of what it takes, for `seconds` or until SIGTERM.

    `ready` is called once it begins.
    """
    pair = await Pair.connect(carrier, name, size)
    if rate is None:
        assert share is not None
        rate = share * await pair.capacity()
        await pair.settle()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    ready()
    before, refused, began = pair.received, pair.refused, loop.time()
    await pair.keep_up(rate, stop)
    elapsed = loop.time() - began
    arrived = pair.received - before
    with contextlib.suppress(TimeoutError):
        await pair.settle()
    await pair.close()
    return Loaded(
        size_bytes=size,
        wanted_per_s=rate,
        achieved_per_s=arrived / elapsed,
        seconds=elapsed,
        refused=pair.refused - refused,
        lost=pair.sent - pair.received - pair.refused,
    )


@contextlib.contextmanager
def beside(arguments: Sequence[str]) -> Iterator[Callable[[], Loaded]]:
    """`agpctl bench load` with these arguments, once it is ready. The function that is given ends it.

    Raises `ConnectError` if it does not start or fails.
    """
    command = [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", "bench", "load"]
    process = subprocess.Popen(  # noqa: S603  # this program itself
        [*command, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        before = []  # warnings, or why it does not start
        for line in _stream(process.stderr):
            if line == "ready\n":
                break
            before.append(line)
        else:
            raise _failure("".join(before))
        yield lambda: _ended(process)
    finally:
        process.kill()
        process.communicate()


def _ended(process: "subprocess.Popen[str]") -> Loaded:
    process.terminate()
    out, error = process.communicate(timeout=START_TIMEOUT_S)
    if process.returncode:
        raise _failure(error)
    return msgspec.json.decode(out, type=Loaded)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _failure(text: str) -> ConnectError:
    return ConnectError(f"background load: {text.strip()}")
