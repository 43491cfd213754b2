"""agpd/crypto/session.py: what is sealed within a session opens once, in time, at the peer."""

import random

import pytest
from crypto_world import START_S, World

from agpd.crypto import aead, session
from agpd.crypto.aead import NaclCipher
from agpd.crypto.errors import Cause, DecryptionFailed, Expired, Replayed, SessionEnded, UnknownKey
from agpd.crypto.headers import Padding, Purpose
from agpd.crypto.replay import WINDOW
from agpd.crypto.session import OVERHEAD_BYTES, Session, derive_keys, session_of

NOW = START_S * 1000
KEYS = (b"\1" * 32, b"\2" * 32, b"\3" * 64)


@pytest.fixture(scope="module")
def peers():
    world = World()
    agents = [world.agent("acme/prod/a/1"), world.agent("acme/prod/b/2")]
    return [each.trust.check_chain(each.identity.chain, each.name, world.now_s) for each in agents]


@pytest.fixture
def pair(peers):
    """The initiator's end and the responder's."""
    return make(peers)


def make(peers, padding=Padding.BLOCK):
    one, other = peers
    return (
        Session(derive_keys(*KEYS, is_initiator=True), other, 1, one.name, NOW, padding),
        Session(derive_keys(*KEYS, is_initiator=False), one, 1, one.name, NOW, padding),
    )


def test_both_ways(pair):
    one, other = pair
    wire = one.seal(
        b"data", 7, NOW, correlation=8, expires_ms=NOW + 1, inner=b"inner", purpose=Purpose.STREAM
    )
    opened = other.open(wire, NOW)
    assert (opened.source, opened.id, opened.correlation, opened.expires_ms) == (
        "acme/prod/a/1",
        7,
        8,
        NOW + 1,
    )
    assert (opened.purpose, opened.inner, opened.data) == (Purpose.STREAM, b"inner", b"data")
    assert one.open(other.seal(b"back", 1, NOW), NOW).data == b"back"
    assert session_of(wire) == one.send_id == other.receive_id != one.receive_id


@pytest.mark.parametrize(("padding", "expected"), [(Padding.NONE, 256 + 4), (Padding.BLOCK, 320)])
def test_what_it_adds_in_bytes(peers, padding, expected):
    one, _ = make(peers, padding)
    assert len(one.seal(bytes(256), 1, NOW)) == OVERHEAD_BYTES + expected


def test_any_order_and_losses_do_no_harm(pair):
    one, other = pair
    wires = [one.seal(b"%d" % number, number, NOW) for number in range(300)]
    random.Random(1).shuffle(wires)
    for wire in wires[:250]:
        opened = other.open(wire, NOW)
        assert opened.data == b"%d" % opened.id
        with pytest.raises(Replayed):
            other.open(wire, NOW)


def test_beyond_the_window_nothing_opens(pair):
    one, other = pair
    wires = [one.seal(b"", number, NOW) for number in range(WINDOW + 2)]
    other.open(wires[-1], NOW)
    other.open(wires[2], NOW)  # 8,191 late
    with pytest.raises(Replayed) as late:
        other.open(wires[1], NOW)
    assert late.value.cause is Cause.WINDOW


def test_a_forgery_spends_no_counter(pair):
    one, other = pair
    wire = one.seal(b"data", 1, NOW)
    forged = wire[:36] + (2**40).to_bytes(8, "big") + wire[44:]
    with pytest.raises(DecryptionFailed):
        other.open(forged, NOW)
    assert other.open(wire, NOW).data == b"data"


def test_every_bit_counts(pair):
    one, other = pair
    wire = one.seal(b"data", 1, NOW, expires_ms=NOW)
    for bit in range(len(wire) * 8):
        broken = bytearray(wire)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DecryptionFailed, UnknownKey)):
            other.open(bytes(broken), NOW)
    other.open(wire, NOW)


@pytest.mark.parametrize("size", [0, 43, 44, 59, 60])
def test_what_is_cut_does_not_open(pair, size):
    one, other = pair
    with pytest.raises(DecryptionFailed):
        other.open(one.seal(b"data", 1, NOW)[:size], NOW)
    with pytest.raises(DecryptionFailed):
        session_of(bytes(43))


