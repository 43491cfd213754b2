"""Two well-behaved agents that talk while something else goes on, and count."""

import asyncio
import time
from contextlib import suppress
from typing import Self

from peer import DEADLINE_S, Peer, Peers, body_of

from agpd.wire.frames import Kind


class Witness:
    """One sends numbered messages with receipts to the other, one after the other, until the block ends.

    At its end: everything sent has arrived, once, in order, and each within `longest_s`.
    """

    def __init__(self, peers: Peers, *, longest_s: float = 2.0, at_least: int = 10) -> None:
        self._peers = peers
        self._longest_s = longest_s
        self._at_least = at_least
        self.sent = 0
        self.received: list[int] = []
        self.worst_s = 0.0

    async def __aenter__(self) -> Self:
        self._sender = await self._peers.agent("acme/dev/witness")
        self._receiver = await self._peers.agent("acme/dev/listener")
        self._target = await self._sender.open(self._receiver.name)
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._talk(self._sender, self._receiver))
        return self

    async def _talk(self, sender: Peer, receiver: Peer) -> None:
        while self.sent < self._at_least or not self._stop.is_set():
            began = time.monotonic()
            self.sent += 1
            sender.publish(self._target, b"%d" % self.sent, self.sent, receipt=True)
            self.received.append(int(body_of(await receiver.expect(Kind.PUBLISH))))
            assert (await sender.expect(Kind.RECEIPT)).id == self.sent
            self.worst_s = max(self.worst_s, time.monotonic() - began)
            with suppress(TimeoutError):  # a pace, so that it does not starve what it watches
                await asyncio.wait_for(self._stop.wait(), 0.005)

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await self._task
        if kind is None:
            assert self.received == list(range(1, self.sent + 1))
            assert self.worst_s < self._longest_s
