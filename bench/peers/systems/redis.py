"""Redis publish/subscribe with redis-py (asyncio, hiredis)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from bench.peers.at import HOST, Arrived, Ask, At, Send

PIPELINE = 100


def server(at: At, binary: str) -> list[str]:
    """No snapshots, and no limit on what a slow subscriber may have waiting: Redis would cut it off."""
    words = [binary, "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", at.directory]
    words += ["--client-output-buffer-limit", "pubsub 0 0 0"]
    if at.files is None:
        return [*words, "--port", str(at.port)]
    files = at.files
    words += ["--port", "0", "--tls-port", str(at.port), "--tls-auth-clients", "yes"]
    words += ["--tls-cert-file", files.server_certificate, "--tls-key-file", files.server_key]
    return [*words, "--tls-ca-cert-file", files.ca]


def connect(at: At) -> Any:
    """A client with RESP 3 and the parser written in C."""
    import redis.asyncio

    if at.files is None:
        return redis.asyncio.Redis(host=HOST, port=at.port)
    files = at.files
    return redis.asyncio.Redis(
        host=HOST,
        port=at.port,
        ssl=True,
        ssl_ca_certs=files.ca,
        ssl_certfile=files.certificate,
        ssl_keyfile=files.key,
    )


def channel(pattern: str, number: int) -> str:
    """All receivers have one channel, except with unicast."""
    return f"bench:{number}" if pattern == "unicast" else f"bench:{pattern}"


async def messages(subscription: Any) -> AsyncIterator[Any]:
    """What is published; confirmations of subscriptions are left out."""
    async for message in subscription.listen():
        if message["type"] == "message":
            yield message["data"]


@contextlib.asynccontextmanager
async def subscribed(at: At, name: str) -> AsyncIterator[Any]:
    """A subscription that the server has confirmed, on a connection of its own."""
    async with connect(at) as client, client.pubsub() as subscription:
        await subscription.subscribe(name)
        confirmed = await subscription.get_message(timeout=5)
        if confirmed is None or confirmed["type"] != "subscribe":
            raise ConnectionError(f"no confirmation of the subscription but {confirmed}")
        yield subscription


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """`async for message in subscription.listen()`."""

    async def take(subscription: Any) -> None:
        async for _ in messages(subscription):
            arrived()

    async with contextlib.AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(subscribed(at, channel(pattern, number)))
            for number in range(receivers)
        ]
        tasks = [asyncio.create_task(take(subscription)) for subscription in subscriptions]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """Pipelines of `PIPELINE` messages: one by one each publish waits for its answer, which is 10 times slower."""
    channels = [channel(pattern, number) for number in range(receivers)]
    async with connect(at) as client:
        await client.ping()

        async def send(numbers: Sequence[int], body: bytes) -> None:
            for begin in range(0, len(numbers), PIPELINE):
                async with client.pipeline(transaction=False) as pipeline:
                    for number in numbers[begin : begin + PIPELINE]:
                        pipeline.publish(channels[number], body)
                    await pipeline.execute()

        yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """An answer is published on a channel of the asker: Redis has no requests."""

    async def echo(subscription: Any, client: Any) -> None:
        async for body in messages(subscription):
            await client.publish("bench:answer", body)

    async with subscribed(at, "bench:ask") as subscription, connect(at) as client:
        task = asyncio.create_task(echo(subscription, client))
        yield
        task.cancel()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """Publishes, and waits for what comes on its own channel."""
    async with subscribed(at, "bench:answer") as subscription, connect(at) as client:
        answers = messages(subscription)

        async def ask(body: bytes) -> bytes:
            await client.publish("bench:ask", body)
            answer: bytes = await anext(answers)
            return answer

        yield ask
