"""agpd/gateway/outbox.py: the written policy, step by step, with time in hand."""

import pytest
from scenarios.harness import HandClock

from agpd.gateway.outbox import FLUSH_BYTES, Bucket, Clock, Crowd, Outbox, OutboxLimits
from agpd.hotpath import Turn

MARK, LIMIT, BUDGET_S = 100, 400, 0.5


class Producer:
    def __init__(self) -> None:
        self.holds = 0

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1


class Bench:
    """One outbox, its written bytes and its turn."""

    def __init__(self) -> None:
        self.time = HandClock()
        self.calls: list[object] = []
        self.turn = Turn(self.calls.append)
        self.written: list[bytes] = []
        self.clogged = False  # the carrier is full after the next write
        clock = Clock(self.time.now, self.time.call_later)
        self.outbox = Outbox(self.turn, OutboxLimits(MARK, LIMIT, BUDGET_S), clock, self.write)
        self.producer = Producer()

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.clogged:
            self.outbox.carrier_full()

    def offer(self, size: int, count: int = 1, producer: Producer | None = None) -> bool:
        taken = self.outbox.offer(bytes(size), count, producer or self.producer)
        assert self.outbox.queued == sum(map(len, self.outbox.queue))
        return taken

    def fill(self, size: int = MARK + 1) -> None:
        """The carrier is full, and the queue holds this much; above the mark that stalls the producer."""
        self.outbox.carrier_full()
        assert self.offer(size)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_turn_flushes_everything_marked_once_as_one_buffer(bench):
    bench.outbox.send(b"a")
    bench.outbox.offer(b"b", 1, bench.producer)
    assert bench.calls == [bench.turn.end]
    assert bench.written == []
    bench.turn.end()
    assert bench.written == [b"ab"]
    assert (bench.outbox.queued, bench.outbox.bytes_out, bench.turn.marked) == (0, 2, [])
    bench.outbox.offer(b"c", 1, bench.producer)
    assert len(bench.calls) == 2
    bench.turn.end()
    assert bench.written == [b"ab", b"c"]


def test_what_is_marked_during_a_flush_belongs_to_the_next_turn(bench):
    class Marker:
        def flush(self) -> None:
            bench.outbox.send(b"late")

    bench.turn.mark(Marker())
    bench.turn.end()
    assert bench.written == []
    assert bench.turn.marked == [bench.outbox]


def test_nothing_is_written_when_nothing_waits_or_the_carrier_is_full(bench):
    bench.outbox.flush()
    bench.outbox.carrier_full()
    bench.outbox.send(b"x")
    bench.turn.end()
    assert bench.written == []
    assert bench.outbox.queued == 1


def test_over_the_limit_a_willing_carrier_takes_it_within_the_turn(bench):
    assert bench.offer(LIMIT)
    assert bench.written == []
    assert bench.offer(1)
    assert bench.written == [bytes(LIMIT + 1)]
    assert bench.producer.holds == 0


def test_1_up_to_the_mark_messages_wait(bench):
    bench.fill(MARK)
    assert bench.producer.holds == 0
    assert not bench.outbox.full


def test_2_above_the_mark_every_producer_is_held_once(bench):
    other = Producer()
    bench.fill()
    bench.offer(1)
    bench.offer(1, producer=other)
    assert (bench.producer.holds, other.holds) == (1, 1)
    assert bench.outbox.full
    bench.outbox.carrier_drained()
    assert (bench.producer.holds, other.holds) == (0, 0)
    assert not bench.outbox.full
    assert bench.written == [bytes(MARK + 3)]
    assert bench.outbox.dropped == 0


def test_a_drain_that_fills_the_carrier_again_is_none(bench):
    bench.fill()
    bench.clogged = True
    bench.outbox.carrier_drained()
    assert bench.producer.holds == 1
    assert bench.outbox.full
    assert bench.outbox.drains == 0
    bench.clogged = False
    bench.outbox.carrier_drained()
    assert bench.producer.holds == 0
    assert bench.outbox.drains == 1


