"""What both ends of a trunk share: frames are collected and written once a turn, what is read is cut into items."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from agpd.transport.workers.codec import Item, Splitter, TrunkError

SOCKET_BUFFER_BYTES = 4 * 1024 * 1024  # the kernel gives what it allows
READ_BYTES = 256 * 1024
ROOM_BYTES = 1024 * 1024  # more than this unsent is too much

_log = logging.getLogger(__name__)

CallSoon = Callable[[Callable[[], None]], object]


class Trunk(asyncio.BufferedProtocol):
    """One end. Ends take items in `take`; `broken` is called once, when the other end has gone.

    Whatever is put here is sent: the bound is that of the channels, each of which keeps to its credit.
    """

    def __init__(self, call_soon: CallSoon) -> None:
        self.call_soon = call_soon
        self._splitter = Splitter()
        self._out: list[bytes] = []
        self._scheduled = False  # `flush` will be called
        # Cut where it was read: bytes made by the loop would be copied once more, 6 % of the routing process.
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None

    def take(self, item: Item) -> None:
        """Act on what the other end says. Raises `TrunkError`."""
        raise NotImplementedError

    def broken(self) -> None:
        """The other end has gone."""
        raise NotImplementedError

    # writing

    def send(self, *parts: bytes) -> None:
        """Put frames, or the parts of one, on the trunk."""
        self._out += parts
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.call_soon(self.flush)

    def flush(self) -> None:
        """Hand everything collected to the transport."""
        self._scheduled = False
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.writelines(out)

    # reading, and the life of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=ROOM_BYTES, low=ROOM_BYTES // 4)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received(self._buffer[:nbytes])

    def received(self, data: bytes | memoryview) -> None:
        """This has come from the other end."""
        try:
            for item in self._splitter.feed(data):
                self.take(item)
        except TrunkError as error:
            _log.error("the trunk is broken: %s", error)
            self.cut()

    def cut(self) -> None:
        """End the trunk at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.broken()


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a trunk's socket."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setblocking(False)
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return ends
