"""agpd/hotpath: `forward`: what goes on as it lies, what is put to the hub, and where the loop stops."""

import pytest
from scenarios.harness import World

from agpd.errors import Code, Fatal
from agpd.gateway.outbox import OutboxLimits
from agpd.hotpath import forward
from agpd.wire import frames
from agpd.wire.frames import Kind

WRITER = "acme/dev/writer"


class Counting:
    """A hub that counts how often it is asked."""

    def __init__(self, hub) -> None:
        self.hub, self.asked = hub, []
        self.choose = hub.choose

    def take(self, message, origin) -> None:
        self.asked.append(message.count)
        self.hub.take(message, origin)

    def control(self, frame, origin) -> None:
        self.asked.append(frame.kind)
        self.hub.control(frame, origin)

    def dropped(self, data, count, flow, origin) -> None:
        self.asked.append(("dropped", count))
        self.hub.dropped(data, count, flow, origin)


class Scene:
    def __init__(self, **settings) -> None:
        self.world = World(**settings)
        self.sender, self.one, self.two = (self.world.agent(f"{WRITER}/{n}") for n in "012")
        self.taker = Counting(self.world.hub)

    def feed(self, data: bytes) -> list[object]:
        """What the loop asked the hub."""
        self.taker.asked.clear()
        try:
            forward(data, self.sender.peer.link, self.taker)
        finally:
            self.world.turn()
        return list(self.taker.asked)

    def frames(self, to: str, count: int, **fields) -> bytes:
        return b"".join(self.sender.frame(to, b"x", **fields) for _ in range(count))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_only_the_first_message_of_a_flow_is_put_to_the_hub(scene):
    assert scene.feed(scene.frames(scene.one.name, 4)) == [1]
    assert scene.feed(scene.frames(scene.one.name, 4)) == []
    assert len(scene.one.peer.read()) == 8


def test_a_run_leaves_as_one_slice(scene):
    scene.feed(scene.frames(scene.one.name, 1))
    data = scene.frames(scene.one.name, 5)
    forward(data, scene.sender.peer.link, scene.taker)
    assert scene.one.peer.link.queue == [data]


def test_receivers_take_turns_without_questions(scene):
    mixed = (scene.frames(scene.one.name, 1) + scene.frames(scene.two.name, 1)) * 3
    scene.feed(mixed)
    assert scene.feed(mixed) == []
    assert [len(agent.peer.read()) for agent in (scene.one, scene.two)] == [6, 6]
    assert scene.sender.peer.link.messages_in == scene.sender.peer.link.deliveries == 12


def test_a_run_of_broadcasts_is_one_question(scene):
    assert scene.feed(scene.frames(WRITER, 5, fanout=0)) == [1, 4]  # the first makes the flow
    scene.one.peer.read().clear()
    assert scene.feed(scene.frames(WRITER, 5, fanout=0)) == [5]
    assert len(scene.one.peer.read()) == 5


def test_choices_are_made_in_the_loop_once_everybody_was_met(scene):
    for _ in range(20):
        scene.feed(scene.frames(WRITER, 1))
    flow = scene.sender.peer.link.flows[scene.sender.open(WRITER) << 32 | scene.sender.handle]
    assert {entry.name.instance for entry in flow.met} == {"1", "2"}
    scene.taker.choose = lambda n: n - 1  # never the sender, who was there first
    assert scene.feed(scene.frames(WRITER, 10)) == []
    for agent in (scene.one, scene.two):
        assert {frame.destination for frame in agent.peer.read()} == {agent.handle}
    assert sum(len(agent.peer.inbox) for agent in (scene.one, scene.two)) == 30


def test_messages_with_receipt_are_put_to_the_hub_one_by_one(scene):
    scene.feed(scene.frames(scene.one.name, 1))
    assert scene.feed(scene.frames(scene.one.name, 3, receipt=True)) == [1, 1, 1]


