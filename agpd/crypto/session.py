"""A session of two instances: what is sealed and opened in it. `proto/e2e.md` section 7.

Order does not matter and losses do no harm: each message carries its counter.
"""

import struct
from typing import NamedTuple

import msgspec

from agpd.crypto import aead, hazmat
from agpd.crypto.aead import Failures
from agpd.crypto.errors import DecryptionFailed, Expired, SessionEnded, UnknownKey
from agpd.crypto.handshake import Received
from agpd.crypto.headers import Kind, Padding, Purpose, pack_plain, unpack_plain
from agpd.crypto.keys import Secret
from agpd.crypto.layout import VERSION
from agpd.crypto.replay import Window
from agpd.crypto.trust import Peer
from agpd.crypto.vouch import LEEWAY_S

REKEY_AFTER_MS = 120_000
REKEY_AFTER_MESSAGES = 2**20
SEND_LIMIT_MS = 180_000
"""A sender stops here, so that a rekey which never completes does not stretch a session."""
RECEIVE_LIMIT_MS = 600_000
"""A gateway queues: so long after its making a session still opens what comes."""
MESSAGES_LIMIT = 2**32
EXPIRY_LEEWAY_MS = 30_000
OVERHEAD_BYTES = 60  # header 28, session 8, counter 8, tag 16

# version, suite, kind, flags, id, correlation, expires, session, counter: 28 bytes of header and 16
_HEAD = struct.Struct(">BBBBQQQQQ")
_HEAD_BYTES = _HEAD.size
_NONCE = struct.Struct("<4xQ").pack
_DATA = int(Kind.DATA)


class Opened(msgspec.Struct):
    """A message that was opened: authentic, not seen before and not too late. Times are Unix ms.

    `contact`: of a first message that wants an answer, what `Endpoint.answer` needs.
    """

    source: str
    kind: int
    id: int
    correlation: int
    expires_ms: int
    purpose: Purpose
    inner: bytes
    data: bytes
    contact: "Contact | None" = None

    def __repr__(self) -> str:
        return f"<opened {Kind(self.kind).name} {self.id} from {self.source}, {len(self.data)} bytes>"


class Contact(Secret):
    """Who sent a first message, and the state for the one answer to it.

    `peer` is None for an instance that asks a key daemon to vouch for `signing` and `exchange`: then nothing is proved
    but that it holds these keys, its name included.
    """

    __slots__ = ("_received", "exchange", "held", "is_claim", "peer", "signing")

    def __init__(
        self, received: Received, peer: Peer | None, is_claim: bool = False, held: Opened | None = None
    ) -> None:
        self._received: Received | None = received
        self.peer = peer
        self.is_claim = is_claim
        self.held = held
        self.signing = received.enrolling if peer is None else peer.signing
        self.exchange = received.noise.remote_static

    def spend(self) -> Received:
        """The state, once. Raises `SessionEnded`."""
        received, self._received = self._received, None
        if received is None:
            raise SessionEnded("a first message is answered once")
        return received


class SessionKeys(NamedTuple):
    """What both sides derive from a finished handshake, seen from one of them."""

    send_id: int
    receive_id: int
    send: bytes
    receive: bytes
    send_streams: bytes
    receive_streams: bytes

    def __repr__(self) -> str:
        return "<SessionKeys, not shown>"


def derive_keys(i2r: bytes, r2i: bytes, handshake_hash: bytes, is_initiator: bool) -> SessionKeys:
    """The keys of a session from both keys of Noise's Split and the final hash."""
    ids = hazmat.derive(hazmat.digest(handshake_hash), 1, b"agpsid01", 16)
    mine, theirs = (i2r, r2i) if is_initiator else (r2i, i2r)
    own, other = (ids[:8], ids[8:]) if is_initiator else (ids[8:], ids[:8])
    return SessionKeys(
        int.from_bytes(own, "big"),
        int.from_bytes(other, "big"),
        hazmat.derive(mine, 1, b"agpdata1"),
        hazmat.derive(theirs, 1, b"agpdata1"),
        hazmat.derive(mine, 2, b"agpdata1"),
        hazmat.derive(theirs, 2, b"agpdata1"),
    )


