"""One connection of HTTP/2: what peers may do, what they may not, and what it costs them."""

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.wire.http2_peer import (
    ACK,
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PLENTY,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Peer,
    frame,
    settings,
    window_update,
)

from agpd.wire.http2 import Data, Error, Failed, HalfClosed, Leaving, Limits, Pong, Request, Reset
from agpd.wire.http2_frames import FIRST_WINDOW, WINDOW_LIMIT

SMALL = Limits(frame_bytes=16_384, streams=3, stream_window_bytes=65_536, connection_window_bytes=131_072)
HEAD = [(b":status", b"200")]


def goaway_of(peer):
    return [struct.unpack(">II", body[:8]) for kind, _, _, body in peer.sent() if kind == GOAWAY]


# ---- the beginning


def test_it_begins_with_settings_and_a_wider_window():
    peer = Peer(greet=False)
    (kind, _, _, body), widened = peer.sent()
    assert kind == SETTINGS
    assert dict(struct.iter_unpack(">HI", body)) == {3: 100, 4: 524_288, 5: 65_536, 6: 16_384}
    assert widened == (WINDOW_UPDATE, 0, 0, (4 * 2**20 - FIRST_WINDOW).to_bytes(4, "big"))
    assert not peer.connection.settled
    peer.feed(PREFACE + settings())
    assert peer.connection.settled
    assert peer.sent() == [(SETTINGS, ACK, 0, b"")]


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"P0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"])
def test_what_is_not_http2_is_seen_at_its_first_byte(first):
    assert "not HTTP/2" in Peer(greet=False).dies(first, Error.PROTOCOL_ERROR)


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK), frame(99)])
def test_the_first_frame_is_settings(first):
    Peer(greet=False).dies(PREFACE + first, Error.PROTOCOL_ERROR)


# ---- frames


def test_a_length_is_judged_before_anything_is_kept():
    peer = Peer(SMALL)
    peer.dies(frame(DATA, 0, 1, bytes(16_385))[:9], Error.FRAME_SIZE_ERROR)
    assert not peer.connection._kept


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_more_is_kept_than_a_frame(size):
    peer = Peer(SMALL)
    stream = peer.request()
    whole = frame(DATA, 0, 1, bytes(16_384)) * 3
    got = 0
    for place in range(0, len(whole), size):
        for event in peer.feed(whole[place : place + size]):
            assert isinstance(event, Data)
            got += sum(map(len, peer.connection.take(stream)))
        assert len(peer.connection._kept) < 16_384 + 9 + size
    assert got == 3 * 16_384


def test_work_is_bounded_and_the_rest_kept():
    peer = Peer()
    stream = peer.request()
    data = frame(DATA, 0, 1, b"x") * 100
    assert peer.feed(data, 10) == [Data(stream)]
    assert (peer.connection.work, peer.connection.behind) == (10, True)
    assert len(peer.connection.take(stream)) == 10
    assert peer.feed(data, 0) == []
    assert peer.connection.behind
    assert peer.feed(b"", 1000) == [Data(stream)]
    assert (peer.connection.work, peer.connection.behind) == (190, False)
    assert len(peer.connection.take(stream)) == 190
    peer.feed(frame(PING, 0, 0, bytes(8)))
    assert peer.connection.work > 10


def test_entries_of_headers_are_work():
    few, many = Peer(), Peer()
    few.request()
    many.request(more=[("a", "b")] * 300)
    assert many.connection.work > few.connection.work + 2000


