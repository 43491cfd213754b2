"""agpd/wire/framing.py: the same frames under any chunking; lengths are judged before a body is kept."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_frames import FRAMES, encoded

from agpd.errors import Code, Fatal
from agpd.wire import frames
from agpd.wire.framing import Reassembly, check_length, split

LIMIT = 4096


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 10**4), max_size=30))
def test_any_chunking_gives_the_same_frames(sent, cuts):
    reassembly = Reassembly(LIMIT)
    data = b"".join(map(encoded, sent))
    got = []
    for chunk in chunks(data, cuts):
        got += split(chunk, reassembly)
        assert reassembly.open_bytes < LIMIT
    assert got == sent
    assert reassembly.open_bytes == 0


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_byte_by_byte(sent):
    reassembly = Reassembly(LIMIT)
    got = []
    for byte in b"".join(map(encoded, sent)):
        got += split(bytes([byte]), reassembly)
    assert got == sent


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (0, Code.MALFORMED_FRAME),
        (19, Code.MALFORMED_FRAME),
        (20, None),
        (LIMIT - 4, None),
        (LIMIT - 3, Code.FRAME_TOO_LARGE),
        (2**31, Code.FRAME_TOO_LARGE),
        (2**32 - 1, Code.FRAME_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("rest", [0, 1, 20])
def test_a_length_is_judged_as_soon_as_it_is_there(length, code, rest):
    reassembly = Reassembly(LIMIT)
    data = length.to_bytes(4, "big") + b"\x80" * rest
    if code is None:
        check_length(length, LIMIT)
        list(split(data, reassembly))
        return
    with pytest.raises(Fatal) as caught:
        list(split(data, reassembly))
    assert caught.value.code is code
    assert reassembly.open_bytes == 0, "a frame that will not be taken is not kept"


@pytest.mark.parametrize("length", [19, LIMIT, 2**32 - 1])
def test_what_is_kept_is_judged_first(length):
    reassembly = Reassembly(LIMIT)
    with pytest.raises(Fatal):
        reassembly.keep(b"?" + length.to_bytes(4, "big") + b"body", 1)
    assert reassembly.open_bytes == 0


def test_frames_before_a_bad_length_are_given_first():
    good = (20).to_bytes(4, "big") + bytes(20)
    frames = split(good + b"\xff" * 40, Reassembly(LIMIT))
    assert next(frames).body == b""
    with pytest.raises(Fatal):
        next(frames)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_length_that_comes_in_pieces_is_judged_before_the_body(first):
    reassembly = Reassembly(LIMIT)
    data = (2**31).to_bytes(4, "big") + b"x" * 1000
    assert list(split(data[:first], reassembly)) == []
    with pytest.raises(Fatal):
        list(split(data[first:], reassembly))
    assert reassembly.open_bytes == 0


def test_a_truncated_frame_waits():
    reassembly = Reassembly(LIMIT)
    data = (30).to_bytes(4, "big") + bytes(30)
    assert list(split(data[:-1], reassembly)) == []
    assert reassembly.open_bytes == 33
    assert len(list(split(data[-1:], reassembly))) == 1


def test_the_limit_may_grow_between_frames():
    reassembly = Reassembly(100)
    reassembly.limit = 1000
    data = (500).to_bytes(4, "big") + bytes(500)
    assert len(list(split(data, reassembly))) == 1


def test_what_is_kept_costs_its_size_however_small_the_pieces():
    size = 200_000
    reassembly = Reassembly(size + 100)
    list(split(size.to_bytes(4, "big") + bytes(24), reassembly))
    piece = [bytes([n, n]) for n in range(256)]  # made anew, as a socket makes them
    tracemalloc.start()
    for n in range(size // 4):
        assert reassembly.gather(bytes(bytearray(piece[n % 256]))) == b""
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2 * reassembly.open_bytes


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 10**4), max_size=30))
def test_an_open_frame_is_completed_under_any_chunking(sent, cuts):
    reassembly, walked = Reassembly(LIMIT), []
    for chunk in chunks(b"".join(map(encoded, sent)), cuts):
        head, position = reassembly.complete(chunk)
        first = list(split(head, Reassembly(LIMIT)))
        assert len(first) == bool(head)
        rest = list(split(chunk[position:], Reassembly(LIMIT)))
        walked += first + rest
        reassembly.keep(chunk, position + sum(len(encoded(frame)) for frame in rest))
    assert walked == sent
    assert reassembly.open_bytes == 0


def test_completing_takes_no_more_of_the_chunk_than_the_frame_needs():
    one = frames.encode_data(0x80, bytes(100), destination=1, source=2, id=3)
    for cut in range(1, len(one)):
        reassembly = Reassembly(1000)
        reassembly.keep(one[:cut], 0)
        assert reassembly.complete(one[cut:] + one) == (one, len(one) - cut)
        assert reassembly.open_bytes == 0


@pytest.mark.parametrize("length", [0, 19, 997, 2**32 - 1])
def test_a_length_outside_the_limits_is_handed_over_at_once(length):
    reassembly = Reassembly(1000)
    reassembly.keep(length.to_bytes(4, "big")[:3], 0)
    head, position = reassembly.complete(length.to_bytes(4, "big")[3:] + bytes(2000))
    assert (len(head), position) == (24, 21)
    with pytest.raises(Fatal):
        reassembly.keep(head, 0)


def test_what_was_added_is_taken_although_the_frame_before_it_was_longer():
    long, short = (frames.encode_data(0x80, bytes(n), destination=1, source=2, id=3) for n in (500, 0))
    reassembly = Reassembly(1000)
    reassembly.keep(long[:-1], 0)
    assert reassembly.complete(long[-1:]) == (long, 1)
    reassembly.add(short + short)
    assert reassembly.complete(b"") == (short + short, 0)
