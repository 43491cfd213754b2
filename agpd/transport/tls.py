"""TLS of the gateway: the one place where server contexts are made, and the files they are made of.

TLS 1.3 only, client certificates always, no session tickets: a client that resumes by ticket is not checked
against the revocation list. A live context cannot take a new revocation list either, so a reload makes a
new context.
"""

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from agpd.errors import ConfigError
from agpd.gateway.principal import Principal
from agpd.transport.identity import Profile, extension

_REVOCATIONS_ISSUE = "write one with `agpctl pki crl`"
_GATEWAY_ISSUE = "issue one with `agpctl pki issue gateway`"


# The one that all clients of gRPC have: those on its C core, among them Python's, offered no other for long (1.70 did
# not). Whoever tries X25519 first pays for it with one more round trip at the handshake.
GRPC_GROUP = "prime256v1"


class TlsConfigError(ConfigError):
    """A certificate, key or revocation list cannot be used. Names the file, the fault and the way out."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}; {remedy}")


class _Connection(ssl.SSLObject):
    """Hands out the peer's certificate as DER only.

    The event loop asks for it as a dictionary after every handshake, keeps that with the connection, and prints
    a traceback if a name in it is not UTF-8. `principal_of` judges the DER instead.
    """

    def getpeercert(self, binary_form: bool = False) -> Any:
        return super().getpeercert(True) if binary_form else {}


def server_context(
    certificate: Path,
    key: Path,
    cas: Sequence[Path],
    crl: Path | None = None,
    *,
    verify: ssl.VerifyMode = ssl.CERT_REQUIRED,
    alpn: Sequence[str] = (),
    group: str = "X25519",
) -> ssl.SSLContext:
    """A context for an agent-facing listener.

    `cas` are PEM bundles of the authorities whose clients are let in; `crl` holds one revocation list of each
    of them, and only leaf certificates are looked up in it. With `verify` CERT_OPTIONAL clients may come without a
    certificate; one that is shown is checked all the same. `alpn`: the protocols to choose from; the handshake of a
    client that offers none of them succeeds, and it has chosen none. `group` is that of the key exchange, as OpenSSL
    names it. Raises `TlsConfigError`.
    """
    authorities = _authorities(cas)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Connection
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = verify
    context.options |= ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    # Python 3.11 takes one group; left alone it offers P-521 and X448 too.
    context.set_ecdh_curve(group)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    _load_own(context, certificate, key)
    context.load_verify_locations(cadata=b"".join(ca.public_bytes(Encoding.DER) for ca in authorities))
    if crl is not None:
        _revocation_lists(crl, authorities)
        context.load_verify_locations(cafile=crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    assert context.num_tickets == 0, "tickets would bypass revocation"
    return context


class OptionalClients:
    """The same files for a listener whose clients need no certificate."""

    def __init__(self, certificates: "Certificates") -> None:
        self._certificates = certificates

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        return self._certificates._loaded.optional


class GrpcClients(OptionalClients):
    """As these, for gRPC: HTTP/2 is negotiated."""

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        return self._certificates._loaded.grpc


class Passport(NamedTuple):
    """What of a certificate decides for how long it holds. `not_after`: Unix seconds."""

    issuer: bytes
    serial: int
    not_after: float


def passport_of(der: bytes) -> Passport:
    """Of a certificate that a handshake has verified."""
    certificate = x509.load_der_x509_certificate(der)
    return Passport(
        certificate.issuer.public_bytes(),
        certificate.serial_number,
        certificate.not_valid_after_utc.timestamp(),
    )


class _Loaded(NamedTuple):
    context: ssl.SSLContext
    optional: ssl.SSLContext
    grpc: ssl.SSLContext
    profile: Profile
    revoked: frozenset[tuple[bytes, int]]
    crl_lives: list[tuple[float, float]]  # thisUpdate, nextUpdate of each list


class Certificates:
    """What the files on disk say now: the context for the next handshake, the profile and the revocations.

    `tenant_cas` (organization to PEM file with one authority) are trusted as well as `cas`. Raises
    `TlsConfigError` if the files cannot be used at the start.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        cas: Sequence[Path],
        crl: Path | None = None,
        *,
        clock: Callable[[], float],
        tenant_cas: Mapping[str, Path] | None = None,
        accept_any_name: bool = False,
    ) -> None:
        self._certificate, self._key, self._crl = certificate, key, crl
        self._tenant_cas = dict(tenant_cas or {})
        self._cas = [*cas, *self._tenant_cas.values()]
        self._clock = clock
        self._accept_any_name = accept_any_name
        self._seen = self._signature()
        self._loaded = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        return self._loaded.context

    @property
    def optional(self) -> OptionalClients:
        """The contexts for clients that may come without a certificate."""
        return OptionalClients(self)

    @property
    def grpc(self) -> GrpcClients:
        """The contexts for clients of gRPC, who may come without a certificate."""
        return GrpcClients(self)

    @property
    def profile(self) -> Profile:
        """The profile for `principal_of`; it changes together with the context."""
        return self._loaded.profile

    def changed(self) -> bool:
        """Has a file changed (time, size or inode) since the last load or attempt to reload?"""
        return self._signature() != self._seen

    def reload(self) -> None:
        """Read the files again; the next handshake uses them. Connections that live are not touched.

        Raises `TlsConfigError` if they cannot be used; what was loaded before then stays in force.
        """
        # Taken first: a file replaced while we read is seen as a change the next time.
        self._seen = self._signature()
        self._loaded = self._load()

    def is_revoked(self, holder: Principal | Passport) -> bool:
        """Does the loaded revocation list hold this peer's certificate?"""
        return (holder.issuer, holder.serial) in self._loaded.revoked

    def crl_life_left(self) -> float | None:
        """Fraction of life left in the revocation list that ends first; None without one.

        At 0 or below it has ended, and every client is refused. Alarm below 0.25.
        """
        now = self._clock()
        return min(((end - now) / (end - begin) for begin, end in self._loaded.crl_lives), default=None)

    def _signature(self) -> list[tuple[int, int, int] | None]:
        paths = [self._certificate, self._key, *self._cas, *([self._crl] if self._crl else [])]
        return [_stamp(path) for path in paths]

    def _load(self) -> _Loaded:
        context = server_context(self._certificate, self._key, self._cas, self._crl)
        tenant_cas = {organization: _authority(path) for organization, path in self._tenant_cas.items()}
        profile = Profile(self._clock, self._accept_any_name, tenant_cas)
        lists = _revocation_lists(self._crl, _authorities(self._cas)) if self._crl else []
        revoked = frozenset(
            (crl.issuer.public_bytes(), entry.serial_number) for crl in lists for entry in crl
        )
        files = (self._certificate, self._key, self._cas, self._crl)
        optional = server_context(*files, verify=ssl.CERT_OPTIONAL)
        grpc = server_context(*files, verify=ssl.CERT_OPTIONAL, alpn=("h2",), group=GRPC_GROUP)
        return _Loaded(context, optional, grpc, profile, revoked, [_life(crl) for crl in lists])


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsConfigError(path, error.strerror or str(error), remedy) from error


