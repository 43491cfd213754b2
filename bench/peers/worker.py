"""One side of a run, in a process of its own, under the interpreter of the system's environment.

    python -m bench.peers.worker SYSTEM ROLE AT OPTIONS

`SYSTEM` is a module of `bench.peers.systems`, `AT` an encoded `At`, `OPTIONS` a JSON object. The module has

- `server(at, binary) -> argv` for a program, or `serve(at)`, an async context manager, for a server hosted in Python;
- `receiving(at, receivers, pattern, arrived)`, `sending(at, receivers, pattern) -> Send`, `answering(at)`,
  `asking(at) -> Ask`: async context managers, `receiving` with one connection for each receiver.

All run on uvloop.

The process prints `@ready` and, when it has its result, `@` and a JSON object; other lines are noise of the system's
client. Senders and askers begin when they read a line, and keep their connections until their standard input ends.
"""

import asyncio
import contextlib
import importlib
import itertools
import json
import os
import random
import sys
import threading
import time
import traceback
from types import ModuleType
from typing import Any

import uvloop

from bench.peers.at import At

POLL_S = 0.1
WARM_UP = 50  # requests before those that are timed


def say(text: str) -> None:
    """A line for the parent."""
    print("@" + text, flush=True)


def cpu_s(pid: int) -> float:
    """Processor time of a process of this machine, to the nanosecond (see clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


class Tally:
    """Counts arrivals, from any thread, and takes the times of the last of them."""

    def __init__(self, expected: int, server_pid: int) -> None:
        self.received = 0
        self.ended_s = 0.0
        self.server_cpu_s = 0.0
        self.complete = asyncio.Event()
        self._expected = expected
        self._pid = server_pid
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)  # next() is atomic, an addition is not

    def arrived(self) -> None:
        """One message."""
        self.received = number = next(self._numbers)
        if number >= self._expected:
            self.stop()
            self._loop.call_soon_threadsafe(self.complete.set)

    def stop(self) -> None:
        """Take the times now."""
        self.ended_s = time.perf_counter()
        self.server_cpu_s = cpu_s(self._pid)

    async def wait(self, idle_s: float) -> None:
        """Until everything is here, or nothing has come for so long after something did.

        Then the end is when the last message had come, to `POLL_S`.
        """
        seen, idle_since_s = 0, time.perf_counter()
        while not self.complete.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self.complete.wait()
                return
            if self.received > seen:
                seen = self.received
                self.stop()
                idle_since_s = self.ended_s
            elif seen and time.perf_counter() - idle_since_s > idle_s:
                return


async def line() -> str:
    """The next line of standard input; empty at its end. The loop goes on meanwhile."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def read() -> None:
        text = sys.stdin.readline()
        loop.call_soon_threadsafe(found.set_result, text)

    threading.Thread(target=read, daemon=True).start()
    return await found


async def serve(system: ModuleType, at: At, options: dict[str, Any]) -> None:
    """The server, until standard input ends."""
    async with system.serve(at):
        say("ready")
        await line()


async def receive(system: ModuleType, at: At, options: dict[str, Any]) -> None:
    """Count what comes, until all has come."""
    tally = Tally(options["expected"], options["server_pid"])
    async with system.receiving(at, options["receivers"], options["pattern"], tally.arrived):
        say("ready")
        began = time.process_time()
        await tally.wait(options["idle_s"])
        result = {
            "received": tally.received,
            "ended_s": tally.ended_s,
            "server_cpu_s": tally.server_cpu_s,
            "receiver_cpu_s": time.process_time() - began,
        }
        say(json.dumps(result))
        await line()


async def send(system: ModuleType, at: At, options: dict[str, Any]) -> None:
    """Send, once told to."""
    receivers, body = options["receivers"], b"x" * options["size"]
    chance = random.Random(options["seed"])
    numbers = [chance.randrange(receivers) for _ in range(options["messages"])]
    async with system.sending(at, receivers, options["pattern"]) as send_all:
        say("ready")
        await line()
        began, cpu_began, server_began = (
            time.perf_counter(),
            time.process_time(),
            cpu_s(options["server_pid"]),
        )
        await send_all(numbers, body)
        result = {"began_s": began, "sender_cpu_s": time.process_time() - cpu_began}
        say(json.dumps(result | {"server_cpu_began_s": server_began}))
        await line()


async def answer(system: ModuleType, at: At, options: dict[str, Any]) -> None:
    """Answer requests, until standard input ends."""
    async with system.answering(at):
        say("ready")
        await line()


async def ask(system: ModuleType, at: At, options: dict[str, Any]) -> None:
    """One request after the other, once told to; their times in seconds."""
    body = b"x" * options["size"]
    times = []
    async with system.asking(at) as ask_one:
        say("ready")
        await line()
        for number in range(WARM_UP + options["messages"]):
            began = time.perf_counter()
            answered = await ask_one(body)
            if number >= WARM_UP:
                times.append(time.perf_counter() - began)
            if len(answered) != len(body):
                raise ValueError(f"an answer of {len(answered)} bytes instead of {len(body)}")
        say(json.dumps({"times_s": times}))


ROLES = {"serve": serve, "receive": receive, "send": send, "answer": answer, "ask": ask}


def main(arguments: list[str]) -> None:
    """Run one role, then end the process at once: the threads of some clients never end by themselves."""
    name, role, at, options = arguments
    code = 1
    try:
        system = importlib.import_module(f"bench.peers.systems.{name}")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(ROLES[role](system, At.decode(at), json.loads(options)))
        code = 0
    finally:
        traceback.print_exception(sys.exception())  # os._exit would lose it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
