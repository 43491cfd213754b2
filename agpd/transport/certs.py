"""X.509 certificates and revocation lists of an authority: pure builders, no file and no clock.

Keys are P-256. Times are Unix seconds, lives are seconds. Every certificate begins `BACKDATE_S` before `now`,
so that a peer whose clock is a little behind accepts it at once. All pass OpenSSL's strict X.509 checks.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agpd.names import Pattern

SCHEME = "agp://"
BACKDATE_S = 300
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


class Signer(NamedTuple):
    """An authority that can sign: its certificate and its key."""

    certificate: x509.Certificate
    key: Key


class Revocation(NamedTuple):
    """One revoked certificate: its serial and when it was revoked (Unix seconds)."""

    serial: int
    at: float


def new_key() -> Key:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def authority(key: Key, name: str, now: float, life_s: float) -> x509.Certificate:
    """A self-signed CA. It signs leaves and revocation lists only (path length 0)."""
    subject = _subject(name)
    public = key.public_key()
    return (
        _builder(subject, subject, public, now, now + life_s)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def agent(ca: Signer, public: PublicKey, pattern: Pattern, now: float, life_s: float) -> x509.Certificate:
    """A client certificate whose one SAN is the URI `agp://` + pattern: whom its holder may speak as."""
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{SCHEME}{pattern}")])
    return _leaf(ca, public, str(pattern), san, ExtendedKeyUsageOID.CLIENT_AUTH, now, life_s)


def gateway(
    ca: Signer, public: PublicKey, hosts: Sequence[str], now: float, life_s: float
) -> x509.Certificate:
    """A server certificate for these DNS names and IP addresses (at least one).

    Raises `ValueError` if one of them is neither.
    """
    if not hosts:
        raise ValueError("a gateway certificate needs at least one DNS name or IP address")
    san = x509.SubjectAlternativeName([general_name(host) for host in hosts])
    return _leaf(ca, public, hosts[0], san, ExtendedKeyUsageOID.SERVER_AUTH, now, life_s)


def revocation_list(
    ca: Signer, revoked: Iterable[Revocation], number: int, now: float, life_s: float
) -> x509.CertificateRevocationList:
    """A CRL, thisUpdate `now`, nextUpdate after `life_s`. Numbers must grow from list to list."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(_when(now - BACKDATE_S))
        .next_update(_when(now + life_s))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issuer_key(ca), critical=False)
    )
    for serial, at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_when(at))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ca.key, hashes.SHA256())


def general_name(host: str) -> x509.GeneralName:
    """A SAN entry for an IP address or a DNS name in lower case. Raises `ValueError` for anything else."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if len(host) > 253 or not _HOST.match(host):
            raise ValueError(f"{host!r} is neither an IP address nor a DNS name in lower case") from None
        return x509.DNSName(host)


def _leaf(
    ca: Signer,
    public: PublicKey,
    name: str,
    san: x509.SubjectAlternativeName,
    usage: x509.ObjectIdentifier,
    now: float,
    life_s: float,
) -> x509.Certificate:
    end = min(now + life_s, ca.certificate.not_valid_after_utc.timestamp())
    return (
        _builder(_subject(name), ca.certificate.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(san, critical=False)
        .add_extension(_issuer_key(ca), critical=False)
        .sign(ca.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, now: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_when(now - BACKDATE_S))
        .not_valid_after(_when(end))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _issuer_key(ca: Signer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    # For people only; X.520 allows 64 characters.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _when(at: float) -> datetime:
    # X.509 times are whole seconds.
    return datetime.fromtimestamp(int(at), UTC)
