"""The load: senders and receivers in one process, which is cheap enough to leave the gateway the limit.

    python -m bench.agp.load AT OPTIONS

`AT` is an encoded `At`, `OPTIONS` a JSON object with `pid`, the gateway's process, and the fields of `load` or `crowd`.
It prints the result as a JSON object.

No more than a window of messages is under way at a time, so nothing is lost, and no receiver is ever slow.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.agp import dialogue
from bench.agp.client import Broken, Channel, Pool, connect
from bench.peers.at import At
from bench.peers.worker import cpu_s

SETTLE_S = 0.5  # nobody acknowledges subscriptions
WARM_UP_S = 0.2
STALL_S = 5.0
PARTIES = 20  # connections made at once
PAGE = 4096


class Case(NamedTuple):
    """`window` messages under way; `packed`: many in a DATA frame."""

    pattern: str
    senders: int
    receivers: int
    packed: bool
    window: int

    def pools(self, size: int) -> list[Pool]:
        """What each sender sends."""
        to = 1 if self.pattern == "unicast" else None
        fanout = dialogue.EVERYBODY if self.pattern == "broadcast" else dialogue.ONE
        ids = range(1, self.senders + 1)
        return [Pool(dialogue.messages(id_, to, fanout, size), self.packed) for id_ in ids]


class Run:
    """One case on channels that stand."""

    def __init__(self, case: Case, senders: list[Channel], receivers: list[Channel], size: int) -> None:
        self._case = case
        self._senders = list(zip(senders[: case.senders], case.pools(size), strict=True))
        self._receivers = receivers
        self._copies = case.receivers if case.pattern == "broadcast" else 1
        self._bytes = 0
        self._length = 0
        self.sent = 0
        self._open = False
        self._ended: asyncio.Future[None] | None = None

    @property
    def came(self) -> int:
        """Deliveries."""
        if not self._length:
            self._length = max(each.length for each in self._receivers)
        return self._bytes // self._length if self._length else 0

    def arrived(self, size: int) -> None:
        """So many bytes more have come."""
        self._bytes += size
        if self._open:
            self.push()
        elif self._ended is not None and self.came >= self.sent * self._copies:
            self._ended.set_result(None)
            self._ended = None

    def push(self) -> None:
        """Send as much as may be under way."""
        if not self._open:
            return
        room = self._case.window - (self.sent - self.came // self._copies)
        if 2 * room < self._case.window:
            return  # in large pieces: many small ones would make the gateway wake up for each
        share = room // len(self._senders) or room
        for channel, pool in self._senders:
            if room <= 0:
                break
            sent = channel.pour(pool, min(share, room))
            self.sent += sent
            room -= sent

    async def go(self, seconds: float, pid: int) -> dict[str, Any]:
        """Send for so long, and wait until all has come. Raises `Broken`."""
        for channel, _ in self._senders:
            channel.writable = self.push
        for receiver in self._receivers:
            receiver.length = 0
        loop = asyncio.get_running_loop()
        self._open = True
        self.push()
        await asyncio.sleep(WARM_UP_S)
        began, cpu, own = time.perf_counter(), cpu_s(pid), time.process_time()
        before = self.came
        await asyncio.sleep(seconds)
        self._open = False
        seconds, cpu = time.perf_counter() - began, cpu_s(pid) - cpu
        deliveries, own = self.came - before, time.process_time() - own
        if self.came < self.sent * self._copies:
            self._ended = loop.create_future()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._ended
            except TimeoutError:
                self._ended = None
        if not deliveries:
            raise Broken("no message arrived")
        return {
            "expected": self.sent * self._copies,
            "lost": self.sent * self._copies - self.came,
            "messages_per_s": deliveries / self._copies / seconds,
            "deliveries_per_s": deliveries / seconds,
            "cpu_us_per_message": cpu / deliveries * self._copies * 1e6,
            "cpu_us_per_delivery": cpu / deliveries * 1e6,
            "load_cpu_us_per_delivery": own / deliveries * 1e6,
            "cores": cpu / seconds,
        }


async def channels(at: At, count: int, arrived: Any) -> list[Channel]:
    """So many calls of AGP."""
    made: list[Channel] = []
    while len(made) < count:
        party = min(PARTIES, count - len(made))
        made += await asyncio.gather(*(connect(at, dialogue.PATH, arrived) for _ in range(party)))
    return made


async def load(at: At, pid: int, cases: list[list[Any]], seconds: float, size: int) -> dict[str, Any]:
    """Each case in turn, all on the same connections: measurements by the case's place, or why there are none."""
    wanted = [Case(*each) for each in cases]
    run: Run | None = None

    def arrived(count: int) -> None:
        if run is not None:
            run.arrived(count)

    receivers = await channels(at, max(each.receivers for each in wanted), arrived)
    senders = await channels(at, max(each.senders for each in wanted), lambda _: None)
    for number, channel in enumerate(receivers, 1):
        channel.send(dialogue.subscribe(dialogue.KIND, number))
    for number, channel in enumerate(senders, 1):
        channel.send(dialogue.subscribe(dialogue.SOURCE, number))
    await asyncio.sleep(SETTLE_S)
    found: dict[str, Any] = {}
    for place, case in enumerate(wanted):
        run = Run(case, senders, receivers, size)
        found[str(place)] = await run.go(seconds, pid)
        for channel in senders:
            channel.writable = lambda: None
        run = None
    return found


async def crowd(at: At, pid: int, connections: int) -> dict[str, Any]:
    """Resident memory of the gateway for a connection with an agent that has nothing to do."""
    first = await channels(at, PARTIES, lambda _: None)  # what the first ones cost is not theirs
    await asyncio.sleep(SETTLE_S)
    before = resident(pid)
    idle = await channels(at, connections, lambda _: None)
    for number, channel in enumerate(first + idle, 1):
        channel.send(dialogue.subscribe(dialogue.KIND, number))
    await asyncio.sleep(2 * SETTLE_S)
    return {"bytes_per_connection": (resident(pid) - before) / connections}


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


async def main(at: str, options: str) -> None:
    """Do what the options say, and print it."""
    given = json.loads(options)
    work = load if "cases" in given else crowd
    print("@" + json.dumps(await work(At.decode(at), **given)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