def test_frames_between_headers_and_continuation_end_the_connection():
    block = Peer().encoder.encode(CALL)
    open_ = frame(HEADERS, 0, 1, block[:10])
    for between in (
        frame(DATA, 0, 1),
        frame(PING, 0, 0, bytes(8)),
        frame(HEADERS, END_HEADERS, 3, block),
        frame(CONTINUATION, END_HEADERS, 3, block[10:]),
        frame(99),
        window_update(0, 1),
    ):
        Peer().dies(open_ + between, Error.PROTOCOL_ERROR)
    peer = Peer()
    peer.request()
    peer.dies(frame(HEADERS, 0, 3, block[:10]) + frame(DATA, 0, 1, b"x"), Error.PROTOCOL_ERROR)
    whole = Peer().feed(open_ + frame(CONTINUATION, END_HEADERS, 1, block[10:]))
    assert isinstance(whole[0], Request)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(CONTINUATION, END_HEADERS, 1), Error.PROTOCOL_ERROR),
        (frame(DATA, 0, 0, b"x"), Error.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, b"x"), Error.PROTOCOL_ERROR),  # idle
        (frame(DATA, 0, 2, b"x"), Error.PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(4)), Error.PROTOCOL_ERROR),  # idle
        (frame(RST_STREAM, 0, 0, bytes(4)), Error.PROTOCOL_ERROR),
        (window_update(1, 1), Error.PROTOCOL_ERROR),  # idle
        (window_update(2, 1), Error.PROTOCOL_ERROR),
        (window_update(0, 0), Error.PROTOCOL_ERROR),
        (window_update(0, WINDOW_LIMIT), Error.FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(5)), Error.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 1), Error.PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, bytes(5)), Error.FRAME_SIZE_ERROR),
        (settings((4, 2**31)), Error.FLOW_CONTROL_ERROR),
        (settings((5, 1)), Error.PROTOCOL_ERROR),
        (settings((2, 2)), Error.PROTOCOL_ERROR),
        (settings(*[(99, 1)] * 65), Error.ENHANCE_YOUR_CALM),
        (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), Error.PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), Error.PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 0, bytes(7)), Error.FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), Error.PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, b""), Error.PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 2, Peer().encoder.encode(CALL)), Error.PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), Error.PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 1, (1).to_bytes(4, "big") + b"\0"), Error.PROTOCOL_ERROR),
    ],
    ids=lambda value: value.hex()[:40] if isinstance(value, bytes) else value.name,
)
def test_connection_errors(data, code):
    Peer().dies(data, code)


def test_unknown_frames_and_settings_are_ignored():
    peer = Peer()
    assert peer.feed(frame(99, 255, 7, b"?") + settings((0x9999, 1), (8, 1))) == []
    assert peer.sent() == [(SETTINGS, ACK, 0, b"")]
    assert 0x9999 not in peer.connection._h2.remote_settings


def test_a_request_with_its_end_and_one_with_trailers():
    peer = Peer()
    event, end = peer.feed(peer.headers(1, end=True))
    assert end == HalfClosed(event.stream)
    stream = Peer.request(peer_at(peer, 3))
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, 3, peer.encoder.encode([("x", "y")]))
    assert peer.feed(trailers) == [HalfClosed(stream)]


def peer_at(peer, number):
    peer.next = number
    return peer


# ---- streams that are gone


def test_data_after_the_end_ends_the_stream():
    peer = Peer()
    stream = peer.request(end=True)
    assert peer.feed(frame(DATA, 0, 1, b"x")) == [Reset(stream, Error.STREAM_CLOSED, "DATA after END_STREAM")]
    assert peer.sent() == [(RST_STREAM, 0, 1, Error.STREAM_CLOSED.to_bytes(4, "big"))]
    assert stream.gone
    assert not peer.connection.streams


def test_what_was_under_way_after_a_reset_of_ours_is_ignored_and_its_window_given_back():
    peer = Peer(SMALL)
    stream = peer.request()
    peer.connection.reset(stream, Error.CANCEL)
    peer.sent()
    for _ in range(20):  # more than the connection's window
        assert peer.feed(frame(DATA, 0, 1, bytes(10_000)) + window_update(1, 5)) == []
        peer.sent()
    assert peer.feed(frame(RST_STREAM, 0, 1, bytes(4))) == []
    peer.connection.write(stream, b"x")
    peer.connection.finish(stream, HEAD)
    peer.connection.headers(stream, HEAD)
    assert peer.sent() == []


def test_the_peers_reset_forgets_what_was_queued():
    peer = Peer()
    stream = peer.request()
    peer.feed(frame(DATA, 0, 1, b"unread"))
    peer.connection.write(stream, b"x" * 100_000)
    assert peer.feed(frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))) == [
        Reset(stream, 8, "reset by the client")
    ]
    assert (stream.queued, stream.parts, peer.connection.streams) == (0, [], {})
    assert peer.sent() == []


def test_the_peers_reset_comes_before_the_trailers():
    peer = Peer()
    stream = peer.request()
    peer.connection.finish(stream, HEAD)
    assert peer.feed(frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))) == [
        Reset(stream, 8, "reset by the client")
    ]
    assert peer.sent() == []
    assert peer.connection.finished == []


def test_headers_on_a_stream_that_has_ended_end_the_connection():
    peer = Peer()
    stream = peer.request(end=True)
    peer.connection.headers(stream, HEAD)
    peer.connection.finish(stream, [(b"grpc-status", b"0")])
    peer.sent()
    peer.dies(peer.headers(1), Error.STREAM_CLOSED)


