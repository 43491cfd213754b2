"""What the wire format costs in Python, and the forwarding loop on carriers that only swallow bytes.

Payloads of 256 bytes. The loop is measured over one read of 256 KiB: divide by `FRAMES` for one frame.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from agpd.app import Gateway, memory_gateway
from agpd.gateway.link import Link
from agpd.gateway.principal import PLAINTEXT
from agpd.hotpath import forward
from agpd.wire import envelope, frames
from agpd.wire.frames import Kind
from agpd.wire.framing import Reassembly, split

BODY = envelope.pack(envelope.Envelope(b"x" * 256))
FRAME = frames.encode_data(Kind.PUBLISH, BODY, destination=1, source=2, id=3)
FRAMES = 256 * 1024 // len(FRAME)
RECEIVERS = 16


def test_encode(benchmark: Callable[..., Any]) -> None:
    assert benchmark(lambda: frames.encode_data(Kind.PUBLISH, BODY, destination=1, source=2, id=3)) == FRAME


def test_split(benchmark: Callable[..., Any]) -> None:
    """All frames of a read."""
    data = FRAME * FRAMES
    assert len(benchmark(lambda: list(split(data, Reassembly(2**20))))) == FRAMES


def test_pack_envelope(benchmark: Callable[..., Any]) -> None:
    assert benchmark(lambda: envelope.pack(envelope.Envelope(b"x" * 256))) == BODY


def test_unpack_envelope(benchmark: Callable[..., Any]) -> None:
    assert benchmark(envelope.unpack, BODY).body == b"x" * 256


class Swallow:
    """A carrier that takes everything."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Bench:
    """A gateway with one sender and 16 receivers of one type."""

    def __init__(self, gateway: Gateway) -> None:
        self.hub = gateway.hub
        self.sender = self.link()
        self.source = self.register(self.sender, "acme/bench/sender/0")
        self.receivers = [self.link() for _ in range(RECEIVERS)]
        for number, link in enumerate(self.receivers):
            self.register(link, f"acme/bench/sink/{number}")

    def link(self) -> Link:
        hub = self.hub
        link = Link(
            Swallow(),
            "bench",
            PLAINTEXT,
            turn=hub.turn,
            limits=hub.outbox_limits,
            clock=hub.clock,
            hello_limit_bytes=4096,
        )
        hub.attach(link)
        forward(frames.encode(Kind.HELLO, frames.Hello([1], "bench", 1)), link, hub)
        return link

    def register(self, link: Link, name: str) -> int:
        return self.answer(link, Kind.REGISTER, name, 0)

    def open(self, name: str) -> int:
        return self.answer(self.sender, Kind.OPEN, name, self.source)

    def answer(self, link: Link, kind: Kind, name: str, source: int) -> int:
        self.hub.turn.end()
        forward(frames.encode(kind, frames.Named(name), source=source, id=9), link, self.hub)
        sent = [frames.parse(frame) for frame in link.queue]
        return next(frame.destination for frame in sent if frame.id == 9)

    def read(self, destinations: list[int], fanout: int) -> bytes:
        return b"".join(
            frames.encode_data(
                Kind.PUBLISH, BODY, destination=number, source=self.source, id=id_, fanout=fanout
            )
            for id_, number in enumerate(destinations)
        )

    def turn(self, data: bytes) -> None:
        """One read, and the flush at the end of the turn."""
        forward(data, self.sender, self.hub)
        self.hub.turn.end()


@pytest.fixture
async def bench() -> Any:
    async with memory_gateway() as gateway:
        yield Bench(gateway)


def destinations(bench: Bench, pattern: str) -> list[int]:
    if pattern in ("anycast", "broadcast"):
        return [bench.open("acme/bench/sink")] * FRAMES
    numbers = [bench.open(f"acme/bench/sink/{number}") for number in range(RECEIVERS)]
    if pattern == "runs":
        return [numbers[place * RECEIVERS // FRAMES] for place in range(FRAMES)]
    return random.Random(1).choices(numbers, k=FRAMES)


@pytest.mark.parametrize("pattern", ["random", "runs", "anycast", "broadcast"])
async def test_forward(benchmark: Callable[..., Any], bench: Bench, pattern: str) -> None:
    """A read whose frames go to receivers at random, in 16 runs, to one chosen for each, to all."""
    data = bench.read(destinations(bench, pattern), 0 if pattern == "broadcast" else 1)
    benchmark(bench.turn, data)
    await asyncio.sleep(0)
    assert bench.sender.deliveries % FRAMES == 0
    assert sum(link.carrier.taken for link in bench.receivers) >= len(data)  # type: ignore[attr-defined]
