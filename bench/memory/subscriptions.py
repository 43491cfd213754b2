"""What a message costs by the number of subscriptions that have nothing to do with it.

    python -m bench.memory.subscriptions

Gateways that hold 10³ and 10⁶ subscriptions forward the same reads by turns, through the loop and the hub, in this
process; the figures of one row are thus of the same seconds of the same machine. Receivers are a type of 16.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import random
import statistics
import time
from typing import Any

from agpd.app import memory_gateway
from agpd.names import Name
from bench.inprocess import FRAMES, Bench

SIZES = (10**3, 10**6)
LINKS = 1000
TOPICS = 1000
RECEIVERS = 16
TURNS = 60
PATTERNS = {"unicast": 1, "anycast": 1, "broadcast": 0}


def crowd(bench: Bench, subscriptions: int) -> None:
    """As many subscriptions as asked for: `LINKS` connections, an agent on each, topics in common."""
    each = subscriptions // LINKS
    topics = [Name("acme", "crowd", f"topic{number}") for number in range(TOPICS)]
    router = bench.hub.router
    for number in range(LINKS):
        agent = router.register(bench.link(), Name("acme", "crowd", "agent", f"c{number}")).agent
        for step in range(each):
            router.subscribe(agent, topics[(number * 7 + step) % TOPICS])
    bench.hub.turn.end()


def reads(bench: Bench) -> dict[str, bytes]:
    """One large read for each pattern."""
    chance = random.Random(1)
    ones = [bench.open(f"acme/bench/sink/{number}") for number in range(RECEIVERS)]
    everyone = bench.open("acme/bench/sink")
    destinations = {name: [everyone] * FRAMES for name in PATTERNS}
    destinations["unicast"] = chance.choices(ones, k=FRAMES)
    return {name: bench.read(destinations[name], fanout) for name, fanout in PATTERNS.items()}


def cost_ns(bench: Bench, data: bytes) -> float:
    """Processor time of one message in one read."""
    began = time.thread_time_ns()
    bench.turn(data)
    return (time.thread_time_ns() - began) / FRAMES


async def measure() -> dict[str, Any]:
    """Nanoseconds for a message by pattern and size, and the ratio of the largest to the smallest."""
    async with contextlib.AsyncExitStack() as stack:
        benches = []
        for size in SIZES:
            bench = Bench(await stack.enter_async_context(memory_gateway()), RECEIVERS)
            crowd(bench, size)
            benches.append((bench, reads(bench)))
        gc.collect()
        gc.freeze()
        try:
            return {pattern: _by_turns(benches, pattern) for pattern in PATTERNS}
        finally:
            gc.unfreeze()


def _by_turns(benches: list[tuple[Bench, dict[str, bytes]]], pattern: str) -> dict[str, Any]:
    times: list[list[float]] = [[] for _ in benches]
    for _, (kept, (bench, data)) in itertools.product(range(TURNS), list(zip(times, benches, strict=True))):
        kept.append(cost_ns(bench, data[pattern]))
    medians = [statistics.median(kept[TURNS // 10 :]) for kept in times]
    return {
        "ns_per_message": {str(size): round(ns, 1) for size, ns in zip(SIZES, medians, strict=True)},
        "ratio": round(medians[-1] / medians[0], 3),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=2))