def test_few_ends_are_remembered():
    peer = Peer()
    for _ in range(600):
        peer.now += 1
        stream = peer.request(end=True)
        peer.connection.finish(stream, HEAD)
        peer.sent()
    assert len(peer.connection._h2._closed_streams) <= 256
    assert len(peer.connection._h2.streams) <= 2
    assert not peer.connection.streams


# ---- content


def test_padding_counts_for_windows_and_is_taken_off():
    peer = Peer(SMALL)
    stream = peer.request()
    assert peer.feed(frame(DATA, 0x8, 1, b"\x03abc\0\0\0")) == [Data(stream)]
    assert stream.unread == 7
    assert peer.connection.take(stream) == [b"abc"]
    assert peer.feed(frame(DATA, 0x8, 1, b"\x06abc\0\0\0")) == []  # only padding
    peer.dies(frame(DATA, 0x8, 1, b"\x07abc\0\0\0"), Error.PROTOCOL_ERROR)
    other = Peer(SMALL)
    other.request()
    other.dies(frame(DATA, 0x8, 1), Error.FRAME_SIZE_ERROR)


@pytest.mark.parametrize(("length", "came"), [(5, 4), (5, 6), (0, 1), (1, 0)])
def test_content_length_is_checked(length, came):
    peer = Peer()
    stream = peer.request(more=[("content-length", str(length))])
    found = peer.feed(frame(DATA, 0, 1, bytes(came)) + frame(DATA, END_STREAM, 1))
    assert found[-1] == Reset(stream, Error.PROTOCOL_ERROR, "content-length is not what came")
    right = peer.request(more=[("content-length", str(length))])
    found = peer.feed(frame(DATA, END_STREAM, right.id, bytes(length)))
    assert found[-1] == HalfClosed(right)


# ---- windows that we give


def test_a_window_is_given_back_when_what_came_is_taken():
    peer = Peer(SMALL)
    stream = peer.request()
    for _ in range(4):
        peer.feed(frame(DATA, 0, 1, bytes(16_384)))
    assert peer.sent() == []
    assert sum(map(len, peer.connection.take(stream))) == 65_536
    assert {(kind, number): body for kind, _, number, body in peer.sent()} == {
        (WINDOW_UPDATE, 0): (65_536).to_bytes(4, "big"),
        (WINDOW_UPDATE, 1): (65_536).to_bytes(4, "big"),
    }
    assert peer.feed(frame(DATA, 0, 1, bytes(16_384))) == [Data(stream)]


def test_more_than_the_streams_window_ends_the_stream_and_no_other():
    peer = Peer(SMALL)
    stream, other = peer.request(), peer.request()
    for _ in range(4):
        peer.feed(frame(DATA, 0, 1, bytes(16_384)))
    assert peer.feed(frame(DATA, 0, 1, b"x"))[0][:2] == (stream, Error.FLOW_CONTROL_ERROR)
    assert peer.feed(frame(DATA, 0, 3, b"x")) == [Data(other)]


def test_more_than_the_connections_window_ends_it():
    peer = Peer(SMALL)
    for _ in range(3):
        peer.request()
    for number in (1, 3):
        for _ in range(4):
            peer.feed(frame(DATA, 0, number, bytes(16_384)))
    peer.dies(frame(DATA, 0, 5, b"x"), Error.FLOW_CONTROL_ERROR)


def test_a_stream_that_is_not_read_holds_up_no_other():
    limits = SMALL._replace(connection_window_bytes=4 * 65_536)
    peer = Peer(limits)
    held, other = peer.request(), peer.request()
    for _ in range(4):
        for event in peer.feed(frame(DATA, 0, 1, bytes(16_384))):
            peer.connection.hold(event.stream)
    for _ in range(100):
        for event in peer.feed(frame(DATA, 0, 3, bytes(16_384))):
            assert event == Data(other)
            peer.connection.take(other)
        peer.sent()
    assert peer.connection.take(held) == [bytes(65_536)]


def test_what_is_held_in_crumbs_takes_few_bytes():
    peer = Peer()
    stream = peer.request()
    for _ in range(200):
        for event in peer.feed(frame(DATA, 0, 1, b"x") * 100):
            peer.connection.hold(event.stream)
    assert sys.getsizeof(stream.held) + sys.getsizeof(stream.parts) < 60_000
    assert peer.connection.take(stream) == [b"x" * 20_000]


