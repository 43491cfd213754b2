"""What a side of a run counts, and that a failure ends it with its reason."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.peers.at import At
from bench.peers.worker import Tally

ROOT = Path(__file__).parents[3]


async def test_it_is_complete_with_the_last_arrival_from_any_thread() -> None:
    tally = Tally(4000, os.getpid())
    began = time.perf_counter()

    def run() -> None:
        for _ in range(1000):
            tally.arrived()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(tally.wait(60), 60)
    for thread in threads:
        thread.join()
    assert tally.received == 4000
    assert began < tally.ended_s <= time.perf_counter()
    assert tally.server_cpu_s > 0


async def test_what_never_comes_is_waited_for_until_nothing_moves() -> None:
    tally = Tally(2, os.getpid())
    tally.arrived()
    await asyncio.wait_for(tally.wait(0.0), 60)
    assert tally.received == 1
    assert not tally.complete.is_set()
    assert tally.ended_s > 0


async def test_the_first_arrival_is_waited_for_without_limit() -> None:
    tally = Tally(1, os.getpid())
    waiting = asyncio.create_task(tally.wait(0.0))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    tally.arrived()
    await asyncio.wait_for(waiting, 60)


def worker(role: str, options: dict[str, object]) -> "subprocess.CompletedProcess[str]":
    """A side of agpd whose gateway is not there: nobody listens on port 1."""
    arguments = ["agpd", role, At((1,), "/tmp", None).encode(), json.dumps(options)]
    return subprocess.run(
        [sys.executable, "-m", "bench.peers.worker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


def test_a_failure_ends_a_side_with_its_reason() -> None:
    done = worker("answer", {})
    assert done.returncode == 1
    assert "@" not in done.stdout
    assert "ConnectError" in done.stderr.strip().splitlines()[-1]
