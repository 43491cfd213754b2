"""A gateway that has no file descriptors left."""

import asyncio
import time

from peer import Ended, Peers
from process import gateway
from witness import Witness

LIMIT = 256


async def served(peers: Peers) -> bool:
    """Is a new connection welcomed?"""
    try:
        await peers.greet()
    except (Ended, OSError):
        return False
    return True


async def test_without_descriptors_those_there_go_on_new_ones_are_refused_and_it_recovers(tmp_path):
    with gateway(tmp_path, descriptors=LIMIT) as running:
        async with Peers(running.address) as old, Witness(old):
            async with Peers(running.address) as crowd:
                held = 0
                while await served(crowd):
                    held += 1
                assert LIMIT - 40 < held < LIMIT
                for _ in range(8):
                    assert not await served(crowd)
                assert running.descriptors() <= LIMIT
            freed = time.monotonic()
            async with Peers(running.address) as later:
                while not await served(later):
                    await asyncio.sleep(0.02)
                assert time.monotonic() - freed < 2
                assert await served(later)
        running.stop()