def test_the_window_of_what_nobody_took_comes_back_with_the_end():
    peer = Peer(SMALL)
    for _ in range(20):
        stream = peer.request()
        assert not peer.connection.failed
        peer.feed(frame(DATA, 0, stream.id, bytes(16_384)))
        peer.connection.reset(stream, Error.CANCEL)
        peer.sent()


# ---- windows that the peer gives


def test_data_goes_out_within_both_windows():
    peer = Peer()
    stream = peer.request()
    peer.connection.headers(stream, HEAD)
    peer.connection.write(stream, b"a" * 100_000)
    sent = peer.sent()
    assert [kind for kind, *_ in sent] == [HEADERS, *[DATA] * 4]
    assert max(len(body) for *_, body in sent) == 16_384
    assert sum(len(body) for kind, _, _, body in sent if kind == DATA) == FIRST_WINDOW
    assert stream.queued == 100_000 - FIRST_WINDOW
    peer.feed(window_update(1, 20_000))
    assert peer.sent() == []  # the connection's
    peer.feed(window_update(0, 10_000))
    assert sum(len(body) for *_, body in peer.sent()) == 10_000
    peer.feed(window_update(0, 100_000))
    assert sum(len(body) for *_, body in peer.sent()) == 10_000
    peer.feed(window_update(1, 100_000))
    assert sum(len(body) for *_, body in peer.sent()) == 100_000 - FIRST_WINDOW - 20_000


def test_settings_move_the_windows_of_open_streams():
    peer = Peer()
    stream = peer.request()
    peer.connection.write(stream, bytes(50_000))
    assert peer.feed(settings((4, 10_000))) == []
    assert sum(len(body) for kind, _, _, body in peer.sent() if kind == DATA) == 10_000
    peer.feed(settings((4, 5_000)))  # now it is less than nothing
    assert stream.window_out == -5_000
    peer.feed(window_update(1, 5_000))
    assert [kind for kind, *_ in peer.sent()] == [SETTINGS]
    peer.feed(settings((4, 10_000)))
    assert sum(len(body) for kind, _, _, body in peer.sent() if kind == DATA) == 5_000
    peer.feed(window_update(1, WINDOW_LIMIT - 10_000))
    peer.dies(settings((4, 30_000)), Error.FLOW_CONTROL_ERROR)


def test_frames_are_as_long_as_the_peer_takes_them_up_to_a_limit():
    peer = Peer()
    peer.feed(settings((5, 2**24 - 1), (4, 2**20)) + window_update(0, 2**20))
    stream = peer.request()
    peer.connection.write(stream, bytes(200_000))
    assert max(len(body) for *_, body in peer.sent()) == 65_536


def test_the_window_of_a_stream_that_grows_too_large_ends_it():
    peer = Peer()
    stream = peer.request()
    assert peer.feed(window_update(1, WINDOW_LIMIT))[0][:2] == (stream, Error.FLOW_CONTROL_ERROR)
    stream = peer.request()
    assert peer.feed(window_update(3, 0))[0][:2] == (stream, Error.PROTOCOL_ERROR)


def test_messages_are_sent_together_and_streams_take_turns():
    peer = Peer()
    one, two = peer.request(), peer.request()
    peer.feed(window_update(0, 10**6) + window_update(1, 10**6) + window_update(3, 10**6))
    for _ in range(1000):
        peer.connection.write(one, b"x" * 100)
    peer.connection.write(two, b"y" * 40_000)
    sent = peer.sent()
    assert [(number, len(body)) for _, _, number, body in sent[:4]] == [
        (1, 16_384),
        (3, 16_384),
        (1, 16_384),
        (3, 16_384),
    ]
    assert b"".join(body for _, _, number, body in sent if number == 1) == b"x" * 100_000
    assert b"".join(body for _, _, number, body in sent if number == 3) == b"y" * 40_000


def test_no_more_is_sent_than_was_asked_for():
    peer = Peer()
    stream = peer.request()
    peer.connection.write(stream, bytes(60_000))
    assert sum(len(body) for *_, body in peer.sent(20_000)) == 2 * 16_384
    assert peer.sent(0) == []
    assert stream.queued == 60_000 - 2 * 16_384