class Session(Secret):
    """One side. `peer` has proved itself; `send_id` and `receive_id` are what the two directions are named by."""

    __slots__ = (
        "_padding",
        "_receive",
        "_receive_streams",
        "_send",
        "_send_end_ms",
        "_send_streams",
        "_window",
        "created_ms",
        "end_ms",
        "held",
        "initiator",
        "is_confirmed",
        "peer",
        "receive_id",
        "received",
        "send_id",
        "sent",
        "suite",
    )

    def __init__(
        self,
        keys: SessionKeys,
        peer: Peer,
        suite: int,
        initiator: str,
        created_ms: int,
        padding: Padding = Padding.BLOCK,
    ) -> None:
        self.peer = peer
        self.suite = suite
        self.initiator = initiator
        self.created_ms = created_ms
        certified_ms = (peer.not_after + LEEWAY_S) * 1000
        self.end_ms = min(created_ms + RECEIVE_LIMIT_MS, certified_ms)
        self._send_end_ms = min(created_ms + SEND_LIMIT_MS, certified_ms)
        self.held: Opened | None = None  # what the peer has yet to confirm (CLAIM)
        self.send_id = keys.send_id
        self.receive_id = keys.receive_id
        self.is_confirmed = initiator != peer.name
        """Is it known that the peer has it too? Who began knows by the answer, who answered by the first message."""
        self.sent = 0
        self.received = 0
        self._send: aead.Cipher | None = aead.make(keys.send)
        self._receive: aead.Cipher | None = aead.make(keys.receive)
        self._send_streams = keys.send_streams
        self._receive_streams = keys.receive_streams
        self._window = Window()
        self._padding = padding

    def seal(
        self,
        data: bytes,
        id: int,  # noqa: A002
        now_ms: int,
        correlation: int = 0,
        expires_ms: int = 0,
        inner: bytes = b"",
        purpose: int = 0,
    ) -> bytes:
        """A message to the peer. Raises `SessionEnded` when it is time for another session."""
        cipher, counter = self._send, self.sent
        if cipher is None or now_ms >= self._send_end_ms or counter >= MESSAGES_LIMIT:
            raise SessionEnded("too old to send on")
        self.sent = counter + 1
        head = _HEAD.pack(VERSION, self.suite, _DATA, 0, id, correlation, expires_ms, self.send_id, counter)
        plain = pack_plain(purpose, inner, data, self._padding)
        return head + cipher.encrypt(_NONCE(counter), plain, head)

    def open(self, wire: bytes, now_ms: int) -> Opened:
        """What the peer has sealed. Raises `DecryptionFailed`, `Replayed`, `Expired`, `SessionEnded`.

        A counter is spent only by an authentic message, so forgeries cannot burn any.
        """
        head = wire[:_HEAD_BYTES]
        try:
            version, suite, kind, flags, id_, correlation, expires_ms, session, counter = _HEAD.unpack(head)
        except struct.error:
            raise DecryptionFailed from None
        if session != self.receive_id:
            raise UnknownKey("of another session")
        if kind != _DATA or version != VERSION or flags or suite != self.suite:
            raise DecryptionFailed
        cipher = self._receive
        if cipher is None or now_ms >= self.end_ms:
            raise SessionEnded("too old to open anything")
        window = self._window
        if counter <= window.highest:
            window.check(counter)
        try:
            plain = cipher.decrypt(_NONCE(counter), wire[_HEAD_BYTES:], head)
        except Failures:
            raise DecryptionFailed from None
        window.mark(counter)
        self.received += 1
        self.is_confirmed = True
        if expires_ms and now_ms > expires_ms + EXPIRY_LEEWAY_MS:
            raise Expired("nobody waits for it any more")
        purpose, inner, data = unpack_plain(plain)
        return Opened(self.peer.name, kind, id_, correlation, expires_ms, purpose, inner, data)

    def wants_rekey(self, now_ms: int) -> bool:
        """Is it time for another handshake?"""
        return (
            now_ms >= self.created_ms + REKEY_AFTER_MS
            or self.sent >= REKEY_AFTER_MESSAGES
            or self.received >= REKEY_AFTER_MESSAGES
        )

    def can_send(self, now_ms: int) -> bool:
        """Would `seal` do it?"""
        return self._send is not None and now_ms < self._send_end_ms and self.sent < MESSAGES_LIMIT

    def can_receive(self, now_ms: int) -> bool:
        """Would `open` do it?"""
        return self._receive is not None and now_ms < self.end_ms

    def stream_key(self, number: int, is_sender: bool) -> bytes:
        """The key of a stream that was opened in this session. Raises `SessionEnded`."""
        root = self._send_streams if is_sender else self._receive_streams
        if not root:
            raise SessionEnded("no stream can be opened in it any more")
        return hazmat.derive(root, number, b"agpstrm1")

    def stop_sending(self) -> None:
        """There is a newer session: forget the keys for sending."""
        self._send = None
        self._send_streams = b""

    def drop(self) -> None:
        """Forget all keys."""
        self.stop_sending()
        self.held = None
        self._receive = None
        self._receive_streams = b""


def session_of(wire: bytes) -> int:
    """The session that a message names. Raises `DecryptionFailed` for what is too short."""
    if len(wire) < _HEAD_BYTES:
        raise DecryptionFailed
    return int.from_bytes(wire[28:36], "big")
