"""agpd/crypto/trust.py: roots, chains, directories and their age."""

import pytest
from crypto_world import START_S, World

from agpd.crypto import directory, hazmat, prekeys
from agpd.crypto.errors import (
    Cause,
    DirectoryBehind,
    DirectoryFork,
    Expired,
    StaleDirectory,
    UntrustedKey,
)
from agpd.crypto.keys import ExchangeKey, SigningKey
from agpd.crypto.trust import Ages, Freshness, Trust
from agpd.crypto.vouch import Chain

A = "acme/prod/finance/1"


@pytest.fixture
def world():
    return World()


def test_a_chain_under_the_pinned_root_is_believed(world):
    agent = world.agent(A)
    peer = agent.trust.check_chain(agent.identity.chain, A, world.now_s)
    assert (peer.name, peer.type_name, peer.signing) == (
        A,
        "acme/prod/finance",
        agent.identity.signing.public,
    )


def test_a_chain_is_verified_once_and_looked_at_each_time(world, monkeypatch):
    agent = world.agent(A)
    chain = agent.identity.chain
    agent.trust.check_chain(chain, A, world.now_s)
    monkeypatch.setattr(hazmat, "verify", None)
    agent.trust.check_chain(chain, A, world.now_s)
    with pytest.raises(Expired):
        agent.trust.check_chain(chain, A, world.now_s + 86400 + 31)


def test_a_cached_chain_of_another_issuer_is_no_hit(world):
    agent = world.agent(A)
    chain = agent.identity.chain
    agent.trust.check_chain(chain, A, world.now_s)
    forger = SigningKey.generate(world.chance)
    with pytest.raises(UntrustedKey):
        agent.trust.check_chain(
            chain._replace(type=world.certify_type("acme/prod/finance", forger)), A, world.now_s
        )


def test_a_root_vouches_for_its_own_organization_alone(world):
    ours, theirs = world.agent(A), world.agent("globex/prod/buy/1")
    with pytest.raises(UntrustedKey) as refused:
        ours.trust.check_chain(theirs.identity.chain, theirs.name, world.now_s)
    assert refused.value.cause is Cause.NO_ROOT
    # The root of globex, trusted for globex, certifies a name of acme: attack 20.
    forger = SigningKey.generate(world.chance)
    world.roots["acme"], kept = world.roots["globex"], world.roots["acme"]
    forged = world.certify_type("acme/prod/finance", forger)
    world.roots["acme"] = kept
    exchange = ExchangeKey.generate(world.chance)
    from agpd.crypto import vouch

    below = vouch.issue_instance(
        forger, forged, A, forger.public, exchange.public, bytes(16), world.now_s, world.now_s + 100
    )
    with pytest.raises(UntrustedKey) as refused:
        ours.trust.check_chain(Chain(forged, below), A, world.now_s)
    assert refused.value.cause is Cause.SIGNATURE


def test_a_foreign_organization_is_trusted_by_the_own_root_until_a_date(world):
    ours, theirs = world.agent(A), world.agent("globex/prod/buy/1")
    foreign = directory.trust_foreign(
        world.roots["acme"], "globex", world.roots["globex"].public, world.now_s + 1000
    )
    world.issuers["acme"].trust([foreign])
    world.publish()
    with pytest.raises(StaleDirectory):
        ours.trust.require_fresh("globex", world.now_s)
    ours.trust.install(world.issuers["globex"].since(0), world.now_s)
    ours.trust.require_fresh("globex", world.now_s)
    ours.trust.check_chain(theirs.identity.chain, theirs.name, world.now_s)
    assert ours.trust.type_prekey("globex/prod/buy", prekeys.TYPE, world.now_s).name == "globex/prod/buy"
    with pytest.raises(UntrustedKey):
        ours.trust.check_chain(theirs.identity.chain, theirs.name, world.now_s + 1000)


@pytest.mark.parametrize("signer", ["globex", "acme"])
def test_a_trust_list_must_be_signed_by_the_own_root_and_speak_of_others(world, signer):
    ours = world.agent(A)
    world.organization("globex")
    organization = "globex" if signer == "globex" else "acme"
    foreign = directory.trust_foreign(world.roots[signer], organization, bytes(32), world.now_s + 1000)
    world.issuers["acme"].trust([foreign])
    version = ours.trust.view_of("acme")
    with pytest.raises(UntrustedKey):
        ours.trust.install(world.issuers["acme"].publish(world.now_s), world.now_s)
    assert ours.trust.view_of("acme") == version


def test_age_warns_after_an_hour_and_refuses_after_a_day(world):
    trust = world.trust("acme")
    world.issuers["acme"].publish(world.now_s)
    for age_s, expected in (
        (3600, Freshness.FRESH),
        (3601, Freshness.OLD),
        (86400, Freshness.OLD),
        (86401, Freshness.STALE),
    ):
        assert trust.freshness("acme", START_S + age_s) is expected
    trust.require_fresh("acme", START_S + 86400)
    with pytest.raises(StaleDirectory):
        trust.require_fresh("acme", START_S + 86401)
    assert Trust("acme", bytes(32)).freshness("acme", START_S) is Freshness.STALE
    assert world.trust("acme", Ages(1, 2)).freshness("acme", START_S + 3) is Freshness.STALE


