"""agpd/gateway/lifecycle.py: every deadline, with time in hand."""

import pytest
from scenarios.harness import MIB, Agent, TokenDesk, World

from agpd.config import Config, Limits
from agpd.config import Outbox as OutboxSettings
from agpd.errors import Code
from agpd.gateway.lifecycle import PART_LINKS, PARTS_LIMIT, ROUND_S, Deadlines, Lifecycle
from agpd.gateway.outbox import OutboxLimits
from agpd.wire import frames
from agpd.wire.frames import Kind

DEADLINES = Deadlines(hello_s=5, frame_s=30, ping_interval_s=30, ping_misses=2, write_stall_s=10, linger_s=2)


class Rounds(World):
    """A world whose periodic check runs every second."""

    def __init__(self, budget_bytes: int = 2**40, **settings) -> None:
        super().__init__(**settings)
        self.lifecycle = Lifecycle(self.hub, DEADLINES, budget_bytes)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.lifecycle.check()
            self.turn()


@pytest.fixture
def world() -> Rounds:
    return Rounds()


def test_the_deadlines_are_those_of_the_configuration():
    config = Config(
        limits=Limits(
            hello_timeout_ms=1000,
            frame_timeout_ms=2000,
            ping_interval_ms=3000,
            ping_misses=4,
            linger_timeout_ms=5000,
        ),
        outbox=OutboxSettings(write_stall_ms=6000),
    )
    assert Deadlines.of(config) == Deadlines(1, 2, 3, 4, 6, 5)


def test_a_hello_has_to_come_in_time(world):
    peer = world.peer(greet=False)
    peer.feed(frames.encode(Kind.HELLO, frames.Hello([1], "x", 1))[:-1])  # nearly all of it
    world.run(5)
    peer.silent()
    world.run(1)
    peer.expect_closed(Code.HANDSHAKE_TIMEOUT)


def test_a_frame_has_to_end_in_time(world):
    peer = world.peer()
    peer.feed((100_000).to_bytes(4, "big"))
    for _ in range(30):
        peer.feed(bytes(2000))  # fast enough, but there is no end to it
        world.run(1)
        peer.silent()
    world.run(2)  # the first round only found it begun
    assert peer.expect_closed(Code.FRAME_TIMEOUT).startswith("60004 bytes")


def test_a_frame_has_to_come_at_a_rate(world):
    peer = world.peer()
    peer.feed((100_000).to_bytes(4, "big") + bytes(3000))
    world.run(6)
    peer.silent()
    world.run(1)
    peer.expect_closed(Code.FRAME_TIMEOUT)


def test_a_busy_peer_whose_reads_always_end_within_a_frame_is_no_slow_one(world):
    agent = world.agent("acme/dev/writer/1")
    frame = frames.encode(Kind.PING, frames.Named("x" * 100))
    agent.peer.feed(frame[:40])
    for _ in range(60):
        agent.peer.feed(frame[40:] + frame[:40])  # the same number of bytes is open at every round
        world.run(1)
        agent.peer.expect(Kind.PONG)
    agent.silent()


def test_a_link_that_is_not_read_is_not_blamed_for_its_frame(world):
    peer = world.peer()
    peer.feed((1000).to_bytes(4, "big"))
    peer.link.hold()
    world.run(100)
    peer.silent()
    peer.link.release()
    world.run(7)
    peer.expect_closed(Code.FRAME_TIMEOUT)


def test_silence_is_answered_with_pings_and_then_the_end(world):
    peer = world.peer()
    world.run(1 + 29)
    peer.silent()
    world.run(1)
    peer.expect(Kind.PING, id=1)
    world.run(29)
    peer.silent()
    world.run(1)
    peer.expect(Kind.PING, id=2)
    world.run(29)
    peer.silent()
    world.run(1)
    peer.expect_closed(Code.PING_TIMEOUT)


def test_any_byte_counts_as_life(world):
    peer = world.peer()
    for _ in range(4):
        world.run(31)
        peer.send(Kind.PONG, id=1)
        peer.expect(Kind.PING, id=1)
    peer.silent()


def test_a_held_link_is_not_asked(world):
    peer = world.peer()
    peer.link.hold()
    world.run(200)
    peer.silent()


def talk(world: Rounds) -> tuple[Agent, Agent]:
    return world.agent("acme/dev/writer/1"), world.agent("acme/dev/writer/2")


def test_a_carrier_that_takes_nothing_is_cut(world):
    sender, receiver = talk(world)
    receiver.peer.carrier.stop_taking()
    world.run(10)
    assert world.ends == []
    world.run(2)
    assert [(link, code) for link, code, _ in world.ends] == [(receiver.peer.link, Code.SLOW_CONSUMER)]
    sender.publish(receiver.name)
    sender.peer.expect_refused(Code.NO_ROUTE)


