"""A client of HTTP/2 and gRPC that costs next to nothing: one connection, one call, messages that are made beforehand.

It takes what comes by its length alone: all messages of a run are equally long, so it counts bytes. Its own windows are
never exhausted; those of the server it obeys.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import cast

from hpack import Encoder

from bench.peers.at import HOST, At

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_HEADERS = 1, 4
WINDOW_SETTING = 4
HEAD_SIZE = 9
FIRST_WINDOW = 65_535
WINDOW = 2**31 - 1
STREAM = 1
FRAME_BYTES = 16_384  # what every server takes
PREFIX_SIZE = 5

_head = struct.Struct(">IBI")


class Broken(Exception):
    """The call has ended; the text says how."""


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """A frame of HTTP/2."""
    return _head.pack(len(body) << 8 | kind, flags, stream) + body


def prefixed(message: bytes) -> bytes:
    """A message of gRPC."""
    return struct.pack(">BI", 0, len(message)) + message


def begin(path: str, authority: str, secure: bool) -> bytes:
    """All that a client says before its first message."""
    headers = [
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    return b"".join(
        (
            PREFACE,
            frame(SETTINGS, 0, 0, struct.pack(">HI", WINDOW_SETTING, WINDOW)),
            frame(WINDOW_UPDATE, 0, 0, (WINDOW - FIRST_WINDOW).to_bytes(4, "big")),
            frame(HEADERS, END_HEADERS, STREAM, Encoder().encode(headers)),
        )
    )


class Pool:
    """Messages in DATA frames, made beforehand, in slabs of equal length.

    `slabs` are what is written at once: a frame with as many messages as fit, or with one. `messages` and `cost` are
    those of one slab: how many, and how many bytes of the windows.
    """

    def __init__(self, messages: Sequence[bytes], packed: bool) -> None:
        whole = [prefixed(message) for message in messages]
        if len({len(each) for each in whole}) != 1:
            raise ValueError("messages of different lengths")
        self.messages = max(1, FRAME_BYTES // len(whole[0])) if packed else 1
        self.cost = self.messages * len(whole[0])
        starts = range(0, len(whole) - self.messages + 1, self.messages)
        bodies = [b"".join(whole[start : start + self.messages]) for start in starts]
        self.slabs = [frame(DATA, 0, STREAM, body) for body in bodies]


class Channel(asyncio.Protocol):
    """One call. `arrived` is told how many bytes of messages have come; `writable` that more may be sent."""

    def __init__(self, path: str, at: At, arrived: Callable[[int], None]) -> None:
        self._begin = begin(path, at.address, at.files is not None)
        self._arrived = arrived
        self._transport: asyncio.Transport
        self._kept = b""
        self._window = FIRST_WINDOW
        self._connection_window = FIRST_WINDOW
        self._first_window = FIRST_WINDOW
        self._left = 0  # bytes of a DATA frame that was begun
        self._at = 0
        self._full = False
        self.length = 0  # of one message that comes, with its prefix
        self.writable: Callable[[], None] = _nothing
        self.heard: Callable[[bytes], None] | None = None  # while set, it gets the bytes themselves
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # ---- what is sent

    def send(self, message: bytes) -> None:
        """One message, now."""
        body = prefixed(message)
        self._spend(len(body))
        self._transport.write(frame(DATA, 0, STREAM, body))

    def pour(self, pool: Pool, most: int) -> int:
        """Up to `most` messages of the pool, in whole slabs, as far as the windows go: how many those are."""
        if self._full:
            return 0
        count = min(
            most // pool.messages, self._window // pool.cost, self._connection_window // pool.cost, 64
        )
        if count <= 0:
            return 0
        slabs, at = pool.slabs, self._at % len(pool.slabs)  # where an earlier pool ended
        count = min(count, len(slabs) - at)
        self._transport.write(b"".join(slabs[at : at + count]))
        self._at = (at + count) % len(slabs)
        self._spend(count * pool.cost)
        return count * pool.messages

    def close(self) -> None:
        """Cut it."""
        self._transport.abort()

    def _spend(self, size: int) -> None:
        self._window -= size
        self._connection_window -= size

    # ---- what comes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._begin)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(str(exc) if exc else "the connection has ended")

    def data_received(self, data: bytes) -> None:
        if self._kept:
            data, self._kept = self._kept + data, b""
        position, size, came = 0, len(data), 0
        while position < size:
            if self._left:
                part = min(self._left, size - position)
                self._take(data, position, part)
                self._left -= part
                came += part
                position += part
                continue
            if size - position < HEAD_SIZE:
                break
            word, flags, stream = _head.unpack_from(data, position)
            length, kind = word >> 8, word & 0xFF
            if kind == DATA:
                self._left = length
                position += HEAD_SIZE
                continue
            end = position + HEAD_SIZE + length
            if end > size:
                break
            self._control(kind, flags, stream, data[position + HEAD_SIZE : end])
            position = end
        if position < size:
            self._kept = data[position:]
        if came:
            self._arrived(came)

    def _take(self, data: bytes, position: int, size: int) -> None:
        if self.heard is not None:
            self.heard(data[position : position + size])
        elif not self.length:
            self.length = PREFIX_SIZE + int.from_bytes(data[position + 1 : position + PREFIX_SIZE], "big")

    def _control(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(body, "big")
            if stream:
                self._window += more
            else:
                self._connection_window += more
            self.writable()
        elif kind == HEADERS:
            if flags & 1:
                self._break(f"ended with {body!r}")
            elif not self.opened.done():
                self.opened.set_result(None)
        elif kind == SETTINGS and not flags & ACK:
            self._settings(body)
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, body))
        elif kind in (RST_STREAM, GOAWAY):
            self._break(f"frame {kind}: {body!r}")

    def _settings(self, body: bytes) -> None:
        for setting, value in struct.iter_unpack(">HI", body):
            if setting == WINDOW_SETTING:
                self._window += value - self._first_window
                self._first_window = value
        self._transport.write(frame(SETTINGS, ACK, 0, b""))
        self.writable()

    def _break(self, detail: str) -> None:
        error = Broken(detail)
        for each in (self.opened, self.broken):
            if not each.done():
                each.set_exception(error)
                each.exception()  # not every one is waited for


async def connect(at: At, path: str, arrived: Callable[[int], None]) -> Channel:
    """A call that the server has answered. Raises `Broken`, `OSError`."""
    context = at.context()
    if context is not None:
        context.set_alpn_protocols(["h2"])
    _, channel = await asyncio.get_running_loop().create_connection(
        lambda: Channel(path, at, arrived), HOST, at.port, ssl=context
    )
    await channel.opened
    return channel


def _nothing() -> None:
    pass
