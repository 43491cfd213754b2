"""agpd/gateway/quotas.py: rates with time in hand, and what an organization may have at once."""

import itertools

import pytest
from scenarios.harness import HandClock, World

from agpd.errors import Code, Refused
from agpd.gateway.outbox import Clock
from agpd.gateway.quotas import BURST_S, Allowance, Quotas
from agpd.wire import frames
from agpd.wire.frames import Kind

READ = 800  # messages in a full read
SIZE = 300


class Link:
    """A connection whose peer has as much to send as is read."""

    def __init__(self) -> None:
        self.messages_in = self.bytes_in = self.holds = 0
        self.close_code = None
        self.meter = None

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        assert self.holds >= 0

    def read(self, messages: int = READ) -> int:
        """A turn of the loop: what is there is read, unless the link is held. Returns how many."""
        if self.holds:
            return 0
        self.messages_in += messages
        self.bytes_in += messages * SIZE
        if self.meter is not None:
            self.meter.charge()
        return messages


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def quotas(clock) -> Quotas:
    return Quotas(Clock(clock.now, clock.call_later))


def run(clock: HandClock, links: list[Link], seconds: float, turn_s: float = 0.001) -> list[int]:
    """Every link reads once a turn. Returns the messages of each."""
    before = [link.messages_in for link in links]
    for _ in range(round(seconds / turn_s)):
        clock.advance(turn_s)
        for link in links:
            link.read()
    return [link.messages_in - first for link, first in zip(links, before, strict=True)]


@pytest.mark.parametrize("rate", [1000, 5000, 40_000, 300_000])
@pytest.mark.parametrize("count", [1, 2])
def test_a_rate_is_kept(clock, quotas, rate, count):
    quotas.set("acme", Allowance(messages_per_second=rate))
    links = [Link() for _ in range(count)]
    for link in links:
        quotas.admit(link, "acme")
    sent = sum(run(clock, links, 5.0))
    assert sent == pytest.approx(5 * rate, rel=0.2)
    assert sum(run(clock, links, 5.0)) == pytest.approx(5 * rate, rel=0.2)


def test_a_rate_of_bytes_is_kept(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=10**9, bytes_per_second=1_000_000))
    link = Link()
    quotas.admit(link, "acme")
    run(clock, [link], 5.0)
    assert link.bytes_in == pytest.approx(5_000_000, rel=0.2)


def test_who_keeps_the_rate_is_never_held(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=1000))
    link = Link()
    quotas.admit(link, "acme")
    for _ in range(5000):
        clock.advance(0.001)
        assert link.read(1)


def test_what_was_saved_up_may_be_sent_at_once(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=10_000))
    link = Link()
    quotas.admit(link, "acme")
    clock.advance(100.0)
    assert link.read(int(10_000 * BURST_S))
    assert not link.holds
    link.read(1)
    assert link.holds


def test_other_organizations_are_not_disturbed(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=1000))
    quotas.set("initech", Allowance(messages_per_second=10**7))
    links = [Link(), Link(), Link()]
    for link, organization in zip(links, ("acme", "globex", "initech"), strict=True):
        quotas.admit(link, organization)
    limited, free, wide = run(clock, links, 2.0)
    assert limited < 3000
    assert free == wide == 2000 * READ


def test_connections_take_turns(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=40_000))
    links = [Link() for _ in range(10)]
    for link in links:
        quotas.admit(link, "acme")
    shares = run(clock, links, 10.0)
    assert sum(shares) == pytest.approx(400_000, rel=0.2)
    assert min(shares) > 0.8 * max(shares)


def test_idle_connections_do_not_hold_up_the_busy_one(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=100_000))
    busy, idle = Link(), [Link() for _ in range(1000)]
    for link in (busy, *idle):
        quotas.admit(link, "acme")
    assert run(clock, [busy], 5.0)[0] > 0.6 * 500_000


def test_all_are_read_again_once_the_excess_is_paid_off(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=1000))
    links = [Link() for _ in range(300)]
    for link in links:
        quotas.admit(link, "acme")
    links[0].read()
    assert all(link.holds == 1 for link in links)
    clock.advance(2.0)
    assert not any(link.holds for link in links)
    assert not [timer for timer in clock.timers if not timer.cancelled], "a timer without need"


def test_rates_change_on_live_connections(clock, quotas):
    link = Link()
    quotas.admit(link, "acme")
    assert run(clock, [link], 1.0) == [1000 * READ]
    quotas.set("acme", Allowance(messages_per_second=1000))
    run(clock, [link], 1.0)
    assert link.holds
    quotas.set("acme", Allowance(messages_per_second=100_000))
    assert run(clock, [link], 5.0)[0] == pytest.approx(500_000, rel=0.2)
    quotas.set("acme", Allowance())
    assert not link.holds
    assert link.meter is None
    assert run(clock, [link], 1.0) == [1000 * READ]
    assert not [timer for timer in clock.timers if not timer.cancelled]


