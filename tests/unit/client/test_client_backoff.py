"""Delays before connecting again: growing, jittered, reset only by a connection that lasts; no storm of connects."""

import asyncio
import itertools
import random

import pytest
from scripted_peer import peers

import agpd_client as agp
from agpd_client.backoff import FIRST_S, LIMIT_S, STABLE_S, Backoff, Clock


class Highest(random.Random):
    """Jitter that always takes (nearly) the whole ceiling."""

    def random(self) -> float:
        return 1.0


def test_the_ceiling_doubles_up_to_its_limit() -> None:
    backoff = Backoff(Highest())
    delays = [backoff.delay() for _ in range(9)]
    assert delays[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-2:] == [LIMIT_S, LIMIT_S]
    for _ in range(2000):  # no overflow, however long the gateway is away
        assert backoff.delay() == LIMIT_S


def test_full_jitter() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(10):
        backoff.delay()
    delays = [backoff.delay() for _ in range(1000)]
    assert min(delays) < 0.05 * LIMIT_S
    assert max(delays) > 0.95 * LIMIT_S


@pytest.mark.parametrize(("stood_s", "reset"), [(0.0, False), (STABLE_S - 0.1, False), (STABLE_S, True)])
def test_only_a_connection_that_lasts_begins_anew(stood_s: float, reset: bool) -> None:
    backoff = Backoff(Highest())
    backoff.delay()
    backoff.delay()
    backoff.stands(100.0)
    backoff.lost(100.0 + stood_s)
    assert backoff.delay() == (FIRST_S if reset else 4 * FIRST_S)


def test_a_loss_without_a_connection_changes_nothing() -> None:
    backoff = Backoff(Highest())
    backoff.delay()
    backoff.lost(1000.0)
    assert backoff.delay() == 2 * FIRST_S


class Time:
    """A clock of which every sleep is over at once."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_gateway_that_welcomes_and_cuts_is_not_stormed() -> None:
    time = Time()
    async with peers() as all_:
        gateway = all_.connect(chance=Highest(), clock=Clock(lambda: time.now, time.sleep))
        opening = asyncio.create_task(gateway.open())
        times = []
        for _ in range(15):
            peer = await all_.accept()
            times.append(time.now)
            await peer.welcome()
            if not opening.done():
                await opening
            peer.writer.close()
        await gateway.close()
    delays = [round(after - before, 6) for before, after in itertools.pairwise(times)]
    assert delays[:4] == [0.05, 0.1, 0.2, 0.4]
    assert delays[-6:] == [LIMIT_S] * 6
    assert gateway.state is agp.State.CLOSED
