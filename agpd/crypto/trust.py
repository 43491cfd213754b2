"""Whom an agent believes: the pinned root, the directories under it, and chains of certificates.

Times are Unix seconds. `proto/e2e.md` sections 3 and 5.
"""

import enum
from collections import OrderedDict
from typing import NamedTuple

from agpd.crypto import directory, hazmat, prekeys, vouch
from agpd.crypto.directory import Entries, Foreign, Log, Update
from agpd.crypto.errors import (
    Cause,
    DirectoryBehind,
    DirectoryFork,
    Expired,
    StaleDirectory,
    UntrustedKey,
)
from agpd.crypto.prekeys import Bundle
from agpd.crypto.vouch import Certificate, Chain

CHAINS_CACHED = 4096


class Ages(NamedTuple):
    """How old the newest directory may be."""

    warn_s: int = 3600
    refuse_s: int = 86400


DEFAULT_AGES = Ages()


class Freshness(enum.Enum):
    """What the age of a directory means."""

    FRESH = "fresh"
    OLD = "old"
    STALE = "stale"


class Peer(NamedTuple):
    """Who has proved itself: by these certificates, which end at `not_after`."""

    name: str
    signing: bytes
    chain: Chain
    not_after: int

    @property
    def type_name(self) -> str:
        """The first three segments."""
        return self.chain.type.name


