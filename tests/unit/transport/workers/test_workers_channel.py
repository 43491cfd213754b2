"""A channel of a trunk, in the hub: a transport as its protocol knows it."""

import pytest
from unit.transport.workers.trunk_world import Recorder, TrunkWorld

from agpd.transport.workers import codec
from agpd.transport.workers.channel import ACK_STEP_BYTES, WINDOW_BYTES

KIB = 1024


@pytest.fixture
def world() -> TrunkWorld:
    return TrunkWorld()


@pytest.mark.parametrize("der", [None, b"DER"])
def test_the_protocol_learns_who_it_is(world: TrunkWorld, der: bytes | None) -> None:
    _, _, recorder = world.client(der)
    assert recorder.channel.get_extra_info("peername") == "192.0.2.1:9"
    assert recorder.channel.get_extra_info("ssl_object").getpeercert(binary_form=True) == der
    assert recorder.channel.get_protocol() is recorder
    assert world.changes == 1


def test_bytes_go_both_ways(world: TrunkWorld) -> None:
    first, second = world.client(), world.client()
    first[0].data_received(b"from first")
    second[0].data_received(b"from second")
    first[2].channel.write(b"to first")
    second[2].channel.write(b"to second")
    world.turn()
    assert (first[2].got, second[2].got) == ([b"from first"], [b"from second"])
    assert (first[1].sent, second[1].sent) == (b"to first", b"to second")


def test_the_same_bytes_for_many_cross_once_and_in_their_order(world: TrunkWorld) -> None:
    clients = [world.client() for _ in range(20)]
    news = bytes(9_999) + b"x"
    clients[3][2].channel.write(b"before")
    for _, _, recorder in clients:
        recorder.channel.write(b"".join([news[:5000], news[5000:]]))
    clients[3][2].channel.write(b"after")
    world.down.writes.clear()
    world.turn()
    assert len(b"".join(world.down.writes)) < 11_000
    assert clients[3][1].sent == b"before" + news + b"after"
    assert all(socket.sent == news for _, socket, _ in clients[:3])


def test_a_turn_is_one_write(world: TrunkWorld) -> None:
    clients = [world.client() for _ in range(5)]
    world.down.writes.clear()
    for number, (_, _, recorder) in enumerate(clients):
        recorder.channel.write(b"%d" % number)
        recorder.channel.write(b"and more")
    world.turn()
    assert len(world.down.writes) == 1
    world.turn()
    assert not world.calls


def test_what_the_socket_has_not_taken_is_the_write_buffer(world: TrunkWorld) -> None:
    _, socket, recorder = world.client()
    channel = recorder.channel
    channel.set_write_buffer_limits(high=256 * KIB, low=64 * KIB)
    assert channel.get_write_buffer_limits() == (64 * KIB, 256 * KIB)
    socket.stuck = True
    channel.write(bytes(256 * KIB))
    assert recorder.writable
    channel.write(b"x")
    assert not recorder.writable
    world.turn()
    assert channel.get_write_buffer_size() == 256 * KIB + 1
    socket.take(100 * KIB)
    world.tick()
    assert channel.get_write_buffer_size() == 156 * KIB + 1
    assert not recorder.writable
    socket.take(92 * KIB + 1)
    world.tick()
    assert channel.get_write_buffer_size() == 64 * KIB
    assert recorder.writable


def test_a_paused_protocol_gets_nothing_until_it_goes_on(world: TrunkWorld) -> None:
    client, _, recorder = world.client()
    recorder.channel.pause_reading()
    assert not recorder.channel.is_reading()
    client.data_received(b"a")
    client.data_received(b"b")
    world.turn()
    assert recorder.got == []
    recorder.channel.resume_reading()
    assert recorder.got == [], "not within the call"
    client.data_received(b"c")
    world.turn()
    assert b"".join(recorder.got) == b"abc"


def test_what_comes_just_after_a_pause_does_not_overtake_what_was_held(world: TrunkWorld) -> None:
    client, _, recorder = world.client()
    recorder.channel.pause_reading()
    client.data_received(b"first")
    world.turn()
    client.data_received(b"second")
    world.calls.popleft()()  # it is on its way
    recorder.channel.resume_reading()
    world.turn()
    assert b"".join(recorder.got) == b"firstsecond"


