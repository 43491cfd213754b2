"""agpd/gateway/hub.py: connections, receipts and refusals when receivers are full, announcements, counters.

Who receives what is in tests/scenarios/test_patterns.py.
"""

import pytest
from scenarios.harness import Agent, World

from agpd.errors import Code
from agpd.gateway.outbox import OutboxLimits
from agpd.message import Message
from agpd.wire import frames
from agpd.wire.frames import Kind

WRITER = "acme/dev/writer"


def full(agent: Agent) -> None:
    """The agent's connection takes nothing and its outbox is full."""
    agent.peer.carrier.stop_taking()
    agent.peer.link.send(bytes(agent.peer.link.threshold + 1000))


@pytest.fixture
def world() -> World:
    return World(
        outbox=OutboxLimits(100, 1000, 0.001), grants=[("acme/*", "observe", "*"), ("*", "publish", "*")]
    )


def receipt(agent: Agent) -> int:
    return frames.decode(agent.expect(Kind.RECEIPT).body, frames.Count).count


def test_a_receipt_counts_the_instances_that_got_it_not_the_links(world):
    sender, three, one = (world.agent(f"{WRITER}/{n}") for n in "013")
    three.peer.register(f"{WRITER}/4")
    three.peer.register(f"{WRITER}/5")
    sender.broadcast(WRITER, receipt=True)
    assert receipt(sender) == 4
    full(three)
    sender.broadcast(WRITER, receipt=True)
    assert receipt(sender) == 1
    sender.silent()
    full(one)
    sender.broadcast(WRITER, receipt=True)
    sender.peer.expect_refused(Code.RECEIVER_FULL)
    sender.silent()


def test_a_message_that_some_did_not_get_is_told_once(world):
    sender, ready, slow, slower = (world.agent(f"{WRITER}/{n}") for n in "0123")
    full(slow)
    full(slower)
    handle = sender.open(WRITER)
    sender.broadcast(handle, b"1", id=7)
    sender.peer.expect_refused(Code.RECEIVER_FULL, id=7)
    sender.peer.feed(b"".join(sender.frame(handle, b"2", fanout=0, id=n) for n in (8, 9)))
    sender.peer.expect_refused(Code.RECEIVER_FULL, 2, id=9)
    sender.broadcast(handle, b"3", kind=Kind.REQUEST)  # somebody will answer
    sender.silent()
    assert len(ready.peer.read()) == 4
    assert world.hub.refused[Code.RECEIVER_FULL] == 3


def test_an_observer_that_is_full_is_not_the_senders_business(world):
    sender, receiver, observer = map(world.agent, (f"{WRITER}/0", f"{WRITER}/1", "acme/ops/eye/1"))
    observer.subscribe("acme/dev/*")
    full(observer)
    for fanout in (0, 1):
        sender.publish(WRITER, fanout=fanout, receipt=True)
        assert receipt(sender) == 1
    sender.silent()
    assert len(receiver.peer.read()) == 2


def test_an_observer_that_has_it_does_not_stand_for_the_receiver_that_has_not(world):
    sender, receiver, observer = map(world.agent, (f"{WRITER}/0", f"{WRITER}/1", "acme/ops/eye/1"))
    observer.subscribe("acme/dev/*")
    full(receiver)
    for fanout in (0, 1):
        sender.publish(WRITER, fanout=fanout, receipt=True)
        sender.peer.expect_refused(Code.RECEIVER_FULL)
        observer.expect_delivery(b"", to=WRITER)


def test_a_route_that_is_full(world):
    sender, bridge = world.agent(f"{WRITER}/0"), world.agent("acme/net/bridge/1")
    bridge.set_route("*", bridge.name)
    sender.broadcast("acme/dev/absent", receipt=True)
    assert receipt(sender) == 1
    full(bridge)
    for fanout in (0, 1):
        sender.publish("acme/dev/absent", fanout=fanout, receipt=True)
        sender.peer.expect_refused(Code.RECEIVER_FULL)


def test_reserved_flags_end_the_connection(world):
    agent = world.agent(f"{WRITER}/0")
    frame = bytearray(agent.frame(WRITER))
    frame[5] = 0x81
    agent.peer.feed(bytes(frame))
    assert "0x81" in agent.peer.expect_closed(Code.MALFORMED_FRAME)


