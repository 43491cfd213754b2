"""agpd/crypto/issuing.py: what a key daemon vouches for, makes and writes down."""

import pytest
from crypto_world import World

from agpd.crypto import prekeys
from agpd.crypto.errors import UntrustedKey
from agpd.crypto.issuing import Issuer
from agpd.crypto.keys import SigningKey
from agpd.crypto.prekeys import HYBRID, MAILBOX, TYPE

A, NAME = "acme/prod/a", "acme/prod/a/1"


@pytest.fixture
def world():
    return World()


def test_an_instance_is_vouched_for_a_day(world):
    issuer = world.type(A)
    chain = issuer.vouch(NAME, b"s" * 32, b"x" * 32, world.now_s)
    assert chain.instance.not_after - chain.instance.not_before == 86400
    world.trust("acme").check_chain(chain, NAME, world.now_s)
    for name in ("acme/prod/none/1", "globex/prod/a/1"):
        with pytest.raises(UntrustedKey):
            issuer.vouch(name, b"s" * 32, b"x" * 32, world.now_s)


def test_not_beyond_its_type(world):
    issuer = world.type(A)
    late = world.now_s - 60 + 90 * 86400 - 100
    assert issuer.vouch(NAME, b"s" * 32, b"x" * 32, late).instance.not_after == late + 100


def test_serials_differ(world):
    issuer = world.type(A)
    serials = {issuer.vouch(NAME, b"s" * 32, b"x" * 32, world.now_s).instance.serial for _ in range(5)}
    assert len(serials) == 5


def test_a_key_must_be_that_of_its_certificate(world):
    issuer = world.organization()
    key, other = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
    with pytest.raises(UntrustedKey):
        issuer.add_type(other, world.certify_type(A, key))
    with pytest.raises(UntrustedKey):
        Issuer(key, world.certify_type(A, key), world.chance)


def test_prekeys_are_made_each_hour_with_growing_epochs(world):
    issuer = world.type(A, mailbox_s=86400)
    assert A not in issuer.rotate_due(world.now_s + 3599)
    made = issuer.rotate_due(world.now_s + 3600)[A]
    assert [each.bundle.kind for each in made] == [TYPE, MAILBOX]
    again = issuer.rotate(A, world.now_s + 3600)
    assert again[0].bundle.epoch == made[0].bundle.epoch + 1
    assert made[0].bundle.epoch == world.now_s + 3600


def test_who_joins_gets_the_newest_and_all_mail_if_it_may(world):
    issuer = world.type(A, mailbox_s=86400)
    issuer.rotate_due(world.now_s + 3600)
    assert [each.bundle.kind for each in issuer.granted(A, False)] == [TYPE]
    assert [each.bundle.kind for each in issuer.granted(A, True)] == [TYPE, MAILBOX, MAILBOX]
    assert issuer.granted(A, False)[0].bundle.not_before == world.now_s + 3600


def test_the_directory_says_it_all(world):
    issuer = world.type(A, mailbox_s=86400)
    issuer.grant("acme/prod/news", A)
    issuer.demand_suite(HYBRID)
    chain = issuer.vouch(NAME, b"s" * 32, b"x" * 32, world.now_s)
    issuer.revoke(chain, world.now_s)
    entries = issuer.publish(world.now_s).read_entries()
    assert {each.name for each in entries.certificates} == {A, "acme/system/agp-keyd"}
    assert {(each.name, each.kind) for each in entries.prekeys} == {(A, TYPE), (A, MAILBOX)}
    assert entries.grants == (("acme/prod/news", A),)
    assert [serial for serial, _ in entries.revoked] == [chain.instance.serial]
    assert issuer.update.last.minimum_suite == HYBRID


def test_a_revocation_rotates_and_is_kept_until_the_certificate_would_have_ended(world):
    issuer = world.type(A)
    before = issuer.granted(A, False)[0].bundle.id
    chain = issuer.vouch(NAME, b"s" * 32, b"x" * 32, world.now_s)
    made = issuer.revoke(chain, world.now_s)
    assert made[0].bundle.id == issuer.granted(A, False)[0].bundle.id != before
    assert issuer.publish(world.now_s + 86400).read_entries().revoked
    assert not issuer.publish(world.now_s + 86431).read_entries().revoked


def test_another_process_goes_on_from_the_last_directory(world):
    issuer = world.type(A)
    issuer.grant("acme/prod/news", A)
    chain = issuer.vouch(NAME, b"s" * 32, b"x" * 32, world.now_s)
    issuer.revoke(chain, world.now_s)
    update = issuer.publish(world.now_s)
    trust = world.trust("acme")
    key = SigningKey(b"k" * 32)
    again = Issuer(key, world.certify_type("acme/system/agp-keyd", key), world.chance)
    again.restore(update, world.now_s)
    type_key = SigningKey(b"t" * 32)
    again.add_type(type_key, world.certify_type(A, type_key))
    again.rotate(A, world.now_s)
    trust.install(again.publish(world.now_s + 1) and again.since(update.last.version), world.now_s + 1)
    assert trust.readers_of("acme/prod/news") == [A]
    assert trust.log("acme").is_revoked(chain.instance.serial)
    assert trust.type_prekey(A, prekeys.TYPE, world.now_s).name == A


def test_a_renewed_type_key_keeps_its_prekeys(world):
    issuer = world.type(A)
    before = issuer.granted(A, False)
    key = SigningKey(b"n" * 32)
    issuer.add_type(key, world.certify_type(A, key))
    assert issuer.granted(A, False) == before
    # They are signed by the key before, so the directory needs new ones.
    issuer.rotate(A, world.now_s)
    issuer.publish(world.now_s)
    assert world.trust("acme").type_prekey(A, TYPE, world.now_s)
