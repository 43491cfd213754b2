"""agpd/hotpath: `scan`, in both implementations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.hotpath.both import IMPLEMENTATIONS, compiled, needs_compiled

from agpd.hotpath import _pure
from agpd.wire import frames
from agpd.wire.frames import Kind

LIMIT = 1000
FIRST = frames.encode_data(Kind.PUBLISH, b"one", destination=1, source=2, id=3, fanout=4, flags=5)
LAST = frames.encode_data(
    Kind.REPLY, b"", destination=2**32 - 1, source=2**32 - 1, id=2**64 - 1, fanout=65535
)


@pytest.fixture(params=IMPLEMENTATIONS)
def scan(request):
    return request.param.scan


def test_whole_data_frames_are_taken_apart(scan):
    data = b"junk" + FIRST + LAST
    found, position = scan(data, 4, LIMIT)
    assert position == len(data)
    assert found == [
        (Kind.PUBLISH, 5, 4, 1, 2, 3, b"one"),
        (Kind.REPLY, 0, 65535, 2**32 - 1, 2**32 - 1, 2**64 - 1, b""),
    ]
    assert [frames.Frame(*each) for each in found] == [frames.parse(data, 4), frames.parse(data, 31)]


@pytest.mark.parametrize(
    "stop",
    [
        b"",
        b"\0",
        FIRST[:-1],
        LAST[:23],
        frames.encode(Kind.PING),
        frames.encode(0x7F),
        frames.encode(0x83),
        (19).to_bytes(4, "big") + FIRST[4:],
        (2**32 - 1).to_bytes(4, "big") + FIRST[4:],
        frames.encode_data(Kind.PUBLISH, bytes(LIMIT - 23), destination=1, source=2, id=3),
    ],
)
def test_it_stops_before_whatever_the_caller_has_to_judge(scan, stop):
    assert scan(FIRST + stop + FIRST, 0, LIMIT)[1] >= len(FIRST)
    found, position = scan(FIRST + stop, 0, LIMIT)
    assert [len(found), position] == [1, len(FIRST)]


def test_a_frame_may_be_as_long_as_the_limit(scan):
    longest = frames.encode_data(Kind.REQUEST, bytes(LIMIT - 24), destination=1, source=2, id=3)
    assert scan(longest, 0, LIMIT)[1] == len(longest) == LIMIT
    assert scan(longest, 0, LIMIT - 1) == ([], 0)


def test_positions_outside(scan):
    assert scan(FIRST, len(FIRST), LIMIT) == ([], len(FIRST))
    assert scan(FIRST, 10**9, LIMIT) == ([], 10**9)
    with pytest.raises(ValueError, match="negative"):
        scan(FIRST, -1, LIMIT)


@needs_compiled
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([FIRST, LAST])), st.integers(0, 80), st.integers(0, 100)
)
def test_both_see_the_same(chunks, position, limit):
    data = b"".join(chunks)
    assert compiled.scan(data, position, limit) == _pure.scan(data, position, limit)
