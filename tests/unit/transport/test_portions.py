"""agpd/transport/portions.py: many messages of one read take many turns, in order, and hold the link meanwhile."""

from collections.abc import Callable

import pytest
from scenarios.harness import Peer, World

from agpd.errors import Code
from agpd.transport.portions import MESSAGES_PER_TURN, Portions


class Turns:
    """The loop of a test: what is due has its turn when it is told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.peer: Peer = world.peer()
        self.heard: list[list[bytes]] = []
        self.due: list[Callable[[], None]] = []
        self.portions = Portions(self.peer.link, self.due.append, self.heard.append)

    def turn(self) -> None:
        due, self.due[:] = list(self.due), []
        for call in due:
            call()


@pytest.fixture
def turns() -> Turns:
    return Turns(World())


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def test_a_few_are_heard_at_once(turns: Turns) -> None:
    turns.portions.take(numbered(MESSAGES_PER_TURN))
    assert turns.heard == [numbered(MESSAGES_PER_TURN)]
    assert turns.due == []
    assert turns.peer.carrier.reading


def test_many_are_heard_in_order_and_the_peer_is_not_read_meanwhile(turns: Turns) -> None:
    sent = numbered(2 * MESSAGES_PER_TURN + 5)
    turns.portions.take(sent)
    assert not turns.peer.carrier.reading
    assert turns.portions.bytes_waiting == sum(map(len, sent[MESSAGES_PER_TURN:]))
    turns.portions.take([b"what was on its way already"])
    assert len(turns.heard) == 1
    turns.turn()
    assert not turns.peer.carrier.reading
    turns.turn()
    assert turns.peer.carrier.reading
    assert list(map(len, turns.heard)) == [MESSAGES_PER_TURN, MESSAGES_PER_TURN, 6]
    assert [each for portion in turns.heard for each in portion] == [*sent, b"what was on its way already"]
    assert (turns.portions.bytes_waiting, turns.due) == (0, [])


def test_nothing_is_heard_while_the_hub_is_behind(turns: Turns) -> None:
    turns.portions.take(numbered(MESSAGES_PER_TURN + 1))
    turns.peer.link.reassembly.add(b"frames for the next turn")
    turns.turn()
    assert len(turns.heard) == 1
    turns.peer.link.reassembly.complete(bytes(100))
    turns.turn()
    assert len(turns.heard) == 2
    assert turns.peer.carrier.reading


def test_of_a_link_that_has_ended_nothing_is_heard_or_kept(turns: Turns) -> None:
    turns.portions.take(numbered(3 * MESSAGES_PER_TURN))
    turns.world.hub.end(turns.peer.link, Code.GOODBYE)
    turns.turn()
    turns.portions.take([b"late"])
    turns.turn()
    assert len(turns.heard) == 1
    assert turns.portions.bytes_waiting == 0


def test_a_message_that_ends_the_link_is_the_last(turns: Turns) -> None:
    hub, link = turns.world.hub, turns.peer.link
    portions = Portions(link, turns.due.append, lambda messages: hub.end(link, Code.MALFORMED_FRAME))
    portions.take(numbered(MESSAGES_PER_TURN + 1))
    assert turns.due == []
    assert portions.bytes_waiting == 0
