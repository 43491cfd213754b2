"""Deliveries are counted exactly, however the bytes are cut and whatever lies between them."""

import asyncio
import itertools
import os
import random

import pytest

from agpd.cli.load.measure import Stopwatch
from agpd.cli.load.tally import Counter, Tally
from agpd.wire import frames
from agpd.wire.frames import Kind

PINGS: list[int] = []


def data_frame(size: int, kind: Kind = Kind.PUBLISH) -> bytes:
    return frames.encode_data(kind, b"x" * size, destination=1, source=2, id=3)


def announce(name: str) -> bytes:
    return frames.encode(Kind.ANNOUNCE, frames.Named(name), destination=7)


def count(stream: bytes, cuts: list[int]) -> Tally:
    tally = Tally(10**9, None)
    counter = Counter(tally, PINGS.append)
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            counter.feed(stream[start:end])
    return tally


@pytest.mark.parametrize("size", [16, 256, 4096])
def test_frames_of_one_length_under_any_cut(size: int) -> None:
    chance = random.Random(size)
    stream = data_frame(size) * 300
    for pieces in (0, 1, 10, 200):
        tally = count(stream, [chance.randrange(len(stream)) for _ in range(pieces)])
        assert (tally.received, tally.bytes) == (300, len(stream))


def test_control_frames_between_are_not_counted_even_if_they_are_as_long() -> None:
    between = announce("a/b/c")
    twin = data_frame(len(between) - frames.PREFIX_SIZE)
    assert len(twin) == len(between)
    stream = twin * 50 + between + twin * 50
    assert count(stream, []).received == 100
    assert count(stream, [len(twin) * 10]).received == 100  # the counter knows the length by then


def test_frames_of_other_lengths_are_counted_too() -> None:
    stream = data_frame(100) * 10 + data_frame(200) * 7 + data_frame(100 + 256) * 3
    assert count(stream, [124 * 5]).received == 20


def test_a_ping_is_answered() -> None:
    PINGS.clear()
    stream = data_frame(64) * 5 + frames.encode(Kind.PING, id=42) + data_frame(64)
    assert count(stream, [90]).received == 6
    assert PINGS == [42]


async def test_a_loss_is_reported_after_silence() -> None:
    tally = Tally(10, None)
    tally.begin()
    tally.add(9, 900)
    await tally.complete(idle_s=0.01)
    result = tally.result(1)
    assert (result.expected, result.received, result.lost) == (10, 9, 1)


async def test_it_ends_with_the_last_delivery() -> None:
    tally = Tally(10, os.getpid())
    asyncio.get_running_loop().call_soon(tally.begin)
    asyncio.get_running_loop().call_soon(tally.add, 10, 1000)
    async with asyncio.timeout(5):
        await tally.complete(idle_s=60)
    result = tally.result(2)
    assert (result.lost, result.connections) == (0, 2)
    assert result.seconds > 0
    assert result.deliveries_per_s == pytest.approx(10 / result.seconds)
    assert result.cpu_us_per_delivery is not None


async def test_a_lost_connection_ends_it_with_its_error() -> None:
    tally = Tally(10, None)
    asyncio.get_running_loop().call_soon(tally.fail, ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        await tally.complete(idle_s=60)


def test_nothing_received_is_all_lost() -> None:
    result = Tally(5, None).result(1)
    assert (result.received, result.lost, result.deliveries_per_s) == (0, 5, 0.0)


def test_processor_time_is_that_of_the_process() -> None:
    watch = Stopwatch(os.getpid())
    sum(range(300_000))
    watch.lap()
    assert watch.cpu_s is not None
    assert 0 < watch.cpu_s <= watch.seconds * 4
    assert watch.cpu_us_per(0) is None
    with pytest.raises(ProcessLookupError):
        Stopwatch(2**22 + 1)