def test_trailers_come_last_and_pass_a_window_that_is_shut():
    peer = Peer()
    full, other = peer.request(), peer.request()
    peer.connection.write(full, bytes(FIRST_WINDOW + 10))
    peer.connection.finish(full, [(b"grpc-status", b"0")])
    assert {number for _, _, number, _ in peer.sent()} == {1}
    peer.connection.finish(other, [(b"grpc-status", b"5")])
    (kind, flags, number, body), reset = peer.sent()
    assert (kind, flags & END_STREAM, number) == (HEADERS, END_STREAM, 3)
    assert peer.read_headers(body) == [(b"grpc-status", b"5")]
    assert reset == (RST_STREAM, 0, 3, bytes(4))  # NO_ERROR: it need send no more
    assert peer.connection.finished == [other]
    peer.feed(window_update(0, 10) + window_update(1, 10))
    data, (kind, flags, *_), _ = peer.sent()
    assert (len(data[3]), kind, flags & END_STREAM) == (10, HEADERS, END_STREAM)
    assert peer.connection.finished == [other, full]


def test_what_is_dropped_is_not_sent():
    peer = Peer()
    stream = peer.request(end=True)
    peer.connection.write(stream, bytes(FIRST_WINDOW + 10))
    peer.sent()
    peer.connection.drop(stream)
    peer.connection.finish(stream, [(b"grpc-status", b"4")])
    assert [kind for kind, *_ in peer.sent()] == [HEADERS]


# ---- floods


def flood(peer, data, *, count=20_000, at_once=50):
    """Feed it again and again in no time; returns how often, and the failure."""
    for number in range(0, count, at_once):
        for event in peer.feed(data * at_once):
            if isinstance(event, Failed):
                return number, event
    return count, None


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (frame(PING, 0, 0, bytes(8)), 1001),
        (frame(PING, ACK, 0, bytes(8)), 1001),
        (settings((4, 70_000)), 201),
        (settings((1, 2**32 - 1)) + settings((1, 1)), 101),
        (frame(SETTINGS, ACK), 201),
        (frame(PRIORITY, 0, 7, bytes(5)), 1001),
        (frame(DATA, 0, 1), 1001),
        (frame(DATA, 0x8, 1, b"\x05\0\0\0\0\0"), 1001),
        (window_update(0, 1), 10_001),
        (window_update(1, 1), 10_001),
        (frame(99, 0, 0, b"?"), 1001),
        (frame(GOAWAY, 0, 0, bytes(8)), 201),
    ],
    ids=lambda value: value.hex()[:40] if isinstance(value, bytes) else str(value),
)
def test_floods_end_the_connection(data, most):
    peer = Peer()
    peer.request()
    count, failed = flood(peer, data)
    assert failed is not None
    assert failed.code == Error.ENHANCE_YOUR_CALM
    assert most - 60 <= count <= most + 60
    assert sum(len(body) + 9 for *_, body in peer.sent()) < 40_000  # of answers
    assert len(peer.connection._h2.encoder.table_size_changes) <= 2


def test_one_of_each_in_a_second_is_nothing():
    peer = Peer()
    peer.request()
    for _ in range(2000):
        peer.now += 1
        for data in (frame(PING, 0, 0, bytes(8)), settings((4, 70_000)), window_update(0, 1)):
            assert peer.feed(data) == []
        peer.sent()


def test_window_updates_are_earned():
    peer = Peer()
    stream = peer.request()
    for _ in range(30_000):
        peer.connection.write(stream, b"x")
        assert len(peer.sent()) == 1
        assert peer.feed(window_update(0, 1) + window_update(1, 1)) == []


def test_streams_that_are_reset_at_once():
    peer, streams = Peer(), 0
    for _ in range(2000):
        number = peer.next
        peer.next += 2
        found = peer.feed(peer.headers(number) + frame(RST_STREAM, 0, number, bytes(4)))
        streams += isinstance(found[0], Request)
        if isinstance(found[-1], Failed):
            assert found[-1].code == Error.ENHANCE_YOUR_CALM
            break
    assert 490 <= streams <= 510


def test_streams_that_we_are_made_to_reset():
    peer = Peer()
    while not isinstance(peer.feed(window_update(peer.request().id, 0))[-1], Failed):
        pass
    assert 190 <= peer.next // 2 <= 210


def test_one_stream_too_many_is_refused_and_many_end_the_connection():
    peer = Peer(SMALL)
    for _ in range(3):
        peer.request()
    assert peer.feed(peer.headers(7)) == []
    assert peer.sent() == [(RST_STREAM, 0, 7, Error.REFUSED_STREAM.to_bytes(4, "big"))]
    peer.connection.reset(peer.connection.streams[1], Error.CANCEL)
    assert isinstance(peer.feed(peer.headers(9))[0], Request)
    number = 11
    while not peer.connection.failed:
        peer.feed(peer.headers(number))
        number += 2
    assert number < 500


