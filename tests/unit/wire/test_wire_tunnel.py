"""agpd/wire/tunnel.py: bytes of the native stream in messages of Tunnel."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from agpd._proto import gateway_pb2 as pb
from agpd.errors import Code, Fatal
from agpd.wire.tunnel import unwrap, wrap


@given(st.binary(max_size=300))
def test_there_and_back(frames):
    assert unwrap(wrap(frames)) == frames
    assert pb.Frames.FromString(wrap(frames)).frames == frames


def test_golden_bytes():
    assert wrap(b"abc") == b"\x0a\x03abc"
    assert wrap(b"") == b""
    assert unwrap(b"") == b""


@pytest.mark.parametrize("size", [1, 127, 128, 16383, 16384, 65536, 2_097_151, 2_097_152])
def test_every_length_of_a_length(size):
    frames = bytes(size)
    assert wrap(frames) == pb.Frames(frames=frames).SerializeToString()
    assert unwrap(wrap(frames)) == frames


@given(st.binary(max_size=30))
def test_it_is_read_as_protobuf_reads_it(data):
    message = b"\n" + data
    try:
        expected = pb.Frames.FromString(message).frames
    except DecodeError:
        with pytest.raises(Fatal):
            unwrap(message)
    else:
        assert unwrap(message) == expected


def test_unknown_fields_are_ignored():
    assert unwrap(b"\x12\x01x\x0a\x03abc\x18\x01") == b"abc"
    assert unwrap(b"\x0a\x01a\x0a\x02bc") == b"bc"  # the last one holds, as everywhere in protobuf


@given(st.binary(max_size=30))
def test_any_bytes_are_frames_or_malformed(data):
    try:
        unwrap(data)
    except Fatal as fatal:
        if fatal.code is not Code.MALFORMED_FRAME:
            raise


def test_what_does_not_decode_is_malformed():
    with pytest.raises(Fatal) as caught:
        unwrap(b"\x0a\x05abc")
    assert caught.value.code is Code.MALFORMED_FRAME
    assert "abc" not in str(caught.value)
