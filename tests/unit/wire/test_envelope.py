"""agpd/wire/envelope.py: there and back; any bytes are an envelope or MALFORMED_FRAME."""

import msgspec
import pytest
import rich.pretty
from hypothesis import given
from hypothesis import strategies as st

from agpd.errors import Code, Fatal
from agpd.wire.envelope import ContentType, Envelope, pack, unpack

U64 = st.integers(0, 2**64 - 1)
ENVELOPES = st.builds(
    Envelope,
    st.binary(max_size=50),
    st.integers(0, 4) | st.text(max_size=20),
    U64,
    U64,
    st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.binary(max_size=50),
)


@given(ENVELOPES)
def test_there_and_back(envelope):
    assert unpack(pack(envelope)) == envelope


@given(st.binary(max_size=60))
def test_any_bytes_are_an_envelope_or_malformed(data):
    try:
        unpack(data)
    except Fatal as fatal:
        if fatal.code is not Code.MALFORMED_FRAME:
            raise


def test_elements_may_be_missing_and_may_be_added():
    assert unpack(msgspec.msgpack.encode([b"x"])) == Envelope(b"x", ContentType.BYTES, 0, 0, None)
    assert unpack(msgspec.msgpack.encode([b"x", 1, 2, 3, None, b"", {"new": [1]}])).expires_ms == 3


def test_what_another_dialect_carries_is_written_only_if_there_is_any():
    assert pack(Envelope(b"x", 1)) == msgspec.msgpack.encode([b"x", 1, 0, 0, None])
    assert pack(Envelope(b"x", 1, carried=b"\x01y")) == msgspec.msgpack.encode(
        [b"x", 1, 0, 0, None, b"\x01y"]
    )
    assert pack((b"x", 1)) == msgspec.msgpack.encode([b"x", 1])


class Before(msgspec.Struct, array_like=True):
    """What readers knew before there were other dialects."""

    body: bytes
    content_type: int | str = 0
    correlation: int = 0
    expires_ms: int = 0
    headers: dict[str, str] | None = None


@given(ENVELOPES)
def test_older_readers_ignore_what_another_dialect_carries(envelope):
    read = msgspec.msgpack.decode(pack(envelope), type=Before)
    assert (read.body, read.headers) == (envelope.body, envelope.headers)


def test_no_text_shows_what_is_in_it():
    envelope = Envelope(b"hunter2", "hunter2", headers={"hunter2": "hunter2"}, carried=b"\x01hunter2")
    assert "hunter2" not in f"{envelope} {envelope!r} {rich.pretty.pretty_repr(envelope)}"


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["text"],
        [b"", -1.5],
        [b"", "x" * 128],
        [b"", 0, -1],
        [b"", 0, 0, -1],
        [b"", 0, 0, 0, {"a": 1}],
        [b"", 0, 0, 0, None, "a"],
    ],
)
def test_what_has_not_the_shape_is_malformed(value):
    with pytest.raises(Fatal) as caught:
        unpack(msgspec.msgpack.encode(value))
    assert caught.value.code is Code.MALFORMED_FRAME


def test_deep_nesting_is_malformed():
    with pytest.raises(Fatal):
        unpack(b"\x96\xc4\x00\x00\x00\x00\xc0" + b"\x91" * 100_000 + b"\xc0")
