"""A server of gRPC on loopback, and services for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
import msgspec

from agpd.config import Config, Grpc, Limits, Listen
from agpd.transport.grpc import Call, Server, Service
from agpd.wire.grpc import prefixed

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
