"""A server of gRPC on loopback, and services for tests."""

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
import hpack
import msgspec
from unit.wire.http2_peer import CALL, DATA, GOAWAY, HEADERS, PREFACE, frame, settings

from agpd.config import Config, Grpc, Limits, Listen
from agpd.transport.grpc import Call, Server, Service
from agpd.wire.grpc import prefixed
from agpd.wire.http2_frames import END_HEADERS, END_STREAM

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]


class Echo:
    """Answers every message with itself, and remembers what it heard."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.batches: list[int] = []
        self.ends: list[str] = []
        self.pauses = 0
        self.ended = asyncio.Event()
        call.begin()

    def messages(self, messages: list[bytes]) -> None:
        self.batches.append(len(messages))
        self.call.write(b"".join(map(prefixed, messages)))

    def half_closed(self) -> None:
        self.call.finish()

    def pause_writing(self) -> None:
        self.pauses += 1
        self.call.pause_reading()

    def resume_writing(self) -> None:
        self.call.resume_reading()

    def lost(self, detail: str) -> None:
        self.ends.append(detail)
        self.ended.set()


class Raw:
    """A client that sends what it likes, and reads frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder = hpack.Encoder()
        self.number = -1

    @classmethod
    async def connect(cls, port: int, *, greet: bool = True) -> "Raw":
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        if greet:
            raw.send(PREFACE + settings())
        return raw

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def call(self, path: str = "/test.Test/Echo", *, end: bool = False, then: bytes = b"") -> int:
        """Begin a call, send this on it, and return its stream."""
        self.number += 2
        headers = [(":path", path), *(pair for pair in CALL if pair[0] != ":path")]
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, self.number, self.encoder.encode(headers)))
        if then:
            self.send(frame(DATA, 0, self.number, then))
        return self.number

    async def frame(self, kind: int, number: int = 0) -> bytes:
        """The body of the next frame of this kind on this stream; others are skipped."""
        while True:
            word, _, found = struct.unpack(">IBI", await self.reader.readexactly(9))
            body = await self.reader.readexactly(word >> 8)
            if (word & 0xFF, found) == (kind, number):
                return body

    async def code(self) -> int:
        """The code of GOAWAY; then the connection ends."""
        code = int.from_bytes((await self.frame(GOAWAY))[4:8], "big")
        await self.end()
        return code

    async def end(self) -> None:
        """Read up to the end."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Place:
    """The server, its address, and the echoes that it has begun."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = 0
        self.echoes: list[Echo] = []
        server.add("/test.Test/Echo", self._echo)

    def _echo(self, call: Call) -> Echo:
        echo = Echo(call)
        self.echoes.append(echo)
        return echo

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @asynccontextmanager
    async def raw(self, *, greet: bool = True) -> AsyncIterator[Raw]:
        raw = await Raw.connect(self.port, greet=greet)
        try:
            yield raw
        finally:
            await raw.close()

    def channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.address, options=[*OPTIONS, *options])


def config(limits: Limits | None = None, **settings: int) -> Config:
    """With these settings of the section `grpc`."""
    return Config(
        listen=Listen(plaintext=True),
        grpc=msgspec.structs.replace(Grpc(), **settings),
        limits=limits or Limits(),
    )


@asynccontextmanager
async def place(
    services: dict[str, Service] | None = None,
    limits: Limits | None = None,
    others: Callable[[], int] = int,
    **settings: int,
) -> AsyncIterator[Place]:
    """A server in plaintext on a free port, with `/test.Test/Echo` and these services."""
    server = Server(config(limits, **settings), services, others=others)
    it = Place(server)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server.protocol, "127.0.0.1", 0)
    it.port = listening.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        listening.close()
        await server.close(0)
        await listening.wait_closed()