def test_a_carrier_that_takes_a_little_is_not(world):
    _, receiver = talk(world)
    receiver.peer.carrier.stop_taking()
    receiver.peer.carrier.backlog.extend(bytes(100))
    for _ in range(50):
        del receiver.peer.carrier.backlog[:1]
        world.run(1)
    assert world.ends == []


def test_a_backlog_of_one_size_tells_nothing_when_it_was_refilled(world):
    _, receiver = talk(world)
    carrier = receiver.peer.carrier
    for _ in range(50):
        carrier.take_all()
        carrier.stop_taking()
        receiver.peer.link.write(bytes(1000))
        receiver.peer.link.bytes_out += 1000
        world.run(1)
        carrier.sent.clear()
    assert world.ends == []


def test_a_link_above_its_mark_for_too_long_is_cut_though_it_trickles():
    world = Rounds(outbox=OutboxLimits(100, 1000, 0.5))
    sender, receiver = talk(world)
    handle = sender.open(receiver.name)
    carrier = receiver.peer.carrier
    carrier.backlog.extend(bytes(10_000))
    carrier.stop_taking()
    for _ in range(62):
        assert world.ends == []
        sender.publish(handle, bytes(90))
        del carrier.backlog[:1]
        world.run(1)
        sender.peer.send(Kind.PONG)
    assert [code for _, code, _ in world.ends] == [Code.SLOW_CONSUMER]


def test_a_saturated_link_that_drains_between_rounds_is_not_cut():
    world = Rounds(outbox=OutboxLimits(100, 1000, 0.5))
    sender, receiver = talk(world)
    handle = sender.open(receiver.name)
    carrier = receiver.peer.carrier
    carrier.stop_taking()
    for _ in range(100):  # at every round it is full and over its mark
        carrier.take_all()
        carrier.stop_taking()
        sender.publish(handle, bytes(200))
        assert receiver.peer.link.full
        world.run(1)
        receiver.peer.send(Kind.PONG)
        receiver.peer.read().clear()
    assert world.ends == []


def test_the_largest_are_cut_when_all_are_over_the_budget():
    world = Rounds(budget_bytes=2500)
    sender = world.agent("acme/dev/boss/1")
    receivers = [world.agent(f"acme/dev/writer/{n}") for n in range(4)]
    for agent, size in zip(receivers, (500, 900, 700, 800), strict=True):
        agent.peer.carrier.stop_taking()
        sender.publish(agent.name, bytes(size))
    kept = [agent for agent in receivers if agent.peer.link.queued < 900]
    world.run(1)
    assert [(link, code) for link, code, _ in world.ends] == [(receivers[1].peer.link, Code.SLOW_CONSUMER)]
    assert all(agent.peer.link in world.hub.links for agent in kept)


def test_what_full_carriers_hold_counts_too():
    world = Rounds(budget_bytes=1000)
    _, receiver = talk(world)
    receiver.peer.carrier.stop_taking()
    receiver.peer.carrier.backlog.extend(bytes(900))
    world.run(1)
    assert world.ends == []
    receiver.peer.carrier.backlog.extend(bytes(200))
    world.run(1)
    assert [code for _, code, _ in world.ends] == [Code.SLOW_CONSUMER]


def test_what_carriers_keep_of_senders_that_are_held_counts_too():
    world = Rounds(budget_bytes=1000)
    sender, _ = talk(world)
    sender.peer.link.unread_bytes = lambda: 1000
    world.run(1)
    assert world.ends == []
    sender.peer.link.unread_bytes = lambda: 1001
    world.run(1)
    assert [(link, code) for link, code, _ in world.ends] == [(sender.peer.link, Code.OVERLOADED)]


def test_many_are_cut_if_one_is_not_enough():
    world = Rounds(budget_bytes=0)
    for agent in talk(world):
        agent.peer.carrier.stop_taking()
        agent.peer.carrier.backlog.extend(bytes(MIB))
    world.run(1)
    assert len(world.ends) == 2


def test_an_end_that_lingers_is_cut_off(world):
    peer = world.peer()
    peer.carrier.stop_taking()
    world.hub.end(peer.link, Code.INTERNAL)
    world.run(2)
    assert not peer.carrier.lost
    assert peer.link in world.hub.lingering
    world.run(1)
    assert peer.carrier.lost
    assert not world.hub.lingering
    assert len(world.ends) == 1