def test_the_view_of_a_peer_is_compared_with_the_own(world):
    trust = world.trust("acme")
    version, head = trust.view_of("acme")
    trust.check_view(version, head, world.now_s)
    with pytest.raises(DirectoryFork):
        trust.check_view(version, bytes(32), world.now_s)
    with pytest.raises(DirectoryBehind):
        trust.check_view(version + 1, bytes(32), world.now_s)
    for _ in range(3):
        world.now_s += 300
        world.issuers["acme"].publish(world.now_s)
    trust.install(world.issuers["acme"].since(version), world.now_s)
    trust.check_view(version, head, world.now_s)
    with pytest.raises(DirectoryFork):
        trust.check_view(version, bytes(32), world.now_s)
    with pytest.raises(StaleDirectory):
        trust.check_view(version, head, world.now_s + 86400)
    with pytest.raises(StaleDirectory):
        trust.check_view(0, bytes(32), world.now_s)


def test_what_is_revoked_is_believed_no_more(world):
    agent, other = world.agent(A), world.agent("acme/prod/audit/1")
    peer = other.trust.check_chain(agent.identity.chain, A, world.now_s)
    assert other.trust.is_valid(peer, world.now_s)
    generation = other.trust.generation
    world.issuers["acme"].revoke(agent.identity.chain, world.now_s)
    world.publish()
    assert other.trust.generation > generation
    assert other.trust.is_revoked(peer)
    assert not other.trust.is_valid(peer, world.now_s)
    with pytest.raises(UntrustedKey) as refused:
        other.trust.check_chain(agent.identity.chain, A, world.now_s)
    assert refused.value.cause is Cause.REVOKED


def test_prekeys_of_types_come_from_the_directory_proved(world):
    agent = world.agent(A)
    bundle = agent.trust.type_prekey("acme/prod/finance", prekeys.TYPE, world.now_s)
    assert bundle.name == "acme/prod/finance"
    for name, kind in (("acme/prod/finance", prekeys.MAILBOX), ("acme/prod/none", prekeys.TYPE)):
        with pytest.raises(UntrustedKey):
            agent.trust.type_prekey(name, kind, world.now_s)
    with pytest.raises(StaleDirectory):
        agent.trust.type_prekey("acme/prod/finance", prekeys.TYPE, world.now_s + 86401)


def test_a_prekey_that_the_type_did_not_sign_is_refused(world):
    agent = world.agent(A)
    log = agent.trust.log("acme")
    key = ("acme/prod/finance", prekeys.TYPE)
    log._prekeys[key] = log._prekeys[key]._replace(signature=bytes(64))
    with pytest.raises(UntrustedKey) as refused:
        agent.trust.type_prekey(*key, world.now_s)
    assert refused.value.cause is Cause.SIGNATURE


def test_prekeys_of_instances_are_proved_by_their_chain(world):
    agent, other = world.agent(A), world.agent("acme/prod/audit/1")
    identity = agent.identity
    bundle = prekeys.make(identity.signing, A, prekeys.INSTANCE, 1, 1, world.now_s, world.chance).bundle
    assert other.trust.instance_prekey(bundle, identity.chain, A, world.now_s) == bundle
    theirs = prekeys.make(other.identity.signing, A, prekeys.INSTANCE, 1, 1, world.now_s, world.chance).bundle
    wrong_kind = prekeys.make(
        identity.signing, "acme/prod/finance", prekeys.TYPE, 1, 1, world.now_s, world.chance
    ).bundle
    for wrong in (theirs, wrong_kind):
        with pytest.raises(UntrustedKey):
            other.trust.instance_prekey(wrong, identity.chain, A, world.now_s)


def test_readers_of_a_topic_are_the_granted_types_and_of_a_type_itself(world):
    agent = world.agent(A)
    world.agent("acme/prod/audit/1")
    world.issuers["acme"].grant("acme/prod/news", "acme/prod/audit")
    world.publish()
    assert agent.trust.readers_of("acme/prod/news") == ["acme/prod/audit"]
    assert agent.trust.readers_of("acme/prod/finance") == ["acme/prod/finance"]
    assert agent.trust.readers_of("acme/prod/other") == []
    world.issuers["acme"].revoke_grant("acme/prod/news", "acme/prod/audit")
    world.publish()
    assert agent.trust.readers_of("acme/prod/news") == []


def test_the_cache_is_bounded(world, monkeypatch):
    from agpd.crypto import trust as module

    monkeypatch.setattr(module, "CHAINS_CACHED", 3)
    agent = world.agent(A)
    for number in range(5):
        other = world.agent(f"acme/prod/finance/x{number}")
        agent.trust.check_chain(other.identity.chain, other.name, world.now_s)
    assert len(agent.trust._verified) == 3


def test_the_minimum_suite_is_that_of_both_sides(world):
    trust = world.trust("acme")
    assert trust.minimum_suite("globex") == 1
    world.issuers["acme"].demand_suite(2)
    trust.install(world.issuers["acme"].publish(world.now_s), world.now_s)
    assert trust.minimum_suite("globex") == trust.minimum_suite("acme") == 2
