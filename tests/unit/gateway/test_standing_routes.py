"""Standing routes through the hub: who gets what nobody takes, at which address."""

import pytest
from scenarios.harness import World

from agpd.errors import Code
from agpd.names import parse, parse_pattern
from agpd.wire import frames
from agpd.wire.frames import Kind

DESK = "acme/ops/desk"


@pytest.fixture
def world() -> World:
    world = World()
    world.hub.router.set_standing("acme", {parse_pattern("acme/dev/*"): parse(DESK)})
    return world


@pytest.mark.parametrize("to", ["acme/dev/writer", "acme/dev/writer/7"])
@pytest.mark.parametrize("fanout", [0, 1, 3])
def test_it_leads_to_an_instance_of_its_type(world, to, fanout):
    sender, desk = world.agent("acme/dev/clerk/1"), world.agent(f"{DESK}/1")
    sender.publish(to, b"one", fanout=fanout, receipt=True)
    desk.expect_delivery(b"one", to=desk.name, of=sender.name)
    assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 1
    sender.publish(to, b"two", fanout=fanout)
    desk.expect_delivery(b"two", to=desk.name)
    sender.silent()


def test_a_run_of_broadcasts_is_redirected_frame_by_frame(world):
    sender, desk = world.agent("acme/dev/clerk/1"), world.agent(f"{DESK}/1")
    to = sender.open("acme/dev/writer")
    sender.peer.feed(b"".join(sender.frame(to, bytes([number]), fanout=0) for number in range(9)))
    for number in range(9):
        desk.expect_delivery(bytes([number]), to=desk.name)


def test_it_takes_effect_when_somebody_comes_and_ends_when_the_last_has_gone(world):
    sender = world.agent("acme/dev/clerk/1")
    for fanout in (0, 1):
        sender.publish("acme/dev/writer", b"lost", fanout=fanout, receipt=True)
        sender.peer.expect_refused(Code.NO_ROUTE)
        desk = world.agent(f"{DESK}/{fanout}")
        sender.publish("acme/dev/writer", b"found", fanout=fanout)
        desk.expect_delivery(b"found", to=desk.name)
        desk.peer.carrier.lose()
        world.turn()


def test_a_change_takes_effect_for_open_handles(world):
    sender, desk, other = (
        world.agent(name) for name in ("acme/dev/clerk/1", f"{DESK}/1", "acme/ops/night/1")
    )
    sender.broadcast("acme/dev/writer", b"day")
    world.hub.router.set_standing("acme", {parse_pattern("acme/*"): parse("acme/ops/night")})
    sender.broadcast("acme/dev/writer", b"night")
    world.hub.router.set_standing("acme", {})
    sender.broadcast("acme/dev/writer", b"nobody", receipt=True)
    desk.expect_delivery(b"day", to=desk.name)
    other.expect_delivery(b"night", to=other.name)
    sender.peer.expect_refused(Code.NO_ROUTE)


def test_whoever_is_there_gets_it_and_a_set_route_comes_first(world):
    sender, desk, bridge = (
        world.agent(name) for name in ("acme/dev/clerk/1", f"{DESK}/1", "acme/net/bridge/1")
    )
    bridge.set_route("acme/dev/*", bridge.name)
    sender.publish("acme/dev/writer", b"by the route that was set")
    bridge.expect_delivery(b"by the route that was set", to="acme/dev/writer")
    writer = world.agent("acme/dev/writer/1")
    sender.publish("acme/dev/writer", b"there")
    writer.expect_delivery(b"there", to=writer.name)
    desk.silent()


def test_it_leads_no_message_back_to_its_sender(world):
    desk = world.agent(f"{DESK}/1")
    desk.publish("acme/dev/writer", b"?", receipt=True)
    desk.peer.expect_refused(Code.NO_ROUTE)


def test_every_instance_has_its_share(world):
    sender = world.agent("acme/dev/clerk/1")
    desks = [world.agent(f"{DESK}/{number}") for number in range(4)]
    for _ in range(400):
        sender.publish("acme/dev/writer/7")
    shares = [len(desk.peer.read()) for desk in desks]
    assert sum(shares) == 400
    assert min(shares) > 60


def test_a_request_by_a_standing_route_is_answered(world):
    sender, desk = world.agent("acme/dev/clerk/1"), world.agent(f"{DESK}/1")
    sender.publish("acme/dev/writer", b"?", kind=Kind.REQUEST)
    there = desk.expect_delivery(b"?", to=desk.name, kind=Kind.REQUEST).source
    desk.publish(there, b"!", kind=Kind.REPLY)
    sender.expect_delivery(b"!", to=sender.name, of=desk.name, kind=Kind.REPLY)


def test_it_is_nobody_elses(world):
    stranger, desk = world.agent("globex/dev/clerk/1"), world.agent(f"{DESK}/1")
    stranger.publish("globex/dev/writer", b"?", receipt=True)
    stranger.peer.expect_refused(Code.NO_ROUTE)
    desk.silent()


def test_a_foreign_name_may_be_covered():
    world = World()
    sender, desk = world.agent("acme/dev/clerk/1"), world.agent(f"{DESK}/1")
    foreign = world.agent("globex/dev/writer/1")
    world.hub.router.set_standing("acme", {parse_pattern("globex/*"): parse(DESK)})
    sender.publish(foreign.name, b"for the bridge")
    desk.expect_delivery(b"for the bridge", to=desk.name)
    foreign.silent()


def test_a_foreign_subscriber_of_its_type_gets_nothing_of_it():
    world = World(grants=[("globex/*", "subscribe", "acme/*")])
    world.hub.router.set_standing("acme", {parse_pattern("acme/dev/*"): parse(DESK)})
    sender, foreign = world.agent("acme/dev/clerk/1"), world.agent("globex/dev/reader/3")
    foreign.subscribe(DESK)
    sender.publish("acme/dev/writer", b"?", receipt=True)
    sender.peer.expect_refused(Code.NO_ROUTE)
    desk = world.agent(f"{DESK}/2")
    for _ in range(20):
        sender.publish("acme/dev/writer", b"for the desk")
        desk.expect_delivery(b"for the desk", to=desk.name)
    foreign.silent()
    sender.publish(DESK, b"to the type itself", fanout=0)
    foreign.expect_delivery(b"to the type itself", to=DESK)
