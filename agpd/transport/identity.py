"""Whom a client certificate stands for.

The certificate profile: one SAN URI `agp://` + pattern, extended key usage clientAuth, not an authority's.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from agpd.errors import Code, Fatal, Refused
from agpd.gateway.principal import Principal
from agpd.names import Pattern, parse_pattern
from agpd.transport.certs import SCHEME
from agpd.transport.pem import issued_by

LEEWAY_S = 30.0
_DAMAGED = (
    ValueError,
    TypeError,  # what cryptography raises for a name of the wrong ASN.1 type
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

Extension = TypeVar("Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a client certificate must be.

    `tenant_cas` maps an organization to the one authority that may name it; empty: any trusted authority may
    name any organization. `accept_any_name` lets `agp://*` in, for development. `clock` returns Unix seconds.
    """

    clock: Callable[[], float]
    accept_any_name: bool = False
    tenant_cas: Mapping[str, x509.Certificate] = field(default_factory=dict)


def principal_of(der: bytes, profile: Profile) -> Principal:
    """Whom the client certificate stands for.

    Any bytes are accepted, or refused with `Fatal(UNAUTHENTICATED)`.
    The chain and the revocation list are the TLS handshake's business; this judges the leaf alone.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        _check_time(certificate, profile.clock())
        _check_use(certificate)
        uri, pattern = _identity(certificate)
        _check_pattern(certificate, pattern, profile)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        issuer = certificate.issuer.public_bytes()
    except _DAMAGED as error:
        raise _refusal(f"the certificate does not parse: {error}") from error
    end = certificate.not_valid_after_utc.timestamp()
    return Principal(
        pattern,
        hashlib.sha256(spki).digest(),
        certificate.serial_number,
        end,
        uri,
        issuer,
        thumbprint_of(der),
    )


def thumbprint_of(der: bytes) -> str:
    """`x5t#S256` of a certificate (RFC 8705): what tokens are bound to."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _refusal(detail: str) -> Fatal:
    return Fatal(Code.UNAUTHENTICATED, detail)


def _check_time(certificate: x509.Certificate, now: float) -> None:
    if now > certificate.not_valid_after_utc.timestamp() + LEEWAY_S:
        raise _refusal(f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    if now < certificate.not_valid_before_utc.timestamp() - LEEWAY_S:
        raise _refusal(f"it begins on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC")


def _check_use(certificate: x509.Certificate) -> None:
    basic = extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.ca:
        raise _refusal("it is a certificate authority's")
    usages = extension(certificate, x509.ExtendedKeyUsage)
    if usages is None or ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise _refusal("its extended key usage lacks clientAuth")


def _identity(certificate: x509.Certificate) -> tuple[str, Pattern]:
    names = extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        raise _refusal("it has no subject alternative name")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise _refusal(f"it has {len(uris)} URIs, not exactly one")
    if not uris[0].startswith(SCHEME):
        raise _refusal(f"its URI {uris[0][:80]!r} does not begin with {SCHEME}")
    try:
        return uris[0], parse_pattern(uris[0].removeprefix(SCHEME))
    except Refused as refused:
        raise _refusal(refused.detail) from refused


def _check_pattern(certificate: x509.Certificate, pattern: Pattern, profile: Profile) -> None:
    if not pattern.prefix and not profile.accept_any_name:
        raise _refusal("agp://* is for development; this gateway has tls.accept_any_name off")
    if not profile.tenant_cas:
        return
    ca = profile.tenant_cas.get(pattern.prefix[0]) if pattern.prefix else None
    if ca is None:
        raise _refusal(f"no authority in tls.tenant_cas may name {pattern}")
    if not issued_by(certificate, ca):
        raise _refusal(f"it was not issued by the authority of {pattern.prefix[0]}")


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """The extension of this kind, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
