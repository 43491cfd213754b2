"""Certificates: the tenant's root vouches for a type, the type's key for an instance. Depth two, no intermediates.

`proto/e2e.md` section 3. Times are Unix seconds.
"""

from typing import NamedTuple

from agpd import names
from agpd.crypto import hazmat, layout
from agpd.crypto.errors import Cause, Malformed, UntrustedKey
from agpd.crypto.keys import SigningKey
from agpd.crypto.layout import Reader

LABEL = b"agpd-cert-v1"
TYPE, INSTANCE = 1, 2
TYPE_LIFE_LIMIT_S = 90 * 86400
INSTANCE_LIFE_LIMIT_S = 86400
LEEWAY_S = 30
SERIAL_BYTES = 16
KEYD_TYPE = "agp-keyd"
"""The type of the key daemon. Types that begin with `agp-` are the system's own."""


class Certificate(NamedTuple):
    """A certificate as it was read; nothing in it is proved. `exchange` is empty for a type."""

    kind: int
    serial: bytes
    not_before: int
    not_after: int
    name: str
    signing: bytes
    exchange: bytes
    body: bytes
    signature: bytes

    @property
    def raw(self) -> bytes:
        """As it travels."""
        return self.body + self.signature

    @property
    def organization(self) -> str:
        """The first segment of the name."""
        return self.name.partition("/")[0]

    def covers(self, now_s: float) -> bool:
        """Is it valid now, with 30 s of leeway?"""
        return self.not_before - LEEWAY_S <= now_s < self.not_after + LEEWAY_S

    def check_signature(self, issuer: bytes) -> None:
        """Raises `UntrustedKey(SIGNATURE)`."""
        hazmat.verify(issuer, LABEL, self.body, self.signature)


class Chain(NamedTuple):
    """A type's certificate and that of an instance of it."""

    type: Certificate
    instance: Certificate

    @property
    def raw(self) -> bytes:
        """As it travels."""
        return self.type.raw + self.instance.raw

    @property
    def hash(self) -> bytes:
        """What stands for it where the peer has it already."""
        return hazmat.digest(self.raw)


def issue_type(
    root: SigningKey, name: str, signing: bytes, serial: bytes, not_before: int, not_after: int
) -> Certificate:
    """The root vouches for the key of a type. Raises `ValueError` for more than 90 days."""
    names.parse_type(name)
    if not 0 < not_after - not_before <= TYPE_LIFE_LIMIT_S:
        raise ValueError("the certificate of a type holds for at most 90 days")
    return _issue(root, TYPE, name, signing, b"", serial, not_before, not_after)


def issue_instance(
    key: SigningKey,
    above: Certificate,
    name: str,
    signing: bytes,
    exchange: bytes,
    serial: bytes,
    not_before: int,
    not_after: int,
) -> Certificate:
    """The type's key vouches for both keys of an instance. Raises `ValueError` for what no peer would accept."""
    if not extends(name, above.name):
        raise ValueError(f"{name} is no instance of {above.name}")
    if not 0 < not_after - not_before <= INSTANCE_LIFE_LIMIT_S or not_after > above.not_after:
        raise ValueError(
            "the certificate of an instance holds for at most 24 hours, and not beyond its type's"
        )
    return _issue(key, INSTANCE, name, signing, exchange, serial, not_before, not_after)


def read(reader: Reader) -> Certificate:
    """The next certificate. Raises `Malformed`."""
    start = reader.position
    reader.version()
    kind = reader.number(1)
    if kind not in (TYPE, INSTANCE):
        raise Malformed("a certificate of unknown kind")
    serial = reader.take(SERIAL_BYTES)
    not_before, not_after = reader.number(8), reader.number(8)
    name = reader.name()
    if (name.count("/") == 3) != (kind == INSTANCE):
        raise Malformed("a certificate's name does not fit its kind")
    signing = reader.take(hazmat.KEY_BYTES)
    exchange = reader.take(hazmat.KEY_BYTES) if kind == INSTANCE else b""
    end = reader.position
    reader.position = start
    body = reader.take(end - start)
    signature = reader.take(hazmat.SIGNATURE_BYTES)
    return Certificate(kind, serial, not_before, not_after, name, signing, exchange, body, signature)


def parse(raw: bytes) -> Certificate:
    """Exactly one certificate. Raises `Malformed`."""
    reader = Reader(raw)
    certificate = read(reader)
    reader.done()
    return certificate


def read_chain(reader: Reader) -> Chain:
    """The next two certificates, a type's and an instance's. Raises `Malformed`."""
    above, below = read(reader), read(reader)
    if (above.kind, below.kind) != (TYPE, INSTANCE):
        raise Malformed("a chain is a type's certificate and an instance's")
    return Chain(above, below)


def extends(instance: str, type_name: str) -> bool:
    """Is it the name of an instance of this type? Segment by segment."""
    return instance.rpartition("/")[0] == type_name and type_name.count("/") == 2


def check_shape(chain: Chain, expected: str) -> None:
    """What of a chain needs no key: names and lengths of life. Raises `UntrustedKey(CHAIN)`."""
    above, below = chain
    if below.name != expected or not extends(below.name, above.name):
        raise UntrustedKey(f"the certificates are not those of {expected}", Cause.CHAIN)
    if not 0 < above.not_after - above.not_before <= TYPE_LIFE_LIMIT_S:
        raise UntrustedKey(f"the certificate of {above.name} lives too long", Cause.CHAIN)
    if (
        not 0 < below.not_after - below.not_before <= INSTANCE_LIFE_LIMIT_S
        or below.not_after > above.not_after
    ):
        raise UntrustedKey(f"the certificate of {below.name} lives too long", Cause.CHAIN)


def _issue(
    key: SigningKey,
    kind: int,
    name: str,
    signing: bytes,
    exchange: bytes,
    serial: bytes,
    not_before: int,
    not_after: int,
) -> Certificate:
    if len(serial) != SERIAL_BYTES or len(signing) != hazmat.KEY_BYTES:
        raise ValueError("a serial has 16 bytes and a key 32")
    body = b"".join(
        (
            layout.number(layout.VERSION, 1),
            layout.number(kind, 1),
            serial,
            layout.number(not_before, 8),
            layout.number(not_after, 8),
            layout.name(name),
            signing,
            exchange,
        )
    )
    return parse(body + key.sign(LABEL, body))
