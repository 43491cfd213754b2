"""agpd/crypto/contacts.py: whom a first message or an answer is believed from."""

import pytest
from crypto_world import World

from agpd.crypto import contacts, prekeys
from agpd.crypto.errors import (
    Cause,
    DecryptionFailed,
    DirectoryBehind,
    DirectoryFork,
    Expired,
    Replayed,
    SessionEnded,
    StaleDirectory,
    SuiteRefused,
    UnknownKey,
    UntrustedKey,
    WrongDestination,
)
from agpd.crypto.handshake import Identity
from agpd.crypto.headers import CLAIM, NO_REPLY, Purpose, read_long
from agpd.crypto.prekeys import CLASSICAL, HYBRID

A, B, C = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b/3"
B_TYPE = "acme/prod/b"


class Three(World):
    """a, and two instances of b."""

    def __init__(self, suite=CLASSICAL, **more):
        super().__init__(suite=suite)
        self.a, self.b, self.c = self.agent(A), self.agent(B, **more), self.agent(C, **more)
        self.refresh()


@pytest.fixture
def three():
    return Three()


@pytest.mark.parametrize("suite", [CLASSICAL, HYBRID])
@pytest.mark.parametrize("to", [B_TYPE, B])
def test_first_contact(suite, to):
    three = Three(suite)
    opened = three.open(
        three.b, three.first(three.a, to, b"hello", inner=b"text", expires_ms=three.now_ms + 9)
    )
    assert (opened.source, opened.data, opened.inner, opened.expires_ms) == (
        A,
        b"hello",
        b"text",
        three.now_ms + 9,
    )
    answer = three.open(three.a, three.answer(three.b, opened, b"welcome"))
    assert (answer.source, answer.data, answer.correlation) == (B, b"welcome", opened.id)
    assert three.open(three.b, three.seal(three.a, three.b, b"more")).data == b"more"
    assert three.open(three.a, three.seal(three.b, three.a, b"back")).data == b"back"
    assert three.a.sessions.current(B, three.now_ms).suite == suite


def test_any_instance_of_the_type_opens_and_whoever_answers_proves_itself(three):
    wire = three.first(three.a, B_TYPE, b"who is there?")
    opened = [three.open(each, wire) for each in (three.b, three.c)]
    answers = [three.answer(each, found) for each, found in zip((three.b, three.c), opened, strict=True)]
    assert three.open(three.a, answers[1]).source == C
    with pytest.raises(Replayed) as second:
        three.open(three.a, answers[0])
    assert second.value.cause is Cause.SECOND_ANSWER


def test_no_reply_makes_no_session(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b"hello", flags=NO_REPLY))
    assert (opened.data, opened.contact) == (b"hello", None)
    assert len(three.b.sessions) == len(three.a._contacts._pending) == 0


def test_a_first_message_is_answered_once(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b""))
    three.answer(three.b, opened)
    with pytest.raises(SessionEnded):
        three.answer(three.b, opened)


def test_it_opens_once_at_one_instance(three):
    wire = three.first(three.a, B_TYPE, b"")
    three.open(three.b, wire)
    with pytest.raises(Replayed):
        three.open(three.b, wire)


@pytest.mark.parametrize("to", [C, "acme/prod/a"])
def test_what_is_for_others_is_not_opened(three, to):
    wire = three.first(three.a, to, b"")
    with pytest.raises(WrongDestination):
        three.open(three.b, wire)


def test_the_own_message_to_the_own_type_comes_back_as_nothing(three):
    with pytest.raises(WrongDestination):
        three.open(three.b, three.first(three.b, B_TYPE, b""))


def test_an_instances_own_prekey_serves_unicast_alone(three):
    prekey = prekeys.make(three.b.identity.signing, B, prekeys.INSTANCE, 1, 1, three.now_s, three.chance)
    three.b.ring.add(prekey)
    bundle = three.a.trust.instance_prekey(prekey.bundle, three.b.identity.chain, B, three.now_s)
    wire = three.a.first(B, bundle, b"x", id=1, now_ms=three.now_ms)
    assert three.open(three.b, wire).data == b"x"
    with pytest.raises(UntrustedKey):
        three.a.first(B_TYPE, bundle, b"x", id=1, now_ms=three.now_ms)
    with pytest.raises(UntrustedKey):
        three.a.first(C, bundle, b"x", id=1, now_ms=three.now_ms)


def test_an_unknown_prekey_is_said(three):
    wire = three.first(three.a, B_TYPE, b"")
    three.b.ring.drop()
    with pytest.raises(UnknownKey) as unknown:
        three.open(three.b, wire)
    assert unknown.value.cause is Cause.UNKNOWN_PREKEY


