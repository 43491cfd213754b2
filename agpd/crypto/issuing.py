"""The heart of a key daemon: it vouches for instances, makes the prekeys of types, and writes the directory.

No socket, no file: who may enrol, and where keys lie between two runs, is the business of the daemon round it.
Times are Unix seconds. `proto/e2e.md` section 10.
"""

from collections.abc import Iterable

from agpd.crypto import prekeys, vouch
from agpd.crypto.directory import Entries, Foreign, Publisher, Update
from agpd.crypto.errors import UntrustedKey
from agpd.crypto.hazmat import Chance
from agpd.crypto.keys import Secret, SigningKey
from agpd.crypto.prekeys import MAILBOX, TYPE, Prekey, Ring
from agpd.crypto.vouch import Certificate, Chain

INSTANCE_LIFE_S = vouch.INSTANCE_LIFE_LIMIT_S
PUBLISH_EVERY_S = 300


class _Type(Secret):
    """A type that the daemon issues for."""

    __slots__ = ("certificate", "key", "mailbox_s", "ring", "suite")

    def __init__(self, key: SigningKey, certificate: Certificate, suite: int, mailbox_s: int) -> None:
        self.key = key
        self.certificate = certificate
        self.suite = suite
        self.mailbox_s = mailbox_s
        self.ring = Ring()


class Issuer(Secret):
    """All that one organization's key daemon knows. `update` is the directory as published last."""

    __slots__ = (
        "_chance",
        "_epochs",
        "_grants",
        "_minimum_suite",
        "_publisher",
        "_revoked",
        "_trusted",
        "_types",
    )

    def __init__(self, key: SigningKey, certificate: Certificate, chance: Chance) -> None:
        """`key` and `certificate` are those of the type `agp-keyd`. Raises `UntrustedKey` for another one."""
        self._chance = chance
        self._publisher = Publisher(certificate.organization, key, certificate)
        self._types: dict[str, _Type] = {}
        self._revoked: dict[bytes, int] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._grants: set[tuple[str, str]] = set()
        self._trusted: tuple[Foreign, ...] = ()
        self._minimum_suite = prekeys.CLASSICAL
        self.add_type(key, certificate)

    @property
    def update(self) -> Update | None:
        """The directory as published last, with the headers before it."""
        return self._publisher.last

    def restore(self, update: Update, now_s: int) -> None:
        """Go on from the directory that an earlier process published; its types are to be added with their keys."""
        entries = update.read_entries()
        self._publisher.restore(update)
        self._epochs = {(each.name, each.kind): each.epoch for each in entries.prekeys}
        self._revoked = {serial: until for serial, until in entries.revoked if until >= now_s}
        self._grants = set(entries.grants)
        self._trusted = entries.trusted
        self._minimum_suite = update.last.minimum_suite

    def add_type(
        self,
        key: SigningKey,
        certificate: Certificate,
        suite: int = prekeys.CLASSICAL,
        mailbox_s: int = 0,
    ) -> None:
        """Issue for this type. `mailbox_s`: how long a message to it may wait; 0: it has no mailbox.

        After another key for a type that there was, `rotate` it: its prekeys are signed with the key before.
        """
        if certificate.kind != vouch.TYPE or certificate.signing != key.public:
            raise UntrustedKey(f"the key is not that of {certificate.name}")
        found = _Type(key, certificate, suite, mailbox_s)
        before = self._types.get(certificate.name)
        if before is not None:
            found.ring = before.ring
        self._types[certificate.name] = found

    def demand_suite(self, minimum: int) -> None:
        """Let nobody use a weaker suite."""
        self._minimum_suite = minimum

    def grant(self, topic: str, type_name: str) -> None:
        """Let a type read a topic."""
        self._grants.add((topic, type_name))

    def revoke_grant(self, topic: str, type_name: str) -> None:
        """Let it read the topic no more; publishers change their keys when they see the next directory."""
        self._grants.discard((topic, type_name))

    def trust(self, trusted: Iterable[Foreign]) -> None:
        """The other organizations that the root vouches for."""
        self._trusted = tuple(trusted)

    def vouch(self, name: str, signing: bytes, exchange: bytes, now_s: int) -> Chain:
        """A certificate for an instance that has shown that it may have one. Raises `UntrustedKey`."""
        found = self._find(name.rpartition("/")[0])
        until = min(now_s + INSTANCE_LIFE_S, found.certificate.not_after)
        serial = self._chance(vouch.SERIAL_BYTES)
        certificate = vouch.issue_instance(
            found.key, found.certificate, name, signing, exchange, serial, now_s, until
        )
        return Chain(found.certificate, certificate)

    def rotate(self, type_name: str, now_s: int) -> list[Prekey]:
        """New prekeys at once: an instance has come, or gone. To be granted to all that are there."""
        found = self._find(type_name)
        made = [self._make(found, TYPE, now_s)]
        if found.mailbox_s:
            made.append(self._make(found, MAILBOX, now_s))
        for prekey in made:
            found.ring.add(prekey)
        return made

    def rotate_due(self, now_s: int) -> dict[str, list[Prekey]]:
        """New prekeys for the types whose own have had their hour."""
        made = {}
        for name, found in self._types.items():
            found.ring.erase(now_s)
            newest = found.ring.newest(TYPE)
            if newest is None or now_s >= newest.bundle.not_after:
                made[name] = self.rotate(name, now_s)
        return made

    def granted(self, type_name: str, with_mail: bool) -> list[Prekey]:
        """The prekeys for an instance that joins: the newest, and of the mailbox all that is kept, if it may read that.

        Older live prekeys are never among them, or it could open what was sent before it came: `rotate` first.
        """
        ring = self._find(type_name).ring
        newest = ring.newest(TYPE)
        live = [] if newest is None else [newest]
        return live + (ring.all(MAILBOX) if with_mail else [])

    def revoke(self, chain: Chain, now_s: int) -> list[Prekey]:
        """An instance is not to be believed any more: new prekeys at once, to be granted with `withdrawn_s=now_s`."""
        self._revoked[chain.instance.serial] = chain.instance.not_after + vouch.LEEWAY_S
        return self.rotate(chain.type.name, now_s)

    def publish(self, now_s: int) -> Update:
        """Another version of the directory: at every change, and every five minutes without one."""
        self._revoked = {serial: until for serial, until in self._revoked.items() if until >= now_s}
        bundles = [
            newest.bundle
            for found in self._types.values()
            for kind in (TYPE, MAILBOX)
            if (newest := found.ring.newest(kind)) is not None
        ]
        entries = Entries(
            tuple(found.certificate for found in self._types.values()),
            tuple(bundles),
            tuple(self._revoked.items()),
            tuple(self._grants),
            self._trusted,
        )
        return self._publisher.publish(entries, now_s, self._minimum_suite)

    def since(self, version: int) -> Update:
        """The directory for somebody who has this version; 0: none."""
        return self._publisher.since(version)

    def _find(self, type_name: str) -> _Type:
        found = self._types.get(type_name)
        if found is None:
            raise UntrustedKey(f"there is no key for {type_name}")
        return found

    def _make(self, found: _Type, kind: int, now_s: int) -> Prekey:
        name = found.certificate.name
        # Following the clock, and never back: not after a restart, nor when several are made in a second.
        epoch = max(now_s, self._epochs.get((name, kind), 0) + 1)
        self._epochs[name, kind] = epoch
        kept_s = found.mailbox_s if kind == MAILBOX else 0
        return prekeys.make(found.key, name, kind, found.suite, epoch, now_s, self._chance, kept_s)
