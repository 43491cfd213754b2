"""agpd/crypto/sender_keys.py: one publisher, many readers, and who reads from when to when."""

import random

import pytest
from crypto_world import START_S, Seeded
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import sender_keys
from agpd.crypto.errors import (
    Cause,
    DecryptionFailed,
    EpochRollback,
    Expired,
    Malformed,
    Replayed,
    SessionEnded,
    UnknownKey,
    UntrustedKey,
    WrongDestination,
)
from agpd.crypto.keys import SigningKey
from agpd.crypto.sender_keys import GAP_LIMIT, OVERHEAD_BYTES, Publisher, Readers

NOW = START_S * 1000
A, TOPIC = "acme/prod/a/1", "acme/prod/news"
HOUR = 3_600_000


class One:
    """A publisher, and readers that it makes."""

    def __init__(self, topic=TOPIC):
        self.chance = Seeded(topic)
        self.key = SigningKey.generate(self.chance)
        self.publisher = Publisher(topic, self.key, self.chance, NOW)
        self.topic = topic

    def reader(self, now_ms=NOW):
        readers = Readers()
        self.tell(readers, now_ms)
        return readers

    def tell(self, readers, now_ms=NOW, raw=None):
        return readers.install(raw or self.publisher.distribution(), A, self.key.public, now_ms)

    def seal(self, data=b"data", now_ms=NOW, **more):
        return self.publisher.seal(data, id=7, now_ms=now_ms, **more)

    def open(self, readers, wire, now_ms=NOW, topic=None):
        return readers.open(wire, A, topic or self.topic, now_ms)


@pytest.fixture
def one():
    return One()


def test_all_readers_open(one):
    readers = [one.reader() for _ in range(3)]
    for number in range(5):
        wire = one.seal(b"%d" % number, inner=b"i", expires_ms=NOW, purpose=5)
        for each in readers:
            opened = one.open(each, wire)
            assert (opened.source, opened.id, opened.data, opened.inner) == (A, 7, b"%d" % number, b"i")
    assert len(wire) == OVERHEAD_BYTES + 64


def test_a_late_joiner_reads_from_now_on(one):
    past = one.seal(b"past")
    late = one.reader()
    with pytest.raises(UnknownKey) as unknown:
        one.open(late, past)
    assert unknown.value.cause is Cause.UNKNOWN_SENDER_KEY
    assert one.open(late, one.seal(b"now")).data == b"now"


def test_any_order_but_each_once(one):
    reader = one.reader()
    wires = [one.seal(b"%d" % number) for number in range(200)]
    random.Random(1).shuffle(wires)
    assert sorted(int(one.open(reader, wire).data) for wire in wires) == list(range(200))
    for wire in wires:
        with pytest.raises(Replayed):
            one.open(reader, wire)
    assert reader._skipped == 0


def test_a_gap_beyond_2000_asks_for_the_key_again(one):
    reader = one.reader()
    wires = [one.seal() for _ in range(GAP_LIMIT + 2)]
    with pytest.raises(UnknownKey):
        one.open(reader, wires[-1])
    one.open(reader, wires[-2])
    one.open(reader, wires[0])


def test_skipped_keys_are_bounded(one, monkeypatch):
    monkeypatch.setattr(sender_keys, "SKIPPED_LIMIT", 5)
    reader = one.reader()
    wires = [one.seal() for _ in range(10)]
    one.open(reader, wires[9])
    assert reader._skipped == 5
    with pytest.raises(Replayed):  # dropped: cannot be told from one that was opened
        one.open(reader, wires[3])
    one.open(reader, wires[4])
    assert reader._skipped == 4


def test_every_bit_counts_and_a_forgery_changes_nothing(one):
    reader = one.reader()
    wire = one.seal(expires_ms=NOW)
    for bit in range(len(wire) * 8):
        broken = bytearray(wire)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DecryptionFailed, UnknownKey, UntrustedKey)):
            one.open(reader, bytes(broken))
    assert one.open(reader, wire).data == b"data"


@pytest.mark.parametrize("size", [0, 27, 44, 123])
def test_what_is_cut_does_not_open(one, size):
    with pytest.raises(DecryptionFailed):
        one.open(one.reader(), one.seal()[:size])


def test_a_reader_cannot_speak_as_the_publisher(one):
    reader = one.reader()
    forger = One()
    forger.publisher._chain, forger.publisher.key_id = one.publisher._chain, one.publisher.key_id
    forger.publisher._key = SigningKey(b"f" * 32)
    with pytest.raises(UntrustedKey) as refused:
        one.open(reader, forger.seal(b"forged"))
    assert refused.value.cause is Cause.SIGNATURE


def test_another_source_or_topic_finds_no_key(one):
    reader = one.reader()
    wire = one.seal()
    with pytest.raises(UnknownKey):
        reader.open(wire, "acme/prod/a/2", TOPIC, NOW)
    with pytest.raises(WrongDestination):
        one.open(reader, wire, topic="acme/prod/other")


def test_expiry_is_enforced_by_the_reader(one):
    reader = one.reader()
    wire = one.seal(expires_ms=NOW)
    with pytest.raises(Expired):
        one.open(reader, wire, NOW + 30_001)
    with pytest.raises(Replayed):
        one.open(reader, wire)


