"""The gateway of agp-bindings 0.3, and of slim-bindings 0.3.6, which is the same under another name.

The low-level calls, fire and forget: no session queue between the wheel and the program, and a choice of fan-out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from bench.peers.at import Arrived, Ask, At, Send

try:
    import agp_bindings as wheel
except ImportError:
    import slim_bindings as wheel

ORGANIZATION, NAMESPACE = "acme", "bench"
EVERYBODY = 50  # any fan-out but 1 means all
SETTLE_S = 0.3  # the gateway does not acknowledge subscriptions


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The gateway, in Rust threads of this process."""
    service = await wheel.create_pyservice(ORGANIZATION, NAMESPACE, "gateway")
    tls: dict[str, Any] = {"insecure": True}
    if at.files is not None:
        files = at.files
        tls = {"cert_file": files.server_certificate, "key_file": files.server_key}
        tls["client_ca_file"] = files.ca
    await wheel.run_server(service, {"endpoint": at.address, "tls": tls})
    yield


async def connect(at: At, kind: str, instance: int | None = None) -> tuple[Any, int]:
    """An agent and its connection."""
    agent = await wheel.create_pyservice(ORGANIZATION, NAMESPACE, kind, instance)
    tls: dict[str, Any] = {"insecure": True}
    if at.files is not None:
        tls = {"ca_file": at.files.ca, "cert_file": at.files.certificate, "key_file": at.files.key}
    scheme = "http" if at.files is None else "https"
    async with asyncio.timeout(15):
        connection = await wheel.connect(agent, {"endpoint": f"{scheme}://{at.address}", "tls": tls})
    await wheel.subscribe(agent, connection, wheel.PyAgentType(ORGANIZATION, NAMESPACE, kind), agent.id)
    return agent, connection


async def session(agent: Any) -> Any:
    """A fire-and-forget session without acknowledgements."""
    return await wheel.create_session(agent, wheel.PySessionConfiguration.FireAndForget())


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """Instances 1, 2 ... of one type, each on its own connection; `await receive(agent)`."""

    async def take(agent: Any) -> None:
        while True:
            await wheel.receive(agent)
            arrived()

    agents = [(await connect(at, "sink", number + 1))[0] for number in range(receivers)]
    tasks = [asyncio.create_task(take(agent)) for agent in agents]
    await asyncio.sleep(SETTLE_S)
    yield
    for task in tasks:
        task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await publish(...)`, one by one."""
    agent, connection = await connect(at, "source")
    name = wheel.PyAgentType(ORGANIZATION, NAMESPACE, "sink")
    ids = [number + 1 if pattern == "unicast" else None for number in range(receivers)]
    for each in set(ids):
        await wheel.set_route(agent, connection, name, each)
    fanout = EVERYBODY if pattern == "broadcast" else 1
    own = await session(agent)

    async def send(numbers: Sequence[int], body: bytes) -> None:
        for number in numbers:
            await wheel.publish(agent, own, fanout, body, name, ids[number])

    yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """Each message is published back to where it came from."""

    async def echo(agent: Any) -> None:
        while True:
            came, body = await wheel.receive(agent)
            await wheel.publish(agent, came, 1, body)

    agent, _ = await connect(at, "answerer", 1)
    task = asyncio.create_task(echo(agent))
    await asyncio.sleep(SETTLE_S)
    yield
    task.cancel()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """Fire and forget both ways: the wheel's own requests lose one answer in some thousand and wait 1 s for it."""
    agent, connection = await connect(at, "asker")
    name = wheel.PyAgentType(ORGANIZATION, NAMESPACE, "answerer")
    await wheel.set_route(agent, connection, name, None)
    own = await session(agent)

    async def ask(body: bytes) -> bytes:
        await wheel.publish(agent, own, 1, body, name, None)
        async with asyncio.timeout(5):
            _, answer = await wheel.receive(agent)
        return bytes(answer)

    yield ask
