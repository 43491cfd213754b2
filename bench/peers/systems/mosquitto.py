"""Mosquitto with aiomqtt (on paho-mqtt), MQTT 5, QoS 0."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bench.peers.at import HOST, Arrived, Ask, At, Send

ASKED, ANSWERED = "bench/ask", "bench/answer"


def server(at: At, binary: str) -> list[str]:
    """Without limits on what waits for a slow subscriber."""
    lines = [f"listener {at.port} {HOST}", "allow_anonymous true", "max_queued_messages 0"]
    lines += ["max_queued_bytes 0", "log_dest none", "set_tcp_nodelay true"]
    lines += [f"user {getpass.getuser()}"]  # as root it would become another user, who cannot read the key
    if at.files is not None:
        files = at.files
        lines += [f"cafile {files.ca}", f"certfile {files.server_certificate}"]
        lines += [f"keyfile {files.server_key}", "require_certificate true", "tls_version tlsv1.3"]
    file = Path(at.directory) / "mosquitto.conf"
    file.write_text("\n".join(lines) + "\n")
    return [binary, "-c", str(file)]


def connect(at: At) -> Any:
    """A client, its queues unbounded."""
    import aiomqtt

    return aiomqtt.Client(
        HOST,
        at.port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=at.context(),
        max_queued_outgoing_messages=0,
    )


def topic(pattern: str, number: int) -> str:
    """All receivers have one topic, except with unicast."""
    return f"bench/{number}" if pattern == "unicast" else f"bench/{pattern}"


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """`async for message in client.messages`; anycast is a shared subscription."""

    async def take(client: Any) -> None:
        async for _ in client.messages:
            arrived()

    shared = "$share/bench/" if pattern == "anycast" else ""
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for number in range(receivers):
            client = await stack.enter_async_context(connect(at))
            await client.subscribe(shared + topic(pattern, number))
            tasks.append(asyncio.create_task(take(client)))
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await client.publish(...)`, one by one."""
    topics = [topic(pattern, number) for number in range(receivers)]
    async with connect(at) as client:

        async def send(numbers: Sequence[int], body: bytes) -> None:
            for number in numbers:
                await client.publish(topics[number], body)

        yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """An answer is published on a topic of the asker."""

    async def echo(client: Any) -> None:
        async for message in client.messages:
            await client.publish(ANSWERED, message.payload)

    async with connect(at) as client:
        await client.subscribe(ASKED)
        task = asyncio.create_task(echo(client))
        yield
        task.cancel()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """Publishes, and waits for what comes on its own topic."""
    async with connect(at) as client:
        await client.subscribe(ANSWERED)
        answers = aiter(client.messages)

        async def ask(body: bytes) -> bytes:
            await client.publish(ASKED, body)
            answer: bytes = (await anext(answers)).payload
            return answer

        yield ask
