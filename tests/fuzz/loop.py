"""Fuzz the forwarding loop without instrumentation, fast: `python tests/fuzz/loop.py --executions 1000000`.

An execution is one call of `forward` with mutated bytes; 50 of them play on one stage. The compiled loop plays all
scenes, the pure one every 50th, and then both logs must be equal. A failure prints the seed of its scene, and
`--seed S --executions 1` plays it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzz.stage import LINKS, Stage, frame  # noqa: E402

from agpd.hotpath import _pure, _pure_client  # noqa: E402

SCENE = 50  # executions
COMPARED = 50  # one scene in so many
# Byte values that lengths, kinds and fan-outs change their meaning with.
EDGES = (0, 1, 19, 20, 0x7F, 0x80, 0x82, 0x83, 0xFF)


class Mutator:
    """Inputs of one scene: frames made for the stage and the seeds of the corpus, joined, repeated, cut and changed."""

    def __init__(self, chance: random.Random, corpus: list[bytes]) -> None:
        self.chance = chance
        self.pool = [frame(chance) for _ in range(12)] + [chance.choice(corpus)]

    def bytes(self) -> bytes:
        chance = self.chance
        data = b"".join(chance.choices(self.pool, k=chance.randrange(8)))
        act = chance.random()
        if act < 0.25 and data:
            changed = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(len(changed))] = chance.choice(EDGES)
            return bytes(changed)
        if act < 0.5:
            return data[: chance.randrange(len(data) + 1)]
        if act < 0.55:
            return data[chance.randrange(len(data) + 1) :]
        if act < 0.6:
            return data * chance.randrange(20)
        return data


def play(module: ModuleType, seed: int, corpus: list[bytes], *, recording: bool) -> Stage:
    """One scene."""
    chance = random.Random(seed)
    mutator = Mutator(chance, corpus)
    stage = Stage(module, seed, recording=recording)
    for _ in range(SCENE):
        data = mutator.bytes()
        stage.feed(stage.links[chance.randrange(LINKS)], data)
        if chance.random() < 0.3:
            stage.end_turn()
        elif chance.random() < 0.3:
            stage.say("client", client(module, data, chance.randrange(60), chance.choice((24, 300, 10**6))))
    for link in stage.links:
        link.go_on()
    stage.end_turn()
    stage.say("end")
    return stage


def client(module: ModuleType, data: bytes, position: int, limit: int) -> list[object]:
    """What the SDK's part makes of the same bytes, and of the last of them as a payload."""
    part = _pure_client if module is _pure else module
    kept: list[object] = [
        part.deliveries(data, position, limit, Echo(), lambda *what: what, lambda *what: what)
    ]
    kept.append(part.data_frame(0x80, 1, position, limit, position, data[position:], position))
    return kept


class Echo(dict[bytes, bytes]):
    """Every key is there, as itself."""

    def __missing__(self, key: bytes) -> bytes:
        return key


def compare(seed: int, corpus: list[bytes], compiled: ModuleType) -> None:
    """The same scene by both."""
    logs = [play(module, seed, corpus, recording=True).log for module in (_pure, compiled)]
    for place, (pure, other) in enumerate(zip(*logs, strict=False)):
        assert pure == other, f"step {place}:\n pure     {pure}\n compiled {other}"
    assert len(logs[0]) == len(logs[1])


def load(extension: Path | None = None) -> ModuleType:
    """The compiled module, as it is installed or from this file."""
    if extension is None:
        return import_module("agpd.hotpath._compiled")
    spec = spec_from_file_location("agpd.hotpath._compiled", extension)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def corpus() -> list[bytes]:
    return [each.read_bytes() for each in sorted((HERE / "seeds" / "native").iterdir())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=10**6)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then at the latest")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**40))
    parser.add_argument("--extension", type=Path, help="the file of another build of the compiled module")
    given = parser.parse_args()
    compiled = load(given.extension)
    print(f"seed {given.seed}, {compiled.__file__}", flush=True)
    stored, began, done, seed = corpus(), time.monotonic(), 0, given.seed
    try:
        while done < given.executions and time.monotonic() - began < given.seconds:
            if seed % COMPARED == 0 or given.executions == 1:
                compare(seed, stored, compiled)
            else:
                play(compiled, seed, stored, recording=False)
            done, seed = done + SCENE, seed + 1
            if done % 10**6 == 0:
                print(f"{done} executions, {time.monotonic() - began:.0f} s", flush=True)
    except BaseException:
        print(f"FAILED: --seed {seed} --executions 1", flush=True)
        raise
    print(f"{done} executions in {time.monotonic() - began:.0f} s, no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