def test_expiry_and_the_future(three):
    expired = three.first(three.a, B_TYPE, b"", expires_ms=three.now_ms - 30_001)
    with pytest.raises(Expired):
        three.open(three.b, expired)
    three.now_s += 31
    future = three.first(three.a, B_TYPE, b"")
    three.now_s -= 31
    with pytest.raises(Expired):
        three.open(three.b, future)


def test_what_was_made_before_the_instance_is_not_acted_on(three):
    wire = three.first(three.a, B_TYPE, b"")
    three.now_s += 31
    late = three.agent("acme/prod/b/9")
    with pytest.raises(Replayed) as refused:
        three.open(late, wire)
    assert refused.value.cause is Cause.BEFORE_START


def test_mail_may_be_older_than_the_instance():
    three = Three(mailbox_s=86400)
    wire = three.first(three.a, B_TYPE, b"mail", kind=prekeys.MAILBOX, flags=NO_REPLY)
    three.now_s += 20 * 3600
    for _ in range(20):
        three.issuers["acme"].rotate_due(three.now_s)
    late = three.agent("acme/prod/b/9", with_mail=True)
    assert three.open(late, wire).data == b"mail"
    with pytest.raises(Replayed):
        three.open(late, wire)
    without = three.agent("acme/prod/b/10")
    with pytest.raises(UnknownKey):
        three.open(without, wire)


def test_a_suite_below_the_minimum_is_refused_by_both(three):
    hybrid = Three(HYBRID)
    hybrid.issuers["acme"].demand_suite(HYBRID)
    weak = hybrid.first(hybrid.a, B_TYPE, b"")
    hybrid.publish()
    assert weak[1] == HYBRID
    three_wire = three.first(three.a, B_TYPE, b"")
    three.issuers["acme"].demand_suite(HYBRID)
    three.publish()
    with pytest.raises(SuiteRefused):
        three.open(three.b, three_wire)
    with pytest.raises(SuiteRefused):
        three.first(three.a, B_TYPE, b"")


def test_a_stale_directory_refuses_new_contacts_and_no_session(three):
    three.connect(three.a, three.b)
    wire = three.first(three.a, B_TYPE, b"")
    three.now_s += 86401
    with pytest.raises(StaleDirectory):
        three.open(three.b, wire)
    with pytest.raises(StaleDirectory):
        three.first(three.a, B_TYPE, b"")


def test_a_peer_that_knows_a_newer_directory_is_heard_after_fetching_it(three):
    update = three.issuers["acme"].publish(three.now_s)
    three.a.trust.install(update, three.now_s)
    wire = three.first(three.a, B_TYPE, b"hello")
    with pytest.raises(DirectoryBehind):
        three.open(three.b, wire)
    three.b.trust.install(update, three.now_s)
    assert three.open(three.b, wire).data == b"hello"


def test_forked_directories_are_found_from_both_sides(three):
    wire = three.first(three.a, B_TYPE, b"")
    opened = three.open(three.b, wire)
    log = three.a.trust.log("acme")
    good, log.head = log.head, b"f" * 32
    forked = three.first(three.a, B_TYPE, b"")
    answer = three.answer(three.b, opened)
    with pytest.raises(DirectoryFork):
        three.open(three.b, forked)
    with pytest.raises(DirectoryFork):
        three.open(three.a, answer)
    log.head = good
    assert three.open(three.a, answer).source == B


def test_a_forged_answer_does_not_spoil_the_true_one(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b""))
    answer = three.answer(three.b, opened)
    for position in (-1, -200, len(read_long(answer).raw) + 5):
        forged = bytearray(answer)
        forged[position] ^= 1
        with pytest.raises(DecryptionFailed):
            three.open(three.a, bytes(forged))
    assert three.open(three.a, answer).source == B


def test_who_was_not_asked_does_not_answer(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b""))
    answer = three.answer(three.b, opened)
    with pytest.raises(WrongDestination):
        three.open(three.c, answer)
    pending = next(iter(three.a._contacts._pending.values()))
    three.a._contacts._pending[opened.id] = pending._replace(destination=C)
    with pytest.raises(UntrustedKey):
        three.open(three.a, answer)
    three.a._contacts._pending[opened.id] = pending._replace(suite=HYBRID)
    with pytest.raises(DecryptionFailed):
        three.open(three.a, answer)


def test_an_answer_is_awaited_for_a_minute(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b""))
    answer = three.answer(three.b, opened)
    three.now_s += 60
    with pytest.raises(Replayed):
        three.open(three.a, answer)
    three.a.expire(three.now_ms)
    assert not three.a._contacts._pending


def test_answers_awaited_are_bounded(three, monkeypatch):
    monkeypatch.setattr(contacts, "PENDING_LIMIT", 2)
    for _ in range(2):
        three.first(three.a, B_TYPE, b"")
    with pytest.raises(SessionEnded):
        three.first(three.a, B_TYPE, b"")
    three.now_s += 60
    three.first(three.a, B_TYPE, b"")


