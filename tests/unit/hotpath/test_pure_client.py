"""agpd/hotpath: `deliveries` and `data_frame`, which the SDK uses, in both implementations."""

import struct
from collections import namedtuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.hotpath.both import compiled, needs_compiled

from agpd.hotpath import _pure_client
from agpd.wire import frames
from agpd.wire.envelope import Envelope, pack, unpack
from agpd.wire.frames import Kind

LIMIT = 1000
Message = namedtuple("Message", "flow id size body content_type")
Unusual = namedtuple("Unusual", "flow id envelope")
BOTH = [
    pytest.param(_pure_client, id="pure"),
    pytest.param(compiled, id="compiled", marks=needs_compiled),
]


class Flows(dict):
    def __init__(self):
        super().__init__()
        self.asked = 0

    def __getitem__(self, head):
        self.asked += 1
        return head


def frame(envelope, id_=1, destination=1, kind=Kind.PUBLISH):
    return frames.encode_data(kind, envelope, destination=destination, source=2, id=id_)


FIRST = frame(pack((b"one", 1)))


def read(implementation, data, position=0, limit=LIMIT, unusual=Unusual):
    return implementation.deliveries(data, position, limit, Flows(), Message, unusual)


@pytest.fixture(params=BOTH)
def hot(request):
    return request.param


def test_a_run_of_one_flow_is_handed_over_together(hot):
    data = b"".join((frame(pack((b"a", 0)), 1), frame(pack((b"bc", 2)), 2), frame(pack((b"d", 0)), 3, 9)))
    flows = Flows()
    runs, position = hot.deliveries(b"junk" + data, 4, LIMIT, flows, Message, Unusual)
    here, there = data[4:16], frame(b"", 3, 9)[4:16]
    assert position == len(data) + 4
    assert runs == [
        (here, [Message(here, 1, 5, b"a", 0), Message(here, 2, 6, b"bc", 2)], 11),
        (there, [Message(there, 3, 5, b"d", 0)], 5),
    ]
    assert flows.asked == 2


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536])
def test_payloads_of_every_length(hot, size):
    (run,), _ = read(hot, frame(pack((bytes(size), 127))), limit=1 << 20)
    (message,) = run[1]
    assert (message.body, message.content_type) == (bytes(size), 127)
    assert message.size == run[2] == len(pack((bytes(size), 127)))


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"\x92",
        b"\x92\xc4\x00",
        b"\x92\xc4\x01\x00",
        b"\x92\xc5\x00\x01",
        b"\x92\xc6\x00\x00\x00\x00",
        b"\x92\xc4\x00\x00\x00",
        b"\x92\xa1x\x00",
        b"\x91\xc4\x00\x00",
        pack((b"x", 128)),
        pack((b"x", "text/plain")),
        pack(Envelope(b"x", expires_ms=1)),
        pack(Envelope(b"x", carried=b"\x01y")),
        b"\x96" + pack((b"x", 0))[1:] + b"\0\0\xc0\xc4\1\1",
    ],
)
def test_other_envelopes_are_for_the_caller(hot, envelope):
    head = FIRST[4:16]
    runs, _ = read(hot, FIRST + frame(envelope, 7))
    assert runs == [(head, [Message(head, 1, 7, b"one", 1), Unusual(head, 7, envelope)], 7 + len(envelope))]


def test_none_leaves_a_message_out(hot):
    other = frame(b"\xc1")
    assert read(hot, other, unusual=lambda *_: None) == ([], len(other))
    (run,), _ = read(hot, FIRST + other + FIRST, unusual=lambda *_: None)
    assert (len(run[1]), run[2]) == (2, 14)


@pytest.mark.parametrize(
    "stop",
    [
        b"",
        b"\0",
        FIRST[:-1],
        FIRST[:23],
        frames.encode(Kind.PING),
        frames.encode(0x7F),
        frames.encode(0x83),
        (19).to_bytes(4, "big") + FIRST[4:],
        (2**32 - 1).to_bytes(4, "big") + FIRST[4:],
        frame(bytes(LIMIT - 23)),
    ],
)
def test_it_stops_before_whatever_the_caller_has_to_judge(hot, stop):
    runs, position = read(hot, FIRST + stop)
    assert (len(runs), position) == (1, len(FIRST))


def test_a_frame_may_be_as_long_as_the_limit(hot):
    longest = frame(bytes(LIMIT - frames.PREFIX_SIZE))
    assert read(hot, longest)[1] == len(longest) == LIMIT
    assert read(hot, longest, limit=LIMIT - 1) == ([], 0)


def test_positions_and_errors(hot):
    assert read(hot, FIRST, len(FIRST)) == ([], len(FIRST))
    assert read(hot, FIRST, 10**9) == ([], 10**9)
    with pytest.raises(ValueError, match="negative"):
        read(hot, FIRST, -1)
    with pytest.raises(KeyError):
        hot.deliveries(FIRST, 0, LIMIT, {}, Message, Unusual)


@pytest.mark.parametrize("size", [0, 255, 256, 65535, 65536])
def test_a_frame_is_that_of_the_general_encoder(hot, size):
    values = (Kind.REPLY, 0xFFFF, 2**32 - 1, 2**32 - 2, 2**64 - 1)
    made = hot.data_frame(*values, bytes(size), 127)
    assert made == frames.encode_data(
        values[0],
        pack((bytes(size), 127)),
        fanout=values[1],
        destination=values[2],
        source=values[3],
        id=values[4],
    )
    assert unpack(made[frames.PREFIX_SIZE :]) == Envelope(bytes(size), 127)


@pytest.mark.parametrize(
    "values",
    [(256, 0, 0, 0, 0), (0, 65536, 0, 0, 0), (0, 0, 2**32, 0, 0), (0, 0, 0, -1, 0), (0, 0, 0, 0, 2**64)],
)
def test_numbers_that_do_not_fit(hot, values):
    with pytest.raises((OverflowError, struct.error)):
        hot.data_frame(*values, b"", 0)
    with pytest.raises(OverflowError):
        hot.data_frame(0, 0, 0, 0, 0, b"", 128)


ENVELOPES = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda body, kind: pack((body, kind)), st.binary(max_size=300), st.integers(0, 300)),
    st.builds(
        lambda body, carried: pack(Envelope(body, carried=carried)),
        st.binary(max_size=9),
        st.binary(max_size=9),
    ),
)
CHUNKS = st.lists(
    st.builds(frame, ENVELOPES, st.integers(0, 2**64 - 1), st.integers(1, 2)) | st.binary(max_size=60)
)


@needs_compiled
@given(CHUNKS, st.integers(0, 80), st.integers(0, 400))
def test_both_see_the_same(chunks, position, limit):
    data = b"".join(chunks)
    assert read(compiled, data, position, limit) == read(_pure_client, data, position, limit)


@needs_compiled
@given(ENVELOPES)
def test_what_is_taken_apart_here_is_what_a_decoder_finds(envelope):
    for implementation in (compiled, _pure_client):
        for _, messages, _ in read(implementation, frame(envelope))[0]:
            for message in messages:
                if isinstance(message, Message):
                    assert list(message[3:]) == msgspec.msgpack.decode(envelope)
