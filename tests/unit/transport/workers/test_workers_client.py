"""A client's connection in the worker: nothing is queued there, and it is read only as far as the hub takes it."""

import pytest
from unit.transport.workers.trunk_world import TrunkWorld

from agpd.transport.workers import codec
from agpd.transport.workers.channel import WINDOW_BYTES
from agpd.transport.workers.client import ACK_STEP_BYTES, LAST_NUMBER


@pytest.fixture
def world() -> TrunkWorld:
    return TrunkWorld()


def test_large_steps_are_acknowledged_at_once_and_the_rest_on_the_tick(world: TrunkWorld) -> None:
    _, _, recorder = world.client()
    recorder.channel.write(bytes(ACK_STEP_BYTES))
    world.turn()
    assert recorder.channel.get_write_buffer_size() == 0
    recorder.channel.write(b"little")
    world.turn()
    assert recorder.channel.get_write_buffer_size() == 6
    world.tick()
    assert recorder.channel.get_write_buffer_size() == 0


def test_the_tick_ends_when_everything_is_said(world: TrunkWorld) -> None:
    _, socket, recorder = world.client()
    socket.stuck = True
    recorder.channel.write(b"123456")
    world.turn()
    for taken in (0, 2, 4):
        assert len(world.timers) == 1
        socket.take(taken)
        world.tick()
    assert recorder.channel.get_write_buffer_size() == 0
    assert world.timers == []


def test_a_socket_that_has_room_again_is_acknowledged_at_once(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    socket.stuck = True
    recorder.channel.write(b"1234")
    world.turn()
    socket.take(4)
    client.resume_writing()
    world.turn()
    assert recorder.channel.get_write_buffer_size() == 0


def test_records_of_a_socket_may_be_longer_than_what_was_written(world: TrunkWorld) -> None:
    _, socket, recorder = world.client()
    socket.stuck = True
    socket.backlog += b"handshake records"
    recorder.channel.write(b"1234")
    world.turn()
    world.tick()
    assert recorder.channel.get_write_buffer_size() == 4


def test_while_the_trunk_is_full_whoever_sends_is_read_once_more(world: TrunkWorld) -> None:
    busy, idle = world.client(), world.client()
    world.worker.pause_writing()
    busy[0].data_received(b"x")
    busy[0].data_received(b"what TLS had decrypted already")
    assert (busy[1].reading, idle[1].reading) == (False, True)
    world.worker.resume_writing()
    assert busy[1].reading


def test_a_full_trunk_and_a_used_window_must_both_end(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    recorder.channel.pause_reading()
    world.worker.pause_writing()
    client.data_received(bytes(WINDOW_BYTES))
    world.turn()
    world.worker.resume_writing()
    assert not socket.reading
    recorder.channel.resume_reading()
    world.turn()
    assert socket.reading


def test_two_that_send_the_same_byte_at_once_do_not_share_it(world: TrunkWorld) -> None:
    """Python has one object for each single byte."""
    one, two = world.client(), world.client()
    one[0].data_received(b"x")
    two[0].data_received(b"x")
    world.turn()
    assert (one[2].got, two[2].got) == ([b"x"], [b"x"])
    assert not world.down.cut


def test_what_comes_for_a_client_that_has_gone_is_nothing(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    other = world.client()
    client.connection_lost(None)
    recorder.channel.write(b"late")
    other[2].channel.write(b"in time")
    world.hub.send(codec.acks([(client.number, 5)]), codec.frame(codec.ABORT, client.number))
    world.turn()
    assert (socket.sent, other[1].sent) == (b"", b"in time")
    assert not world.up.cut


def test_a_client_that_has_gone_keeps_no_tick_alive(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    socket.stuck = True
    recorder.channel.write(b"never taken")
    world.turn()
    client.connection_lost(None)
    world.tick()
    assert world.timers == []


def test_a_hub_that_acknowledges_too_much_is_cut(world: TrunkWorld, caplog) -> None:
    client, _, _ = world.client()
    world.hub.send(codec.acks([(client.number, 1)]))
    world.turn()
    assert world.up.cut
    assert "more was acknowledged" in caplog.text


def test_numbers_start_anew_after_the_last(world: TrunkWorld) -> None:
    first, _, _ = world.client()
    assert first.number == 1
    world.worker._number = LAST_NUMBER - 1
    assert world.client()[0].number == LAST_NUMBER
    first.connection_lost(None)
    world.turn()
    assert world.client()[0].number == 1


def test_the_end_of_the_hub_is_told(world: TrunkWorld) -> None:
    world.worker.connection_lost(None)
    assert world.words == [("worker alone",)]