def _check_own(certificate: Path, key: Path) -> None:
    leaf = _load_certificates(certificate, _GATEWAY_ISSUE)[0]
    usages = extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise TlsConfigError(certificate, "its extended key usage lacks serverAuth", _GATEWAY_ISSUE)
    try:
        private = load_pem_private_key(_read(key, _GATEWAY_ISSUE), None)
    except TypeError as error:
        raise TlsConfigError(
            key, "the key is encrypted", "store it without a passphrase, mode 0600"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsConfigError(key, "no private key in PEM form", _GATEWAY_ISSUE) from error
    if private.public_key() != leaf.public_key():
        raise TlsConfigError(
            key, f"the key is not that of {certificate}", "name the pair that belongs together"
        )


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _check_own(certificate, key)
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise TlsConfigError(certificate, f"OpenSSL refuses it: {error.reason}", _GATEWAY_ISSUE) from error


def _load_certificates(path: Path, remedy: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path, remedy))
    except ValueError as error:
        raise TlsConfigError(path, "no certificate in PEM form", remedy) from error


def _authorities(paths: Sequence[Path]) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    for path in paths:
        for certificate in _load_certificates(path, "make an authority with `agpctl pki init`"):
            basic = extension(certificate, x509.BasicConstraints)
            if basic is None or not basic.ca:
                text = certificate.subject.rfc4514_string()
                raise TlsConfigError(path, f"{text} is not an authority", "name the CA's certificate, ca.pem")
            _check_unlike(certificate, found, path)
            found.append(certificate)
    return found


def _check_unlike(authority: x509.Certificate, others: Sequence[x509.Certificate], path: Path) -> None:
    # Revocations go by the issuer's name: one authority could revoke what another of its name has issued.
    for other in others:
        if authority.subject == other.subject and authority.public_key() != other.public_key():
            text = authority.subject.rfc4514_string()
            raise TlsConfigError(
                path,
                f"another authority is called {text} too",
                "name each differently: `agpctl pki init --name`",
            )


def _authority(path: Path) -> x509.Certificate:
    found = _authorities([path])
    if len(found) != 1:
        raise TlsConfigError(
            path, f"{len(found)} authorities", "tls.tenant_cas takes one for each organization"
        )
    return found[0]


def _revocation_lists(
    path: Path, authorities: Sequence[x509.Certificate]
) -> list[x509.CertificateRevocationList]:
    """The lists in the file, each signed by one of the authorities, none of which lacks its list."""
    begin, data = b"-----BEGIN X509 CRL-----", _read(path, _REVOCATIONS_ISSUE)
    try:
        lists = [x509.load_pem_x509_crl(begin + part) for part in data.split(begin)[1:]]
    except ValueError as error:
        raise TlsConfigError(path, "no revocation list in PEM form", _REVOCATIONS_ISSUE) from error
    for authority in authorities:
        # OpenSSL refuses every client of an authority whose list is missing.
        if not any(_signed(crl, authority) for crl in lists):
            text = authority.subject.rfc4514_string()
            raise TlsConfigError(path, f"no revocation list signed by {text}", _REVOCATIONS_ISSUE)
    for crl in lists:
        if crl.next_update_utc is None:
            raise TlsConfigError(path, "a revocation list without nextUpdate", _REVOCATIONS_ISSUE)
    return [crl for crl in lists if any(_signed(crl, authority) for authority in authorities)]


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    return crl.issuer == authority.subject and crl.is_signature_valid(key)  # type: ignore[arg-type]


def _life(crl: x509.CertificateRevocationList) -> tuple[float, float]:
    assert crl.next_update_utc is not None, "checked on load"
    return crl.last_update_utc.timestamp(), crl.next_update_utc.timestamp()
