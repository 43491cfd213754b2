"""gRPC above HTTP/2: messages in a stream of bytes, the head of a request, statuses, metadata. Sans-IO.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md is what it follows.
"""

import binascii
import enum
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from agpd.errors import CATALOGUE, AgpdError
from agpd.wire.http2 import Headers

PREFIX_SIZE = 5
DETAIL_LIMIT_BYTES = 2048  # as it travels; clients refuse header lists above 8 KiB
_PREFIX = struct.Struct(">BI")
_unpack = _PREFIX.unpack_from
_pack = _PREFIX.pack
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_SAFE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

Pairs = Iterable[tuple[str, str | bytes]]


class Status(enum.IntEnum):
    """The statuses of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Failed(Exception):
    """The call ends with this status. `http` is another status than 200 for what is no call of gRPC at all."""

    def __init__(self, status: Status, detail: str = "", http: int = 200) -> None:
        self.status = status
        self.detail = detail
        self.http = http
        super().__init__(f"{status.name}: {detail}")


def status_of(error: AgpdError) -> tuple[Status, str, Pairs]:
    """Status, detail and trailing metadata for an error of the catalogue."""
    code = error.code
    trailing = (("agpd-code", str(int(code))), ("agpd-code-name", code.name))
    return Status[CATALOGUE[code].grpc], str(error), trailing


# ---- messages


def prefixed(message: bytes) -> bytes:
    """The message as it travels."""
    return _pack(0, len(message)) + message


class Splitter:
    """Bytes of a stream to whole messages. What announces a message above `limit`, in bytes, is not kept.

    It never raises on what a peer sends: `failure` says why it takes no more.
    """

    __slots__ = ("_kept", "_need", "failure", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.failure: Failed | None = None
        self._kept = bytearray()
        self._need = PREFIX_SIZE

    @property
    def open_bytes(self) -> int:
        """Bytes kept of an unfinished message."""
        return len(self._kept)

    def feed(self, parts: Sequence[bytes]) -> list[bytes]:
        """The messages that are whole with these bytes."""
        if self.failure is not None or not parts:
            return []
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        kept = self._kept
        if kept:
            kept += data
            if len(kept) < self._need:
                return []
            data = bytes(kept)
            self._kept = bytearray()
        return self._split(data)

    def end(self) -> None:
        """No more bytes come."""
        if self._kept and self.failure is None:
            self._fail(Status.INTERNAL, "the stream ends within a message")

    def discard(self) -> None:
        """Forget what was kept, and take no more."""
        self._fail(Status.CANCELLED, "the call has ended")

    def _split(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        position, size, limit = 0, len(data), self.limit
        self._need = PREFIX_SIZE
        while size - position >= PREFIX_SIZE:
            compressed, length = _unpack(data, position)
            if compressed:
                self._fail(Status.UNIMPLEMENTED, "compressed messages are not accepted")
                return messages
            if length > limit:
                self._fail(Status.RESOURCE_EXHAUSTED, f"a message of {length} bytes, the limit is {limit}")
                return messages
            start = position + PREFIX_SIZE
            end = start + length
            if end > size:
                self._need = end - position
                break
            messages.append(data[start:end])
            position = end
        if position < size:
            self._kept += data[position:] if position else data
        return messages

    def _fail(self, status: Status, detail: str) -> None:
        self.failure = Failed(status, detail)
        self._kept = bytearray()


# ---- metadata


class Metadata:
    """The metadata of a request. Keys are lower case."""

    __slots__ = ("_pairs",)

    def __init__(self, headers: Headers) -> None:
        self._pairs = [(name, value) for name, value in headers if name[:1] != b":"]

    def get(self, key: str) -> str | None:
        """The first value, None without one."""
        found = self.all(key)
        return found[0] if found else None

    def all(self, key: str) -> list[str]:
        """All values of a key, in order. Bytes that are not ASCII, which gRPC does not allow, become U+FFFD."""
        name = key.encode()
        return [value.decode("ascii", "replace") for each, value in self._pairs if each == name]

    def binary(self, key: str) -> bytes | None:
        """The first value of a key that ends with `-bin`, decoded. Raises `Failed`."""
        value = self.get(key)
        if value is None:
            return None
        text = value.partition(",")[0].strip()
        try:
            return b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Failed(Status.INVALID_ARGUMENT, f"{key} in the metadata is not base64") from error

    def __repr__(self) -> str:
        return f"Metadata({len(self._pairs)} values)"  # they may be secrets


def encode_metadata(pairs: Pairs) -> Headers:
    """Metadata as headers; a key that ends with `-bin` has bytes. Raises `ValueError` for what cannot travel."""
    return [(key.lower().encode("ascii"), _value(key, value)) for key, value in pairs]


def _value(key: str, value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        if not key.endswith("-bin"):
            raise ValueError(f"{key}: bytes travel under keys that end with -bin")
        return b64encode(value).rstrip(b"=")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{key}: only printable ASCII travels")
    return value.encode("ascii")


# ---- the head of a request, and the end of an answer


class Head(NamedTuple):
    """What a call begins with. `deadline_s`: seconds that the client gives it, None for ever."""

    path: str
    metadata: Metadata
    deadline_s: float | None


def head_of(headers: Headers) -> Head:
    """The head of a call, from the headers of a request. Raises `Failed`."""
    fields = dict(headers)
    if fields.get(b":method") != b"POST":
        raise Failed(Status.INTERNAL, "a call of gRPC is a POST", 405)
    kind = fields.get(b"content-type", b"")
    if not kind.startswith(b"application/grpc") or kind[16:17] not in (b"", b"+", b";"):
        raise Failed(Status.UNKNOWN, "only application/grpc is served here", 415)
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding != b"identity":
        raise Failed(Status.UNIMPLEMENTED, "compressed messages are not accepted")
    timeout = fields.get(b"grpc-timeout")
    deadline_s = None if timeout is None else parse_timeout(timeout.decode("ascii", "replace"))
    return Head(fields[b":path"].decode("ascii", "replace"), Metadata(headers), deadline_s)


def parse_timeout(text: str) -> float:
    """The value of `grpc-timeout`, such as `1500m`, in seconds. Raises `Failed`."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not 1 <= len(digits) <= 8 or not (digits.isascii() and digits.isdigit()):
        raise Failed(Status.INTERNAL, "grpc-timeout is not of the form that it must have")
    return int(digits) * _UNITS[unit]


def head(metadata: Pairs = (), http: int = 200) -> Headers:
    """The headers that begin an answer."""
    return [
        (b":status", b"%d" % http),
        (b"content-type", b"application/grpc"),
        (b"grpc-accept-encoding", b"identity"),
        *encode_metadata(metadata),
    ]


def trailers(status: Status, detail: str = "", trailing: Pairs = ()) -> Headers:
    """The headers that end an answer."""
    found: Headers = [(b"grpc-status", b"%d" % status)]
    if detail:
        found.append((b"grpc-message", encode_detail(detail)))
    return found + encode_metadata(trailing)


def encode_detail(text: str) -> bytes:
    """Percent-encoded, cut to `DETAIL_LIMIT_BYTES`."""
    text = text[:DETAIL_LIMIT_BYTES]
    while len(encoded := quote(text, safe=_SAFE, errors="replace")) > DETAIL_LIMIT_BYTES:
        text = text[: len(text) * 3 // 4]
    return encoded.encode("ascii")