def test_a_header_list_above_the_limit_costs_its_stream_and_far_above_it_the_connection():
    peer = Peer()
    event = peer.feed(peer.headers(1, [*CALL, ("x", "y" * 17_000)]))[0]
    assert event.oversize
    assert not peer.feed(peer.headers(3))[0].oversize
    again = [("x", "y" * 4000)] * 9  # in the table: a byte for each
    peer.dies(peer.headers(5, [*CALL, *again]), Error.ENHANCE_YOUR_CALM)


def test_a_header_block_without_end():
    peer = Peer()
    assert peer.feed(frame(HEADERS, 0, 1, b"")) == []
    count, failed = flood(peer, frame(CONTINUATION, 0, 1, b""))
    assert failed is not None
    assert count < 1001
    peer = Peer()
    assert peer.feed(frame(HEADERS, 0, 1, bytes(16_000))) == []
    assert peer.feed(frame(CONTINUATION, 0, 1, bytes(16_000))) == []
    peer.dies(frame(CONTINUATION, 0, 1, bytes(16_000)), Error.ENHANCE_YOUR_CALM)


def test_the_table_of_our_encoder_does_not_grow_as_the_peer_likes():
    peer = Peer()
    peer.feed(settings((1, 2**32 - 1)))
    assert peer.connection._h2.encoder.header_table_size == 4096
    stream = peer.request(end=True)
    peer.connection.finish(stream, [(b"grpc-status", b"0")])
    peer.decoder.max_allowed_table_size = 2**32 - 1
    assert peer.read_headers(next(body for kind, _, _, body in peer.sent() if kind == HEADERS))


# ---- the end


def test_pings_of_ours_come_back():
    peer = Peer()
    peer.connection.ping(b"12345678")
    assert peer.sent() == [(PING, 0, 0, b"12345678")]
    assert peer.feed(frame(PING, ACK, 0, b"12345678")) == [Pong(b"12345678")]


def test_a_client_that_leaves_finishes_its_streams():
    peer = Peer()
    stream = peer.request(end=True)
    assert peer.feed(frame(GOAWAY, 0, 0, bytes(4) + (2).to_bytes(4, "big") + b"bye\xff")) == [
        Leaving(2, "bye\ufffd")
    ]
    peer.connection.headers(stream, HEAD)
    peer.connection.write(stream, b"x")
    peer.connection.finish(stream, [(b"grpc-status", b"0")])
    assert [kind for kind, *_ in peer.sent()] == [HEADERS, DATA, HEADERS]


def test_leaving_serves_what_is_under_way_and_the_final_time_nothing_new():
    peer = Peer()
    peer.request()
    peer.connection.leave(final=False)
    assert goaway_of(peer) == [(WINDOW_LIMIT, 0)]
    stream = peer.request()
    peer.connection.leave(final=True)
    assert goaway_of(peer) == [(3, 0)]
    assert peer.feed(peer.headers(5)) == []
    assert (RST_STREAM, 0, 5, Error.REFUSED_STREAM.to_bytes(4, "big")) in peer.sent()
    assert peer.feed(frame(DATA, END_STREAM, 3, b"x")) == [Data(stream), HalfClosed(stream)]
    peer.connection.leave(final=True)
    assert goaway_of(peer) == [(3, 0)]


# ---- anything


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 5))
def test_any_bytes_are_taken_or_end_the_connection(pieces, work):
    peer = Peer(SMALL)
    peer.request()
    for piece in pieces:
        peer.feed(piece, work * 50)
        peer.sent()


kinds = st.sampled_from([*range(10), 99])
numbers = st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1])
bodies = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([bytes(4), bytes(5), bytes(8), Peer().encoder.encode(CALL), (1).to_bytes(4, "big")]),
)


@given(st.lists(st.tuples(kinds, st.integers(0, 255), numbers, bodies), max_size=30))
def test_any_frames_are_taken_or_end_the_connection(frames):
    peer = Peer(SMALL)
    peer.request()
    ends = set()
    for kind, flags, number, body in frames:
        for event in peer.feed(frame(kind, flags, number, body), PLENTY):
            if isinstance(event, Request):
                peer.connection.write(event.stream, b"answer")
            elif isinstance(event, Reset):
                assert event.stream not in ends, "a stream ends once"
                ends.add(event.stream)
            elif isinstance(event, Data):
                assert event.stream not in ends
                peer.connection.take(event.stream)
        peer.sent()
        assert len(peer.connection.streams) <= SMALL.streams
