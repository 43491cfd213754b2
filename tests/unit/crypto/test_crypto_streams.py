"""agpd/crypto/streams.py: chunks in order, none missing, and a sealed end."""

import json

import pytest
from crypto_vectors import DIRECTORY
from crypto_world import World
from nacl import bindings

from agpd.crypto import streams
from agpd.crypto.errors import Cause, DecryptionFailed, Replayed, SessionEnded, StreamGap, StreamTruncated
from agpd.crypto.streams import OVERHEAD_BYTES, StreamReceiver, StreamSender, stream_of

A, B = "acme/prod/a/1", "acme/prod/b/2"


class Pair:
    def __init__(self):
        self.world = World()
        self.a, self.b = self.world.agent(A), self.world.agent(B)
        self.world.refresh()
        self.world.connect(self.a, self.b)
        self.now = self.world.now_ms
        self.ours = self.a.sessions.current(B, self.now)
        self.theirs = self.b.sessions.current(A, self.now)
        self.sender = StreamSender(self.ours, 5, self.now)
        self.receiver = StreamReceiver(self.theirs, 5)

    def seal(self, chunk=b"chunk", is_last=False, now_ms=None):
        return self.sender.seal(chunk, id=1, now_ms=now_ms or self.now, is_last=is_last)


@pytest.fixture
def pair():
    return Pair()


def test_the_vectors_of_pynacl():
    """libsodium's secretstream gives the known bytes, read as a receiver here reads them."""
    for test in json.loads((DIRECTORY / "secretstream.json").read_text()):
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(
            state, bytes.fromhex(test["header"]), bytes.fromhex(test["key"])
        )
        for chunk in test["chunks"]:
            associated = bytes.fromhex(chunk["ad"]) if chunk["ad"] is not None else None
            message, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                state, bytes.fromhex(chunk["ciphertext"]), associated
            )
            assert (message.hex(), tag) == (chunk["message"], chunk["tag"])


def test_a_stream(pair):
    sealed = [pair.seal(b"one"), pair.seal(bytes(65536)), pair.seal(b"", is_last=True)]
    assert [pair.receiver.open(each) for each in sealed] == [b"one", bytes(65536), b""]
    assert pair.receiver.is_ended
    pair.receiver.check_end()
    assert stream_of(sealed[0]) == (pair.ours.send_id, 5)
    assert len(sealed[0]) == 3 + OVERHEAD_BYTES + 24
    assert len(sealed[1]) == 65536 + OVERHEAD_BYTES


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_end_that_was_not_sealed_is_a_truncation(pair, count):
    for _ in range(count):
        pair.receiver.open(pair.seal())
    with pytest.raises(StreamTruncated) as truncated:
        pair.receiver.check_end()
    assert truncated.value.cause is Cause.STREAM_TRUNCATED


def test_a_chunk_that_came_again_is_skipped_and_a_missing_one_is_a_gap(pair):
    sealed = [pair.seal() for _ in range(4)]
    pair.receiver.open(sealed[0])
    with pytest.raises(Replayed):
        pair.receiver.open(sealed[0])
    with pytest.raises(StreamGap):
        pair.receiver.open(sealed[2])
    for each in sealed[1:]:
        pair.receiver.open(each)


def test_nothing_follows_the_end(pair):
    pair.receiver.open(pair.seal(is_last=True))
    with pytest.raises(StreamTruncated) as ended:
        pair.seal()
    assert ended.value.cause is Cause.STREAM_ENDED
    other = StreamSender(pair.ours, 5, pair.now)
    wires = [other.seal(b"", id=1, now_ms=pair.now) for _ in range(2)]
    with pytest.raises(StreamGap):
        pair.receiver.open(wires[1])


def test_every_bit_counts_and_a_forgery_spoils_nothing(pair):
    for wire in (pair.seal(), pair.seal(is_last=True)):
        for bit in range(len(wire) * 8):
            broken = bytearray(wire)
            broken[bit // 8] ^= 1 << bit % 8
            with pytest.raises((DecryptionFailed, Replayed, StreamGap)):
                pair.receiver.open(bytes(broken))
        assert pair.receiver.open(wire) == b"chunk"


@pytest.mark.parametrize("size", [0, 43, 51, 52, 60, 75, 80])
def test_what_is_cut_does_not_open(pair, size):
    with pytest.raises(DecryptionFailed):
        pair.receiver.open(pair.seal()[:size])
    with pytest.raises(DecryptionFailed):
        stream_of(bytes(51))


def test_chunks_of_another_stream_session_or_direction_do_not_open(pair):
    other = StreamSender(pair.ours, 6, pair.now).seal(b"x", id=1, now_ms=pair.now)
    with pytest.raises(DecryptionFailed):
        pair.receiver.open(other)
    with pytest.raises(DecryptionFailed):
        StreamReceiver(pair.ours, 5).open(pair.seal())
    swapped = other[:36] + (5).to_bytes(8, "big") + other[44:]
    with pytest.raises(DecryptionFailed):
        pair.receiver.open(swapped)


def tags(pair, monkeypatch):
    seen = []
    push = bindings.crypto_secretstream_xchacha20poly1305_push
    monkeypatch.setattr(
        bindings,
        "crypto_secretstream_xchacha20poly1305_push",
        lambda state, chunk, head, tag: seen.append(tag) or push(state, chunk, head, tag),
    )
    return seen


def test_the_key_moves_on_by_time_and_by_count(pair, monkeypatch):
    seen = tags(pair, monkeypatch)
    monkeypatch.setattr(streams, "REKEY_AFTER_CHUNKS", 3)
    times = [0, 0, 0, 0, 0, 0, 119_999, 120_000, 120_001, 240_000]
    for late_ms in times:
        pair.receiver.open(pair.seal(now_ms=pair.now + late_ms))
    rekey = bindings.crypto_secretstream_xchacha20poly1305_TAG_REKEY
    assert [number for number, tag in enumerate(seen) if tag == rekey] == [2, 5, 7, 8]


def test_the_key_moves_on_after_two_minutes(pair, monkeypatch):
    seen = tags(pair, monkeypatch)
    for late_ms in (0, 119_999, 120_000, 120_001, 240_000):
        pair.receiver.open(pair.seal(now_ms=pair.now + late_ms))
    rekey = bindings.crypto_secretstream_xchacha20poly1305_TAG_REKEY
    assert [number for number, tag in enumerate(seen) if tag == rekey] == [2, 4]


def test_a_chunk_has_its_limit(pair):
    with pytest.raises(ValueError, match="65536"):
        pair.seal(bytes(65537))


def test_a_stream_outlives_its_session_but_is_not_begun_after_it(pair):
    pair.receiver.open(pair.seal())
    pair.ours.drop()
    pair.theirs.drop()
    assert pair.receiver.open(pair.seal()) == b"chunk"
    with pytest.raises(SessionEnded):
        StreamSender(pair.ours, 9, pair.now)
    with pytest.raises(SessionEnded):
        StreamReceiver(pair.theirs, 9)


def test_after_dropping_nothing_goes(pair):
    wire = pair.seal()
    pair.sender.drop()
    pair.receiver.drop()
    with pytest.raises(StreamTruncated):
        pair.seal()
    with pytest.raises(StreamTruncated):
        pair.receiver.open(wire)


def test_each_stream_has_a_key_of_its_own(pair):
    keys = {pair.ours.stream_key(number, is_sender=True) for number in range(9)}
    keys |= {pair.ours.stream_key(number, is_sender=False) for number in range(9)}
    assert len(keys) == 18
