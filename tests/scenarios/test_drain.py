"""SIGTERM under load: what was accepted is delivered or refused, and everybody is told."""

import asyncio
import signal
import time
from contextlib import suppress

import pytest
from peer import Ended, Peer, Peers, code_in
from process import World, gateway

from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind

DRAIN_S = 1.5
LIMITS = {"drain_timeout_ms": int(DRAIN_S * 1000), "linger_timeout_ms": 2000}


class Sender:
    """Sends numbered messages with receipts until it is told to stop, and keeps the books."""

    def __init__(self, peer: Peer, target: int, *, leaves: bool) -> None:
        self.peer, self.target, self.leaves = peer, target, leaves
        self.sent = 0
        self.receipts: set[int] = set()
        self.refused: set[int] = set()
        self.drained = asyncio.Event()
        self.code: Code | None = None
        self.closed = False

    async def send(self) -> None:
        while not (self.leaves and self.drained.is_set()) and not self.closed:
            for _ in range(20):
                self.sent += 1
                self.peer.publish(self.target, bytes(300), self.sent, receipt=True)
            with suppress(ConnectionError):
                await self.peer.writer.drain()
            await asyncio.sleep(0.001)

    async def read(self) -> None:
        with suppress(Ended):
            while self.code is None:
                frame = await self.peer.frame()
                if frame.kind == Kind.RECEIPT:
                    self.receipts.add(frame.id)
                elif frame.kind == Kind.REFUSED:
                    self.refused.add(frame.id)
                elif frame.kind == Kind.DRAIN:
                    assert code_in(frame)[0] is Code.SHUTTING_DOWN
                    self.drained.set()
                elif frame.kind == Kind.CLOSE:
                    self.code = code_in(frame)[0]
        self.closed = True

    async def run(self) -> None:
        """Until it has left and every answer is in, or the gateway has closed."""
        reading = asyncio.create_task(self.read())
        await self.send()
        if self.leaves:
            await self.settled()
            self.peer.send(frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)))
        await reading
        self.peer.writer.close()

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            while len(self.receipts) + len(self.refused) < self.sent:
                await asyncio.sleep(0.01)


async def receive(peer: Peer) -> set[tuple[int, int]]:
    """Source and number of everything delivered until the gateway closes."""
    got = set()
    told = False
    with suppress(Ended):
        while (frame := await peer.frame()).kind != Kind.CLOSE:
            if frame.kind == Kind.PUBLISH:
                assert (frame.source, frame.id) not in got
                got.add((frame.source, frame.id))
            told = told or frame.kind == Kind.DRAIN
    peer.writer.close()
    assert told
    return got


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
@pytest.mark.parametrize("leaves", [True, False], ids=["polite", "rude"])
async def test_what_was_accepted_is_delivered_or_refused(tmp_path, tls, leaves):
    """Polite senders stop when they are told; rude ones send until they are closed."""
    world = World(tmp_path / "pki") if tls else None
    context = world and world.context(world.issue("acme/dev/*", "agent"))
    with gateway(tmp_path, world, limits=LIMITS) as running:
        async with Peers(running.address, context) as peers:
            receivers = [await peers.agent("acme/dev/receiver") for _ in range(2)]
            senders = []
            for number in range(4):
                peer = await peers.agent("acme/dev/sender")
                target = await peer.open(receivers[number % 2].name)
                senders.append(Sender(peer, target, leaves=leaves))
            receiving = [asyncio.create_task(receive(peer)) for peer in receivers]
            running_senders = [asyncio.create_task(sender.run()) for sender in senders]
            while min(len(sender.receipts) for sender in senders) < 200:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            running.signal(signal.SIGTERM)
            await asyncio.gather(*running_senders)
            got = set().union(*await asyncio.gather(*receiving))
            assert await asyncio.to_thread(running.exit_code) == 0
            assert time.monotonic() - began < DRAIN_S + 2 + 1
            for sender in senders:
                delivered = {id_ for source, id_ in got if source == sender.peer.me}
                assert sender.drained.is_set()
                assert sender.sent >= 200
                assert (
                    delivered == sender.receipts
                )  # nothing promised and lost, nothing delivered and not said
                assert not delivered & sender.refused
                if leaves:
                    assert len(delivered | sender.refused) == sender.sent
                else:
                    assert sender.code is Code.SHUTTING_DOWN


async def test_a_drain_nobody_answers_ends_in_its_time(tmp_path):
    with gateway(tmp_path, limits={"drain_timeout_ms": 500, "linger_timeout_ms": 500}) as running:
        async with Peers(running.address) as peers:
            peer = await peers.agent()
            deaf = await peers.agent()
            deaf.transport.pause_reading()
            began = time.monotonic()
            running.signal(signal.SIGTERM)
            assert code_in(await peer.expect(Kind.DRAIN))[0] is Code.SHUTTING_DOWN
            await peer.ping()  # it goes on serving meanwhile
            assert await peer.ended() is Code.SHUTTING_DOWN
            assert await asyncio.to_thread(running.exit_code) == 0
            assert time.monotonic() - began < 3
