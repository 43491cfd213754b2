"""agpd/crypto/directory.py: versions that continue each other, and those that do not."""

import pytest
from crypto_world import START_S, World
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import directory, prekeys
from agpd.crypto.directory import Entries, Log, Publisher, parse_update
from agpd.crypto.errors import (
    Cause,
    CryptoError,
    DirectoryBehind,
    DirectoryFork,
    EpochRollback,
    Malformed,
    StaleDirectory,
    UntrustedKey,
)
from agpd.crypto.keys import SigningKey

TYPE = "acme/prod/finance"


class Tenant:
    """A root, a key daemon's publisher, and an agent's log."""

    def __init__(self, seed=0):
        self.world = World(seed)
        self.world.organization("acme")
        self.root = self.world.roots["acme"]
        self.key = SigningKey.generate(self.world.chance)
        self.certificate = self.world.certify_type("acme/system/agp-keyd", self.key)
        self.publisher = Publisher("acme", self.key, self.certificate)
        self.log = Log("acme")

    def publish(self, count=1, now_s=START_S, entries=Entries()):  # noqa: B008
        for number in range(count):
            update = self.publisher.publish(entries, now_s + number)
        return update

    def install(self, update, log=None, now_s=START_S + 1000):
        (log or self.log).install(parse_update(update.pack()), self.root.public, now_s)


def test_an_agent_follows_and_catches_up():
    tenant = Tenant()
    tenant.publish(3)
    tenant.install(tenant.publisher.since(0))
    assert (tenant.log.version, tenant.log.time) == (3, START_S + 2)
    assert set(tenant.log.heads) == {1, 2, 3}
    tenant.publish(5, START_S + 10)
    tenant.install(tenant.publisher.since(3))
    assert tenant.log.version == 8
    assert tenant.log.head == tenant.publisher.last.last.head
    tenant.install(tenant.publisher.since(8))  # nothing new


def test_who_begins_gets_the_last_headers_only(monkeypatch):
    monkeypatch.setattr(directory, "HEADS_KEPT", 4)
    tenant = Tenant()
    tenant.publish(9)
    assert [each.version for each in tenant.publisher.since(0).headers] == [6, 7, 8, 9]
    tenant.install(tenant.publisher.since(0))
    tenant.publish(2, START_S + 20)
    tenant.install(tenant.publisher.since(tenant.log.version))
    assert sorted(tenant.log.heads) == [8, 9, 10, 11]


def test_missing_versions_are_asked_for():
    tenant = Tenant()
    tenant.publish()
    tenant.install(tenant.publisher.since(0))
    tenant.publish(2, START_S + 10)
    update = tenant.publisher.since(2)
    with pytest.raises(DirectoryBehind):
        tenant.install(update)
    assert tenant.log.version == 1


def test_an_older_one_is_a_rollback():
    tenant = Tenant()
    old = tenant.publish()
    tenant.publish(2, START_S + 10)
    tenant.install(tenant.publisher.since(0))
    with pytest.raises(StaleDirectory) as refused:
        tenant.install(old)
    assert refused.value.cause is Cause.DIRECTORY_ROLLBACK


def test_two_directories_of_one_version_are_a_fork():
    tenant = Tenant()
    tenant.publish()
    tenant.install(tenant.publisher.since(0))
    other = Publisher("acme", tenant.key, tenant.certificate)
    other.restore(tenant.publisher.last)
    tenant.publish(2, START_S + 10)
    other.publish(Entries(grants=(("acme/t/a", "acme/t/b"),)), START_S + 10)
    tenant.install(tenant.publisher.since(1))
    with pytest.raises(DirectoryFork):
        tenant.install(other.since(2))
    other.publish(Entries(), START_S + 30)
    other.publish(Entries(), START_S + 31)
    with pytest.raises(DirectoryFork):
        tenant.install(other.since(3))
    assert tenant.log.version == 3


def test_what_was_known_before_a_restart_is_continued():
    tenant = Tenant()
    tenant.publish(3)
    good = Log("acme", 2, tenant.publisher.last.headers[1].head)
    tenant.install(tenant.publisher.since(2), good)
    assert good.version == 3
    with pytest.raises(DirectoryFork):
        tenant.install(tenant.publisher.since(2), Log("acme", 2, bytes(32)))
    with pytest.raises(StaleDirectory):
        tenant.install(tenant.publisher.last, Log("acme", 9, bytes(32)))


def changed(update, **changes):
    return update._replace(headers=(*update.headers[:-1], update.last._replace(**changes)))


def test_only_the_key_daemon_of_the_own_root_is_believed():
    tenant = Tenant()
    update = tenant.publish()
    foreign = Tenant(1)
    with pytest.raises(UntrustedKey):
        foreign.install(update)
    with pytest.raises(UntrustedKey):  # another organization's, under one root
        tenant.install(update, Log("globex"))
    with pytest.raises(UntrustedKey):
        Publisher("acme", tenant.key, tenant.world.certify_type(TYPE, tenant.key))
    stranger = update._replace(signer=tenant.world.certify_type(TYPE, tenant.key))
    with pytest.raises(UntrustedKey):
        tenant.install(stranger)
    with pytest.raises(UntrustedKey):
        tenant.install(update._replace(signature=bytes(64)))
    with pytest.raises(UntrustedKey):
        tenant.install(update._replace(entries=Entries(grants=(("a/b/c", "a/b/d"),)).pack()))
    assert tenant.log.version == 0


