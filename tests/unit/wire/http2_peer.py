"""The client's side of HTTP/2 for tests: frames by hand, and the connection under test with a clock."""

import struct
from collections.abc import Iterable

import hpack

from agpd.wire import http2
from agpd.wire.http2 import Connection, Event, Failed, Limits, Request, Stream
from agpd.wire.http2_frames import ACK, END_HEADERS, END_STREAM, HEAD_SIZE, PREFACE, Headers

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
PLENTY = 10**9
CALL = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "here"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


def frame(kind: int, flags: int = 0, number: int = 0, body: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(body) << 8 | kind, flags, number) + body


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(number: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, number, more.to_bytes(4, "big"))


def frames_of(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and body of each."""
    found, position = [], 0
    while position < len(data):
        word, flags, number = struct.unpack_from(">IBI", data, position)
        end = position + HEAD_SIZE + (word >> 8)
        assert end <= len(data), "half a frame was sent"
        found.append((word & 0xFF, flags, number, data[position + HEAD_SIZE : end]))
        position = end
    return found


class Peer:
    """A client, and the connection that it has."""

    def __init__(self, limits: Limits | None = None, *, greet: bool = True) -> None:
        self.now = 0.0
        self.connection = Connection(limits or Limits(), lambda: self.now)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.next = 1
        if greet:
            assert self.feed(PREFACE + settings()) == []
            self.sent()

    def feed(self, data: bytes, work: int = PLENTY) -> list[Event]:
        return self.connection.receive(data, work)

    def sent(self, limit: int = PLENTY) -> list[tuple[int, int, int, bytes]]:
        return frames_of(self.connection.data_to_send(limit))

    def headers(self, number: int, headers: Iterable[tuple[str, str]] = CALL, *, end: bool = False) -> bytes:
        flags = END_HEADERS | (END_STREAM if end else 0)
        return frame(HEADERS, flags, number, self.encoder.encode(list(headers)))

    def request(self, *, end: bool = False, more: Iterable[tuple[str, str]] = ()) -> Stream:
        """A new stream."""
        number, self.next = self.next, self.next + 2
        event = self.feed(self.headers(number, [*CALL, *more], end=end))[0]
        assert isinstance(event, Request)
        return event.stream

    def read_headers(self, body: bytes) -> Headers:
        return [(bytes(name), bytes(value)) for name, value in self.decoder.decode(body, raw=True)]

    def dies(self, data: bytes, code: http2.Error) -> str:
        """These bytes end the connection with GOAWAY and this code; returns the detail."""
        event = self.feed(data)[-1]
        assert isinstance(event, Failed), event
        assert event.code == code, event
        kind, _, number, body = self.sent()[-1]
        assert (kind, number) == (GOAWAY, 0)
        assert int.from_bytes(body[4:8], "big") == code
        assert self.feed(settings()) == []  # nothing is looked at any more
        assert self.connection.failed
        return event.detail


__all__ = ["ACK", "END_HEADERS", "END_STREAM", "PREFACE", "Peer"]
