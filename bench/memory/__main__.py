"""`make memory`: bytes for each connection and subscription, what the collector costs, what subscriptions cost.

    python -m bench.memory [run|page]

`run` writes bench/results/memory.json, `page` fills the tables of docs/topics/performance.md from it. Takes about two
minutes; connections as far as the limit of open files allows.
"""

import asyncio
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.memory import page, subscriptions
from bench.memory.processes import Talker, crowd, descriptors, gateway

RESULTS = Path(__file__).parents[1] / "results" / "memory.json"
LEVELS = (1000, 10_000, 100_000)
TLS_LEVELS = (1000, 10_000)  # 3 ms of two processes for each handshake
SPARE = 500
SUBSCRIBERS = 1000
TOPICS_EACH = (1, 10, 100)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def levels(wanted: tuple[int, ...], limit: int) -> list[int]:
    """Those that the limit allows, and the limit itself, in whole thousands, instead of the first that it does not."""
    most = (limit - SPARE) // 1000 * 1000
    within = [level for level in wanted if level <= most]
    return within if len(within) == len(wanted) or most in within else [*within, most]


def connections(directory: Path | None, wanted: list[int], *, trace: bool = False) -> dict[str, int]:
    """Bytes for each idle connection with an agent, by number: resident, or as Python's allocators see it."""
    what = "traced_bytes" if trace else "rss_bytes"
    with (
        gateway(directory, trace=trace) as (running, where),
        crowd(where, 1) as first,
        crowd(where, 2) as rest,
    ):
        first.ask("connect 100")  # they pay for what is made once
        before, made, result = running.ask("memory")[what], 0, {}
        for level in wanted:
            rest.ask(f"connect {level - made}")
            made = level
            result[str(level)] = round((running.ask("memory")[what] - before) / level)
        return result


def topics() -> dict[str, int]:
    """Bytes for each subscription, by how many there are: of 1,000 connections, to topics in common."""
    with gateway(None) as (running, where), crowd(where, 1) as clients:
        clients.ask(f"connect {SUBSCRIBERS}")
        before, made, result = running.ask("memory")["rss_bytes"], 0, {}
        for each in TOPICS_EACH:
            count = clients.ask(f"subscribe {each - made}")["count"]
            made = each
            result[str(count)] = round((running.ask("memory")["rss_bytes"] - before) / count)
        return result


def collector() -> dict[str, Any]:
    """Collections while 10,000 connections and 100,000 subscriptions come, and while 3,000 others come and go."""
    result = {}
    for policy in ("cpython", "agpd"):
        with gateway(None) as (running, where), crowd(where, 1) as clients, crowd(where, 2) as guests:
            running.ask(f"policy {policy}")
            result[policy] = {
                "growth": _pauses(running, clients, "connect 10000", "subscribe 10"),
                "churn": _pauses(running, guests, "churn 3000"),
            }
    return result


def _pauses(running: Talker, clients: Talker, *work: str) -> dict[str, Any]:
    for each in work:
        clients.ask(each)
    return running.ask("pauses")


def _in_memory() -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory.links"], check=True, capture_output=True, text=True
    )
    result: dict[str, int] = json.loads(done.stdout)
    return result


def run() -> None:
    """Measure everything."""
    limit = descriptors()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _say("connections in plaintext")
        result: dict[str, Any] = {"plaintext": connections(None, levels(LEVELS, limit))}
        _say("connections with mutual TLS")
        result["tls"] = connections(directory, levels(TLS_LEVELS, limit))
        _say("what of it Python's allocators know of")
        result["plaintext_traced"] = connections(None, [1000], trace=True)
    _say("connections without sockets")
    result["own_objects"] = _in_memory()
    _say("subscriptions")
    result["subscriptions"] = topics()
    _say("the collector")
    result["collector"] = collector()
    _say("messages beside a million subscriptions")
    result["messages"] = asyncio.run(subscriptions.measure())
    result["machine"] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "descriptors": limit,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    _say(f"written: {RESULTS}")


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["run"]):
        run()
    elif sys.argv[1:] != ["page"]:
        raise SystemExit(__doc__)
    page.fill(json.loads(RESULTS.read_text()))