def test_an_expired_answer_makes_no_session(three):
    opened = three.open(three.b, three.first(three.a, B_TYPE, b""))
    answer = three.b.answer(opened.contact, b"", id=1, now_ms=three.now_ms, expires_ms=three.now_ms - 30_001)
    with pytest.raises(Expired):
        three.open(three.a, answer)
    assert len(three.a.sessions) == 0


def test_the_chain_is_sent_whole_once_and_then_by_its_hash(three):
    three.connect(three.a, three.b)
    whole = three.first(three.a, B_TYPE, b"")
    hashed = three.first(three.a, B, b"again", purpose=Purpose.REKEY)
    assert len(whole) - len(hashed) > 250
    assert three.open(three.b, hashed).source == A
    three.b._contacts._chains.clear()
    with pytest.raises(UnknownKey) as unknown:
        three.open(three.b, three.first(three.a, B, b""))
    assert unknown.value.cause is Cause.NEED_CHAIN
    three.a.forget_chain(B)
    assert three.open(three.b, three.first(three.a, B, b"")).source == A


def test_chains_known_by_hash_are_bounded(three, monkeypatch):
    monkeypatch.setattr(contacts, "CHAINS_KEPT", 2)
    for number in range(4):
        three.open(three.b, three.first(three.agent(f"acme/prod/a/x{number}"), B_TYPE, b""))
    assert len(three.b._contacts._chains) == 2


def test_a_renewed_identity_is_used_at_once_and_old_sessions_go_on(three):
    three.connect(three.a, three.b)
    renewed = Identity.generate(A, three.chance)
    issuer = three.issuers["acme"]
    renewed.chain = issuer.vouch(A, renewed.signing.public, renewed.exchange.public, three.now_s)
    three.a.certify(renewed)
    assert three.open(three.b, three.first(three.a, B, b"")).contact.signing == renewed.signing.public
    assert three.open(three.b, three.seal(three.a, three.b, b"on")).data == b"on"


def test_claim_holds_the_message_until_the_sender_has_confirmed_one_instance(three):
    """A gateway that hands it to two instances: only one acts. Attack 16."""
    wire = three.first(three.a, B_TYPE, b"do it once", flags=CLAIM)
    answers = []
    for each in (three.b, three.c):
        opened = three.open(each, wire)
        assert (opened.purpose, opened.data, opened.inner) == (Purpose.CLAIM, b"", b"")
        answers.append(three.answer(each, opened))
    confirmed = three.open(three.a, answers[0])
    assert (confirmed.purpose, confirmed.source) == (Purpose.CLAIM, B)
    with pytest.raises(Replayed):
        three.open(three.a, answers[1])
    released = three.open(three.b, three.seal(three.a, three.b, b"", purpose=Purpose.CLAIM))
    assert (released.data, released.purpose, released.source) == (b"do it once", Purpose.APPLICATION, A)
    again = three.open(three.b, three.seal(three.a, three.b, b"", purpose=Purpose.CLAIM))
    assert again.data == b""


def test_only_a_key_daemon_takes_what_nobody_vouches_for(three):
    newcomer = three.newcomer("acme/prod/a/7")
    keyd = three.keyd()
    newcomer.trust.install(three.issuers["acme"].since(0), three.now_s)
    opened = three.open(keyd, three.enrol(newcomer, keyd, b"t" * 32))
    assert opened.contact.peer is None
    assert opened.contact.signing == newcomer.identity.signing.public
    assert opened.contact.exchange == newcomer.identity.exchange.public
    three.a.trust.install(three.issuers["acme"].since(three.a.trust.view_of("acme")[0]), three.now_s)
    from agpd.crypto.headers import ENROL

    wire = three.first(newcomer, B_TYPE, b"", flags=ENROL)
    three.refresh()
    with pytest.raises(UntrustedKey):
        three.open(three.b, wire)


def test_messages_under_a_withdrawn_prekey_are_refused_after_a_minute(three):
    three.now_s += 100
    made = three.issuers["acme"].rotate(B_TYPE, three.now_s)
    for prekey in made:
        three.b.ring.add(prekey)
        three.b.ring.retire(prekey.bundle.kind, prekey.bundle.epoch, three.now_s)
    assert three.open(three.b, three.first(three.a, B_TYPE, b"")).source == A
    three.now_s += 61
    with pytest.raises(Expired):
        three.open(three.b, three.first(three.a, B_TYPE, b""))


def test_the_key_of_the_handshake_must_be_the_certified_one(three):
    identity = three.a.identity
    three.a.certify(
        Identity(A, identity.signing, Identity.generate(A, three.chance).exchange, identity.chain)
    )
    with pytest.raises(UntrustedKey) as refused:
        three.open(three.b, three.first(three.a, B_TYPE, b""))
    assert refused.value.cause is Cause.CHAIN