def test_a_receiver_that_has_gone_is_the_hubs_business(scene):
    scene.feed(scene.frames(scene.one.name, 2))
    scene.one.peer.carrier.lose()
    scene.world.turn()
    assert scene.feed(scene.frames(scene.one.name, 3)) == [3]
    scene.sender.peer.expect_refused(Code.NO_ROUTE, 3)


@pytest.mark.parametrize("interleaved", [False, True])
def test_what_a_full_receiver_loses_is_told_to_the_sender(interleaved):
    scene = Scene(outbox=OutboxLimits(100, 200, 0.001))
    scene.feed(scene.frames(scene.one.name, 1) + scene.frames(scene.two.name, 1))
    scene.one.peer.carrier.stop_taking()
    last = scene.frames(scene.two.name, 1) if interleaved else b""
    assert scene.feed(scene.frames(scene.one.name, 20, id=9) + last) == [("dropped", 20)]
    scene.sender.peer.expect_refused(Code.RECEIVER_FULL, 20, id=9)
    assert scene.one.peer.link.dropped == 20
    requests = scene.frames(scene.one.name, 20, kind=Kind.REQUEST)
    scene.feed(requests)
    assert [frame.id for frame in scene.sender.peer.read()] == frames.ids(requests)


def test_control_frames_keep_their_place_among_messages(scene):
    scene.sender.open(scene.one.name)
    data = scene.frames(scene.one.name, 1) + frames.encode(Kind.PING, id=5) + scene.frames(scene.one.name, 1)
    assert scene.feed(data) == [1, Kind.PING]
    assert len(scene.one.peer.read()) == 2


def test_nothing_is_looked_at_after_a_close(scene):
    scene.sender.open(scene.one.name)
    data = frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)) + scene.frames(scene.one.name, 1)
    assert scene.feed(data) == [Kind.CLOSE]
    scene.one.silent()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ((19).to_bytes(4, "big") + bytes(40), Code.MALFORMED_FRAME),
        ((2**31).to_bytes(4, "big") + bytes(40), Code.FRAME_TOO_LARGE),
        ((2**32 - 1).to_bytes(4, "big"), Code.FRAME_TOO_LARGE),
        (frames.encode(0x7F), Code.UNKNOWN_KIND),
        (frames.encode(0x83), Code.UNKNOWN_KIND),
        (frames.encode(Kind.WELCOME), Code.ILLEGAL_MOVE),
        (frames.encode(Kind.HELLO, frames.Hello([1], "x", 1)), Code.ILLEGAL_MOVE),
        (frames.encode(Kind.PUBLISH, source=1, destination=2), Code.FOREIGN_SOURCE),
    ],
)
def test_what_comes_before_a_fault_is_delivered(scene, bad, code):
    scene.feed(scene.frames(scene.one.name, 1))
    with pytest.raises(Fatal) as caught:
        scene.feed(scene.frames(scene.one.name, 3) + bad)
    assert caught.value.code is code
    assert len(scene.one.peer.read()) == 4


def test_data_before_the_hello_is_an_illegal_move():
    world = World()
    peer = world.peer(greet=False)
    peer.feed(frames.encode(Kind.PUBLISH))
    peer.expect_closed(Code.ILLEGAL_MOVE)


def test_a_hello_raises_the_limit_for_what_follows_in_the_same_read():
    world = World(hello_limit_bytes=600)
    receiver, peer = world.agent(f"{WRITER}/1"), world.peer(greet=False)
    hello = frames.encode(Kind.HELLO, frames.Hello([1], "x", 1))
    peer.feed(hello + frames.encode(Kind.PING, frames.Named("x" * 1000)))
    peer.expect(Kind.WELCOME)
    peer.expect(Kind.PONG)
    small = world.peer(greet=False)
    small.feed(frames.encode(Kind.HELLO, frames.Hello([1], "x" * 600, 1)))
    small.expect_closed(Code.FRAME_TOO_LARGE)
    receiver.silent()