def test_3_without_budget_messages_are_dropped_and_counted(bench):
    bench.fill()
    bench.time.advance(BUDGET_S - 0.01)
    assert bench.producer.holds == 1
    bench.time.advance(0.01)
    assert bench.producer.holds == 0
    before = bench.outbox.queued
    assert not bench.offer(10, count=3)
    assert bench.producer.holds == 0
    assert (bench.outbox.queued, bench.outbox.dropped, bench.outbox.dropped_untold) == (before, 3, 3)


def test_3_above_the_limit_messages_are_dropped_though_there_is_budget(bench):
    bench.fill(LIMIT)
    assert not bench.offer(1)
    assert bench.outbox.queued == LIMIT
    assert bench.producer.holds == 1


def test_own_frames_are_never_dropped(bench):
    bench.fill(LIMIT)
    bench.outbox.send(bytes(3 * LIMIT))
    assert bench.outbox.queued == 4 * LIMIT
    assert bench.outbox.queued > bench.outbox.answers_limit > LIMIT


def test_a_drain_in_time_makes_the_budget_whole_again(bench):
    for _ in range(5):
        bench.fill()
        bench.time.advance(BUDGET_S * 0.9)
        assert bench.producer.holds == 1
        bench.outbox.carrier_drained()
        assert bench.producer.holds == 0
    bench.time.advance(100)
    assert [timer for timer in bench.time.timers if not timer.cancelled] == []


def test_a_budget_that_was_used_up_comes_back_at_a_twentieth(bench):
    bench.fill()
    bench.time.advance(BUDGET_S)
    bench.outbox.carrier_drained()  # too late to make it whole
    bench.time.advance(2.0)  # earns 0.1 s
    bench.fill()
    assert bench.producer.holds == 1
    bench.time.advance(0.09)
    assert bench.producer.holds == 1
    bench.time.advance(0.011)
    assert bench.producer.holds == 0


def test_a_budget_never_grows_beyond_the_whole(bench):
    bench.fill()
    bench.time.advance(BUDGET_S)
    bench.outbox.carrier_drained()
    bench.time.advance(1000.0)
    bench.fill()
    bench.time.advance(BUDGET_S)
    assert bench.producer.holds == 0


def test_a_trickling_link_holds_its_producers_for_a_twentieth_at_most(bench):
    bench.fill()
    held = 0
    for _ in range(10_000):  # 100 s
        bench.offer(1)
        held += bench.producer.holds
        bench.time.advance(0.01)
    assert held * 0.01 < BUDGET_S + 100 * 0.05 + 0.2


def test_a_short_rest_of_budget_is_none(bench):
    bench.fill()
    bench.time.advance(BUDGET_S)
    bench.time.advance(0.19)  # earns 0.0095 s
    assert not bench.offer(1)
    bench.time.advance(0.02)
    assert bench.offer(1)


def test_discarding_lets_the_producers_go(bench):
    bench.fill()
    assert bench.outbox.discard() == MARK + 1
    assert bench.producer.holds == 0
    assert bench.outbox.queued == 0
    assert all(timer.cancelled for timer in bench.time.timers)
    assert bench.outbox.discard() == 0


def test_it_says_when_the_next_threshold_is(bench):
    assert bench.outbox.threshold == LIMIT
    bench.outbox.carrier_full()
    assert bench.outbox.threshold == MARK
    bench.outbox.carrier_drained()
    assert bench.outbox.threshold == LIMIT


