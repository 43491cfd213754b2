"""agpd/hotpath: 10^5 reads of any kind leave no object, no byte and no reference behind."""

import gc
import random
import sys
import tracemalloc

import pytest
from fuzz.loop import Mutator, corpus
from fuzz.stage import LINKS, Stage
from unit.hotpath.both import compiled, needs_compiled

ROUNDS = 100_000


class Steady:
    """One stage on which everything is put back after each part, so that it can be weighed."""

    def __init__(self) -> None:
        self.chance = random.Random(1)
        self.stage = Stage(compiled, 1, recording=False)
        mutator = Mutator(self.chance, corpus())
        self.inputs = [mutator.bytes() for _ in range(500)]
        self.homes = {number: getattr(entry, "link", None) for number, entry in self.stage.entries.items()}

    def run(self, times: int) -> None:
        stage, chance = self.stage, self.chance
        for _ in range(times):
            stage.feed(stage.links[chance.randrange(LINKS)], chance.choice(self.inputs))
            if chance.random() < 0.3:
                stage.end_turn()
        self.put_back()

    def put_back(self) -> None:
        stage = self.stage
        stage.end_turn()
        for number, link in self.homes.items():
            if link is not None:
                stage.move(stage.entries[number], link)
        for link in stage.links:
            link.go_on()
            link.flows.clear()
            link.queue.clear()
            link.out = bytearray()
            link.begin()
        gc.collect()

    def references(self) -> list[int]:
        held = [
            *self.stage.links,
            *self.stage.entries.values(),
            *self.stage.agents,
            self.stage.turn,
            *filter(None, self.inputs),  # the empty one is everybody's
        ]
        return [sys.getrefcount(each) for each in held]


@pytest.fixture
def steady():
    return Steady()


@needs_compiled
def test_references_stay_as_they_were(steady):
    steady.run(2000)
    before = steady.references()
    objects = len(gc.get_objects())
    steady.run(ROUNDS)
    assert steady.references() == before
    assert len(gc.get_objects()) < objects + 50


@needs_compiled
def test_memory_stays_as_it_was(steady):
    steady.run(2000)
    tracemalloc.start()
    try:
        steady.run(2000)
        before = tracemalloc.get_traced_memory()[0]
        steady.run(ROUNDS // 5)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000, f"{grown} bytes more after {ROUNDS // 5} reads"


def read_and_made(times):
    """The functions of the SDK, with flows and messages that are kept nowhere."""
    frames = [compiled.data_frame(0x80, 1, 5, 7, id_, bytes(size), 1) for id_, size in enumerate((0, 5, 300))]
    odd = bytearray(frames[1])
    odd[24] = 0x93  # no envelope of two
    data = b"".join([*frames, bytes(odd), frames[0][:-1]])
    kept = [data, *frames]
    flows = {data[4:16]: object()}

    def broken(*_):
        raise ZeroDivisionError

    for round_ in range(times):
        runs, end = compiled.deliveries(data, 0, 4096, flows, lambda *m: m, lambda *m: m)
        assert (len(runs), end) == (1, len(data) - len(frames[0]) + 1)
        with pytest.raises(ZeroDivisionError):
            compiled.deliveries(data, 0, 4096, flows, lambda *m: m, broken)
        with pytest.raises(OverflowError):
            compiled.data_frame(0x80, 1, 5, 7, round_, frames[0], 0x80)
        compiled.data_frame(0x80, 1, 5, 7, round_, data, 1)
    del runs
    return [sys.getrefcount(each) for each in (*kept, *flows, *flows.values())]


@needs_compiled
def test_the_functions_of_the_sdk_keep_nothing():
    assert read_and_made(10) == read_and_made(2000)
    gc.collect()
    tracemalloc.start()
    try:
        read_and_made(200)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        read_and_made(5000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000, f"{grown} bytes more"