def test_time_and_the_signers_age_do_not_go_back():
    tenant = Tenant()
    with pytest.raises(UntrustedKey, match="future"):
        tenant.install(tenant.publish(now_s=START_S + 2000))
    with pytest.raises(UntrustedKey, match="out of its time"):
        tenant.install(tenant.publisher.last, now_s=START_S + 91 * 86400)
    tenant.install(tenant.publisher.last, now_s=START_S + 2000)
    tenant.publish(now_s=START_S)  # the clock of the daemon went back: its directories do not
    assert tenant.publisher.last.last.time == START_S + 2000
    tenant.world.now_s += 3600
    newer = SigningKey.generate(tenant.world.chance)
    tenant.publisher.renew(newer, tenant.world.certify_type("acme/system/agp-keyd", newer))
    tenant.publish(now_s=START_S + 3600)
    tenant.install(tenant.publisher.since(1), now_s=START_S + 4000)
    tenant.publisher.renew(tenant.key, tenant.certificate)
    tenant.publish(now_s=START_S + 4000)
    with pytest.raises(UntrustedKey, match="older key"):
        tenant.install(tenant.publisher.since(3), now_s=START_S + 5000)


def test_a_header_from_before_its_predecessor_is_refused():
    tenant = Tenant()
    tenant.publish()
    tenant.install(tenant.publisher.since(0))
    last = tenant.publisher.last
    tenant.publisher.restore(changed(last, time=last.last.time - 100))
    tenant.publish(now_s=START_S - 50)
    with pytest.raises(DirectoryFork, match="back in time"):
        tenant.install(tenant.publisher.since(1))


def test_prekeys_do_not_go_back_to_an_older_epoch():
    tenant = Tenant()
    new, old = (
        prekeys.make(tenant.key, TYPE, prekeys.TYPE, 1, epoch, START_S, tenant.world.chance).bundle
        for epoch in (7, 6)
    )
    tenant.install(tenant.publish(entries=Entries(prekeys=(old, new))))
    assert tenant.log.prekey(TYPE, prekeys.TYPE) == new
    tenant.publish(now_s=START_S + 1, entries=Entries(prekeys=(old,)))
    with pytest.raises(EpochRollback):
        tenant.install(tenant.publisher.since(1))
    assert tenant.log.version == 1


def test_nothing_changes_where_the_check_of_the_entries_raises():
    tenant = Tenant()

    def refuse(_):
        raise UntrustedKey("no")

    with pytest.raises(UntrustedKey):
        tenant.log.install(tenant.publish(), tenant.root.public, START_S, refuse)
    assert (tenant.log.version, tenant.log.heads) == (0, {})


def test_entries_come_back_sorted():
    tenant = Tenant()
    bundle = prekeys.make(tenant.key, TYPE, prekeys.TYPE, 2, 1, START_S, tenant.world.chance).bundle
    foreign = directory.trust_foreign(tenant.root, "globex", bytes(32), START_S)
    entries = Entries((tenant.certificate,), (bundle,), ((bytes(16), 9),), (("a/b/c", "a/b/d"),), (foreign,))
    assert directory.parse_entries(entries.pack()) == entries
    assert not Log("acme").is_revoked(bytes(16))
    tenant.install(tenant.publish(entries=entries))
    assert tenant.log.is_revoked(bytes(16))


@pytest.mark.parametrize(
    "raw",
    [
        b"\4\0\x0c\5a/b/c\5a/b/d" * 2,
        b"\4\0\x0c\5a/b/d\5a/b/d\4\0\x0c\5a/b/c\5a/b/d",
        b"\6\0\0",
        b"\4\0\x0d\5a/b/c\5a/b/d\0",
        b"\3\0\x01a",
        b"\5\0\x02\1A",
    ],
)
def test_doubles_disorder_and_strange_entries_are_malformed(raw):
    with pytest.raises(Malformed):
        directory.parse_entries(raw)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw):
    with pytest.raises(CryptoError):
        Log("acme").install(parse_update(raw), bytes(32), START_S)


def test_every_bit_of_an_update_counts():
    tenant = Tenant()
    tenant.publish(2, entries=Entries(grants=(("acme/t/a", "acme/t/b"),)))
    raw = tenant.publisher.since(0).pack()
    root = tenant.root.public
    tenant.install(tenant.publisher.since(0))
    for bit in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        log = Log("acme")
        try:
            log.install(parse_update(bytes(broken)), root, START_S + 1000)
        except CryptoError:
            assert log.version == 0
            continue
        # An older header may be left out, as a gateway may: the peer then knows fewer heads, and no wrong one.
        assert (log.version, log.head, log.entries) == (2, tenant.log.head, tenant.log.entries)
        assert log.heads.items() < tenant.log.heads.items()
