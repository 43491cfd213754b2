"""AGP over grpc.aio with nothing but a dictionary: what any gateway written with that library costs at least.

Messages go on as they came. Nothing is checked, decoded or limited; of each as much is read as says where it goes.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from bench.peers.at import At
from bench.peers.systems.grpcaio import QUEUE_LIMIT, listening

METHOD = "/pubsub.proto.v1.PubSubService/OpenChannel"
SUBSCRIBE, DESTINATION, FANOUT = 0x0A, 0x12, 0x18
NAME_FIELDS = 3  # of the destination; with a fourth it is an instance

Queue = asyncio.Queue[bytes]


class Relay(grpc.GenericRpcHandler):
    """Forwards what comes to the queues that are found under its destination."""

    def __init__(self) -> None:
        self._queues: dict[bytes, list[Queue]] = {}
        self._chance = random.Random(1)

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._open) if details.method == METHOD else None

    async def _open(self, _: Any, context: Any) -> None:
        queue: Queue = asyncio.Queue(QUEUE_LIMIT)
        await context.send_initial_metadata(())
        writer = asyncio.create_task(self._write(queue, context))
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                verb, name, fanout = destination(message)
                if verb == SUBSCRIBE:
                    for each in {name, of_type(name)}:
                        self._queues.setdefault(each, []).append(queue)
                    continue
                found = [each for each in self._queues.get(name, ()) if each is not queue]
                if fanout == 1 and len(found) > 1:
                    found = [self._chance.choice(found)]
                for each in found:
                    await each.put(message)
        finally:
            writer.cancel()

    @staticmethod
    async def _write(queue: Queue, context: Any) -> None:
        while True:
            await context.write(await queue.get())


def destination(message: bytes) -> tuple[int, bytes, int]:
    """The verb, the bytes of the destination's name, and the fan-out, which stands behind it."""
    at = _behind(message, 1)  # the length of what the verb says
    at = _behind(message, at + 1)  # the header's tag and length
    at += 2 + message[at + 1]  # the source; names are shorter than 128 bytes
    end = at + 2 + message[at + 1]
    fanout = message[end + 1] if end + 1 < len(message) and message[end] == FANOUT else 0
    return message[0], message[at + 2 : end], fanout


def of_type(name: bytes) -> bytes:
    """A name without its instance."""
    at = 0
    for _ in range(NAME_FIELDS):
        at = _behind(name, at + 1)
    return name[:at]


def _behind(data: bytes, at: int) -> int:
    """Where the number ends that begins there."""
    while data[at] > 0x7F:
        at += 1
    return at + 1


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The relay in this process."""
    async with listening(at, Relay()):
        yield
