"""The compiled loop and the pure one, driven with the same bytes among the same links: everything they do is equal.

Hypothesis chooses the frames, how they are cut into reads, whose they are and when turns end; the stage's seed decides
what the hub does at each call. What is compared stands in `fuzz/stage.py`.
"""

import random

import pytest
from fuzz.loop import compare, corpus, load
from fuzz.stage import LINKS, Stage, frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agpd.hotpath import _pure

compiled = pytest.importorskip("agpd.hotpath._compiled", reason="the extension is not built here")

POOL = [frame(random.Random(number)) for number in range(200)]
BYTES = st.lists(st.sampled_from(POOL) | st.binary(max_size=40), max_size=30).map(b"".join)
CUTS = st.lists(st.integers(1, 700), min_size=1, max_size=5)
STEPS = st.lists(st.tuples(st.integers(0, LINKS - 1), BYTES, CUTS, st.booleans()), min_size=1, max_size=12)


def play(module, seed, steps) -> Stage:
    stage = Stage(module, seed, recording=True)
    for number, data, cuts, end in steps:
        place = turn = 0
        while place < len(data):
            size = cuts[turn % len(cuts)]
            stage.feed(stage.links[number], data[place : place + size])
            place, turn = place + size, turn + 1
            if end:
                stage.end_turn()
    stage.end_turn()
    stage.say("end")
    return stage


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), STEPS)
def test_both_do_the_same(seed, steps):
    pure, other = play(_pure, seed, steps), play(compiled, seed, steps)
    assert other.log == pure.log
    assert [link.out for link in other.links] == [link.out for link in pure.links]


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_scenes_of_the_fuzzer(first):
    stored = corpus()
    for seed in range(first, first + 10):
        compare(seed, stored, compiled)


def test_the_scenes_reach_everything():
    """The comparison is worth something only if all calls happen in it."""
    from fuzz.loop import play as scene

    stages = [scene(_pure, seed, corpus(), recording=True) for seed in range(60)]
    said = {step[0] for stage in stages for step in stage.log}
    assert said == {
        *("take", "control", "introduce", "dropped"),
        *("pressed", "fatal", "tired", "lost", "offered", "client", "end"),
    }
    links = [link for stage in stages for link in stage.links]
    assert sum(link.deliveries for link in links) > sum(link.messages_in for link in links) // 4


def test_both_are_what_they_say():
    assert (_pure.__name__, load().__name__) == ("agpd.hotpath._pure", "agpd.hotpath._compiled")
    assert compiled.WORK_PER_TURN == _pure.WORK_PER_TURN
    names = {name for name in vars(_pure) if not name.startswith("_")}
    assert {name for name in vars(compiled) if name in names} >= {
        "forward",
        "fan_out",
        "Port",
        "Flow",
        "Turn",
    }
