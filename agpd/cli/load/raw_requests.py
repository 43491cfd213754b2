"""Requests and replies by peers that speak frames themselves."""

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable

from agpd.cli.load.measure import Answered, Stopwatch, answered
from agpd.cli.load.peer import FRAME_LIMIT_BYTES, Peer, connect
from agpd.wire import envelope, frames
from agpd.wire.frames import PREFIX, Frame, Kind
from agpd.wire.framing import Reassembly, split
from agpd_client.transports.carrier import Carrier


async def answer(carrier: Carrier, name: str, ready: Callable[[], None]) -> None:
    """Be `name`/0 and answer every request with its own payload, until the connection ends. Raises `Closed`."""
    peer = await connect(carrier)
    await peer.register(f"{name}/0")
    reassembly = Reassembly(FRAME_LIMIT_BYTES)

    def feed(data: bytes) -> None:
        replies = [reply for frame in split(data, reassembly) if (reply := _reply(frame))]
        if replies:
            peer.transport.write(b"".join(replies))

    peer.sink = feed
    ready()
    await peer.lost


def _reply(frame: Frame) -> bytes:
    """What a request is answered with: its own payload. A ping is answered too."""
    if frame.kind == Kind.PING:
        return frames.encode(Kind.PONG, id=frame.id)
    if frame.kind != Kind.REQUEST:
        return b""
    payload = envelope.unpack(frame.body).body
    packed = envelope.pack(envelope.Envelope(payload, correlation=frame.id))
    return frames.encode_data(
        Kind.REPLY, packed, destination=frame.source, source=frame.destination, id=frame.id
    )


async def request(
    carrier: Carrier,
    name: str,
    source: str,
    *,
    size: int,
    requests: int,
    concurrency: int,
    idle_s: float,
    gateway_pid: int | None,
) -> Answered:
    """Ask `name`/0 `requests` times, `concurrency` at a time, and take the time of each."""
    peer = await connect(carrier)
    own = await peer.register(f"{source}/{secrets.token_hex(4)}")
    asker = _Asker(peer, own, await peer.open(own, f"{name}/0"), size, requests)
    peer.sink = asker.feed
    watch = Stopwatch(gateway_pid)
    asker.begin(min(concurrency, requests))
    await asker.complete(idle_s)
    watch.lap()
    await peer.close()
    return answered(size, concurrency, requests, asker.times_s, watch)


class _Asker:
    """One connection that sends the next request when a reply comes."""

    def __init__(self, peer: Peer, source: int, destination: int, size: int, requests: int) -> None:
        self._peer = peer
        body = envelope.pack(envelope.Envelope(b"x" * size))
        self._head = (len(body) + frames.REST_MINIMUM, Kind.REQUEST, 0, 1, destination, source)
        self._body = body
        self._ids = itertools.count(1)
        self._unsent = requests
        self._unanswered = requests
        self._sent_at: dict[int, float] = {}
        self._reassembly = Reassembly(FRAME_LIMIT_BYTES)
        self._done = asyncio.Event()
        self.times_s: deque[float] = deque()

    def begin(self, concurrency: int) -> None:
        """The first requests."""
        self._ask(concurrency)

    def _ask(self, count: int) -> None:
        count = min(count, self._unsent)
        if not count:
            return
        self._unsent -= count
        out = []
        now = time.perf_counter()
        for _ in range(count):
            id_ = next(self._ids)
            self._sent_at[id_] = now
            out.append(PREFIX.pack(*self._head, id_) + self._body)
        self._peer.transport.write(b"".join(out))

    def feed(self, data: bytes) -> None:
        """Bytes from the gateway."""
        now = time.perf_counter()
        came = 0
        for frame in split(data, self._reassembly):
            if frame.kind == Kind.REPLY:
                self.times_s.append(now - self._sent_at.pop(envelope.unpack(frame.body).correlation))
                came += 1
            elif frame.kind == Kind.REFUSED:
                del self._sent_at[frame.id]
                came += 1
            elif frame.kind == Kind.PING:
                self._peer.transport.write(frames.encode(Kind.PONG, id=frame.id))
        self._unanswered -= came
        self._ask(came)
        if not self._unanswered:
            self._done.set()

    async def complete(self, idle_s: float) -> None:
        """Until every request has its answer, or nothing comes for `idle_s` seconds. Raises `Closed`."""
        self._peer.lost.add_done_callback(lambda _: self._done.set())
        while self._unanswered and not self._peer.lost.done():
            before = self._unanswered
            try:
                async with asyncio.timeout(idle_s):
                    await self._done.wait()
            except TimeoutError:
                if self._unanswered == before:
                    return
        if self._peer.lost.done():
            await self._peer.lost
