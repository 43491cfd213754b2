"""AutoGen's gRPC host with its workers. It has no TLS."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    TopicId,
    TypeSubscription,
    message_handler,
    try_get_known_serializers_for_type,
)
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost

from bench.peers.at import Arrived, Ask, At, Send


@dataclass
class Text:
    """Payloads travel as JSON."""

    body: str


class Sink(RoutedAgent):
    """Counts."""

    def __init__(self, arrived: Arrived) -> None:
        super().__init__("sink")
        self._arrived = arrived

    @message_handler
    async def take(self, message: Text, ctx: MessageContext) -> None:
        self._arrived()


class Echo(RoutedAgent):
    """Answers with what it was asked."""

    @message_handler
    async def echo(self, message: Text, ctx: MessageContext) -> Text:
        return message


def topic(pattern: str, number: int) -> str:
    """All receivers have one topic, except with unicast."""
    return f"bench{number}" if pattern == "unicast" else "bench"


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The host in this process."""
    host = GrpcWorkerAgentRuntimeHost(at.address)
    host.start()
    yield


@contextlib.asynccontextmanager
async def worker(at: At) -> AsyncIterator[Any]:
    """A worker on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    runtime = GrpcWorkerAgentRuntime(at.address, extra_grpc_config=options)
    runtime.add_message_serializer(try_get_known_serializers_for_type(Text))
    await runtime.start()
    yield runtime


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """A worker with one agent for each receiver; subscriptions are acknowledged."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(receivers):
            runtime = await stack.enter_async_context(worker(at))
            await Sink.register(runtime, f"sink{number}", lambda: Sink(arrived))
            await runtime.add_subscription(TypeSubscription(topic(pattern, number), f"sink{number}"))
        yield


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await runtime.publish_message(...)`, one by one."""
    topics = [TopicId(topic(pattern, number), "bench") for number in range(receivers)]
    async with worker(at) as runtime:

        async def send(numbers: Sequence[int], body: bytes) -> None:
            message = Text(body.decode())
            for number in numbers:
                await runtime.publish_message(message, topics[number])

        yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """An agent that answers."""
    async with worker(at) as runtime:
        await Echo.register(runtime, "echo", lambda: Echo("echo"))
        yield


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """`await runtime.send_message(...)`."""
    async with worker(at) as runtime:

        async def ask(body: bytes) -> bytes:
            answer = await runtime.send_message(Text(body.decode()), AgentId("echo", "bench"))
            return bytes(answer.body, "ascii")

        yield ask