class Trust:
    """What one agent believes. `root` is pinned: it came with the configuration, never over the gateway."""

    def __init__(
        self,
        organization: str,
        root: bytes,
        ages: Ages = DEFAULT_AGES,
        version: int = 0,
        head: bytes = directory.NO_HEAD,
    ) -> None:
        """(version, head): what an earlier process knew of the own directory; 0: nothing."""
        self.organization = organization
        self.ages = ages
        self.generation = 0
        """Grows whenever a directory is taken up: time to look at what was revoked."""
        self._root = root
        self._logs: dict[str, Log] = {organization: Log(organization, version, head)}
        self._foreign: dict[str, Foreign] = {}
        self._revoked: set[bytes] = set()
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    # Directories

    def install(self, update: Update, now_s: float) -> Log:
        """Take up a newer directory of an organization that is trusted. What `Log.install` raises; `UntrustedKey`."""
        organization = update.last.organization
        root = self.root_of(organization, now_s)
        log = self._logs.get(organization) or Log(organization)
        is_own = organization == self.organization
        log.install(update, root, now_s, self._check_trusted if is_own else None)
        self._logs[organization] = log
        if is_own:
            self._foreign = {each.organization: each for each in log.entries.trusted}
        self._revoked = {
            serial for each in self._logs.values() for serial, until in each.entries.revoked if until >= now_s
        }
        self.generation += 1
        return log

    def root_of(self, organization: str, now_s: float) -> bytes:
        """The key that vouches for an organization. Raises `UntrustedKey(NO_ROOT)`."""
        if organization == self.organization:
            return self._root
        foreign = self._foreign.get(organization)
        if foreign is None or foreign.not_after <= now_s:
            raise UntrustedKey(f"no root of {organization} is trusted", Cause.NO_ROOT)
        return foreign.root

    def log(self, organization: str) -> Log:
        """What is known of an organization's directory."""
        return self._logs.get(organization) or Log(organization)

    def freshness(self, organization: str, now_s: float) -> Freshness:
        """Is its directory new enough?"""
        log = self.log(organization)
        age = now_s - log.time
        if not log.time or age > self.ages.refuse_s:
            return Freshness.STALE
        return Freshness.OLD if age > self.ages.warn_s else Freshness.FRESH

    def require_fresh(self, organization: str, now_s: float) -> None:
        """Raises `StaleDirectory` where no new session may be begun."""
        if self.freshness(organization, now_s) is Freshness.STALE:
            raise StaleDirectory(
                f"the directory of {organization} is older than {self.ages.refuse_s} s, or missing"
            )

    def view_of(self, organization: str) -> tuple[int, bytes]:
        """Version and head, as a first message and its answer carry them."""
        log = self.log(organization)
        return log.version, log.head

    def check_view(self, version: int, head: bytes, now_s: float) -> None:
        """What a peer says of the own organization's directory.

        Raises `DirectoryFork`, `DirectoryBehind` (fetch, and open again), `StaleDirectory` if the peer's is too old.
        """
        log = self.log(self.organization)
        if version > log.version:
            raise DirectoryBehind(f"the peer knows version {version}, here is {log.version}")
        if version == log.version:
            if not hazmat.same(head, log.head):
                raise DirectoryFork(f"the peer has another directory of version {version}")
            return
        known, time = log.heads.get(version, (b"", 0))
        if not known or now_s - time > self.ages.refuse_s:
            raise StaleDirectory("the peer's directory is too old")
        if not hazmat.same(head, known):
            raise DirectoryFork(f"the peer has another directory of version {version}")

    def minimum_suite(self, organization: str) -> int:
        """What the directories of both sides demand."""
        return max(self.log(organization).minimum_suite, self.log(self.organization).minimum_suite)

    def readers_of(self, topic: str) -> list[str]:
        """The types that may read a topic. A type may read what is sent to all of it."""
        organization = topic.partition("/")[0]
        entries = self.log(organization).entries
        granted = {kind for name, kind in entries.grants if name == topic}
        if any(each.name == topic for each in entries.certificates):
            granted.add(topic)
        return sorted(granted)

    # Keys

    def check_chain(self, chain: Chain, expected: str, now_s: float) -> Peer:
        """Is this the chain of the agent of that name? Raises `UntrustedKey`, `Expired`."""
        vouch.check_shape(chain, expected)
        self._check_type(chain.type, now_s)
        self._check_now(chain.instance, now_s)
        self._check_signature(chain.instance, chain.type.signing)
        return Peer(expected, chain.instance.signing, chain, chain.instance.not_after)

    def is_valid(self, peer: Peer, now_s: float) -> bool:
        """Does a session with it still stand: neither ended nor revoked?"""
        return now_s < peer.not_after + vouch.LEEWAY_S and not self.is_revoked(peer)

    def is_revoked(self, peer: Peer) -> bool:
        """Has one of its certificates been revoked?"""
        return peer.chain.instance.serial in self._revoked or peer.chain.type.serial in self._revoked

    def type_certificate(self, type_name: str, now_s: float) -> Certificate:
        """The newest one of a type in its organization's directory. Raises `UntrustedKey`, `Expired`."""
        log = self.log(type_name.partition("/")[0])
        found = [each for each in log.entries.certificates if each.name == type_name]
        if not found:
            raise UntrustedKey(f"the directory has no type {type_name}")
        certificate = max(found, key=lambda each: each.not_before)
        self._check_type(certificate, now_s)
        return certificate

    def type_prekey(self, type_name: str, kind: int, now_s: float) -> Bundle:
        """The newest prekey of a type, proved. Raises `UntrustedKey`, `Expired`, `StaleDirectory`."""
        organization = type_name.partition("/")[0]
        self.require_fresh(organization, now_s)
        bundle = self.log(organization).prekey(type_name, kind)
        if bundle is None:
            raise UntrustedKey(f"the directory has no prekey of {type_name}")
        bundle.check_use(now_s)
        self._check_bundle(bundle, self.type_certificate(type_name, now_s).signing)
        return bundle

    def instance_prekey(self, bundle: Bundle, chain: Chain, expected: str, now_s: float) -> Bundle:
        """A prekey that an instance has handed out with its chain, proved. Raises `UntrustedKey`, `Expired`."""
        peer = self.check_chain(chain, expected, now_s)
        if bundle.kind != prekeys.INSTANCE or bundle.name != expected:
            raise UntrustedKey(f"the prekey is not that of {expected}")
        bundle.check_use(now_s)
        self._check_bundle(bundle, peer.signing)
        return bundle

    def _check_type(self, certificate: Certificate, now_s: float) -> None:
        root = self.root_of(certificate.organization, now_s)
        self._check_now(certificate, now_s)
        self._check_signature(certificate, root)

    def _check_now(self, certificate: Certificate, now_s: float) -> None:
        if not certificate.covers(now_s):
            raise Expired(f"the certificate of {certificate.name} is out of its time")
        if certificate.serial in self._revoked:
            raise UntrustedKey(f"the certificate of {certificate.name} was revoked", Cause.REVOKED)

    def _check_signature(self, certificate: Certificate, issuer: bytes) -> None:
        """Once for each pair of certificate and issuer; times and revocation are looked at each time."""
        self._once(hazmat.digest(issuer + certificate.raw), certificate, issuer)

    def _check_bundle(self, bundle: Bundle, signer: bytes) -> None:
        self._once(hazmat.digest(signer + bundle.raw), bundle, signer)

    def _once(self, key: bytes, signed: Certificate | Bundle, signer: bytes) -> None:
        if key in self._verified:
            self._verified.move_to_end(key)
            return
        signed.check_signature(signer)
        self._verified[key] = None
        if len(self._verified) > CHAINS_CACHED:
            self._verified.popitem(last=False)

    def _check_trusted(self, entries: Entries) -> None:
        for each in entries.trusted:
            hazmat.verify(self._root, directory.TRUST_LABEL, each.body, each.signature)
            if each.organization == self.organization:
                raise UntrustedKey("an organization is no stranger to itself", Cause.NO_ROOT)
