"""The header of a sealed message and the layout of what is sealed. `proto/e2e.md` section 2.

The header travels in the clear, is read once, and is associated data as the very bytes that came. A first message, its
answer and nothing else name both sides; later ones are bound to them by their keys.
"""

import enum
import struct
from typing import NamedTuple

from agpd.crypto import layout
from agpd.crypto.errors import DecryptionFailed, Malformed
from agpd.crypto.layout import VERSION, Reader

SHORT = struct.Struct(">BBBBQQQ")  # version, suite, kind, flags, id, correlation, expires
SHORT_BYTES = SHORT.size  # 28
_INNER = struct.Struct(">BH")  # purpose, length of the inner header
_INNER_BYTES = _INNER.size
INNER_LIMIT_BYTES = 0xFFFF


class Kind(enum.IntEnum):
    """What a sealed message is."""

    FIRST = 1
    ANSWER = 2
    DATA = 3
    TOPIC = 4
    CHUNK = 5


CHAIN_HASHED = 0x01  # the chain is named by its hash: the receiver has it
NO_REPLY = 0x02  # no answer is wanted, and no session comes of it
CLAIM = 0x04  # to be acted on only once the sender has confirmed this receiver
ENROL = 0x08  # to a key daemon, by an instance that has no certificate yet
_FLAGS = {Kind.FIRST: 0x0F, Kind.ANSWER: 0, Kind.DATA: 0, Kind.TOPIC: 0, Kind.CHUNK: 0}


class Purpose(enum.IntEnum):
    """For whom what was sealed is: the application, or this layer on the other side."""

    APPLICATION = 0
    SENDER_KEY = 1
    CLAIM = 2
    KEY_DAEMON = 3
    REKEY = 4
    STREAM = 5


_PURPOSES = tuple(Purpose)
_BARE = tuple(_INNER.pack(purpose, 0) for purpose in Purpose)
_ENDS = tuple(b"\x80" + bytes(zeros) for zeros in range(64))


class Padding(enum.Enum):
    """How lengths are blurred: not, to the next 64 bytes, or to one of few lengths (at most 12 % more)."""

    NONE = "none"
    BLOCK = "block"
    PADME = "padme"


class Header(NamedTuple):
    """`id` and `correlation` are those of the native frame; times are Unix ms, `expires_ms` 0 for never."""

    suite: int
    kind: int
    flags: int
    id: int
    correlation: int
    expires_ms: int
    created_ms: int
    source: str
    destination: str
    raw: bytes


def pack_long(
    suite: int,
    kind: int,
    flags: int,
    id: int,  # noqa: A002
    correlation: int,
    expires_ms: int,
    created_ms: int,
    source: str,
    destination: str,
) -> bytes:
    """The header of a first message or an answer."""
    return b"".join(
        (
            SHORT.pack(VERSION, suite, kind, flags, id, correlation, expires_ms),
            layout.number(created_ms, 8),
            layout.name(source),
            layout.name(destination),
        )
    )


def kind_of(wire: bytes) -> int:
    """What a sealed message is. Raises `DecryptionFailed` for what is none."""
    if len(wire) < SHORT_BYTES or wire[0] != VERSION or wire[2] not in _FLAGS:
        raise DecryptionFailed
    return wire[2]


def read_long(wire: bytes) -> Header:
    """The header of a first message or an answer. Raises `DecryptionFailed`."""
    if len(wire) < SHORT_BYTES:
        raise DecryptionFailed
    version, suite, kind, flags, id_, correlation, expires_ms = SHORT.unpack_from(wire)
    if version != VERSION or kind not in (Kind.FIRST, Kind.ANSWER) or flags & ~_FLAGS[kind]:
        raise DecryptionFailed
    reader = Reader(wire, SHORT_BYTES)
    try:
        created_ms, source, destination = reader.number(8), reader.name(), reader.name()
    except Malformed:
        raise DecryptionFailed from None
    raw = wire[: reader.position]
    return Header(suite, kind, flags, id_, correlation, expires_ms, created_ms, source, destination, raw)


def pack_plain(purpose: int, inner: bytes, data: bytes, padding: Padding = Padding.BLOCK) -> bytes:
    """What is sealed: purpose, inner header (content type and the like, opaque here), data, padding."""
    if padding is Padding.BLOCK:
        if not inner:  # tables: half the time of packing
            return _BARE[purpose] + data + _ENDS[-(len(data) + _INNER_BYTES + 1) & 63]
        end = _ENDS[-(_INNER_BYTES + len(inner) + len(data) + 1) & 63]
    else:
        size = _INNER_BYTES + len(inner) + len(data) + 1
        end = b"\x80" if padding is Padding.NONE else b"\x80".ljust(padme(size) - size + 1, b"\0")
    return _INNER.pack(purpose, len(inner)) + inner + data + end


def unpack_plain(plain: bytes) -> tuple[Purpose, bytes, bytes]:
    """Purpose, inner header, data. Raises `DecryptionFailed`: the sealing peer has packed wrongly."""
    end = len(plain.rstrip(b"\0")) - 1
    if end < _INNER_BYTES or plain[end] != 0x80:
        raise DecryptionFailed
    purpose, inner = _INNER.unpack_from(plain)
    start = _INNER_BYTES + inner
    if start > end or purpose >= len(_PURPOSES):
        raise DecryptionFailed
    return _PURPOSES[purpose], plain[_INNER_BYTES:start], plain[start:end]


def padme(size: int) -> int:
    """The length that a text of `size` bytes (at least 2) is filled up to: one with few significant bits."""
    exponent = size.bit_length() - 1
    free = exponent - exponent.bit_length()
    mask = (1 << max(free, 0)) - 1
    return (size + mask) & ~mask