def test_an_epoch_ends_after_an_hour_or_65536_messages(one):
    publisher = one.publisher
    assert not publisher.wants_rotation(NOW + HOUR - 1)
    assert publisher.wants_rotation(NOW + HOUR)
    with pytest.raises(SessionEnded):
        one.seal(now_ms=NOW + HOUR)
    publisher.iteration = 2**16
    with pytest.raises(SessionEnded):
        one.seal()
    publisher.rotate(NOW + HOUR)
    assert (publisher.epoch, publisher.iteration) == (2, 0)
    one.open(one.reader(NOW + HOUR), one.seal(now_ms=NOW + HOUR), NOW + HOUR)


def test_a_rotation_shares_nothing_with_what_was_before(one):
    reader = one.reader()
    before = one.publisher._chain, one.publisher._key.public, one.publisher.key_id
    one.publisher.rotate(NOW)
    after = one.publisher._chain, one.publisher._key.public, one.publisher.key_id
    assert not {*before} & {*after}
    with pytest.raises(UnknownKey):
        one.open(reader, one.seal())


def test_a_reader_forgets_an_epoch_ten_minutes_after_its_end(one):
    reader = one.reader()
    wires = [one.seal() for _ in range(2)]
    one.open(reader, wires[0], NOW + HOUR + 599_999)
    with pytest.raises(UnknownKey):
        one.open(reader, wires[1], NOW + HOUR + 600_000)
    assert len(reader) == 0
    with pytest.raises(Expired):
        one.tell(reader, NOW + HOUR + 600_000)
    kept = one.reader()
    kept.expire(NOW + HOUR + 599_999)
    assert len(kept) == 1
    kept.expire(NOW + HOUR + 600_000)
    assert len(kept) == 0


def test_a_key_that_lives_too_long_is_not_taken(one):
    one.publisher.not_after_ms = NOW + 2 * HOUR + 1
    with pytest.raises(Expired):
        one.reader()


def test_telling_again_changes_nothing(one):
    reader = one.reader()
    first = one.publisher.distribution()
    one.open(reader, one.seal())
    one.tell(reader)
    one.tell(reader, raw=first)
    assert one.open(reader, one.seal()).data == b"data"


def test_five_epochs_are_kept_and_older_ones_do_not_come_back(one):
    reader = Readers()
    told = []
    for _ in range(6):
        told.append(one.publisher.distribution())
        one.tell(reader)
        one.publisher.rotate(NOW)
    assert len(reader) == 5
    with pytest.raises(EpochRollback):
        one.tell(reader, raw=told[0])
    one.tell(reader, raw=told[1])
    reader.expire(NOW + HOUR + 600_000)
    assert not reader._forgotten


def test_a_known_key_is_given_no_other_content(one):
    reader = one.reader()
    for change in ("_key", "epoch", "topic"):
        other = One()
        other.key = one.key
        other.publisher = Publisher(TOPIC, one.key, other.chance, NOW)
        other.publisher.key_id = one.publisher.key_id
        if change == "_key":
            other.publisher._key = SigningKey(b"o" * 32)
        elif change == "epoch":
            other.publisher.epoch, other.publisher._key = 9, one.publisher._key
        else:
            other.publisher.topic, other.publisher._key = "acme/prod/other", one.publisher._key
        with pytest.raises(EpochRollback):
            one.tell(reader, raw=other.publisher.distribution())


def test_two_keys_of_one_epoch_are_refused(one):
    reader = one.reader()
    one.publisher.epoch = 0
    one.publisher.rotate(NOW)
    with pytest.raises(EpochRollback):
        one.tell(reader)


def test_a_distribution_is_signed_by_its_publisher(one):
    with pytest.raises(UntrustedKey):
        Readers().install(one.publisher.distribution(), A, SigningKey(bytes(32)).public, NOW)
    raw = one.publisher.distribution()
    for bit in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, UntrustedKey)):
            one.tell(Readers(), raw=bytes(broken))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    with pytest.raises(Malformed):
        sender_keys.parse(raw)


def test_epochs_of_all_are_bounded(one, monkeypatch):
    monkeypatch.setattr(sender_keys, "EPOCHS_LIMIT", 3)
    reader = Readers()
    for number in range(5):
        other = One(f"acme/prod/t{number}")
        other.tell(reader)
    assert len(reader) == 3


def test_forgetting_a_publisher_and_dropping(one):
    reader = one.reader()
    reader.forget("acme/prod/a/2")
    assert len(reader) == 1
    reader.forget(A)
    assert len(reader) == 0
    one.publisher.drop()
    with pytest.raises(SessionEnded):
        one.seal()


def test_the_chain_only_goes_forward():
    key, chain = sender_keys.step(bytes(32))
    assert len({bytes(32), key, chain, *sender_keys.step(chain)}) == 5
    sender_keys.check_reader("a/b/c", ["a/b/c"], TOPIC)
    with pytest.raises(UntrustedKey):
        sender_keys.check_reader("a/b/c", ["a/b/d"], TOPIC)
