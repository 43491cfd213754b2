"""agpd/crypto/handshake.py: what a first message and its answer hold."""

import pytest
from crypto_world import World

from agpd.crypto import handshake, prekeys
from agpd.crypto.errors import Cause, DecryptionFailed, SuiteRefused, UntrustedKey
from agpd.crypto.handshake import View
from agpd.crypto.headers import CHAIN_HASHED, ENROL, Kind, pack_long, read_long
from agpd.crypto.keys import ExchangeKey
from agpd.crypto.prekeys import CLASSICAL, HYBRID

VIEW = View(3, b"h" * 32)


class Two:
    def __init__(self, suite=CLASSICAL):
        self.world = World(suite=suite)
        self.one, self.other = self.world.agent("acme/prod/a/1"), self.world.agent("acme/prod/b/2")
        self.prekey = self.other.ring.newest(prekeys.TYPE)
        self.suite = suite

    def first(self, flags=0, rest=b"rest", suite=None):
        suite = suite or self.suite
        header = pack_long(
            suite, Kind.FIRST, flags, 1, 0, 0, self.world.now_ms, self.one.name, self.other.name
        )
        return handshake.write_first(
            self.one.identity, header, suite, flags, self.prekey.bundle, rest, VIEW, self.world.chance
        )

    def read(self, wire):
        return handshake.read_first(
            wire, read_long(wire), self.prekey, ExchangeKey.generate(self.world.chance)
        )

    def answer(self, received, rest=b"yes"):
        header = pack_long(
            self.suite, Kind.ANSWER, 0, 9, 1, 0, self.world.now_ms, self.other.name, self.one.name
        )
        return handshake.write_answer(self.other.identity, header, received, rest, VIEW)


@pytest.fixture(params=[CLASSICAL, HYBRID])
def two(request):
    return Two(request.param)


def test_both_messages(two):
    wire, state = two.first()
    received = two.read(wire)
    assert (received.rest, received.view) == (b"rest", VIEW)
    assert received.chain == two.one.identity.chain
    received.check_signature(two.one.identity.signing.public)
    received.check_exchange_key(received.chain)
    answer, keys, final = two.answer(received)
    answered = handshake.read_answer(answer, read_long(answer), state)
    answered.check_signature(two.other.identity.signing.public)
    assert (answered.rest, answered.chain) == (b"yes", two.other.identity.chain)
    assert (state.split(), state.hash) == (keys, final)


def test_what_they_add_in_bytes(two):
    wire, _ = two.first(rest=b"")
    header = read_long(wire)
    kem = 1088 if two.suite == HYBRID else 0
    chain = len(two.one.identity.chain.raw)
    assert len(wire) - len(header.raw) == 8 + kem + 32 + 48 + 32 + chain + 40 + 64 + 16
    assert handshake.prekey_id(wire, header) == two.prekey.bundle.id
    answer, *_ = two.answer(two.read(wire), b"")
    assert (
        len(answer) - len(read_long(answer).raw) == 32 + 32 + len(two.other.identity.chain.raw) + 40 + 64 + 16
    )


def test_the_ephemeral_key_is_found_without_opening(two):
    wire, _ = two.first()
    assert handshake.ephemeral_of(wire, read_long(wire)) == two.read(wire).ephemeral


def test_a_chain_may_be_named_by_its_hash(two):
    wire, _ = two.first(CHAIN_HASHED)
    received = two.read(wire)
    assert (received.chain, received.chain_hash) == (None, two.one.identity.chain.hash)


def test_who_enrols_shows_a_bare_key(two):
    wire, _ = two.first(ENROL)
    received = two.read(wire)
    assert received.enrolling == two.one.identity.signing.public
    received.check_signature(received.enrolling)


def test_a_signature_of_somebody_else_is_none(two):
    wire, _ = two.first()
    with pytest.raises(UntrustedKey) as refused:
        two.read(wire).check_signature(two.other.identity.signing.public)
    assert refused.value.cause is Cause.SIGNATURE


def test_the_key_of_noise_must_be_the_certified_one(two):
    two.one.identity.exchange = ExchangeKey.generate(two.world.chance)
    wire, _ = two.first()
    received = two.read(wire)
    with pytest.raises(UntrustedKey):
        received.check_exchange_key(received.chain)


def test_a_header_that_is_not_the_sealed_one_does_not_open(two):
    wire, _ = two.first()
    header = read_long(wire)
    other = pack_long(two.suite, Kind.FIRST, 0, 2, 0, 0, two.world.now_ms, two.one.name, two.other.name)
    with pytest.raises(DecryptionFailed):
        two.read(other + wire[len(header.raw) :])


def test_suite_1_opens_with_a_hybrid_prekey_and_suite_2_not_with_a_classical_one():
    two = Two(HYBRID)
    assert two.read(two.first(suite=CLASSICAL)[0]).rest == b"rest"
    hybrid = two.first()[0]
    two.prekey = Two(CLASSICAL).prekey
    with pytest.raises(SuiteRefused):
        two.read(hybrid)
    unknown = b"\1\7" + hybrid[2:]
    with pytest.raises(SuiteRefused):
        two.read(unknown)


def test_a_changed_kem_ciphertext_does_not_open():
    two = Two(HYBRID)
    wire = bytearray(two.first()[0])
    wire[-1500] ^= 1
    with pytest.raises(DecryptionFailed):
        two.read(bytes(wire))
    cut = bytes(wire[:600])
    with pytest.raises(DecryptionFailed):
        two.read(cut)


def test_the_data_are_signed(two):
    """A sibling that holds the type's prekey cannot put other data under the signature: attack 18."""
    received = two.read(two.first()[0])
    with pytest.raises(UntrustedKey):
        received._replace(signed=received.signed[:-4] + b"evil").check_signature(
            two.one.identity.signing.public
        )
