"""What the wire format costs in Python, and the forwarding loop on carriers that only swallow bytes.

Payloads of 256 bytes. The loop is measured over one read of 256 KiB: divide by `FRAMES` for one frame.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from agpd.app import memory_gateway
from agpd.wire import envelope, frames
from agpd.wire.frames import Kind
from agpd.wire.framing import Reassembly, split
from bench.inprocess import BODY, FRAME, FRAMES, Bench

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


@pytest.fixture
async def bench() -> Any:
    async with memory_gateway() as gateway:
        yield Bench(gateway, RECEIVERS)


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
