"""A process that holds thousands of idle connections to a gateway and does what it is told, line by line.

python crowd.py HOST PORT COUNT [CA CERTIFICATE KEY], then on standard input: `connect`, `ping`, `reset`. Each is
answered with one line of JSON: how many connections took part, and in how many seconds.
"""

import asyncio
import json
import socket
import ssl
import struct
import sys
import time

import uvloop

from agpd.wire import frames
from agpd.wire.frames import Kind

AT_ONCE = 100  # connections being made
DEADLINE_S = 120.0
HELLO = frames.encode(Kind.HELLO, frames.Hello([1], "crowd", 1))
PING = frames.encode(Kind.PING, id=1)


class Idler(asyncio.Protocol):
    """Waits for its turn: welcomed, or answered, is a result."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(HELLO)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if data[4] == Kind.PING:
            self.transport.write(frames.encode(Kind.PONG, id=frames.parse(data).id))  # type: ignore[attr-defined]
        elif not self.waiting.done():
            assert data[4] in (Kind.WELCOME, Kind.PONG), data
            self.waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionResetError("closed"))

    async def ping(self) -> None:
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(PING)  # type: ignore[attr-defined]
        await self.waiting

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.waiting.cancel()
        self.transport.abort()  # type: ignore[attr-defined]


class Crowd:
    """The connections of this process."""

    def __init__(self, address: tuple[str, int], count: int, context: ssl.SSLContext | None) -> None:
        self._address, self._count, self._context = address, count, context
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._all: list[Idler] = []

    async def connect(self) -> int:
        """Make them all; who is turned away tries again."""
        await asyncio.gather(*(self._one() for _ in range(self._count)))
        return len(self._all)

    async def _one(self) -> None:
        server = "127.0.0.1" if self._context else None
        loop = asyncio.get_running_loop()
        while True:
            async with self._gate:
                try:
                    _, idler = await loop.create_connection(
                        Idler, *self._address, ssl=self._context, server_hostname=server
                    )
                    await idler.waiting
                except OSError:
                    continue
            self._all.append(idler)
            return

    async def ping(self) -> int:
        """Every connection is answered."""
        await asyncio.gather(*(idler.ping() for idler in self._all))
        return len(self._all)

    async def reset(self) -> int:
        """End all with RST."""
        ended, self._all = self._all, []
        for idler in ended:
            idler.reset()
        return len(ended)


async def main() -> None:
    host, port, count, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.create_default_context(cafile=files[0])
        context.load_cert_chain(files[1], files[2])
    crowd = Crowd((host, int(port)), int(count), context)
    verbs = {"connect": crowd.connect, "ping": crowd.ping, "reset": crowd.reset}
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            done = await verbs[line.strip()]()
        print(json.dumps({"connections": done, "seconds": round(time.monotonic() - began, 3)}), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
