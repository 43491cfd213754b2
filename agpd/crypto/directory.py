"""The tenant's directory: what its key daemon says of types, prekeys and revocations, signed and chained.

A small header carries the hash of the entries, so that who missed a hundred versions checks the chain with a hundred
headers and one set of entries. `proto/e2e.md` section 5. Times are Unix seconds.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from agpd import names
from agpd.crypto import hazmat, layout, prekeys, vouch
from agpd.crypto.errors import (
    Cause,
    DirectoryBehind,
    DirectoryFork,
    EpochRollback,
    Malformed,
    StaleDirectory,
    UntrustedKey,
)
from agpd.crypto.keys import SigningKey
from agpd.crypto.layout import Reader
from agpd.crypto.prekeys import Bundle
from agpd.crypto.vouch import KEYD_TYPE, LEEWAY_S, Certificate
from agpd.errors import Refused

LABEL = b"agpd-dir-v1"
TRUST_LABEL = b"agpd-trst-v1"
CERTIFICATE, PREKEY, REVOKED, GRANT, TRUSTED = 1, 2, 3, 4, 5
NO_HEAD = bytes(hazmat.HASH_BYTES)
HEADS_KEPT = 512
HEADERS_LIMIT = 8192
ENTRIES_LIMIT = 65_536


class Header(NamedTuple):
    """What one version is, without its entries. `head` is what the next version continues and peers compare."""

    organization: str
    version: int
    previous: bytes
    time: int
    minimum_suite: int
    entries_hash: bytes
    body: bytes

    @property
    def head(self) -> bytes:
        """H(body)."""
        return hazmat.digest(self.body)


class Entries(NamedTuple):
    """What one version says. `grants` has (topic, type) that may read it; `trusted` roots of other organizations."""

    certificates: tuple[Certificate, ...] = ()
    prekeys: tuple[Bundle, ...] = ()
    revoked: tuple[tuple[bytes, int], ...] = ()
    grants: tuple[tuple[str, str], ...] = ()
    trusted: tuple["Foreign", ...] = ()

    def pack(self) -> bytes:
        """Sorted, each after its kind and length."""
        packed = sorted(
            [
                *((CERTIFICATE, each.raw) for each in self.certificates),
                *((PREKEY, each.raw) for each in self.prekeys),
                *((REVOKED, serial + layout.number(until, 8)) for serial, until in self.revoked),
                *((GRANT, layout.name(topic) + layout.name(kind)) for topic, kind in self.grants),
                *((TRUSTED, each.raw) for each in self.trusted),
            ]
        )
        return b"".join(layout.number(kind, 1) + layout.number(len(data), 2) + data for kind, data in packed)


class Foreign(NamedTuple):
    """The root of another organization, vouched for by the own root."""

    organization: str
    root: bytes
    not_after: int
    signature: bytes

    @property
    def body(self) -> bytes:
        """What is signed."""
        text = self.organization.encode()
        return b"".join(
            (layout.number(len(text), 1), text, self.root, layout.number(self.not_after, 8)),
        )

    @property
    def raw(self) -> bytes:
        """As it travels."""
        return self.body + self.signature


def trust_foreign(root: SigningKey, organization: str, foreign: bytes, not_after: int) -> Foreign:
    """The own root vouches for another organization's."""
    unsigned = Foreign(organization, foreign, not_after, b"")
    return unsigned._replace(signature=root.sign(TRUST_LABEL, unsigned.body))


def parse_entries(data: bytes) -> Entries:
    """Exactly these entries, in order and without doubles. Raises `Malformed`."""
    reader = Reader(data)
    found: dict[int, list[object]] = {CERTIFICATE: [], PREKEY: [], REVOKED: [], GRANT: [], TRUSTED: []}
    last = (0, b"")
    count = 0
    while reader.position < len(data):
        kind, raw = reader.number(1), reader.take(reader.number(2))
        count += 1
        if kind not in found or (kind, raw) <= last or count > ENTRIES_LIMIT:
            raise Malformed("the entries of a directory are unknown, double, out of order or too many")
        last = (kind, raw)
        found[kind].append(_entry(kind, raw))
    return Entries(*(tuple(found[kind]) for kind in sorted(found)))  # type: ignore[arg-type]


def read_header(reader: Reader) -> Header:
    """The next header. Raises `Malformed`."""
    start = reader.position
    reader.version()
    organization = _organization(reader)
    version, previous, time = reader.number(8), reader.take(hazmat.HASH_BYTES), reader.number(8)
    minimum_suite, entries_hash = reader.number(1), reader.take(hazmat.HASH_BYTES)
    end = reader.position
    reader.position = start
    return Header(
        organization, version, previous, time, minimum_suite, entries_hash, reader.take(end - start)
    )


