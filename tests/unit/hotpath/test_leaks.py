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
            *self.inputs,
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
