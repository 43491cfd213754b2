"""`Turn` of both implementations: one flush for each link that was marked, and no turn that lasts for thousands."""

from collections import deque
from collections.abc import Callable
from types import ModuleType

import pytest
from both import IMPLEMENTATIONS

from agpd.hotpath._pure import FLUSHES_PER_TURN


class World:
    """A turn, and the calls that the loop would make in its next turns."""

    def __init__(self, module: ModuleType) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.turn = module.Turn(self.calls.append)
        self.flushed: list[int] = []

    def mark(self, *numbers: int) -> None:
        for number in numbers:
            self.turn.mark(Port(self, number))

    def next(self) -> list[int]:
        """One turn of the loop: who was flushed in it."""
        before = len(self.flushed)
        self.calls.popleft()()
        return self.flushed[before:]


class Port:
    def __init__(self, world: World, number: int, faulty: bool = False) -> None:
        self.world, self.number, self.faulty = world, number, faulty

    def flush(self) -> None:
        if self.faulty:
            raise ZeroDivisionError
        self.world.flushed.append(self.number)


@pytest.fixture(params=IMPLEMENTATIONS)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_both_flush_as_many_in_a_turn() -> None:
    for implementation in IMPLEMENTATIONS:
        (module,) = implementation.values
        if module is not None:
            assert module.FLUSHES_PER_TURN == FLUSHES_PER_TURN


def test_as_many_as_one_turn_takes_are_flushed_in_the_order_of_their_marks(world: World) -> None:
    everyone = list(range(FLUSHES_PER_TURN))
    world.mark(*everyone)
    assert world.next() == everyone
    assert not world.calls
    assert world.turn.marked == []


def test_of_more_the_oldest_and_the_newest_are_and_the_rest_in_the_next_turns(world: World) -> None:
    half = FLUSHES_PER_TURN // 2
    count = 3 * FLUSHES_PER_TURN + 1
    world.mark(*range(count))
    assert world.next() == [*range(half), *range(count - half, count)]
    assert len(world.calls) == 1, "one call, whatever is marked meanwhile"
    world.mark(count)
    assert len(world.calls) == 1
    assert world.next() == [*range(half, 2 * half), *range(count - 2 * half + 1, count - half), count]
    while world.calls:
        assert len(world.next()) <= FLUSHES_PER_TURN
    assert sorted(world.flushed) == list(range(count + 1))


def test_who_waits_gets_its_turn_however_many_are_marked_meanwhile(world: World) -> None:
    count = 4 * FLUSHES_PER_TURN
    world.mark(*range(count))
    for turn in range(8):
        world.next()
        world.mark(*range(count * (turn + 1), count * (turn + 2)))
    assert set(range(count)) <= set(world.flushed)


def test_who_is_marked_again_and_again_while_it_waits_is_there_once(world: World) -> None:
    ports = [Port(world, number) for number in range(4 * FLUSHES_PER_TURN)]
    for _ in range(20):
        for port in ports:  # each was flushed early in between
            world.turn.mark(port)
        world.next()
        assert len(world.turn.marked) <= len(ports)
    world.flushed.clear()
    while world.calls:
        world.next()
    assert len(world.flushed) <= len(ports)


def test_what_is_marked_in_a_flush_waits_behind_the_rest(world: World) -> None:
    class Marker(Port):
        def flush(self) -> None:
            super().flush()
            world.mark(-1)

    world.turn.mark(Marker(world, 0))
    world.mark(*range(1, FLUSHES_PER_TURN + 2))
    first = world.next()
    assert first[0] == 0
    assert len(first) == FLUSHES_PER_TURN
    assert len(world.calls) == 1
    assert world.next() == [FLUSHES_PER_TURN // 2, FLUSHES_PER_TURN // 2 + 1, -1]


def test_a_fault_leaves_all_others_for_the_next_turns(world: World) -> None:
    count = 2 * FLUSHES_PER_TURN
    world.turn.mark(Port(world, -1, faulty=True))
    world.mark(*range(count))
    with pytest.raises(ZeroDivisionError):
        world.next()
    while world.calls:
        world.next()
    assert sorted(world.flushed) == list(range(count))
