"""A pipe in memory with the interface of two connected sockets, for gateways in the process of their agents.

It keeps the promises that protocols rely on: data is handed over in a later turn of the loop and in order, a full pipe
pauses its writer, a paused reader gets nothing, `close` delivers what was written before it.
"""

import asyncio

HIGH_BYTES = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """One end of a pipe. Make both with `pipe`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, name: str) -> None:
        super().__init__({"peername": name})
        self._loop = loop
        self._protocol: asyncio.Protocol = protocol
        self._incoming: list[bytes] = []
        self._incoming_bytes = 0
        self._incoming_ended = False
        self._reading = True
        self._scheduled = False
        self._closing = False
        self._lost = False
        self._writer_paused = False
        self._high, self._low = HIGH_BYTES, HIGH_BYTES // 4
        self._peer: MemoryTransport = self

    # reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._schedule()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def _schedule(self) -> None:
        if not self._scheduled and not self._lost:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self._lost or not self._reading:
            return
        if self._incoming:
            data = b"".join(self._incoming)
            self._incoming.clear()
            self._incoming_bytes = 0
            self._peer.drained()
            if not self._closing:
                self._protocol.data_received(data)
        if self._incoming_ended and not self._incoming:
            self._lose(None)

    def arrive(self, data: bytes) -> int:
        """The other end has written. Returns the bytes that wait here now."""
        if self._lost:
            return 0
        self._incoming.append(data)
        self._incoming_bytes += len(data)
        self._schedule()
        return self._incoming_bytes

    def end_of_file(self) -> None:
        """The other end has closed."""
        self._incoming_ended = True
        self._schedule()

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        waiting = self._peer.arrive(bytes(data))
        if waiting > self._high and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def drained(self) -> None:
        """The other end has taken what was written."""
        if self._writer_paused and not self._lost:
            self._writer_paused = False
            self._protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._peer._incoming_bytes

    def can_write_eof(self) -> bool:
        return False

    # ending

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._peer.end_of_file()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.close()

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if not self._closing:
            self._closing = True
            self._peer.end_of_file()
        self._protocol.connection_lost(exc)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


def pipe(one: asyncio.Protocol, other: asyncio.Protocol, name: str = "memory") -> None:
    """Connect two protocols on the running loop; their `connection_made` is called before this returns."""
    loop = asyncio.get_running_loop()
    ends = MemoryTransport(loop, one, name), MemoryTransport(loop, other, name)
    ends[0]._peer, ends[1]._peer = ends[1], ends[0]
    one.connection_made(ends[0])
    other.connection_made(ends[1])
