"""agpd/crypto/vouch.py: certificates and their shape."""

import pytest
from crypto_world import START_S, Seeded
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import vouch
from agpd.crypto.errors import Cause, CryptoError, Malformed, UntrustedKey
from agpd.crypto.keys import ExchangeKey, SigningKey
from agpd.crypto.layout import Reader
from agpd.crypto.vouch import Chain

CHANCE = Seeded("vouch")
ROOT, TYPE, INSTANCE = (SigningKey.generate(CHANCE) for _ in range(3))
EXCHANGE = ExchangeKey.generate(CHANCE)
NAME = "acme/prod/finance"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def type_certificate(name=NAME, life_s=90 * 86400):
    return vouch.issue_type(ROOT, name, TYPE.public, bytes(16), START_S, START_S + life_s)


def instance_certificate(name=f"{NAME}/{UUID}", above=None, life_s=86400):
    above = above or type_certificate()
    return vouch.issue_instance(
        TYPE, above, name, INSTANCE.public, EXCHANGE.public, bytes(16), START_S, START_S + life_s
    )


def test_sizes_are_those_of_the_document():
    assert len(type_certificate().raw) == 148
    assert len(instance_certificate().raw) == 217


def test_what_is_issued_is_read_and_verifies():
    for made, issuer in ((type_certificate(), ROOT), (instance_certificate(), TYPE)):
        found = vouch.parse(made.raw)
        assert found == made
        found.check_signature(issuer.public)
        with pytest.raises(UntrustedKey):
            found.check_signature(INSTANCE.public)


def test_every_bit_counts():
    raw = instance_certificate().raw
    for bit in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, UntrustedKey)):
            vouch.parse(bytes(broken)).check_signature(TYPE.public)


@given(st.binary(max_size=250))
def test_any_bytes_are_read_or_refused(raw):
    with pytest.raises(Malformed):
        vouch.parse(raw)


def test_a_chain_is_a_type_and_an_instance():
    chain = Chain(type_certificate(), instance_certificate())
    assert vouch.read_chain(Reader(chain.raw)) == chain
    for wrong in (chain.instance.raw + chain.type.raw, chain.type.raw * 2):
        with pytest.raises(Malformed):
            vouch.read_chain(Reader(wrong))
    vouch.check_shape(chain, f"{NAME}/{UUID}")


@pytest.mark.parametrize(
    "name",
    [
        f"acme/prod/audit/{UUID}",
        f"acme/prod/financ/{UUID}",
        f"evil/prod/finance/{UUID}",
        NAME,
        f"{NAME}x/{UUID}",
    ],
)
def test_nobody_is_vouched_for_beyond_the_type(name):
    with pytest.raises(ValueError, match="no instance"):
        instance_certificate(name)


def test_lives_have_their_limits():
    with pytest.raises(ValueError, match="90 days"):
        type_certificate(life_s=90 * 86400 + 1)
    with pytest.raises(ValueError, match="24 hours"):
        instance_certificate(life_s=86401)
    with pytest.raises(ValueError, match="beyond"):
        instance_certificate(above=type_certificate(life_s=3600))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c._replace(instance=c.instance._replace(name="acme/prod/audit/1")),
        lambda c: c._replace(type=c.type._replace(name="acme/prod/audit")),
        lambda c: c._replace(type=c.type._replace(not_after=c.type.not_after + 1)),
        lambda c: c._replace(instance=c.instance._replace(not_after=c.instance.not_after + 1)),
        lambda c: c._replace(instance=c.instance._replace(not_before=c.instance.not_after)),
        lambda c: c._replace(type=c.type._replace(not_after=c.instance.not_after - 1)),
    ],
)
def test_a_peer_judges_the_shape_itself(change):
    chain = Chain(type_certificate(), instance_certificate())
    with pytest.raises(UntrustedKey) as refused:
        vouch.check_shape(change(chain), f"{NAME}/{UUID}")
    assert refused.value.cause is Cause.CHAIN


def test_validity_has_thirty_seconds_of_leeway():
    made = instance_certificate()
    assert made.covers(START_S - 30)
    assert not made.covers(START_S - 31)
    assert made.covers(made.not_after + 29)
    assert not made.covers(made.not_after + 30)


def test_kinds_and_names_go_together():
    raw = bytearray(type_certificate().raw)
    raw[1] = vouch.INSTANCE
    with pytest.raises(CryptoError):
        vouch.parse(bytes(raw))
    raw[1] = 3
    with pytest.raises(Malformed):
        vouch.parse(bytes(raw))


def test_names_extend_segment_by_segment():
    assert vouch.extends("a/b/c/d", "a/b/c")
    assert not vouch.extends("a/b/cd/d", "a/b/c")
    assert not vouch.extends("a/b/c", "a/b")
    assert not vouch.extends("a/b/c/d/e", "a/b/c/d")
