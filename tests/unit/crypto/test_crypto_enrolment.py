"""agpd/crypto/enrolment.py: how an instance comes to its certificate and prekeys."""

import pytest
from crypto_world import World
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import enrolment, prekeys
from agpd.crypto.enrolment import ask_for_renewal, ask_with_ticket, pack_grant, parse_grant, parse_request
from agpd.crypto.errors import Malformed, UntrustedKey
from agpd.crypto.handshake import Identity
from agpd.crypto.headers import Purpose

NAME = "acme/prod/a/7"
TICKET = b"t" * 32


def test_from_nothing_to_a_message():
    """The whole way: a ticket, a certificate, prekeys, and then a message."""
    world = World()
    other = world.agent("acme/prod/b/2")
    keyd, newcomer = world.keyd(), world.newcomer(NAME)
    keyd.trust.install(world.issuers["acme"].since(keyd.trust.view_of("acme")[0]), world.now_s)
    issuer = world.issuers["acme"]

    asked = world.open(keyd, world.enrol(newcomer, keyd, TICKET))
    assert parse_request(asked.data).ticket == TICKET
    contact = asked.contact
    chain = issuer.vouch(asked.source, contact.signing, contact.exchange, world.now_s)
    grant = pack_grant(chain, issuer.granted(chain.type.name, False))
    wire = keyd.answer(contact, grant, id=1, now_ms=world.now_ms, purpose=Purpose.KEY_DAEMON)
    assert TICKET not in wire

    answered = world.open(newcomer, wire)
    assert (answered.source, answered.purpose) == (keyd.name, Purpose.KEY_DAEMON)
    assert len(newcomer.sessions) == len(keyd.sessions) == 0
    got = parse_grant(answered.data)
    newcomer.trust.check_chain(got.chain, NAME, world.now_s)
    got.check("acme/prod/a", got.chain.type.signing)
    got.apply(newcomer.ring)
    identity = newcomer.identity
    newcomer.certify(Identity(NAME, identity.signing, identity.exchange, got.chain))

    world.agents.append(newcomer)
    world.refresh()
    assert world.open(newcomer, world.first(other, "acme/prod/a", b"hello")).data == b"hello"
    assert world.open(other, world.first(newcomer, "acme/prod/b", b"hello")).source == NAME


def test_renewal_is_signed_with_the_key_so_far():
    world = World()
    agent = world.agent(NAME)
    after = Identity.generate(NAME, world.chance)
    request = parse_request(ask_for_renewal(agent.identity, after))
    assert request.chain == agent.identity.chain
    keys = (after.signing.public, after.exchange.public)
    request.check_renewal(NAME, *keys, agent.identity.signing.public)
    for name, signing, exchange, known in (
        ("acme/prod/a/8", *keys, agent.identity.signing.public),
        (NAME, keys[1], keys[0], agent.identity.signing.public),
        (NAME, *keys, after.signing.public),
    ):
        with pytest.raises(UntrustedKey):
            request.check_renewal(name, signing, exchange, known)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw):
    for read in (parse_request, parse_grant):
        try:
            read(raw)
        except Malformed:
            continue


@pytest.mark.parametrize(
    "raw", [b"", b"\1", b"\1\3" + TICKET, b"\1\1" + TICKET + b"x", b"\1\1" + TICKET[1:], b"\2\1" + TICKET]
)
def test_what_is_no_request_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_request(raw)


@pytest.mark.parametrize(
    "raw", [b"\1\2" + bytes(9), b"\1\0" + bytes(8) + b"\xff", b"\1\0" + bytes(9) + b"x", b"\1\0"]
)
def test_what_is_no_grant_is_malformed(raw):
    with pytest.raises(Malformed):
        parse_grant(raw)


def test_a_ticket_has_32_bytes_and_does_not_show():
    with pytest.raises(ValueError, match="32"):
        ask_with_ticket(b"short")
    assert "t" * 8 not in repr(parse_request(ask_with_ticket(TICKET)))


def test_a_grant_without_a_certificate_brings_prekeys_and_may_withdraw_older_ones():
    world = World()
    agent = world.agent(NAME)
    issuer = world.issuers["acme"]
    world.now_s += 50
    made = issuer.rotate("acme/prod/a", world.now_s)
    grant = parse_grant(pack_grant(None, made, world.now_s))
    assert (grant.chain, grant.withdrawn_s) == (None, world.now_s)
    old = agent.ring.newest(prekeys.TYPE)
    grant.check("acme/prod/a", agent.identity.chain.type.signing)
    with pytest.raises(UntrustedKey):
        grant.check("acme/prod/b", agent.identity.chain.type.signing)
    grant.apply(agent.ring)
    assert agent.ring.newest(prekeys.TYPE).bundle == made[0].bundle
    assert agent.ring._retired == {old.bundle.id: world.now_s}
    assert enrolment.GRANT_LIMIT > 26  # a mailbox of a day, and one more