def test_what_a_paused_channel_holds_is_bounded_by_its_window(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    recorder.channel.pause_reading()
    sent = 0
    while socket.reading:
        client.data_received(bytes(10_000))
        sent += 10_000
        world.turn()
    assert WINDOW_BYTES <= sent < WINDOW_BYTES + 10_000
    world.tick()
    assert not socket.reading
    unread = recorder.channel.get_extra_info("unread_bytes")
    assert unread() == sent
    recorder.channel.resume_reading()
    world.turn()
    assert socket.reading
    assert unread() == 0
    assert sum(map(len, recorder.got)) == sent


def test_what_is_taken_is_acknowledged_in_steps(world: TrunkWorld) -> None:
    client, socket, _ = world.client()
    world.down.writes.clear()
    for _ in range(100):
        client.data_received(bytes(ACK_STEP_BYTES // 10))
        world.turn()
    assert socket.reading
    assert 9 <= len(world.down.writes) <= 10


def test_a_lost_client_is_noticed_after_what_it_sent(world: TrunkWorld) -> None:
    client, _, recorder = world.client()
    recorder.channel.pause_reading()
    client.data_received(b"last words")
    client.connection_lost(ConnectionResetError("reset"))
    world.turn()
    assert not recorder.ended
    recorder.channel.resume_reading()
    world.turn()
    assert recorder.got == [b"last words"]
    assert str(recorder.ended[0]) == "reset"
    assert len(recorder.ended) == 1
    assert world.hub.channels == {}


def test_while_paused_no_end_is_noticed(world: TrunkWorld) -> None:
    client, _, recorder = world.client()
    recorder.channel.pause_reading()
    client.connection_lost(None)
    world.turn()
    assert not recorder.ended
    recorder.channel.close()
    world.turn()
    assert recorder.ended == [None]


def test_close_delivers_what_was_written_before_it(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    recorder.channel.write(b"bye")
    recorder.channel.close()
    recorder.channel.write(b"too late")
    client.data_received(b"unheard")
    world.turn()
    assert recorder.channel.is_closing()
    assert (bytes(socket.sent), socket.closed, recorder.got, recorder.ended) == (b"bye", True, [], [])
    client.connection_lost(None)
    world.turn()
    assert recorder.ended == [None]


def test_abort_waits_for_nobody(world: TrunkWorld) -> None:
    client, socket, recorder = world.client()
    recorder.channel.close()
    recorder.channel.abort()
    assert not recorder.ended, "not within the call"
    world.turn()
    assert recorder.ended == [None]
    assert socket.aborted
    recorder.channel.abort()
    client.connection_lost(None)
    world.turn()
    assert recorder.ended == [None]


def test_the_end_of_the_worker_is_that_of_its_clients(world: TrunkWorld) -> None:
    recorders = [world.client()[2] for _ in range(3)]
    recorders[1].channel.pause_reading()
    world.hub.connection_lost(None)
    assert [len(recorder.ended) for recorder in recorders] == [1, 0, 1]
    assert "worker" in str(recorders[0].ended[0])
    recorders[1].channel.resume_reading()
    recorders[1].channel.write(b"nowhere")
    world.turn()
    assert len(recorders[1].ended) == 1
    assert world.hub.cut_off == 3
    assert world.words == [("hub alone",)]


def test_other_words_are_passed_on(world: TrunkWorld) -> None:
    world.worker.send(codec.frame(codec.READY, 5))
    world.turn()
    assert world.words == [(codec.READY, 5)]


@pytest.mark.parametrize(
    "nonsense",
    [
        codec.frame(99),
        codec.many_head([1], 1) + b"x",
        codec.open_channel(1, "again", b""),
        codec.acks([(1, 1)]),
        codec.frame(codec.OPEN, 2, b"\xff"),
    ],
)
def test_a_worker_that_talks_nonsense_is_cut(world: TrunkWorld, nonsense: bytes, caplog) -> None:
    world.client()
    world.hub.received(nonsense)
    assert world.down.cut
    assert "the trunk is broken" in caplog.text


def test_a_fault_costs_one_client(world: TrunkWorld, caplog) -> None:
    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    client, socket, recorder = world.client()
    recorder.channel.set_protocol(Faulty())
    other = world.client()
    client.data_received(b"x")
    other[0].data_received(b"y")
    world.turn()
    assert socket.aborted
    assert other[2].got == [b"y"]
    assert not world.down.cut
    assert "ZeroDivisionError" in caplog.text