def test_a_connection_that_goes_while_it_is_held_leaves_nothing_behind(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=1000))
    one, other = Link(), Link()
    for link in (one, other):
        quotas.admit(link, "acme")
    one.read()
    quotas.leave(one, "acme")
    assert (one.meter, one.holds, other.holds) == (None, 0, 1)
    clock.advance(2.0)
    assert other.holds == 0
    quotas.leave(other, "acme")
    quotas.leave(other, "acme")  # again is no error


def test_who_comes_while_others_are_held_waits_too(clock, quotas):
    quotas.set("acme", Allowance(messages_per_second=1000))
    one, other = Link(), Link()
    quotas.admit(one, "acme")
    one.read()
    quotas.admit(other, "acme")
    assert other.holds == 1


# On the wire


def hello(world: World, pattern: str):
    peer = world.peer(pattern, greet=False)
    peer.send(Kind.HELLO, frames.Hello([1], "test", 1))
    return peer


def test_the_quota_of_connections():
    world = World()
    world.hub.quotas.set("acme", Allowance(connections=2))
    first = world.peer("acme/dev/*")
    world.peer("acme/*")
    assert "2 connections" in hello(world, "acme/*").expect_closed(Code.QUOTA_EXCEEDED)
    world.peer("globex/*")
    first.carrier.lose()
    world.turn()
    world.peer("acme/*")
    hello(world, "acme/*").expect_closed(Code.QUOTA_EXCEEDED)


def test_the_quota_of_agents():
    world = World()
    world.hub.quotas.set("acme", Allowance(agents=2))
    peer = world.peer()
    agents = [peer.register(f"acme/dev/writer/{number}") for number in range(2)]
    with pytest.raises(Refused) as caught:
        world.peer().register("acme/prod/clerk/1")
    assert caught.value.code is Code.QUOTA_EXCEEDED
    peer.register("globex/dev/writer/1")
    agents[0].unregister()
    world.peer().register("acme/prod/clerk/1")


def test_a_takeover_is_no_new_agent():
    world = World()
    world.hub.quotas.set("acme", Allowance(agents=1))
    world.peer("acme/*", key=b"k", epoch=1).register("acme/dev/writer/1")
    world.peer("acme/*", key=b"k", epoch=2).register("acme/dev/writer/1")


def test_the_quota_of_subscriptions():
    world = World(grants=[("acme/*", "observe", "acme/dev/*")])
    world.hub.quotas.set("acme", Allowance(subscriptions=2))
    one, other = world.agent("acme/dev/writer/1"), world.agent("acme/dev/writer/2")
    one.subscribe("acme/dev/news")
    one.subscribe("acme/dev/news")  # again is no error, and counts once
    other.subscribe("acme/dev/news")
    for topic in ("acme/dev/more", "acme/dev/*"):
        with pytest.raises(Refused) as caught:
            other.subscribe(topic)
        assert caught.value.code is Code.QUOTA_EXCEEDED
    one.peer.carrier.lose()
    world.turn()
    other.subscribe("acme/dev/*")
    with pytest.raises(Refused):
        other.subscribe("acme/dev/more")


def test_a_lowered_quota_cuts_nobody():
    world = World()
    agent = world.agent("acme/dev/writer/1")
    agent.subscribe("acme/dev/news")
    world.hub.quotas.set("acme", Allowance(connections=1, agents=1, subscriptions=1))
    agent.subscribe("acme/dev/news")
    agent.silent()


def test_nothing_is_lost_over_the_rate():
    world = World()
    sender = world.peer("acme/*").register("acme/dev/writer/1")
    other = world.peer("globex/*").register("globex/dev/writer/1")
    receiver, neighbour = world.agent("acme/dev/clerk/1"), world.agent("globex/dev/clerk/1")
    to, there = sender.open(receiver.name), other.open(neighbour.name)
    world.hub.quotas.set("acme", Allowance(messages_per_second=100))
    numbers = itertools.count()
    reads = 0
    for _ in range(60):
        world.clock.advance(0.1)
        other.publish(there, b"free")
        assert sender.peer.carrier.reading is (sender.peer.link.holds == 0)
        if sender.peer.carrier.reading:
            run_ = b"".join(sender.frame(to, str(next(numbers)).encode()) for _ in range(100))
            sender.peer.feed(run_)
            reads += 1
    got = [int(frame.body) for frame in receiver.peer.read()]
    assert got == list(range(reads * 100))
    assert 500 <= len(got) <= 720
    assert len(neighbour.peer.read()) == 60
