"""The gateway that is looked into: `agpd serve` in a process of its own, which answers questions about its memory.

    python -m bench.memory.gateway [DIRECTORY]

With a directory it makes development certificates there and listens with mutual TLS, else in plaintext. It prints its
port, then answers each line of standard input with one line of JSON; the end of standard input ends it.

`memory`: what it holds. `pauses`: collections since the last question, by generation. `policy NAME`: see `POLICIES`.
`garbage`: the unreachable objects that only the collector can find, by type (ask for `policy off` first).
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agpd.app import Gateway
from agpd.cli.serve import run
from agpd.config import Config, Limits, Listen, Tls
from agpd.transport.pki import development

PAGE = os.sysconf("SC_PAGE_SIZE")
LONG_MS = 3_600_000
# Handshakes as fast as the machine can, and no pings: what is measured is what connections cost that do nothing.
LIMITS = Limits(
    connections=150_000,
    tls_handshakes_per_second=100_000,
    prehandshake_connections=2048,
    prehandshake_per_ip=2048,
    tls_handshake_timeout_ms=120_000,
    hello_timeout_ms=120_000,
    ping_interval_ms=LONG_MS,
    drain_timeout_ms=1,
    linger_timeout_ms=1,
)


def configuration(directory: Path | None) -> Config:
    """A free port of loopback."""
    listen = Listen(native="127.0.0.1:0", grpc="", plaintext=directory is None)
    if directory is None:
        return Config(listen=listen, limits=LIMITS)
    files = development(directory, time.time())
    tls = Tls(certificate=str(files.certificate), key=str(files.key), ca=str(files.ca), accept_any_name=True)
    return Config(listen=listen, limits=LIMITS, tls=tls)


def _interpreters_own() -> None:
    """What CPython does by itself."""
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)


def _frozen_start() -> None:
    """Only what was there at the start is left out."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 10)


def _off() -> None:
    """No collection at all: to see what there is to gain, and what cycles there are."""
    gc.unfreeze()
    gc.disable()


POLICIES: dict[str, Callable[[], None]] = {
    "agpd": lambda: None,
    "cpython": _interpreters_own,
    "frozen": _frozen_start,
    "off": _off,
}


class Pauses:
    """How long collections take, in processor time: what other processes do meanwhile is not counted."""

    def __init__(self) -> None:
        self._began = 0
        self._times: list[list[int]] = [[], [], []]
        self._collected = 0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._began = time.thread_time_ns()
        else:
            self._times[info["generation"]].append(time.thread_time_ns() - self._began)
            self._collected += info["collected"]

    def report(self) -> dict[str, Any]:
        """By generation: how many, their sum and the longest, in ms; and begins anew."""
        result = {
            f"generation_{number}": {
                "count": len(times),
                "total_ms": round(sum(times) / 1e6, 3),
                "longest_ms": round(max(times, default=0) / 1e6, 3),
            }
            for number, times in enumerate(self._times)
        }
        self._times = [[], [], []]
        collected, self._collected = self._collected, 0
        return result | {"collected": collected}


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def memory(gateway: Gateway) -> dict[str, int]:
    """What the process holds now. `traced_bytes`: what Python's allocator gave since the start, if traced, else 0."""
    return {
        "rss_bytes": resident_bytes(),
        "traced_bytes": tracemalloc.get_traced_memory()[0],
        "connections": len(gateway.hub.links),
        "tracked_objects": len(gc.get_objects()),
        "frozen_objects": gc.get_freeze_count(),
    }


def garbage() -> dict[str, int]:
    """Collect; how many objects of which type were unreachable but kept alive by a cycle."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    gc.garbage.clear()
    return dict(found.most_common())


def _answer(gateway: Gateway, pauses: Pauses, question: str) -> dict[str, Any]:
    verb, _, rest = question.partition(" ")
    if verb == "policy":
        POLICIES[rest]()
        pauses.report()
        return {}
    return {"memory": lambda: memory(gateway), "pauses": pauses.report, "garbage": garbage}[verb]()


async def _ready(gateway: Gateway) -> None:
    pauses = Pauses()
    gc.callbacks.append(pauses)
    loop = asyncio.get_running_loop()

    def on_input() -> None:
        line = sys.stdin.buffer.raw.readline().decode()  # type: ignore[attr-defined]  # unbuffered: nothing is left unseen
        if not line:
            loop.remove_reader(sys.stdin)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        print(json.dumps(_answer(gateway, pauses, line.strip())), flush=True)

    loop.add_reader(sys.stdin, on_input)
    print(gateway.address[1], flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(run(configuration(Path(sys.argv[1]) if len(sys.argv) > 1 else None), _ready))
