"""Measures registration and discovery through the service layer, in a process of its own.

    python -m bench.control.service DIRECTORY AGENTS [URL]

`URL` is a database that may be written to; without one it is SQLite in DIRECTORY. 0 AGENTS searches among those that
are there. Prints JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from agpd.config import Control as Settings
from agpd.control.resources import Query
from agpd.control.service import Control
from agpd.transport.collector import Collector
from bench.control.agents import MEMBER, prepare, register, register_at

SEARCHES = 300
LIMIT = 100
REGISTRATIONS_PER_S = 300.0
_chance = random.Random(1)

QUERIES: dict[str, Callable[[], Query]] = {
    "label, 1 in 1000": lambda: Query(labels={"shard": str(_chance.randrange(1000))}),
    "label, 1 in 3": lambda: Query(labels={"region": _chance.choice(["eu", "us", "asia"])}),
    "three labels": lambda: Query(
        labels={"region": "eu", "tier": "gold", "shard": str(_chance.randrange(100) * 10)}
    ),
    "label of the type": lambda: Query(labels={"team": "blue"}),
    "type and label": lambda: Query(type=f"t{_chance.randrange(100)}", labels={"region": "eu"}),
    "text": lambda: Query(text=f"customer {_chance.randrange(50_000)}"),
}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """The median, the 99th percentile and the largest, in milliseconds."""
    ordered = sorted(seconds)
    return {
        name: round(ordered[int(len(ordered) * part)] * 1e3, 3)
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99))
    } | {"max_ms": round(ordered[-1] * 1e3, 3)}


async def searches(control: Control, query: Callable[[], Query]) -> dict[str, float]:
    """How long one search after the other takes."""
    taken = []
    for _ in range(SEARCHES):
        begin = time.perf_counter()
        await control.discovery.find(MEMBER, query(), limit=LIMIT)
        taken.append(time.perf_counter() - begin)
    return quantiles(taken)


async def measure(settings: Settings, agents: int) -> dict[str, Any]:
    """All of it, in their order."""
    Collector(asyncio.get_running_loop()).start()
    control = await Control.open(settings)
    await prepare(control)
    rate = await register(control, iter(range(agents)))
    quiet = {name: await searches(control, query) for name, query in QUERIES.items()}
    load = asyncio.create_task(register_at(control, REGISTRATIONS_PER_S, time.time_ns()))
    busy = {name: await searches(control, query) for name, query in QUERIES.items()}
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)
    await control.close()
    return {"registrations_per_s": round(rate), "find": quiet, "find_while_registering": busy}


if __name__ == "__main__":
    directory, number, *url = sys.argv[1:]
    wanted = Settings(state_directory=directory, database=url[0] if url else "")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(wanted, int(number)))))