def test_a_reflected_message_belongs_to_no_session_of_the_sender(pair):
    one, _ = pair
    with pytest.raises(UnknownKey):
        one.open(one.seal(b"data", 1, NOW), NOW)


def test_a_message_opens_until_half_a_minute_after_its_expiry(pair):
    one, other = pair
    wires = [one.seal(b"", 1, NOW, expires_ms=NOW) for _ in range(2)]
    other.open(wires[0], NOW + 30_000)
    with pytest.raises(Expired):
        other.open(wires[1], NOW + 30_001)
    with pytest.raises(Replayed):  # it was authentic, so its counter is spent
        other.open(wires[1], NOW)


def test_sending_stops_at_180_s_and_opening_at_600(pair):
    one, other = pair
    wire = one.seal(b"data", 1, NOW + 179_999)
    assert one.can_send(NOW + 179_999)
    assert not one.can_send(NOW + 180_000)
    with pytest.raises(SessionEnded):
        one.seal(b"", 1, NOW + 180_000)
    assert other.can_receive(NOW + 599_999)
    with pytest.raises(SessionEnded):
        other.open(wire, NOW + 600_000)
    assert other.open(wire, NOW + 599_999).data == b"data"


def test_a_session_ends_with_the_peers_certificate(peers):
    one, other = peers
    ending = Session(derive_keys(*KEYS, True), other._replace(not_after=START_S + 10), 1, one.name, NOW)
    assert ending.can_send(NOW + 39_999)
    assert not ending.can_send(NOW + 40_000)
    assert not ending.can_receive(NOW + 40_000)


@pytest.mark.parametrize("count", ["sent", "received"])
def test_rekey_by_time_and_by_count(pair, count):
    one, _ = pair
    assert not one.wants_rekey(NOW + 119_999)
    assert one.wants_rekey(NOW + 120_000)
    setattr(one, count, 2**20 - 1)
    assert not one.wants_rekey(NOW)
    setattr(one, count, 2**20)
    assert one.wants_rekey(NOW)


def test_no_key_seals_more_than_2_to_the_32_messages(pair):
    one, _ = pair
    one.sent = 2**32 - 1
    one.seal(b"", 1, NOW)
    assert not one.can_send(NOW)
    with pytest.raises(SessionEnded):
        one.seal(b"", 1, NOW)


def test_what_was_dropped_does_nothing(pair):
    one, other = pair
    wire = one.seal(b"data", 1, NOW)
    one.stop_sending()
    assert one.open(other.seal(b"data", 1, NOW), NOW).data == b"data"
    with pytest.raises(SessionEnded):
        one.seal(b"", 1, NOW)
    with pytest.raises(SessionEnded):
        one.stream_key(1, is_sender=True)
    other.drop()
    with pytest.raises(SessionEnded):
        other.open(wire, NOW)
    with pytest.raises(SessionEnded):
        other.stream_key(1, is_sender=False)


def test_the_keys_of_both_ends_and_both_ways_differ():
    one, other = derive_keys(*KEYS, is_initiator=True), derive_keys(*KEYS, is_initiator=False)
    assert (one.send_id, one.send, one.send_streams) == (
        other.receive_id,
        other.receive,
        other.receive_streams,
    )
    assert len({one.send, one.receive, one.send_streams, one.receive_streams, *KEYS}) == 7
    assert "1" * 8 not in repr(one)


def test_either_library_opens_what_the_other_has_sealed(peers, monkeypatch):
    one, _ = make(peers)
    monkeypatch.setattr(aead, "_make", NaclCipher)
    _, other = make(peers)
    assert other.open(one.seal(b"data", 1, NOW), NOW).data == b"data"
    assert one.open(other.seal(b"data", 1, NOW), NOW).data == b"data"
    forged = bytearray(one.seal(b"data", 1, NOW))
    forged[-1] ^= 1
    with pytest.raises(DecryptionFailed):
        other.open(bytes(forged), NOW)


def test_opened_messages_do_not_show_their_data(pair):
    one, other = pair
    assert repr(other.open(one.seal(b"secret", 1, NOW), NOW)) == "<opened DATA 1 from acme/prod/a/1, 6 bytes>"
    assert session.REKEY_AFTER_MS < session.SEND_LIMIT_MS < session.RECEIVE_LIMIT_MS
