"""agpd/crypto/replay.py: the window against a set that remembers everything."""

import os
import random

import pytest

from agpd.crypto.errors import Cause, Replayed
from agpd.crypto.replay import WINDOW, Window

ROUNDS = int(os.environ.get("AGPD_WINDOW_ROUNDS", "40000"))  # a million takes a minute


def takes(window, counter):
    try:
        window.check(counter)
    except Replayed:
        return False
    window.mark(counter)
    return True


@pytest.mark.parametrize("seed", range(3))
def test_it_does_what_a_set_would_do(seed):
    chance = random.Random(seed)
    window, seen, highest = Window(), set(), -1
    top = 0
    for _ in range(ROUNDS):
        top += chance.choice([0, 0, 1, 1, 1, 2, 63, 64, 65, chance.randrange(3 * WINDOW)])
        counter = max(0, top - chance.choice([0, 1, 5, 64, WINDOW - 1, WINDOW, chance.randrange(2 * WINDOW)]))
        expected = counter > highest or (highest - counter < WINDOW and counter not in seen)
        assert takes(window, counter) is expected
        if expected:
            seen.add(counter)
            highest = max(highest, counter)
        assert window.highest == highest


@pytest.mark.parametrize("start", [0, 1, 63, 64, 12345])
def test_8191_late_is_taken_and_8192_late_is_not(start):
    for late, taken in ((WINDOW - 1, True), (WINDOW, False), (WINDOW + 1, False)):
        window = Window()
        window.mark(start + WINDOW + 1)
        assert takes(window, start + WINDOW + 1 - late) is taken


def test_the_causes_differ():
    window = Window()
    window.mark(WINDOW)
    with pytest.raises(Replayed) as twice:
        window.check(WINDOW)
    with pytest.raises(Replayed) as late:
        window.check(0)
    assert (twice.value.cause, late.value.cause) == (Cause.REPLAY, Cause.WINDOW)


def test_looking_does_not_spend():
    window = Window()
    window.check(5)
    assert takes(window, 5)
