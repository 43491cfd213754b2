"""A gateway of which the test writes every frame: a real loopback socket."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import agpd_client as agp
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind, encode
from agpd.wire.framing import Reassembly, split
from agpd_client.gateway import assemble
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier

AGENT = 11


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._reassembly = Reassembly(1 << 20)
        self._frames: Iterator[Frame] = iter(())

    async def read(self, kind: Kind) -> Frame:
        """The next frame, which has to be of this kind."""
        frame = await self.next()
        assert frame.kind == kind, Kind(frame.kind).name
        return frame

    async def next(self) -> Frame:
        while True:
            for frame in self._frames:
                return frame
            data = await asyncio.wait_for(self._reader.read(65536), 2)
            assert data, "the client has closed"
            self._frames = split(data, self._reassembly)

    def write(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    def reset(self) -> None:
        """End the carrier so that nothing that is on its way arrives."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def welcome(self, ping_interval_ms: int = 0) -> frames.Hello:
        hello = frames.decode((await self.read(Kind.HELLO)).body, frames.Hello)
        body = frames.Welcome(1, "scripted", "acme/*", 65536, ping_interval_ms, 10, 10)
        self.write(encode(Kind.WELCOME, body))
        return hello

    async def register(self, handle: int = AGENT) -> str:
        frame = await self.read(Kind.REGISTER)
        self.write(encode(Kind.OK, id=frame.id, destination=handle))
        return frames.decode(frame.body, frames.Named).name

    async def ok(self, kind: Kind, destination: int = 0) -> Frame:
        frame = await self.read(kind)
        self.write(encode(Kind.OK, id=frame.id, destination=destination))
        return frame


class Peers:
    def __init__(
        self, port: int, queue: "asyncio.Queue[Peer]", files: tuple[Path, Path, Path] | None
    ) -> None:
        self._port, self._queue, self._files = port, queue, files

    def connect(self, **options: Any) -> agp.Gateway:
        address = Address("tls" if self._files else "tcp", "127.0.0.1", self._port)
        return assemble(Carrier(address, *(self._files or ())), **options)

    async def accept(self) -> Peer:
        return await asyncio.wait_for(self._queue.get(), 2)


@asynccontextmanager
async def peers(
    context: ssl.SSLContext | None = None, files: tuple[Path, Path, Path] | None = None
) -> AsyncIterator[Peers]:
    """With a TLS context, `files` are the client's certificate, key and authorities."""
    queue: asyncio.Queue[Peer] = asyncio.Queue()
    accepted: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        queue.put_nowait(Peer(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield Peers(server.sockets[0].getsockname()[1], queue, files)
    finally:
        server.close()
        for writer in accepted:
            writer.close()


@asynccontextmanager
async def standing(**options: Any) -> AsyncIterator[tuple[agp.Gateway, agp.Agent, Peer, Peers]]:
    """A welcomed connection with one agent, whose handle is AGENT."""
    async with peers() as all_:
        gateway = all_.connect(**options)
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.welcome()
        await opening
        creating = asyncio.create_task(gateway.create_agent("acme/prod/me"))
        await peer.register()
        try:
            yield gateway, await creating, peer, all_
        finally:
            closing = asyncio.create_task(gateway.close())
            await asyncio.sleep(0)
            peer.writer.close()
            await closing
