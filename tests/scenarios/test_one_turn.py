"""A few bytes may ask for much work: a peer that asks for too much waits for itself, not the others for it."""

import asyncio

import pytest
from peer import Peer, Peers
from process import gateway
from witness import Witness

from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind

CROWD = 1024
TYPE = "acme/dev/crowd"
READ_BYTES = 250_000
# Without a bound on the work for one link in one turn each of these stops the gateway for 4 to 11 s.
LONGEST_S = 1.0


async def many(peers: Peers) -> Peer:
    peer = await peers.greet()
    for _ in range(CROWD):
        await peer.join(TYPE)
    return peer


async def watches(peers: Peers) -> Peer:
    """Asks again and again who is there, and does not read the answers."""
    peer = await many(peers)
    peer.transport.pause_reading()
    frame = frames.encode(Kind.WATCH, frames.Named(TYPE), id=5, source=peer.me)
    peer.send(frame * (READ_BYTES // len(frame)))
    return peer


async def fans_out(peers: Peers) -> Peer:
    """Sends the shortest messages to a thousand each."""
    await many(peers)
    peer = await peers.agent()
    target = await peer.open(TYPE)
    frame = frames.encode_data(Kind.PUBLISH, b"", destination=target, source=peer.me, id=1, fanout=65535)
    peer.send(frame * (READ_BYTES // len(frame)))
    return peer


async def guesses(peers: Peers) -> Peer:
    """Sends to a new unknown handle with each frame, and does not read the refusals."""
    peer = await peers.agent()
    peer.transport.pause_reading()
    for start in range(0, 1_500_000, 10_000):
        peer.send(
            b"".join(
                frames.encode_data(Kind.PUBLISH, b"", destination=number or 1, source=peer.me, id=1)
                for number in range(start, start + 10_000)
            )
        )
        await asyncio.sleep(0)
    return peer


@pytest.mark.parametrize("attack", [watches, fans_out, guesses])
async def test_who_asks_for_too_much_takes_neither_time_nor_memory_from_others(tmp_path, attack):
    with gateway(tmp_path) as running:
        async with Peers(running.address) as attackers, Peers(running.address) as peers:
            async with Witness(peers, longest_s=LONGEST_S, at_least=20) as witness:
                before = running.rss_bytes()
                await attack(attackers)
                wanted = witness.sent + 20
                async with asyncio.timeout(30):
                    while witness.sent < wanted:
                        await asyncio.sleep(0.005)
            assert running.rss_bytes() - before < 64 * 1024 * 1024
            if attack is not fans_out:
                await asyncio.to_thread(running.log.wait, "connection ended", code=Code.SLOW_CONSUMER.name)
