"""What arrives is what was sent, to whom it was meant: sizes, broadcast, the choice of anycast and fan-out."""

import asyncio
import hashlib
import random
from collections import Counter

import pytest
from peer import Peers, body_of
from process import World, gateway

from agpd.wire import frames
from agpd.wire.frames import Kind

SIZES = (16, 256, 4096, 65_536, 1024 * 1024)
# Above this, with 3 degrees of freedom, chance alone comes once in a million runs.
CHI_SQUARE_LIMIT = 30.66


@pytest.fixture(scope="module", params=["plaintext", "tls"])
def place(request, tmp_path_factory, workers):
    """A gateway, and the context to reach it with."""
    directory = tmp_path_factory.mktemp(request.param)
    world = World(directory / "pki") if request.param == "tls" else None
    with gateway(directory, world) as running:
        yield running.address, world and world.context(world.issue("acme/dev/*", "agent"))
        running.stop()


def bodies(count=3):
    chance = random.Random(4)
    return [chance.randbytes(size) for size in SIZES for _ in range(count)]


async def test_every_size_arrives_byte_for_byte(place):
    async with Peers(*place) as peers:
        sender, receiver = await peers.agent(), await peers.agent()
        target = await sender.open(receiver.name)
        for number, body in enumerate(bodies()):
            sender.publish(target, body, number, receipt=True)
            frame = await receiver.expect(Kind.PUBLISH)
            assert (frame.id, frame.source, frame.destination) == (number, sender.me, target)
            assert body_of(frame) == body
            assert (await sender.expect(Kind.RECEIPT)).id == number


async def test_every_size_reaches_sixteen_byte_for_byte(place):
    async with Peers(*place) as peers:
        readers = [await peers.agent() for _ in range(16)]
        for reader in readers:
            await reader.subscribe("acme/dev/news")
        sender = await peers.agent()
        target = await sender.open("acme/dev/news")
        sent = bodies(2)
        wanted = [hashlib.sha256(body).digest() for body in sent]

        async def read(reader) -> list[bytes]:
            got = [body_of(await reader.expect(Kind.PUBLISH)) for _ in sent]
            return [hashlib.sha256(body).digest() for body in got]

        reading = asyncio.gather(*map(read, readers))
        for number, body in enumerate(sent):
            sender.publish(target, body, number, fanout=0)
            await sender.writer.drain()
        assert await reading == [wanted] * 16


def chi_square(counts: list[int]) -> float:
    """How far the counts are from equal, as a sum of squares over what was to be expected."""
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 for count in counts) / expected


async def test_anycast_chooses_one_of_four_with_equal_chances(place):
    count = 4000
    async with Peers(*place) as peers:
        readers = [await peers.agent("acme/dev/reviewer") for _ in range(4)]
        sender = await peers.agent("acme/dev/writer")
        target = await sender.open("acme/dev/reviewer")
        for number in range(count):
            sender.publish(target, b"%d" % number, number)
        got: list[list[int]] = [[] for _ in readers]

        async def read(reader, mine: list[int]) -> None:
            while sum(map(len, got)) < count:
                frame = await reader.expect(Kind.PUBLISH)
                assert frame.destination == reader.me
                mine.append(frame.id)

        reading = [asyncio.create_task(read(*pair)) for pair in zip(readers, got, strict=True)]
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        for task in reading:
            task.cancel()
        assert sorted(id_ for mine in got for id_ in mine) == list(range(count))  # each by one, once
        assert chi_square([len(mine) for mine in got]) < CHI_SQUARE_LIMIT


def test_control_an_uneven_choice_is_noticed():
    assert chi_square([1000, 1000, 1000, 1000]) == 0
    assert chi_square([1200, 950, 950, 900]) > CHI_SQUARE_LIMIT


async def test_fanout_of_three_of_eight_reaches_three_distinct_ones(place):
    count = 200
    async with Peers(*place) as peers:
        readers = [await peers.agent("acme/dev/reviewer") for _ in range(8)]
        sender = await peers.agent("acme/dev/writer")
        target = await sender.open("acme/dev/reviewer")
        for number in range(count):
            sender.publish(target, b"x", number, fanout=3, receipt=True)
            receipt = await sender.expect(Kind.RECEIPT)
            assert frames.decode(receipt.body, frames.Count).count == 3
        reached: Counter[int] = Counter()
        took = set()
        for reader in readers:
            await reader.ping()  # what was sent to it before lies aside now
            ids = [frame.id for frame in reader.aside if frame.kind == Kind.PUBLISH]
            assert len(ids) == len(set(ids))
            took.add(reader.me if ids else 0)
            reached.update(ids)
        assert reached == dict.fromkeys(range(count), 3)
        assert len(took - {0}) == 8  # not always the same three
