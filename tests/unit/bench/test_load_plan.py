"""What senders send: exact counts, the right destinations; and percentiles by hand."""

import random
from collections import Counter

import pytest

from agpd.cli.load.measure import Stopwatch, answered, percentile
from agpd.cli.load.plan import BLOB_BYTES, Blobs, Pattern, instances, parts
from agpd.wire import envelope, frames
from agpd.wire.framing import Reassembly, split


@pytest.mark.parametrize("size", [0, 16, 256, 4096, 65536, 500_000])
@pytest.mark.parametrize("count", [1, 7, 2000])
def test_blobs_hold_exactly_the_count(size: int, count: int) -> None:
    blobs = Blobs(size, 2, [5, 6, 7], 1, random.Random(1))
    reassembly = Reassembly(2**24)
    total = 0
    for buffer in blobs.take(count):
        assert len(buffer) <= max(BLOB_BYTES, blobs.frame_bytes)
        for frame in split(buffer, reassembly):
            total += 1
            assert frame.source == 2
            assert frame.destination in (5, 6, 7)
            if total == 1:
                assert envelope.unpack(frame.body).body == b"x" * size
    assert total == count
    assert not reassembly.open_bytes


def test_destinations_are_chosen_at_random_over_all_receivers() -> None:
    buffer = b"".join(Blobs(16, 2, list(range(1, 17)), 1, random.Random(1)).buffers)
    hits = Counter(frame.destination for frame in split(buffer, Reassembly(2**24)))
    assert set(hits) == set(range(1, 17))
    assert max(hits.values()) < 2 * min(hits.values())


def test_patterns() -> None:
    assert Pattern.UNICAST.destinations("a/b/c", 2) == ["a/b/c/0", "a/b/c/1"] == instances("a/b/c", 2)
    assert Pattern.ANYCAST.destinations("a/b/c", 2) == Pattern.BROADCAST.destinations("a/b/c", 2) == ["a/b/c"]
    assert [each.fanout for each in Pattern] == [1, 1, 0]
    assert [each.deliveries(10, 4) for each in Pattern] == [10, 10, 40]


def test_parts_add_up() -> None:
    assert parts(10, 4) == [3, 3, 2, 2]
    assert sum(parts(1_000_003, 7)) == 1_000_003
    assert frames.FANOUT_ALL == 0


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000), (0.0001, 1)]
)
def test_percentiles(share: float, value: int) -> None:
    assert percentile(range(1, 1001), share) == value
    assert percentile([], share) == 0.0
    assert percentile([7.0], share) == 7.0


def test_answers_that_did_not_come_are_lost() -> None:
    watch = Stopwatch()
    watch.lap()
    result = answered(16, 4, 5, [0.003, 0.001, 0.002], watch)
    assert (result.requests, result.lost) == (5, 2)
    assert result.p50_us == pytest.approx(2000)
    assert result.max_us == pytest.approx(3000)
    assert result.gateway_cpu_s is None