class Update(NamedTuple):
    """What the key daemon hands out: headers from some version on, the last of them signed, and its entries.

    The signature covers the headers before it too, since each holds the hash of the one before.
    """

    headers: tuple[Header, ...]
    signer: Certificate
    signature: bytes
    entries: bytes

    @property
    def last(self) -> Header:
        """The newest header."""
        return self.headers[-1]

    def pack(self) -> bytes:
        """As it travels."""
        headers = b"".join(header.body for header in self.headers)
        return layout.number(len(self.headers), 4) + headers + self.signer.raw + self.signature + self.entries

    def read_entries(self) -> Entries:
        """The entries; nothing is proved. Raises `Malformed`."""
        return parse_entries(self.entries)


def parse_update(data: bytes) -> Update:
    """Raises `Malformed`."""
    reader = Reader(data)
    count = reader.number(4)
    if not 0 < count <= HEADERS_LIMIT:
        raise Malformed("a directory without a header, or with too many")
    headers = tuple(read_header(reader) for _ in range(count))
    return Update(headers, vouch.read(reader), reader.take(hazmat.SIGNATURE_BYTES), reader.rest())


class Publisher:
    """The key daemon's side: makes one version after the other. `last` is what it has published."""

    def __init__(self, organization: str, key: SigningKey, certificate: Certificate) -> None:
        _check_signer(certificate, organization)
        self.organization = organization
        self.last: Update | None = None
        self._key = key
        self._certificate = certificate

    def restore(self, update: Update) -> None:
        """Go on from what an earlier process of the key daemon had published last."""
        self.last = update

    def renew(self, key: SigningKey, certificate: Certificate) -> None:
        """Sign with this key from now on."""
        _check_signer(certificate, self.organization)
        self._key, self._certificate = key, certificate

    def publish(self, entries: Entries, now_s: int, minimum_suite: int = prekeys.CLASSICAL) -> Update:
        """Another version, also if nothing but the time has changed."""
        before = () if self.last is None else self.last.headers
        packed = entries.pack()
        text = self.organization.encode()
        body = b"".join(
            (
                layout.number(layout.VERSION, 1),
                layout.number(len(text), 1),
                text,
                layout.number(before[-1].version + 1 if before else 1, 8),
                before[-1].head if before else NO_HEAD,
                layout.number(max(now_s, before[-1].time) if before else now_s, 8),
                layout.number(minimum_suite, 1),
                hazmat.digest(packed),
            )
        )
        headers = (*before, read_header(Reader(body)))[-HEADERS_LIMIT:]
        self.last = Update(headers, self._certificate, self._key.sign(LABEL, body), packed)
        return self.last

    def since(self, version: int) -> Update:
        """What somebody needs who has this version; 0: who has none, and then gets the last `HEADS_KEPT` headers."""
        assert self.last is not None, "nothing was published yet"
        newer = [each for each in self.last.headers if each.version > version]
        headers = newer if version else self.last.headers[-HEADS_KEPT:]
        return self.last._replace(headers=tuple(headers or self.last.headers[-1:]))


