"""What an HTTP/2 connection is made of (RFC 9113): frames, streams, events, and how much nonsense a peer may send."""

import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from h2.errors import ErrorCodes

Headers = list[tuple[bytes, bytes]]
Error = ErrorCodes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_SIZE = 9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, END_HEADERS, PADDED, ACK = 0x1, 0x4, 0x8, 0x1

WINDOW_LIMIT = 2**31 - 1
FIRST_WINDOW = 65_535  # until SETTINGS say otherwise, and always for the connection
FRAME_OUT_LIMIT = 64 * 1024  # one stream's share before the next one has its turn, whatever the peer allows
TABLE_LIMIT = 4096  # of our hpack encoder, whatever the peer allows: it is our memory
HARD_HEADERS = 2  # header lists up to so many times the limit are read, so that only their call is refused
USUAL_HEADERS = 64  # entries of a list that are not asked about
SETTINGS_LIMIT = 64  # entries in one frame

# Units of work, about a microsecond each. Measured: HEADERS 215 us and 7.5 for each entry, the others that h2 sees 30.
WORK = {DATA: 1, WINDOW_UPDATE: 1, HEADERS: 200}
OTHER_WORK = 30
HEADER_WORK = 8

_HEAD = struct.Struct(">IBI")
unpack_head = _HEAD.unpack_from
pack_head = _HEAD.pack
_KNOWN_SETTINGS = range(1, 7)


class Limits(NamedTuple):
    """What a connection may cost."""

    frame_bytes: int = 64 * 1024  # longest frame that the peer may send
    header_bytes: int = 16 * 1024  # header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it
    streams: int = 100
    stream_window_bytes: int = 512 * 1024
    connection_window_bytes: int = 4 * 1024 * 1024


class Stream:
    """One stream. `owner` is for whoever serves it; the rest is the connection's."""

    __slots__ = (
        "chunks",
        "ended_in",
        "expected",
        "front",
        "gone",
        "held",
        "id",
        "offset",
        "owner",
        "parts",
        "queued",
        "ready",
        "refund",
        "trailers",
        "unread",
        "window_in",
        "window_out",
    )

    def __init__(self, id_: int, window_in: int, window_out: int, expected: int | None) -> None:
        self.id = id_
        self.owner: Any = None
        self.gone = False  # closed, by whomever
        # in
        self.parts: list[bytes] = []
        self.held = bytearray()
        self.unread = 0  # bytes of the window that `parts` and `held` stand for
        self.refund = 0  # of the window that was read and not yet given back
        self.window_in = window_in
        self.ended_in = False
        self.expected = expected  # bytes of content that were announced and have not come
        # out
        self.chunks: list[bytes] = []
        self.front = b""
        self.offset = 0
        self.queued = 0
        self.window_out = window_out
        self.trailers: Headers | None = None
        self.ready = False  # in the connection's row of those that may send


class Request(NamedTuple):
    """A new stream. `oversize`: its header list is above the limit; refuse it."""

    stream: Stream
    headers: Headers
    oversize: bool


class Data(NamedTuple):
    """Bytes have come: `take` or `hold` them. At most one for a stream in one `receive`, for all of them."""

    stream: Stream


class HalfClosed(NamedTuple):
    """The peer sends no more on this stream."""

    stream: Stream


class Reset(NamedTuple):
    """The stream is gone: the peer has reset it, or it was reset for what the peer did."""

    stream: Stream
    code: int
    detail: str


class Pong(NamedTuple):
    """The peer has answered `ping`."""

    payload: bytes


class Leaving(NamedTuple):
    """The peer's GOAWAY: it begins no more streams."""

    code: int
    detail: str


class Failed(NamedTuple):
    """The connection is over: send what is to be sent, which ends with GOAWAY, and close. Always the last event."""

    code: int
    detail: str


Event = Request | Data | HalfClosed | Reset | Pong | Leaving | Failed


class Fault(Exception):
    """A connection error of the peer."""

    def __init__(self, code: int, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


class Calm:
    """How much that is of no use a peer may send: a bucket, refilled by time and by frames that carry something.

    PING 100 in a second, RST_STREAM 50, SETTINGS 20, WINDOW_UPDATE 1000 and two for each frame sent to it; bursts of
    ten times as many.
    """

    __slots__ = ("_at", "_clock", "_level", "earned")

    CAPACITY = 10_000.0
    PER_SECOND = 1000.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = clock()
        self._level = self.CAPACITY
        self.earned = 0

    def spend(self, cost: int, what: str) -> None:
        """Take so much out. Raises `Fault(ENHANCE_YOUR_CALM)`."""
        self._level -= cost
        if self._level < 0:
            now = self._clock()
            back = self.earned + (now - self._at) * self.PER_SECOND
            self._level = min(self.CAPACITY, self._level + back)
            self._at, self.earned = now, 0
            if self._level < 0:
                raise Fault(Error.ENHANCE_YOUR_CALM, f"too many frames of no use, the last was {what}")


COSTS = {PRIORITY: 10, RST_STREAM: 20, SETTINGS: 50, PING: 10, GOAWAY: 50, CONTINUATION: 10}
EMPTY_COST = 10  # DATA with nothing in it
REFUSED_COST = 50  # a stream above the limit, or one that we had to reset
UNKNOWN_COST = 10
NAMES = (
    "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
    "CONTINUATION",
)  # fmt: skip


def frame_of(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return pack_head(len(body) << 8 | kind, flags, number) + body


def known_settings(frame: bytes, number: int, flags: int) -> bytes:
    """SETTINGS without entries that mean nothing to us: h2 would remember each number for ever."""
    if flags & ACK or number:
        return frame
    entries: Iterable[tuple[int, int]]
    if (len(frame) - HEAD_SIZE) % 6:
        raise Fault(Error.FRAME_SIZE_ERROR, "SETTINGS end within an entry")
    if len(frame) - HEAD_SIZE > 6 * SETTINGS_LIMIT:
        raise Fault(Error.ENHANCE_YOUR_CALM, "too many entries in SETTINGS")
    entries = struct.iter_unpack(">HI", frame[HEAD_SIZE:])
    body = b"".join(struct.pack(">HI", code, value) for code, value in entries if code in _KNOWN_SETTINGS)
    return frame_of(SETTINGS, flags, 0, body)
