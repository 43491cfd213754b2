"""nats-server with nats-py."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bench.peers.at import HOST, Arrived, Ask, At, Send


def server(at: At, binary: str) -> list[str]:
    """Defaults; with TLS every client needs a certificate."""
    tls = []
    if at.files is not None:
        files = at.files
        tls = ["--tlsverify", "--tlscert", files.server_certificate, "--tlskey", files.server_key]
        tls += ["--tlscacert", files.ca]
    log = str(Path(at.directory) / "nats.log")
    return [binary, "--addr", HOST, "--port", str(at.port), "--log", log, *tls]


async def connect(at: At) -> Any:
    """A client that does not reconnect: a lost connection is a failed run."""
    import nats

    context = at.context()
    tls: dict[str, ssl.SSLContext] = {} if context is None else {"tls": context}
    return await nats.connect(f"nats://{at.address}", allow_reconnect=False, **tls)


def subject(pattern: str, number: int) -> str:
    """All receivers have one subject, except with unicast."""
    return f"bench.{number}" if pattern == "unicast" else f"bench.{pattern}"


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """A callback for each message, with the client's queues unbounded so that it drops nothing."""

    async def take(_: Any) -> None:
        arrived()

    async with contextlib.AsyncExitStack() as stack:
        for number in range(receivers):
            client = await connect(at)
            stack.push_async_callback(client.close)
            group = "bench" if pattern == "anycast" else ""
            await client.subscribe(
                subject(pattern, number),
                queue=group,
                cb=take,
                pending_msgs_limit=-1,
                pending_bytes_limit=-1,
            )
            await client.flush()
        yield


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await client.publish(...)`, one by one, and a flush at the end."""
    client = await connect(at)
    subjects = [subject(pattern, number) for number in range(receivers)]

    async def send(numbers: Sequence[int], body: bytes) -> None:
        for number in numbers:
            await client.publish(subjects[number], body)
        await client.flush()

    yield send
    await client.close()


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """`message.respond(...)` in the callback."""

    async def echo(message: Any) -> None:
        await message.respond(message.data)

    client = await connect(at)
    await client.subscribe("bench.ask", cb=echo)
    await client.flush()
    yield
    await client.close()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """`await client.request(...)`."""
    client = await connect(at)

    async def ask(body: bytes) -> bytes:
        answer: bytes = (await client.request("bench.ask", body, timeout=5)).data
        return answer

    yield ask
    await client.close()
