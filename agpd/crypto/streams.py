"""Streams: chunks in order, none missing, and an end that is sealed. `proto/e2e.md` section 9.

libsodium's secretstream does the work; its position and the chunk's header are bound beside.
"""

import struct

from nacl import bindings
from nacl.exceptions import CryptoError as NaclError

from agpd.crypto import forks
from agpd.crypto.errors import Cause, DecryptionFailed, Replayed, StreamGap, StreamTruncated
from agpd.crypto.headers import SHORT_BYTES, Kind
from agpd.crypto.keys import Secret
from agpd.crypto.layout import VERSION
from agpd.crypto.session import Session

CHUNK_LIMIT_BYTES = 65_536
REKEY_AFTER_CHUNKS = 2**16
REKEY_AFTER_MS = 120_000
STREAM_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
OVERHEAD_BYTES = (
    SHORT_BYTES + 24 + bindings.crypto_secretstream_xchacha20poly1305_ABYTES
)  # 69; the first chunk 93

_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_REKEY = bindings.crypto_secretstream_xchacha20poly1305_TAG_REKEY
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_State = bindings.crypto_secretstream_xchacha20poly1305_state
# version, suite, kind, flags, id, correlation, expires, session, stream, position
_HEAD = struct.Struct(">BBBBQQQQQQ")
_HEAD_BYTES = _HEAD.size


def stream_of(wire: bytes) -> tuple[int, int]:
    """The session in which a chunk's stream was opened, and the stream. Raises `DecryptionFailed`."""
    if len(wire) < _HEAD_BYTES:
        raise DecryptionFailed
    return int.from_bytes(wire[28:36], "big"), int.from_bytes(wire[36:44], "big")


class StreamSender(Secret):
    """The sending end. What was sealed is kept by the caller until it is acknowledged, and sent again unchanged."""

    __slots__ = ("_rekey_ms", "_session", "_state", "_suite", "header", "number", "position")

    def __init__(self, session: Session, number: int, now_ms: int) -> None:
        """`number`: unique among the streams that this side opens in this session. Raises `SessionEnded`."""
        self.number = number
        self.position = 0
        self._suite = session.suite
        self._session = session.send_id
        self._rekey_ms = now_ms + REKEY_AFTER_MS
        self._state: _State | None = _State()
        key = session.stream_key(number, is_sender=True)
        self.header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        forks.guard(self)

    def seal(self, chunk: bytes, *, id: int, now_ms: int, is_last: bool = False) -> bytes:  # noqa: A002
        """The next chunk, of at most 64 KiB; the last one may be empty. Raises `ValueError`, `StreamTruncated`."""
        if self._state is None:
            raise StreamTruncated("the stream has ended", Cause.STREAM_ENDED)
        if len(chunk) > CHUNK_LIMIT_BYTES:
            raise ValueError(f"a chunk has at most {CHUNK_LIMIT_BYTES} bytes")
        head = _HEAD.pack(
            VERSION, self._suite, Kind.CHUNK, 0, id, 0, 0, self._session, self.number, self.position
        )
        opening = self.header if self.position == 0 else b""
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(
            self._state, chunk, head, self._tag(now_ms, is_last)
        )
        self.position += 1
        if is_last:
            self._state = None
        return head + opening + sealed

    def drop(self) -> None:
        """Forget the key."""
        self._state = None

    def _tag(self, now_ms: int, is_last: bool) -> int:
        if is_last:
            return _FINAL
        if (self.position + 1) % REKEY_AFTER_CHUNKS and now_ms < self._rekey_ms:
            return _MESSAGE
        self._rekey_ms = now_ms + REKEY_AFTER_MS
        return _REKEY


class StreamReceiver(Secret):
    """The receiving end. `is_ended`: the sealed end has come; a carrier that stops before goes to `check_end`."""

    __slots__ = ("_key", "_session", "_state", "_suite", "is_ended", "number", "position")

    def __init__(self, session: Session, number: int) -> None:
        """Raises `SessionEnded`."""
        self.number = number
        self.position = 0
        self.is_ended = False
        self._suite = session.suite
        self._session = session.receive_id
        self._key = session.stream_key(number, is_sender=False)
        self._state: _State | None = _State()

    def open(self, wire: bytes) -> bytes:
        """The next chunk. Raises `Replayed` (had it already: skip it), `StreamGap`, `DecryptionFailed`."""
        head = wire[:_HEAD_BYTES]
        try:
            version, suite, kind, flags, _, correlation, expires, session, number, position = _HEAD.unpack(
                head
            )
        except struct.error:
            raise DecryptionFailed from None
        if (version, suite, kind) != (VERSION, self._suite, Kind.CHUNK) or flags or correlation or expires:
            raise DecryptionFailed
        if (session, number) != (self._session, self.number):
            raise DecryptionFailed
        if position < self.position:
            raise Replayed("a chunk that was opened before")
        if self.is_ended or position > self.position:
            raise StreamGap(f"chunk {position} came, and {self.position} is missing")
        return self._pull(wire[_HEAD_BYTES:], head)

    def check_end(self) -> None:
        """The carrier says that nothing more comes. Raises `StreamTruncated` unless the sealed end has come."""
        if not self.is_ended:
            self.drop()
            raise StreamTruncated(f"{self.position} chunks came, and no end")

    def drop(self) -> None:
        """Forget the key."""
        self._state, self._key = None, b""

    def _pull(self, sealed: bytes, head: bytes) -> bytes:
        if self._state is None:
            raise StreamTruncated("the stream has ended", Cause.STREAM_ENDED)
        is_first = self.position == 0
        state = self._state
        if is_first:
            opening, sealed = sealed[:STREAM_HEADER_BYTES], sealed[STREAM_HEADER_BYTES:]
            if len(opening) != STREAM_HEADER_BYTES:
                raise DecryptionFailed
            bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, opening, self._key)
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed, head)
        except (NaclError, ValueError):
            raise DecryptionFailed from None
        self.position += 1
        if is_first:
            self._key = b""
        if tag == _FINAL:
            self.is_ended = True
            self._state = None
        return chunk
