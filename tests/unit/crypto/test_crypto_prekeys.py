"""agpd/crypto/prekeys.py: bundles, what is held, and when it is erased."""

import pytest
from crypto_world import START_S, Seeded
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import prekeys
from agpd.crypto.errors import Cause, Expired, Malformed, Replayed, SuiteRefused, UnknownKey, UntrustedKey
from agpd.crypto.keys import SigningKey
from agpd.crypto.layout import Reader
from agpd.crypto.prekeys import CLASSICAL, HYBRID, INSTANCE, MAILBOX, TYPE, Ring

CHANCE = Seeded("prekeys")
KEY = SigningKey.generate(CHANCE)
NAME = "acme/prod/finance"
HOUR = 3600


def make(epoch=1, now_s=START_S, kind=TYPE, suite=CLASSICAL, kept_s=0):
    name = f"{NAME}/1" if kind == INSTANCE else NAME
    return prekeys.make(KEY, name, kind, suite, epoch, now_s, CHANCE, kept_s)


@pytest.mark.parametrize("kind", [INSTANCE, TYPE, MAILBOX])
@pytest.mark.parametrize("suite", [CLASSICAL, HYBRID])
def test_bundles_and_grants_come_back(kind, suite):
    made = make(kind=kind, suite=suite, kept_s=9999)
    assert prekeys.parse(made.bundle.raw) == made.bundle
    made.bundle.check_signature(KEY.public)
    reader = Reader(made.pack())
    again = prekeys.unpack(reader)
    reader.done()
    assert (again.bundle, again.kept_s) == (made.bundle, 9999)
    assert again.exchange.secret() == made.exchange.secret()
    with pytest.raises(UntrustedKey):
        made.bundle.check_signature(SigningKey(bytes(32)).public)


@given(st.binary(max_size=250))
def test_any_bytes_are_read_or_refused(raw):
    for read in (prekeys.parse, lambda raw: prekeys.unpack(Reader(raw))):
        with pytest.raises(Malformed):
            read(raw)


def test_every_bit_of_a_bundle_counts():
    raw = make().bundle.raw
    for bit in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, UntrustedKey)):
            prekeys.parse(bytes(broken)).check_signature(KEY.public)


@pytest.mark.parametrize("suite", [CLASSICAL, HYBRID])
def test_a_grant_whose_parts_do_not_belong_together_is_malformed(suite):
    raw = make(suite=suite).pack()
    for position in (5, 5 + 31) if suite == CLASSICAL else (5, 5 + 31, 5 + 32, 5 + 33):
        broken = bytearray(raw)
        broken[position] ^= 1 if position != 5 else 8
        with pytest.raises(Malformed):
            prekeys.unpack(Reader(bytes(broken)))


def test_a_prekey_is_erased_an_hour_after_its_end():
    ring = Ring()
    first = make()
    ring.add(first)
    ring.add(make(2, START_S + HOUR))
    assert ring.find(first.bundle.id, START_S + 2 * HOUR - 1) is first
    with pytest.raises(UnknownKey) as unknown:
        ring.find(first.bundle.id, START_S + 2 * HOUR)
    assert unknown.value.cause is Cause.UNKNOWN_PREKEY
    assert len(ring) == 1


def test_a_mailbox_prekey_is_kept_as_long_as_mail_may_wait():
    ring = Ring()
    ring.add(make(kind=MAILBOX, kept_s=24 * HOUR))
    ring.add(make(2, START_S + HOUR, MAILBOX, kept_s=24 * HOUR))
    ring.erase(START_S + 25 * HOUR - 1)
    assert len(ring) == 2
    ring.erase(START_S + 25 * HOUR)
    assert len(ring) == 1


def test_the_newest_serves_on_while_the_key_daemon_is_silent_for_a_day():
    ring = Ring()
    ring.add(make())
    ring.erase(START_S + 25 * HOUR - 1)
    assert len(ring) == 1
    ring.erase(START_S + 25 * HOUR)
    assert len(ring) == 0


def test_what_was_in_flight_when_the_daemon_came_back_still_opens():
    ring = Ring()
    first = make()
    ring.add(first)
    ring.add(make(2, START_S + 10 * HOUR))
    assert ring.find(first.bundle.id, START_S + 11 * HOUR - 1)
    with pytest.raises(UnknownKey):
        ring.find(first.bundle.id, START_S + 11 * HOUR)


def test_a_sender_may_use_the_newest_for_a_day_and_an_hour():
    bundle = make().bundle
    bundle.check_use(START_S - 30)
    bundle.check_use(START_S + 25 * HOUR - 1)
    for wrong in (START_S - 31, START_S + 25 * HOUR):
        with pytest.raises(Expired):
            bundle.check_use(wrong)


def test_what_is_made_under_a_withdrawn_prekey_is_refused():
    ring = Ring()
    old, new = make(), make(2, START_S + 600)
    ring.add(old)
    ring.add(new)
    ring.retire(TYPE, 2, START_S + 600)
    ring.retire(TYPE, 2, START_S + 900)  # told again, it does not begin anew
    ring.check_created(old, START_S + 660)
    ring.check_created(new, START_S + 9999)
    with pytest.raises(Expired):
        ring.check_created(old, START_S + 661)


def test_a_first_message_is_remembered_as_long_as_its_prekey():
    ring = Ring()
    first = make()
    ring.add(first)
    ring.mark_seen(first, b"e" * 32)
    ring.add(prekeys.unpack(Reader(first.pack())))  # granted again
    held = ring.find(first.bundle.id, START_S)
    ring.check_seen(held, b"f" * 32)
    with pytest.raises(Replayed):
        ring.check_seen(held, b"e" * 32)


def test_a_full_memory_refuses_more(monkeypatch):
    monkeypatch.setattr(prekeys, "SEEN_LIMIT", 2)
    ring = Ring()
    live, mail = make(), make(kind=MAILBOX)
    ring.add(live)
    ring.add(mail)
    ring.mark_seen(live, b"1")
    ring.mark_seen(live, b"2")
    with pytest.raises(Replayed) as full:
        ring.mark_seen(live, b"3")
    assert full.value.cause is Cause.REPLAY_STORE_FULL
    ring.mark_seen(mail, b"3")


def test_the_suite_is_the_highest_of_both_and_never_below_the_minimum():
    classical, hybrid = make().bundle, make(suite=HYBRID).bundle
    assert prekeys.pick_suite(hybrid, CLASSICAL) == HYBRID
    assert prekeys.pick_suite(hybrid, CLASSICAL, lambda: False) == CLASSICAL
    assert prekeys.pick_suite(classical, CLASSICAL) == CLASSICAL
    for bundle, supported in ((classical, True), (hybrid, False)):
        with pytest.raises(SuiteRefused):
            prekeys.pick_suite(bundle, HYBRID, lambda supported=supported: supported)


def test_only_prekeys_of_the_own_type_are_granted():
    prekeys.check_granted(make(), NAME, KEY.public)
    for prekey, name, signer in (
        (make(), "acme/prod/audit", KEY.public),
        (make(kind=INSTANCE), NAME, KEY.public),
        (make(), NAME, SigningKey(bytes(32)).public),
    ):
        with pytest.raises(UntrustedKey):
            prekeys.check_granted(prekey, name, signer)


def test_newest_all_and_drop():
    ring = Ring()
    ring.add(make(2))
    ring.add(make(1))
    assert ring.newest(TYPE).bundle.epoch == 2
    assert [each.bundle.epoch for each in ring.all(TYPE)] == [1, 2]
    assert ring.newest(MAILBOX) is None
    ring.drop()
    assert len(ring) == 0
