"""The fuzz targets without atheris: their seeds, and small changes of these."""

import random

import pytest
from fuzz.targets import TARGETS, native, seeds

from agpd.gateway.verbs import VERBS
from agpd.wire.frames import Kind

CASES = [(name, seed) for name in TARGETS for seed in seeds(name)]


@pytest.mark.parametrize(("name", "seed"), CASES, ids=lambda value: getattr(value, "name", value))
def test_seeds_and_their_neighbours(name, seed):
    chance, data = random.Random(seed.name), seed.read_bytes()
    TARGETS[name](data)
    for _ in range(20):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            if changed:
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        TARGETS[name](
            bytes(changed[: chance.randrange(len(changed) + 1)] if chance.random() < 0.3 else changed)
        )


def test_a_fault_of_the_gateway_would_be_noticed(monkeypatch):
    def fail(hub, frame, link):
        raise ZeroDivisionError

    ping = bytes([0]) * 3 + b"\x14\x40" + bytes(19)
    native(ping)
    monkeypatch.setitem(VERBS, Kind.PING, fail)
    with pytest.raises(AssertionError, match="fault of the gateway"):
        native(ping)
