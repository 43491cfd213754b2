"""agpd/transport/collector.py: full collections wait for quiet moments, but not for ever."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from agpd.transport import collector
from agpd.transport.collector import LOOK_S, OVERDUE, WORTH, Collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Ring:
    """A cycle: only the collector can free it."""

    def __init__(self) -> None:
        self.me = self


class Machine:
    """Time, processor time, and a collector that a test can look at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 5.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        Collector(self, lambda: self.cpu).start()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object:
        self.due.append((self.now + delay, callback))
        return None

    def look(self, *, busy: float) -> None:
        """Let the time until the next look pass, with this share of a core used."""
        ((at, callback),) = self.due
        self.due.clear()
        self.cpu += busy * (at - self.now)
        self.now = at
        callback()


def ring() -> "weakref.ref[Ring]":
    """Garbage that has survived young collections, so that only a full one finds it."""
    one = Ring()
    gc.collect(0)
    gc.collect(1)
    return weakref.ref(one)


def grow(collections: int) -> None:
    """As so many collections of the middle generation leave the counter."""
    for _ in range(collections - gc.get_count()[2]):
        gc.collect(1)


def test_what_is_there_at_the_start_is_left_out_and_full_collections_are_never_automatic():
    Machine()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == (700, 10, collector.NEVER)
    dead = ring()
    keep = [[] for _ in range(200_000)]  # CPython would make several
    assert dead() is not None
    del keep


def test_a_full_collection_is_made_when_it_is_worth_it_and_quiet():
    machine = Machine()
    dead = ring()
    grow(WORTH - 1)
    machine.look(busy=0.0)
    assert dead() is not None, "too little has come"
    grow(WORTH)
    machine.look(busy=0.06)
    assert dead() is not None, "in the way of messages"
    machine.look(busy=0.04)
    assert dead() is None


def test_after_it_the_count_begins_anew():
    machine = Machine()
    grow(WORTH)
    machine.look(busy=0.0)
    dead = ring()
    machine.look(busy=0.0)
    assert dead() is not None


def test_it_is_made_in_busy_times_too_before_too_much_could_have_piled_up():
    machine = Machine()
    dead = ring()
    grow(OVERDUE - 1)
    machine.look(busy=1.0)
    assert dead() is not None
    grow(OVERDUE)
    machine.look(busy=1.0)
    assert dead() is None


def test_it_looks_at_intervals():
    machine = Machine()
    for number in range(1, 4):
        machine.look(busy=0.0)
        assert [at for at, _ in machine.due] == [100.0 + (number + 1) * LOOK_S]


def test_a_busy_share_counts_only_since_the_last_look():
    machine = Machine()
    machine.look(busy=1.0)
    dead = ring()
    grow(WORTH)
    machine.look(busy=0.0)
    assert dead() is None
