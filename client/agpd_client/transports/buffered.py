"""Reading into one buffer for the life of a connection, for a protocol that takes bytes.

A loop that reads for `asyncio.Protocol` takes a new buffer of 256 KiB for each TLS record. glibc asks the kernel for
one that large and hands it back: three system calls and a page fault for each record, in every program that has not
told it otherwise.
"""

import asyncio
import mmap

READ_BYTES = 256 * 1024  # as much as uvloop reads at once


class Buffered(asyncio.BufferedProtocol):
    """Stands between the carrier and `protocol`."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        # Pages that no read has reached take no memory; a bytearray writes zeros to all of them.
        self._buffer = memoryview(mmap.mmap(-1, READ_BYTES))
        self._take = protocol.data_received
        self._protocol = protocol
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The carrier stands."""
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The carrier has ended."""
        self._protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """The other side has ended its half."""
        return self._protocol.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        self._take(bytes(self._buffer[:nbytes]))
