"""agpd/wire/envelope.py: there and back; any bytes are an envelope or MALFORMED_FRAME."""

import msgspec
import pytest
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
    assert unpack(msgspec.msgpack.encode([b"x", 1, 2, 3, None, {"new": [1]}])).expires_ms == 3


@pytest.mark.parametrize(
    "value",
    [[], ["text"], [b"", -1.5], [b"", "x" * 128], [b"", 0, -1], [b"", 0, 0, -1], [b"", 0, 0, 0, {"a": 1}]],
)
def test_what_has_not_the_shape_is_malformed(value):
    with pytest.raises(Fatal) as caught:
        unpack(msgspec.msgpack.encode(value))
    assert caught.value.code is Code.MALFORMED_FRAME


def test_deep_nesting_is_malformed():
    with pytest.raises(Fatal):
        unpack(b"\x96\xc4\x00\x00\x00\x00\xc0" + b"\x91" * 100_000 + b"\xc0")