def test_much_is_written_in_pieces_as_long_as_the_carrier_takes_them(bench):
    bench.outbox.carrier_full()
    pieces = [bytes([number]) * (FLUSH_BYTES // 4) for number in range(12)]
    for piece in pieces:
        bench.outbox.send(piece)
    bench.clogged = True
    bench.outbox.carrier_drained()
    assert [len(data) for data in bench.written] == [FLUSH_BYTES]
    assert bench.outbox.queued == sum(map(len, bench.outbox.queue)) == 2 * FLUSH_BYTES
    bench.clogged = False
    bench.outbox.carrier_drained()
    assert b"".join(bench.written) == b"".join(pieces)
    assert (bench.outbox.queued, bench.outbox.bytes_out) == (0, 3 * FLUSH_BYTES)


def test_a_fault_in_one_flush_leaves_the_others_for_the_next_turn(bench):
    class Faulty:
        def flush(self) -> None:
            raise ZeroDivisionError

    bench.turn.mark(Faulty())
    bench.outbox.send(b"x")
    with pytest.raises(ZeroDivisionError):
        bench.turn.end()
    assert bench.written == []
    assert len(bench.calls) == 2
    bench.turn.end()
    assert bench.written == [b"x"]


# -- messages for several --------------------------------------------------------------------------------


class Lagging:
    """A link that is over its mark, and another that takes everything."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.free = Bench().outbox
        bench.outbox.carrier_full()

    def press(self) -> bool:
        """A message for both that takes the first over its mark."""
        crowd = Crowd([self.bench.outbox, self.free])
        return self.bench.outbox.offer(bytes(MARK + 1), 1, self.bench.producer, crowd)

    def drain(self) -> None:
        self.bench.outbox.carrier_drained()
        self.bench.outbox.carrier_full()


def test_who_lags_behind_the_others_holds_producers_for_one_budget_in_all(bench):
    lagging = Lagging(bench)
    for _ in range(2):
        assert lagging.press()
        assert bench.producer.holds == 1
        bench.time.advance(BUDGET_S / 2)
        lagging.drain()  # for a message to this one alone, that would make the budget whole
        assert bench.producer.holds == 0
    assert lagging.press()  # a twentieth of the time has come back
    bench.time.advance(BUDGET_S / 20)
    assert bench.producer.holds == 0
    assert not lagging.press()
    assert bench.producer.holds == 0
    assert bench.outbox.dropped == 1


def test_that_budget_comes_back_at_a_twentieth_of_the_time(bench):
    lagging = Lagging(bench)
    assert lagging.press()
    bench.time.advance(BUDGET_S)
    assert bench.producer.holds == 0  # spent
    lagging.drain()
    bench.time.advance(1.0)
    assert lagging.press()
    bench.time.advance(0.04)
    assert bench.producer.holds == 1
    bench.time.advance(0.02)
    assert bench.producer.holds == 0


def test_a_message_for_it_alone_still_waits_after_that(bench):
    lagging = Lagging(bench)
    assert lagging.press()
    bench.time.advance(BUDGET_S)
    lagging.drain()
    assert bench.offer(MARK + 1)
    assert bench.producer.holds == 1


def test_where_most_take_no_more_the_producer_is_too_fast_for_everybody(bench):
    other, third = Bench().outbox, Bench().outbox
    other.carrier_full()
    bench.outbox.carrier_full()
    for _ in range(5):
        crowd = Crowd([bench.outbox, other, third])
        assert bench.outbox.offer(bytes(MARK + 1), 1, bench.producer, crowd)
        assert bench.producer.holds == 1
        bench.time.advance(BUDGET_S / 2)
        bench.outbox.carrier_drained()
        bench.outbox.carrier_full()
    assert bench.outbox.dropped == 0


@pytest.mark.parametrize(
    ("full", "free", "mostly_free"), [(1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True), (1, 9, True)]
)
def test_a_crowd_is_mostly_free_if_half_of_several_take_more(full, free, mostly_free):
    links = [Bench().outbox for _ in range(full + free)]
    for link in links[:full]:
        link.carrier_full()
    assert Crowd(links).mostly_free() is mostly_free


def test_a_bucket_is_never_fuller_than_full_nor_emptier_than_empty():
    bucket = Bucket(1.0, now=0.0)
    assert bucket.credit(100.0) == 1.0
    bucket.spend(5.0, 100.0)
    assert bucket.credit(100.0) == 0.0
    assert bucket.credit(110.0) == 0.5
