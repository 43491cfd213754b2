"""A small X.509 authority on disk: the gateway's certificate, one for each agent, and revocations.

A directory (mode 0700) holds `ca.pem`, `ca.key` (0600), `crl.pem` and `index.jsonl`, an append-only record of
what was issued and revoked and of the lists written. Every other file is replaced whole or not at all.
Times are Unix seconds and passed in, lives are seconds.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agpd.names import Pattern
from agpd.transport import certs
from agpd.transport.pem import (
    PkiError,
    issued_by,
    key_pem,
    load_certificate,
    load_key,
    locked,
    make_directory,
    write_atomically,
)

DAY_S = 86_400.0
CA_LIFE_S = 3650 * DAY_S
AGENT_LIFE_S = DAY_S
GATEWAY_LIFE_S = 90 * DAY_S
CRL_LIFE_S = 7 * DAY_S
DEVELOPMENT_LIFE_S = 30 * DAY_S


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the index. `serial` is in hexadecimal; `number` is a revocation list's."""

    event: Literal["issued", "revoked", "crl"]
    at: float
    serial: str = ""
    kind: Literal["", "agent", "gateway"] = ""
    name: str = ""
    not_after: float = 0.0
    number: int = 0


class Issued(msgspec.Struct, frozen=True):
    """A certificate in the index. `revoked_at` is None while it is in force."""

    serial: int
    kind: str
    name: str
    issued_at: float
    not_after: float
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key on disk. `renewed`: the key was there before and was kept."""

    certificate: Path
    key: Path
    serial: int
    not_after: float
    renewed: bool


@dataclass(frozen=True, slots=True)
class DevelopmentFiles:
    """What a development gateway and its agents need."""

    ca: Path
    certificate: Path
    key: Path
    agent_certificate: Path
    agent_key: Path


class Authority:
    """An authority in its directory. Calls of several processes at once are serialised by a lock file."""

    def __init__(self, directory: Path, signer: certs.Signer) -> None:
        self.directory = directory
        self.certificate = signer.certificate
        self._signer = signer

    @classmethod
    def create(cls, directory: Path, name: str, now: float, life_s: float = CA_LIFE_S) -> "Authority":
        """Make a new one with an empty revocation list. Raises `PkiError` if the directory holds one."""
        make_directory(directory)
        with locked(directory):
            if (directory / "ca.key").exists():
                raise PkiError(f"{directory} holds an authority already: choose another directory")
            return cls._make(directory, name, now, life_s)

    @classmethod
    def _make(cls, directory: Path, name: str, now: float, life_s: float) -> "Authority":
        key = certs.new_key()
        signer = certs.Signer(certs.authority(key, name, now, life_s), key)
        write_atomically(directory / "ca.pem", signer.certificate.public_bytes(Encoding.PEM), 0o644)
        write_atomically(directory / "index.jsonl", b"", 0o644)
        made = cls(directory, signer)
        made._write_crl(now, CRL_LIFE_S)
        # The key comes last: with it the authority is complete.
        write_atomically(directory / "ca.key", key_pem(key), 0o600)
        return made

    @classmethod
    def open(cls, directory: Path, now: float) -> "Authority":
        """Open an existing one. Raises `PkiError` if it is missing, damaged, exposed or has ended."""
        key_path, path = directory / "ca.key", directory / "ca.pem"
        if not key_path.exists():
            raise PkiError(
                f"{directory} holds no authority: make one with `agpctl pki init --dir {directory}`"
            )
        signer = certs.Signer(load_certificate(path), load_key(key_path))
        if signer.certificate.public_key() != signer.key.public_key():
            raise PkiError(f"{path} and {key_path} do not belong together: restore both from one backup")
        if signer.certificate.not_valid_after_utc.timestamp() <= now:
            raise PkiError(f"the authority in {directory} has ended: make a new one in another directory")
        return cls(directory, signer)

    def issue_agent(
        self,
        pattern: Pattern,
        prefix: Path,
        now: float,
        life_s: float = AGENT_LIFE_S,
        *,
        new_key: bool = False,
    ) -> Pair:
        """A client certificate in `prefix`.pem for the names that the pattern holds, its key in `prefix`.key.

        A key that is there is kept, so that the gateway sees the same holder; `new_key` replaces it. No life
        goes past the authority's own.
        """
        with locked(self.directory):
            key, kept = _own_key(_beside(prefix, ".key"), new_key)
            certificate = certs.agent(self._signer, key.public_key(), pattern, now, life_s)
            return self._store(certificate, key, kept, "agent", f"{certs.SCHEME}{pattern}", prefix, now)

    def issue_gateway(
        self,
        hosts: Sequence[str],
        prefix: Path,
        now: float,
        life_s: float = GATEWAY_LIFE_S,
        *,
        new_key: bool = False,
    ) -> Pair:
        """A server certificate for these DNS names and IP addresses; files as with `issue_agent`."""
        with locked(self.directory):
            key, kept = _own_key(_beside(prefix, ".key"), new_key)
            try:
                certificate = certs.gateway(self._signer, key.public_key(), hosts, now, life_s)
            except ValueError as error:
                raise PkiError(str(error)) from error
            return self._store(certificate, key, kept, "gateway", ", ".join(hosts), prefix, now)

    def revoke(self, serial: int, now: float, crl_life_s: float = CRL_LIFE_S) -> Path:
        """Revoke a certificate of the index and write a new revocation list; returns its path. Idempotent."""
        with locked(self.directory):
            found = next((one for one in self.issued() if one.serial == serial), None)
            if found is None:
                raise PkiError(
                    f"this authority issued no certificate with serial {serial:x}: see `agpctl pki list`"
                )
            if found.revoked_at is None:
                self._append(Record("revoked", now, f"{serial:x}"))
            return self._write_crl(now, crl_life_s)

    def serial_of(self, path: Path) -> int:
        """The serial of a certificate file. Raises `PkiError` if another authority issued it."""
        certificate = load_certificate(path)
        if not issued_by(certificate, self.certificate):
            raise PkiError(f"{path} was issued by another authority: name its directory with --dir")
        return certificate.serial_number

    def write_crl(self, now: float, life_s: float = CRL_LIFE_S) -> Path:
        """Write a revocation list that lasts `life_s`; returns its path. Once it ends, all are refused."""
        with locked(self.directory):
            return self._write_crl(now, life_s)

    def issued(self) -> list[Issued]:
        """Every certificate of the index, in order of issue."""
        records = self._records()
        revoked = {one.serial: one.at for one in records if one.event == "revoked"}
        return [
            Issued(int(one.serial, 16), one.kind, one.name, one.at, one.not_after, revoked.get(one.serial))
            for one in records
            if one.event == "issued"
        ]

    def _write_crl(self, now: float, life_s: float) -> Path:
        records = self._records()
        number = 1 + max((one.number for one in records), default=0)
        revoked = [certs.Revocation(int(one.serial, 16), one.at) for one in records if one.event == "revoked"]
        crl = certs.revocation_list(self._signer, revoked, number, now, life_s)
        # A number that is recorded and not used does no harm; one that is used twice does.
        self._append(Record("crl", now, number=number))
        path = self.directory / "crl.pem"
        write_atomically(path, crl.public_bytes(Encoding.PEM), 0o644)
        return path

    def _store(
        self,
        certificate: x509.Certificate,
        key: certs.Key,
        kept: bool,
        kind: Literal["agent", "gateway"],
        name: str,
        prefix: Path,
        now: float,
    ) -> Pair:
        serial, end = certificate.serial_number, certificate.not_valid_after_utc.timestamp()
        # Recorded before it is written: what exists can be revoked.
        self._append(Record("issued", now, f"{serial:x}", kind, name, end))
        path, key_path = _beside(prefix, ".pem"), _beside(prefix, ".key")
        if not kept:
            write_atomically(key_path, key_pem(key), 0o600)
        write_atomically(path, certificate.public_bytes(Encoding.PEM), 0o644)
        return Pair(path, key_path, serial, end, kept)

    def _append(self, record: Record) -> None:
        with (self.directory / "index.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _records(self) -> list[Record]:
        path = self.directory / "index.jsonl"
        try:
            return [msgspec.json.decode(line, type=Record) for line in path.read_bytes().splitlines()]
        except (FileNotFoundError, msgspec.DecodeError) as error:
            raise PkiError(f"{path} is missing or damaged ({error}): restore it from a backup") from error


def development(directory: Path, now: float) -> DevelopmentFiles:
    """An authority, a gateway certificate for this machine's loopback and an agent certificate `agp://*`.

    Made once; a certificate with less than a third of its life left is renewed with the same key, and
    whatever is missing or damaged is made again. The agent certificate speaks as anybody.
    """
    make_directory(directory)
    gateway, agent = directory / "gateway", directory / "agent"
    with locked(directory, "development.lock"):
        authority = _development_authority(directory, now)
        if not _fresh(gateway, authority, now):
            hosts = ["localhost", "127.0.0.1", "::1"]
            replace = not _usable_key(gateway)
            authority.issue_gateway(hosts, gateway, now, DEVELOPMENT_LIFE_S, new_key=replace)
        if not _fresh(agent, authority, now):
            replace = not _usable_key(agent)
            authority.issue_agent(Pattern(()), agent, now, DEVELOPMENT_LIFE_S, new_key=replace)
    return DevelopmentFiles(
        directory / "ca.pem",
        directory / "gateway.pem",
        directory / "gateway.key",
        directory / "agent.pem",
        directory / "agent.key",
    )


def _development_authority(directory: Path, now: float) -> Authority:
    try:
        authority = Authority.open(directory, now)
        authority.issued()  # a damaged index would stop the next issue
    except PkiError:
        authority = None
    if authority is None or not _has_life(authority.certificate, now):
        (directory / "ca.key").unlink(missing_ok=True)
        authority = Authority.create(directory, "agpd development", now)
    return authority


def _fresh(prefix: Path, authority: Authority, now: float) -> bool:
    try:
        certificate, key = load_certificate(_beside(prefix, ".pem")), load_key(_beside(prefix, ".key"))
    except PkiError:
        return False
    own = certificate.public_key() == key.public_key()
    return own and issued_by(certificate, authority.certificate) and _has_life(certificate, now)


def _has_life(certificate: x509.Certificate, now: float) -> bool:
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin <= now and 3 * (end - now) >= end - begin


def _usable_key(prefix: Path) -> bool:
    try:
        load_key(_beside(prefix, ".key"))
    except PkiError:
        return False
    return True


def _own_key(path: Path, new_key: bool) -> tuple[certs.Key, bool]:
    if new_key or not path.exists():
        return certs.new_key(), False
    return load_key(path), True


def _beside(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)
