"""The language of a trunk: whatever the cuts, the same bytes reach the same channels in the same order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.transport.workers import codec
from agpd.transport.workers.codec import Splitter, TrunkError

NUMBERS = st.integers(0, 2**32 - 1)


class Seen:
    """What each channel saw: its bytes, with its control frames where they came among them."""

    def __init__(self) -> None:
        self.streams: dict[int, list[object]] = {}

    def data(self, channel: int, data: bytes) -> None:
        stream = self.streams.setdefault(channel, [])
        if stream and isinstance(stream[-1], bytes):
            stream[-1] += data
        else:
            stream.append(data)

    def control(self, kind: int, channel: int, payload: bytes) -> None:
        self.streams.setdefault(channel, []).append((kind, payload))

    def item(self, item: codec.Item) -> None:
        kind, to, payload = item
        if kind in (codec.DATA, codec.DATA_TO_MANY):
            assert payload
            for channel in (to,) if isinstance(to, int) else to:
                self.data(channel, payload)
        else:
            assert isinstance(to, int)
            self.control(kind, to, payload)


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_frames_of_many_channels_arrive_as_they_were_sent(seed: int) -> None:
    chance = random.Random(seed)
    sent, got, wire = Seen(), Seen(), []
    for _ in range(10_000):
        channel, payload = chance.randrange(50), chance.randbytes(chance.choice((1, 3, 50, 700)))
        kind = chance.choice((codec.DATA, codec.DATA, codec.DATA_TO_MANY, codec.CLOSE, codec.LOST))
        if kind == codec.DATA:
            wire += [codec.data_head(channel, len(payload)), payload]
            sent.data(channel, payload)
        elif kind == codec.DATA_TO_MANY:
            channels = chance.sample(range(50), chance.randrange(1, 9))
            wire += [codec.many_head(channels, len(payload)), payload]
            for each in channels:
                sent.data(each, payload)
        else:
            wire.append(codec.frame(kind, channel, payload))
            sent.control(kind, channel, payload)
    data, position, splitter = b"".join(wire), 0, Splitter()
    while position < len(data):
        end = position + chance.choice((1, 5, 9, 10, 100, 5000))
        for item in splitter.feed(data[position:end]):
            got.item(item)
        position = end
    assert got.streams == sent.streams


def test_bytes_of_an_unfinished_frame_are_handed_on_at_once() -> None:
    splitter = Splitter()
    assert splitter.feed(codec.data_head(7, 10) + b"abc") == [(codec.DATA, 7, b"abc")]
    assert splitter.feed(b"defg") == [(codec.DATA, 7, b"defg")]
    close = codec.frame(codec.CLOSE, 8)
    assert splitter.feed(b"hij" + close) == [(codec.DATA, 7, b"hij"), (codec.CLOSE, 8, b"")]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20))
def test_acknowledgements_come_back(pairs: list[tuple[int, int]]) -> None:
    items = Splitter().feed(codec.acks(pairs))
    assert [pair for _, _, payload in items for pair in codec.acked(payload)] == pairs


def test_many_acknowledgements_are_several_frames() -> None:
    pairs = [(number, 1) for number in range(codec.ACKS_LIMIT + 1)]
    items = Splitter().feed(codec.acks(pairs))
    assert len(items) == 2
    assert [pair for _, _, payload in items for pair in codec.acked(payload)] == pairs


@given(st.text(max_size=100), st.binary(max_size=100))
def test_an_open_comes_back(peer: str, der: bytes) -> None:
    ((kind, number, payload),) = Splitter().feed(codec.open_channel(9, peer, der))
    assert (kind, number) == (codec.OPEN, 9)
    assert codec.opened(payload) == (peer, der)


@pytest.mark.parametrize(
    "head",
    [
        codec.HEAD.pack(0, 1, 0),
        codec.HEAD.pack(255, 1, 0),
        codec.HEAD.pack(codec.DATA, 1, codec.DATA_LIMIT + 1),
        codec.HEAD.pack(codec.DATA_TO_MANY, 1, codec.DATA_LIMIT + 1),
        codec.HEAD.pack(codec.DATA_TO_MANY, codec.MANY_LIMIT + 1, 1),
        codec.HEAD.pack(codec.OPEN, 1, codec.CONTROL_LIMIT + 1),
    ],
)
def test_what_is_no_frame_is_an_error_before_anything_is_kept(head: bytes) -> None:
    with pytest.raises(TrunkError):
        Splitter().feed(head)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_taken_or_are_the_one_error(data: bytes, step: int) -> None:
    splitter = Splitter()
    try:
        for start in range(0, len(data), step):
            for kind, _, payload in splitter.feed(data[start : start + step]):
                if kind == codec.OPEN:
                    codec.opened(payload)
                elif kind == codec.ACK:
                    list(codec.acked(payload))
    except TrunkError:
        pass


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\5abcd"])
def test_a_short_open_is_an_error(payload: bytes) -> None:
    with pytest.raises(TrunkError):
        codec.opened(payload)


def test_half_a_pair_is_an_error() -> None:
    with pytest.raises(TrunkError):
        codec.acked(bytes(12))