class Log:
    """An agent's view of one organization's directory. `version` 0: none yet.

    (version, head) are public, and the only things of this layer worth keeping on disk: with them given, a directory
    that does not continue them is refused even at the start.
    """

    def __init__(self, organization: str, version: int = 0, head: bytes = NO_HEAD) -> None:
        self.organization = organization
        self.version = version
        self.head = head
        self.time = 0
        self.minimum_suite = prekeys.CLASSICAL
        self.entries = Entries()
        self.heads: dict[int, tuple[bytes, int]] = {}
        self._signer_since = 0
        self._prekeys: dict[tuple[str, int], Bundle] = {}

    def install(
        self, update: Update, root: bytes, now_s: float, check: Callable[[Entries], None] | None = None
    ) -> None:
        """Take up newer versions, if `check` does not raise. Nothing changes if anything raises.

        `DirectoryFork`: they do not continue what is held; `DirectoryBehind`: versions between are missing;
        `StaleDirectory(DIRECTORY_ROLLBACK)`: they end before it; `UntrustedKey`: signed by no key daemon of this root,
        or another organization's; `EpochRollback`: a prekey older than one seen.
        """
        if update.last.version <= self.version:
            self._check_past(update.last)
            return
        headers = [header for header in update.headers if header.version > self.version]
        self._check_signer(update, root, now_s)
        self._check_headers(headers)
        if hazmat.digest(update.entries) != update.last.entries_hash:
            raise UntrustedKey("the entries are not those that the directory's header names")
        entries = parse_entries(update.entries)
        newest = self._newest(entries.prekeys)
        if check is not None:
            check(entries)
        for header in headers:
            self.heads[header.version] = (header.head, header.time)
        while len(self.heads) > HEADS_KEPT:
            del self.heads[min(self.heads)]
        self.version, self.head, self.time = update.last.version, update.last.head, update.last.time
        self.minimum_suite = update.last.minimum_suite
        self._signer_since = update.signer.not_before
        self.entries, self._prekeys = entries, newest

    def prekey(self, name: str, kind: int) -> Bundle | None:
        """The newest of a type. Its signature is not proved here."""
        return self._prekeys.get((name, kind))

    def is_revoked(self, serial: bytes) -> bool:
        """Has this certificate been revoked?"""
        return any(serial == each for each, _ in self.entries.revoked)

    def _check_signer(self, update: Update, root: bytes, now_s: float) -> None:
        signer = update.signer
        _check_signer(signer, self.organization)
        signer.check_signature(root)
        hazmat.verify(signer.signing, LABEL, update.last.body, update.signature)
        if not signer.covers(now_s):
            raise UntrustedKey("the certificate of the key daemon is out of its time")
        if signer.not_before < self._signer_since:
            raise UntrustedKey("a directory signed with an older key than the one before")
        if update.last.time > now_s + LEEWAY_S:
            raise UntrustedKey("a directory from the future")

    def _check_headers(self, headers: Sequence[Header]) -> None:
        version, head, time = self.version or headers[0].version - 1, self.head, self.time
        for header in headers:
            if header.organization != self.organization:
                raise UntrustedKey("a directory of another organization")
            if header.version != version + 1:
                raise DirectoryBehind(f"versions between {version} and {header.version} are missing")
            if (self.version or header is not headers[0]) and header.previous != head:
                raise DirectoryFork(f"version {header.version} does not continue version {version}")
            if header.time < time:
                raise DirectoryFork(f"version {header.version} goes back in time")
            version, head, time = header.version, header.head, header.time

    def _check_past(self, last: Header) -> None:
        known = self.head if last.version == self.version else self.heads.get(last.version, (b"",))[0]
        if known and known != last.head:
            raise DirectoryFork(f"there are two directories of version {last.version}")
        if last.version < self.version:
            raise StaleDirectory("older than the directory held", Cause.DIRECTORY_ROLLBACK)

    def _newest(self, bundles: Iterable[Bundle]) -> dict[tuple[str, int], Bundle]:
        newest: dict[tuple[str, int], Bundle] = {}
        for bundle in bundles:
            key = (bundle.name, bundle.kind)
            if bundle.kind != prekeys.INSTANCE and (key not in newest or bundle.epoch > newest[key].epoch):
                newest[key] = bundle
        for key, bundle in newest.items():
            before = self._prekeys.get(key)
            if before is not None and bundle.epoch < before.epoch:
                raise EpochRollback(f"the prekey of {bundle.name} is older than one seen before")
        return newest


def _check_signer(certificate: Certificate, organization: str) -> None:
    segments = certificate.name.split("/")
    if certificate.kind != vouch.TYPE or segments[0] != organization or segments[2] != KEYD_TYPE:
        raise UntrustedKey(f"{certificate.name} is no key daemon of {organization}")


def _organization(reader: Reader) -> str:
    try:
        text = reader.take(reader.number(1)).decode("ascii")
        if names.parse_pattern(f"{text}/*").prefix != (text,):
            raise Malformed("an organization's name is none")
    except (UnicodeDecodeError, Refused):
        raise Malformed("an organization's name is none") from None
    return text


def _entry(kind: int, raw: bytes) -> object:
    reader = Reader(raw)
    if kind == CERTIFICATE:
        return vouch.parse(raw)
    if kind == PREKEY:
        return prekeys.parse(raw)
    found: object
    if kind == REVOKED:
        found = (reader.take(vouch.SERIAL_BYTES), reader.number(8))
    elif kind == GRANT:
        found = (reader.name(), reader.name())
    else:
        found = Foreign(
            _organization(reader),
            reader.take(hazmat.KEY_BYTES),
            reader.number(8),
            reader.take(hazmat.SIGNATURE_BYTES),
        )
    reader.done()
    return found
