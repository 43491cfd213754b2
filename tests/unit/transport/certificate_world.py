"""Authorities, certificates of every shape and TLS contexts for the tests of the transport."""

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from agpd.names import parse_pattern
from agpd.transport import certs
from agpd.transport.pem import load_key
from agpd.transport.pki import Authority, Pair

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
NOT_ASCII = b"\x30\x04\x86\x02\xff\xfe"  # a SAN with one URI of two bytes that are no text
NOW = float(int(time.time()))  # the day of the test: OpenSSL asks the system's clock


def signer(name="authority", now=NOW):
    key = certs.new_key()
    return certs.Signer(certs.authority(key, name, now, 3650 * 86400.0), key)


def uri(text):
    return x509.UniformResourceIdentifier(text)


def raw_san(value):
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)


def leaf(
    ca, *names, usages=(CLIENT,), basic=False, common_name="x", begin=-300, end=3600, extra=(), key=None
):
    """DER of a certificate with these SANs; times are seconds from NOW."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(ca.certificate.subject)
        .public_key((key or certs.new_key()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(NOW + begin, UTC))
        .not_valid_after(datetime.fromtimestamp(NOW + end, UTC))
    )
    if basic is not None:
        builder = builder.add_extension(x509.BasicConstraints(basic, None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    for extension in extra:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


class World:
    """An authority on disk with one gateway and one agent."""

    def __init__(self, directory: Path, name="world") -> None:
        self.directory = directory
        self.authority = Authority.create(directory, name, NOW)
        self.ca, self.crl = directory / "ca.pem", directory / "crl.pem"
        self.gateway = self.authority.issue_gateway(["localhost", "127.0.0.1"], directory / "gateway", NOW)
        self.agent = self.issue("acme/dev/writer", "agent")

    @property
    def signer(self) -> certs.Signer:
        return certs.Signer(self.authority.certificate, load_key(self.directory / "ca.key"))

    def issue(self, name, file, life_s=3600.0) -> Pair:
        return self.authority.issue_agent(parse_pattern(name), self.directory / file, NOW, life_s)

    def client(self, pair: Pair | None = None, maximum=ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.maximum_version = maximum
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


def der_of(pair: Pair) -> bytes:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).public_bytes(Encoding.DER)


def converse(server_context, client_context, session=None):
    """Handshake and one byte from the server to the client, in memory. Raises what either side raises.

    The byte matters: in TLS 1.3 the client's handshake succeeds before the server has checked its certificate.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    steps = [client.do_handshake, server.do_handshake, lambda: server.write(b"!"), lambda: client.read(1)]
    pending = [(client, steps[0]), (server, steps[1])]
    for _ in range(6):
        for entry in list(pending):
            try:
                entry[1]()
                pending.remove(entry)
            except ssl.SSLWantReadError:
                pass
    steps[2]()
    assert steps[3]() == b"!"
    return server, client
