"""agpd/wire/frames.py: the prefix, the bodies, and what does not decode."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.errors import Code, Fatal
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

SHAPES = [*frames.Body.__subclasses__()]
U32 = st.integers(0, 2**32 - 1)
FRAMES = st.builds(
    Frame,
    st.sampled_from([Kind.PUBLISH, Kind.REQUEST, Kind.REPLY]),
    st.integers(0, 255),
    st.integers(0, 2**16 - 1),
    U32,
    U32,
    st.integers(0, 2**64 - 1),
    st.binary(max_size=40),
)
DEEP = b"\x91" * 100_000 + b"\xc0"


def encoded(frame: Frame) -> bytes:
    return frames.encode_data(
        frame.kind,
        frame.body,
        destination=frame.destination,
        source=frame.source,
        id=frame.id,
        fanout=frame.fanout,
        flags=frame.flags,
    )


def test_the_prefix_lies_as_the_document_says():
    data = frames.encode_data(0x81, b"xyz", destination=0x01020304, source=0x05060708, id=9, fanout=0x0A0B)
    assert data.hex(" ", 1).startswith(
        "00 00 00 17 81 00 0a 0b 01 02 03 04 05 06 07 08 00 00 00 00 00 00 00 09"
    )
    assert len(data) == frames.PREFIX_SIZE + 3


@given(FRAMES, st.binary(max_size=9))
def test_what_is_encoded_is_parsed(frame, before):
    assert frames.parse(before + encoded(frame), len(before)) == frame


@given(FRAMES, U32)
def test_redirect_changes_the_destination_alone(frame, to):
    moved = frames.redirect(encoded(frame), to.to_bytes(4, "big"))
    assert frames.parse(moved) == frame._replace(destination=to)


@given(st.lists(FRAMES, max_size=6), U32)
def test_redirecting_a_run_changes_each_destination_alone(run, to):
    moved = frames.redirect_each(b"".join(map(encoded, run)), to.to_bytes(4, "big"))
    assert moved == b"".join(encoded(frame._replace(destination=to)) for frame in run)


@given(st.lists(FRAMES, max_size=6))
def test_the_ids_of_a_run(run):
    assert frames.ids(b"".join(map(encoded, run))) == [frame.id for frame in run]


def test_control_frames_carry_zeros_where_nothing_was_said():
    frame = frames.parse(frames.encode(Kind.PONG, id=7))
    assert frame == Frame(Kind.PONG, 0, 0, 0, 0, 7, b"")


@pytest.mark.parametrize(
    "body",
    [
        frames.Hello([1, 2], "sdk", 5),
        frames.Hello([1, 2], "sdk", 5, "t" * frames.TOKEN_LIMIT),
        frames.Token("t"),
        frames.Seconds(600),
        frames.Welcome(1, "agpd-1", "acme/*", 4096, 1000, 5, 6),
        frames.Named("acme/dev/writer"),
        frames.Route("acme/*", "acme/dev/writer/1"),
        frames.Present(["a", "b"]),
        frames.Refusal(200, "why", 3),
        frames.Presence("acme/dev/writer/1", True),
        frames.Handles([1, 2]),
        frames.Count(4),
    ],
    ids=lambda body: type(body).__name__,
)
def test_bodies_go_there_and_back_and_may_grow(body):
    packed = frames.parse(frames.encode(Kind.OK, body)).body
    assert frames.decode(packed, type(body)) == body
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(packed), {"new": 1}])
    assert frames.decode(longer, type(body)) == body


def test_every_shape_is_tried_above():
    assert len(SHAPES) == 11


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "body",
    [b"", b"\xc0", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x91\xa2\xff\xfe", b"\x98" + b"\xc3" * 8, DEEP],
    ids=["empty", "nil", "no elements", "a lying length", "no UTF-8", "wrong types", "deep nesting"],
)
def test_what_does_not_decode_is_malformed(shape, body):
    with pytest.raises(Fatal) as caught:
        frames.decode(body, shape)
    assert caught.value.code is Code.MALFORMED_FRAME
    assert shape.__name__ in caught.value.detail


def test_deep_nesting_in_an_ignored_element_is_malformed_too():
    body = b"\x92\xa1a" + DEEP
    with pytest.raises(Fatal):
        frames.decode(body, frames.Named)


@pytest.mark.parametrize(
    "body",
    [
        frames.Named("x" * 256),
        frames.Hello([], "x", 1),
        frames.Hello([1] * 17, "x", 1),
        frames.Hello([1], "x", -1),
        frames.Refusal(2**16),
        frames.Count(2**32),
    ],
)
def test_what_is_out_of_bounds_is_malformed(body):
    with pytest.raises(Fatal):
        frames.decode(msgspec.msgpack.encode(body), type(body))


def test_kinds_lie_in_their_ranges():
    data = {kind for kind in Kind if kind >= frames.FIRST_DATA_KIND}
    assert data == {Kind.PUBLISH, Kind.REQUEST, Kind.REPLY}
    assert max(data) == frames.LAST_DATA_KIND
    assert set(Kind) == frames.KNOWN_KINDS


def test_bodies_of_before_tokens_decode():
    old = msgspec.msgpack.encode([[1], "sdk", 5])
    assert frames.decode(old, frames.Hello).token == ""
    welcome = msgspec.msgpack.encode([1, "agpd-1", "acme/*", 4096, 1000, 5, 6])
    assert frames.decode(welcome, frames.Welcome).token_expires_s == 0


def test_a_token_that_is_too_long_does_not_decode():
    with pytest.raises(Fatal) as caught:
        frames.decode(msgspec.msgpack.encode(["t" * (frames.TOKEN_LIMIT + 1)]), frames.Token)
    assert caught.value.code is Code.MALFORMED_FRAME
    assert "ttt" not in str(caught.value)


@pytest.mark.parametrize("body", [frames.Hello([1], "sdk", 5, "s3cret"), frames.Token("s3cret")])
def test_tokens_do_not_print(body):
    assert "s3cret" not in repr(body)
    assert "s3cret" not in f"{body} {[body]}"


def test_the_longest_token_fits_the_first_frame():
    hello = frames.Hello([1], "c" * 255, 2**62, "t" * frames.TOKEN_LIMIT)
    assert len(frames.encode(Kind.HELLO, hello)) <= 4096