def test_nobody_is_blamed_for_the_time_the_gateway_stood_still(world):
    greeting, peer, ending = world.peer(greet=False), world.peer(), world.peer()
    peer.feed(b"\0\0")
    world.run(1)
    world.hub.end(ending.link, Code.INTERNAL)
    world.clock.advance(1000.0)
    world.lifecycle.forgive(1000.0)
    world.run(1)
    assert len(world.ends) == 1
    assert not ending.carrier.lost
    greeting.silent()
    world.run(6)
    greeting.expect_closed(Code.HANDSHAKE_TIMEOUT)
    peer.expect_closed(Code.FRAME_TIMEOUT)


def one_round(world: Rounds) -> list[tuple[int, float]]:
    """Every step of a round: how many links were judged, and the pause after it."""
    steps = []
    while not steps or sum(pause for _, pause in steps) < ROUND_S - 1e-9:
        links, pause = world.lifecycle.step()
        world.clock.advance(pause)
        world.turn()
        steps.append((len(links), pause))
    return steps


@pytest.mark.parametrize("count", [0, 1, PART_LINKS, PART_LINKS + 1, 7 * PART_LINKS])
def test_a_round_is_made_in_parts_and_lasts_as_long_with_any_number_of_links(count):
    world = Rounds(connections=1000)
    for _ in range(count):
        world.peer()
    for _ in range(2):
        steps = one_round(world)
        judged = [links for links, _ in steps]
        assert sum(judged) == count
        assert max(judged) <= PART_LINKS
        assert len(steps) == max(1, -(-count // PART_LINKS))
        assert sum(pause for _, pause in steps) == pytest.approx(ROUND_S)


def test_no_round_has_more_than_so_many_parts():
    count = PART_LINKS * PARTS_LIMIT + PARTS_LIMIT // 2
    world = Rounds(connections=count)
    for _ in range(count):
        world.peer()
    steps = one_round(world)
    assert sum(links for links, _ in steps) == count
    assert len(steps) <= PARTS_LIMIT
    assert steps[-1][1] >= 0.2 * ROUND_S


def test_every_link_of_a_round_in_parts_gets_its_ping():
    world = Rounds(connections=1000)
    peers = [world.peer() for _ in range(3 * PART_LINKS)]
    one_round(world)
    world.clock.advance(DEADLINES.ping_interval_s)
    one_round(world)
    for peer in peers:
        peer.expect(Kind.PING)


def test_a_link_that_ends_between_two_parts_is_not_judged_any_more():
    world = Rounds(connections=1000)
    peers = [world.peer() for _ in range(2 * PART_LINKS)]
    one_round(world)
    world.clock.advance(DEADLINES.ping_interval_s)
    world.lifecycle.step()
    world.hub.end(peers[-1].link, Code.GOODBYE)
    world.lifecycle.step()
    assert [bool(peer.link.queued) for peer in peers[-2:]] == [True, False]


def test_links_of_all_parts_count_against_the_budget():
    world = Rounds(budget_bytes=1500, connections=1000)
    peers = [world.peer() for _ in range(2 * PART_LINKS)]
    for peer in (peers[0], peers[-1]):
        peer.carrier.stop_taking()
        peer.carrier.backlog.extend(bytes(1000))
    world.lifecycle.step()
    assert world.ends == []
    world.lifecycle.step()
    assert [code for _, code, _ in world.ends] == [Code.SLOW_CONSUMER]


def test_connections_end_with_their_tokens_and_not_before():
    desk = TokenDesk()
    world = Rounds(tokens=desk.tokens())
    short, long, revoked = desk.issue(life_s=10), desk.issue(life_s=60), desk.issue()
    peers = [world.peer(token=token) for token in (short, long, revoked)]
    bare = world.peer()
    for _ in range(12):
        desk.time += 1
        world.run(1)
    for peer in (*peers, bare):
        peer.silent()
    desk.revoke(revoked)
    desk.time += 1
    world.run(1)
    peers[0].expect_closed(Code.TOKEN_EXPIRED)
    peers[1].silent()
    peers[2].expect_closed(Code.TOKEN_REVOKED)
    bare.silent()


def test_a_renewed_token_keeps_the_connection():
    desk = TokenDesk()
    world = Rounds(tokens=desk.tokens())
    peer = world.peer(token=desk.issue(life_s=10))
    desk.time += 8
    peer.ask(Kind.AUTHENTICATE, frames.Token(desk.issue(life_s=10)))
    desk.time += 8
    world.run(1)
    peer.silent()
    desk.time += 5
    world.run(1)
    peer.expect_closed(Code.TOKEN_EXPIRED)