def test_a_message_to_oneself_over_a_route_is_not_remembered(world):
    sender = world.agent(f"{WRITER}/0")
    clerk = sender.peer.register("acme/dev/clerk/1")
    clerk.set_route("*", clerk.name)
    sender.publish(sender.name, b"1")
    sender.expect_delivery(b"1", to=sender.name)  # carried to the clerk, on the same connection
    clerk.unregister()
    sender.peer.inbox.clear()
    sender.publish(sender.name, b"2")
    sender.peer.expect_refused(Code.NO_ROUTE)


def test_handles_are_announced_once_to_each_link(world):
    sender, receiver = world.agent(f"{WRITER}/0"), world.agent(f"{WRITER}/1")
    for _ in range(3):
        sender.publish(receiver.name, b"x")
        sender.broadcast(WRITER, b"x")
    assert len(receiver.peer.read()) == 6  # the harness refuses a second announcement
    assert set(receiver.peer.names.values()) == {sender.name, receiver.name, WRITER}


def test_too_many_connections():
    world = World(connections=1)
    first, second = world.peer(), world.peer(greet=False)
    second.expect_closed(Code.TOO_MANY_CONNECTIONS)
    assert second.link in world.hub.lingering
    second.carrier.lose()
    assert not world.hub.lingering
    assert len(world.ends) == 1
    first.carrier.lose()
    assert world.peer().link in world.hub.links


def test_each_end_is_told_and_counted_once(world):
    peer = world.peer()
    world.hub.end(peer.link, Code.INTERNAL, "why")
    world.hub.end(peer.link, Code.GOODBYE)
    world.hub.lost(peer.link)
    assert world.ends == [(peer.link, Code.INTERNAL, "why")]
    assert world.hub.ended == {Code.INTERNAL: 1}


def test_a_link_that_ended_leaves_nothing_behind(world):
    stays, goes = world.agent(f"{WRITER}/0"), world.agent(f"{WRITER}/1")
    goes.subscribe("acme/dev/news")
    goes.open("acme/dev/far")
    goes.set_route("acme/x/*", goes.name)
    goes.watch(WRITER)
    goes.broadcast(WRITER, b"x")
    stays.publish(goes.name, b"x")
    goes.peer.carrier.lose()
    world.turn()
    link = goes.peer.link
    for table in (link.opened, link.flows, link.checked_flows, link.flows_to, link.flows_from, link.sources):
        assert not table
    assert link not in world.hub.links
    assert all(link not in links for links in world.hub.told_by.values())
    stays.peer.carrier.lose()
    assert not world.hub.told_by
    assert not world.hub.router.entries


def test_counters_outlive_the_links(world):
    sender, receiver = world.agent(f"{WRITER}/0"), world.agent(f"{WRITER}/1")
    for _ in range(3):
        sender.publish(receiver.name)
    full(receiver)
    sender.publish(receiver.name)
    during = world.hub.statistics()
    assert (during["connections"], during["agents"], during["queued_bytes"] > 1000) == (2, 2, True)
    for agent in (sender, receiver):
        agent.peer.carrier.lose()
    after = world.hub.statistics()
    assert (after["messages_in"], after["deliveries"], after["dropped"], after["refused"]) == (4, 3, 1, 1)
    assert (after["connections"], after["agents"], after["queued_bytes"]) == (0, 0, 0)


def test_draining_leaves_alone_who_has_not_greeted(world):
    peer = world.peer(greet=False)
    world.hub.drain()
    world.turn()
    peer.silent()


def test_who_takes_no_frame_so_long_does_not_get_it() -> None:
    """A dialect may have longer messages than the native protocol; its session hands them to the hub itself."""
    limit = 20_000
    world = World(frame_limit_bytes=limit)
    sender, wide, narrow = (world.agent(f"{WRITER}/{n}") for n in "012")
    sender.peer.link.frame_limit = wide.peer.link.frame_limit = 2 * limit

    def send(to: str, fanout: int) -> None:
        handle = sender.open(to)
        frame = sender.frame(handle, bytes(limit), fanout=fanout, id=5)
        world.hub.take(Message(Kind.PUBLISH, 0, fanout, handle, sender.handle, 5, frame, 1), sender.peer.link)
        world.turn()

    send(f"{WRITER}/1", 1)
    wide.expect(Kind.PUBLISH, id=5)
    sender.silent()
    for to, fanout in ((WRITER, 0), (f"{WRITER}/2", 1)):
        send(to, fanout)
        sender.peer.expect_refused(Code.TOO_LONG_FOR_RECEIVER, id=5)
        narrow.silent()
    wide.expect(Kind.PUBLISH, id=5)
