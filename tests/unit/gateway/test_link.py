"""agpd/gateway/link.py: what a link remembers, notices, holds, and how it ends."""

from types import SimpleNamespace

import pytest
from scenarios.harness import World

from agpd.errors import Code
from agpd.gateway.link import EVERY_KIND, Flow, Watchdog
from agpd.wire import frames
from agpd.wire.frames import Kind


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def link(world):
    return world.peer().link


REPLIES = frozenset({int(Kind.REPLY)})


def flow(kinds: frozenset[int] = EVERY_KIND) -> Flow:
    return Flow(SimpleNamespace(apart=None), None, kinds)  # type: ignore[arg-type]


def test_flows_are_forgotten_by_destination_and_by_source(link):
    pairs = [(d, s) for d in (1, 2, 3) for s in (7, 8)]
    for d, s in pairs:
        link.remember(d << 32 | s, flow(REPLIES if d == 3 else EVERY_KIND))
    assert set(link.checked_flows) == {3 << 32 | 7, 3 << 32 | 8}
    link.forget_destination(1)
    link.forget_source(7)
    assert set(link.flows) == {2 << 32 | 8}
    assert set(link.checked_flows) == {3 << 32 | 8}
    link.forget_destination(3)
    link.forget_source(8)
    assert not link.flows
    assert not link.checked_flows
    link.forget_source(8)
    link.forget_destination(1)


def test_only_flows_that_may_carry_everything_are_left_to_the_forwarding_loop(link):
    pair = 5 << 32 | 6
    link.remember(pair, flow(REPLIES))
    assert (set(link.flows), set(link.checked_flows)) == (set(), {pair})
    link.remember(pair, flow())
    assert (set(link.flows), set(link.checked_flows)) == ({pair}, set())
    link.remember(pair, flow(EVERY_KIND - REPLIES))
    assert (set(link.flows), set(link.checked_flows)) == (set(), {pair})


def test_one_flow_is_forgotten_without_a_trace(link):
    for pair in (1 << 32 | 7, 1 << 32 | 8):
        link.remember(pair, flow())
    link.forget_flow(1 << 32 | 7)
    assert (link.flows_to, link.flows_from) == ({1: {1 << 32 | 8}}, {8: {1 << 32 | 8}})
    link.forget_flow(1 << 32 | 8)
    assert (link.flows, link.flows_to, link.flows_from) == ({}, {}, {})


def test_a_source_that_was_given_up_is_remembered_for_a_while(link, monkeypatch):
    monkeypatch.setattr("agpd.gateway.link.FORMER_SOURCES_LIMIT", 2)
    for number in (7, 8, 9):
        link.sources[number] = None
        link.remember(1 << 32 | number, flow())
        link.give_up(number)
    assert (link.sources, link.flows, link.former_sources) == ({}, {}, {9})


def test_an_agent_that_stays_home_is_not_told(link):
    remembered = flow()
    remembered.told = link
    link.remember(5 << 32 | 6, remembered)
    link.stay_home(7, 5)
    assert remembered.told is link
    link.stay_home(6, 5)
    assert remembered.told is None


def test_notices_of_a_turn_are_summed_by_destination_source_and_code(world):
    peer = world.peer()
    for id_ in (4, 5):
        peer.link.note(Code.NO_ROUTE, 1, 2, id_, 3)
    peer.link.note(Code.RECEIVER_FULL, 1, 2, 6, 1)
    world.turn()
    peer.expect_refused(Code.NO_ROUTE, 6, id=5, destination=2, source=1)
    peer.expect_refused(Code.RECEIVER_FULL, 1, id=6)
    peer.silent()
    world.check_accounts()


def test_a_notice_waits_for_a_full_carrier(world):
    peer = world.peer()
    peer.carrier.stop_taking()
    peer.link.send(frames.encode(Kind.PONG))
    world.turn()
    peer.link.note(Code.NO_ROUTE, 1, 2, 3, 1)
    world.turn()
    peer.silent()
    peer.carrier.take_all()
    peer.expect(Kind.PONG)
    peer.expect_refused(Code.NO_ROUTE)


def test_a_drained_link_learns_what_it_missed(world):
    peer = world.peer()
    peer.carrier.stop_taking()
    peer.link.dropped_untold = 7
    peer.carrier.take_all()
    world.turn()
    assert frames.decode(peer.expect(Kind.DROPPED).body, frames.Count).count == 7
    peer.carrier.stop_taking()
    peer.carrier.take_all()
    world.turn()
    peer.silent()


def test_reading_stops_with_the_first_hold_and_goes_on_after_the_last(world):
    peer = world.peer()
    peer.link.hold()
    peer.link.hold()
    assert not peer.carrier.reading
    peer.link.release()
    assert not peer.carrier.reading
    peer.link.release()
    assert peer.carrier.reading


def test_a_held_link_that_ends_reads_again_and_is_not_let_go_twice(world):
    peer = world.peer()
    peer.link.hold()
    world.hub.end(peer.link, Code.INTERNAL)
    assert peer.carrier.reading
    peer.link.release()
    assert peer.link.holds == 0


def test_an_end_sends_what_is_queued_and_the_reason(world):
    peer = world.peer()
    peer.link.send(frames.encode(Kind.PONG))
    peer.link.note(Code.NO_ROUTE, 1, 2, 3, 1)
    world.hub.end(peer.link, Code.SHUTTING_DOWN, "x" * 5000)
    peer.expect(Kind.PONG)
    peer.expect_refused(Code.NO_ROUTE)
    assert peer.expect_closed(Code.SHUTTING_DOWN) == "x" * 1000
    assert peer.link.closed_at == world.clock.now()


def test_a_slow_consumer_loses_what_is_queued(world):
    peer = world.peer()
    peer.carrier.stop_taking()
    peer.link.send(frames.encode(Kind.PONG))
    world.hub.end(peer.link, Code.SLOW_CONSUMER)
    peer.carrier.take_all()
    peer.expect_closed(Code.SLOW_CONSUMER)


def test_without_a_word_the_carrier_ends_at_once(world):
    peer = world.peer()
    world.hub.end(peer.link, Code.GOODBYE, say=False)
    assert peer.carrier.closing
    peer.silent()


def test_nothing_is_sent_after_the_end(world):
    peer = world.peer()
    world.hub.end(peer.link, Code.INTERNAL)
    peer.expect_closed(Code.INTERNAL)
    peer.link.send(b"late")
    world.turn()
    peer.silent()
    assert peer.link.queued == 0


def test_forgiving_moves_every_deadline():
    watch = Watchdog(10.0)
    watch.forgive(5.0)
    assert (watch.started_at, watch.heard_at, watch.drained_at) == (15.0, 15.0, 15.0)
    assert watch.frame_began_at is None
    assert watch.full_since is None
    watch.frame_began_at = watch.full_since = 20.0
    watch.forgive(5.0)
    assert (watch.frame_began_at, watch.full_since) == (25.0, 25.0)
