"""The hub does not run ahead of its workers, and waits for none of them long."""

import pytest
from unit.transport.workers.trunk_world import TrunkWorld

from agpd.transport.workers import codec
from agpd.transport.workers.codec import TrunkError
from agpd.transport.workers.gate import BACKLOG_BYTES

PIECE = bytes(1024 * 1024)


@pytest.fixture
def world() -> TrunkWorld:
    """A worker that has been given too much, and a client that has sent something since."""
    world = TrunkWorld()
    client, _, recorder = world.client()
    for number in range(BACKLOG_BYTES // len(PIECE) + 1):
        assert not world.gate.closed, number
        recorder.channel.write(PIECE)
    assert world.gate.closed
    world.hub.received(codec.data_head(client.number, 4) + b"news")
    assert recorder.got == []
    return world


def test_clients_are_taken_from_when_it_has_caught_up(world: TrunkWorld) -> None:
    world.turn()
    assert not world.gate.closed
    assert world.recorders[0].got == [b"news"]
    assert world.patience == []


def test_who_stands_still_is_waited_for_once(world: TrunkWorld) -> None:
    (impatient,) = world.patience
    impatient()
    world.patience.clear()
    assert not world.gate.closed
    world.calls.pop()()
    assert world.recorders[0].got == [b"news"]
    world.recorders[0].channel.write(PIECE)
    assert not world.gate.closed
    world.turn()  # it goes on
    world.hub.write(1, PIECE)
    for _ in range(BACKLOG_BYTES // len(PIECE)):
        world.hub.write(1, PIECE)
    assert world.gate.closed


def test_who_has_ended_is_not_waited_for(world: TrunkWorld) -> None:
    world.hub.connection_lost(None)
    assert not world.gate.closed
    assert world.patience == []


def test_who_has_caught_up_before_its_end_is_not_waited_for_either() -> None:
    world = TrunkWorld()
    world.hub.connection_lost(None)
    # Its clients are still sent that others have gone, and what is held for them.
    for _ in range(BACKLOG_BYTES // len(PIECE) + 1):
        world.hub.write(1, PIECE)
    assert not world.gate.closed


def test_a_fault_of_one_client_does_not_hold_up_the_others(
    world: TrunkWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.recorders[0], "data_received", fault)
    world.hub.received(codec.open_channel(7, "192.0.2.2:9", b""))
    world.hub.received(codec.data_head(7, 4) + b"more")
    with pytest.raises(ZeroDivisionError):
        world.turn()
    world.turn()
    assert world.recorders[1].got == [b"more"]


def test_a_paused_client_stays_paused(world: TrunkWorld) -> None:
    world.recorders[0].channel.pause_reading()
    world.turn()
    assert world.recorders[0].got == []
    world.recorders[0].channel.resume_reading()
    world.turn()
    assert world.recorders[0].got == [b"news"]


def test_a_count_has_eight_bytes() -> None:
    with pytest.raises(TrunkError):
        codec.taken_count(b"1234")
