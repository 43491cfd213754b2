"""agpd/transport/dialects.py: what is counted and logged, and how often calls may be opened."""

import logging

import pytest
from scenarios.harness import World

from agpd.config import Config
from agpd.transport.callers import Callers
from agpd.transport.dialects import OPENING_DELAY_LIMIT_S, OPENINGS_BURST, OPENINGS_PER_S, Dialects


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def dialects(world: World) -> Dialects:
    now = world.clock.now
    return Dialects(Config(), world.hub, Callers(world.hub, None, 20, now), now)


def test_each_reason_is_counted_always_and_logged_once_a_second(
    world: World, dialects: Dialects, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agpd")

    def lines() -> list[tuple[object, ...]]:
        records = [record.__dict__.get("fields", {}) for record in caplog.records]
        caplog.clear()
        return [(each["reason"], each["count"], each["left_out"]) for each in records]

    for _ in range(3):
        dialects.note("slow", 2, peer="somebody")
    dialects.note("too_large")
    assert lines() == [("slow", 2, 0), ("too_large", 1, 0)]
    world.clock.advance(0.9)
    dialects.note("slow")
    assert lines() == []
    world.clock.advance(0.2)
    dialects.note("slow")
    assert lines() == [("slow", 1, 5)]
    assert dialects.counts == {"slow": 8, "too_large": 1}


def test_whoever_opens_calls_over_and_over_waits_for_the_answer(world: World, dialects: Dialects) -> None:
    """A client of AGP opens a stream that has ended again at once, for ever."""
    assert [dialects.opening_delay_s("a") for _ in range(OPENINGS_BURST)] == [0.0] * OPENINGS_BURST
    assert dialects.opening_delay_s("a") == pytest.approx(1 / OPENINGS_PER_S, abs=0.01)
    for _ in range(100):
        last = dialects.opening_delay_s("a")
    assert last == OPENING_DELAY_LIMIT_S
    assert dialects.opening_delay_s("b") == 0.0
    world.clock.advance(60.0)
    assert dialects.opening_delay_s("a") == 0.0


def test_the_hub_tells_it_of_types_and_of_the_policy(world: World, dialects: Dialects) -> None:
    world.agent("acme/lab/chat/1")
    assert set(dialects.spellings.directory._organizations) == {"acme"}
    world.hub.adopt(World(grants=[("globex/lab/clerk", "publish", "acme/*")]).hub.admission.policy)
    assert "globex" in dialects.spellings.directory._organizations
