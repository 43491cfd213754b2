"""A relay over grpc.aio, as one would write it first: a bidirectional stream for each client, one message each.

Messages begin with the numbers of receiver and sender. One envelope in one gRPC message, asyncio queues in between,
on uvloop.
"""

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio

from bench.peers.at import Arrived, Ask, At, Send, pem

METHOD = "/bench.Relay/Open"
HEAD = struct.Struct(">HH")
EVERYBODY, ANYBODY, SOURCE = 0xFFFF, 0xFFFE, 0xFFFD
QUEUE_LIMIT = 1000  # messages: then the sender waits, so nothing is lost


class Relay(grpc.GenericRpcHandler):
    """Forwards what comes on a stream to the stream of the number in its head."""

    def __init__(self) -> None:
        self._queues: dict[int, asyncio.Queue[bytes]] = {}
        self._chance = random.Random(1)

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._open) if details.method == METHOD else None

    async def _open(self, _: Any, context: Any) -> None:
        number = int(dict(context.invocation_metadata())["number"])
        queue = self._queues[number] = asyncio.Queue(QUEUE_LIMIT)
        await context.send_initial_metadata(())
        writer = asyncio.create_task(self._write(queue, context))
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                for each in self._receivers(HEAD.unpack_from(message)[0]):
                    await each.put(message)
        finally:
            del self._queues[number]
            writer.cancel()

    def _receivers(self, number: int) -> list[asyncio.Queue[bytes]]:
        listening = [queue for one, queue in self._queues.items() if one != SOURCE]
        if number == EVERYBODY:
            return listening
        return [self._chance.choice(listening) if number == ANYBODY else self._queues[number]]

    @staticmethod
    async def _write(queue: asyncio.Queue[bytes], context: Any) -> None:
        while True:
            await context.write(await queue.get())


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The relay in this process."""
    async with listening(at, Relay()):
        yield


@contextlib.asynccontextmanager
async def listening(at: At, handler: grpc.GenericRpcHandler) -> AsyncIterator[None]:
    """A server with this handler."""
    server = grpc.aio.server(handlers=(handler,))
    if at.files is None:
        server.add_insecure_port(at.address)
    else:
        files = at.files
        pair = (pem(files.server_key).encode(), pem(files.server_certificate).encode())
        credentials = grpc.ssl_server_credentials([pair], pem(files.ca).encode(), require_client_auth=True)
        server.add_secure_port(at.address, credentials)
    await server.start()
    yield


@contextlib.asynccontextmanager
async def stream(at: At, number: int) -> AsyncIterator[Any]:
    """A stream under a number, accepted by the relay, on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if at.files is None:
        channel = grpc.aio.insecure_channel(at.address, options)
    else:
        ca, key, certificate = (
            pem(path).encode() for path in (at.files.ca, at.files.key, at.files.certificate)
        )
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        channel = grpc.aio.secure_channel(at.address, credentials, options)
    async with channel:
        call = channel.stream_stream(METHOD)(metadata=(("number", str(number)),))
        await call.initial_metadata()
        yield call
        call.cancel()


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """`await call.read()`."""

    async def take(call: Any) -> None:
        while await call.read() is not grpc.aio.EOF:
            arrived()

    async with contextlib.AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(stream(at, number)) for number in range(receivers)]
        tasks = [asyncio.create_task(take(call)) for call in calls]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await call.write(...)`."""
    fixed = {"broadcast": EVERYBODY, "anycast": ANYBODY}.get(pattern)

    async with stream(at, SOURCE) as call:

        async def send(numbers: Sequence[int], body: bytes) -> None:
            for number in numbers:
                await call.write(HEAD.pack(number if fixed is None else fixed, SOURCE) + body)

        yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """Sends back what comes, with the numbers exchanged."""

    async def echo(call: Any) -> None:
        while (message := await call.read()) is not grpc.aio.EOF:
            receiver, sender = HEAD.unpack_from(message)
            await call.write(HEAD.pack(sender, receiver) + message[HEAD.size :])

    async with stream(at, 0) as call:
        task = asyncio.create_task(echo(call))
        yield
        task.cancel()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """One message there, one back."""
    async with stream(at, SOURCE) as call:

        async def ask(body: bytes) -> bytes:
            await call.write(HEAD.pack(0, SOURCE) + body)
            answer: bytes = await call.read()
            return answer[HEAD.size :]

        yield ask
