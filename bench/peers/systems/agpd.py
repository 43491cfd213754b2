"""agpd: the gateway as `agpd serve` runs it, and its own SDK."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

import agpd_client as agp
from bench.peers.at import HOST, Arrived, Ask, At, Send

SINK = "acme/bench/sink"


def server(at: At, binary: str) -> list[str]:
    """The gateway on the first port; it reads the shared certificates."""
    directory = [] if at.files is None else [str(Path(at.files.ca).parent)]
    return [binary, "-m", "bench.peers.systems.agpd", str(at.port), *directory]


def connect(at: At) -> agp.Gateway:
    """A connection of its own."""
    if at.files is None:
        return agp.connect(f"agp+tcp://{HOST}:{at.port}")
    files = at.files
    return agp.connect(f"agp://{HOST}:{at.port}", certificate=files.certificate, key=files.key, ca=files.ca)


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """Agents `SINK/0`, `SINK/1` ..., each on its own connection: all patterns reach them there."""

    async def take(agent: agp.Agent) -> None:
        async for _ in agent:
            arrived()

    async with contextlib.AsyncExitStack() as stack:
        agents = []
        for number in range(receivers):
            gateway = await stack.enter_async_context(connect(at))
            agents.append(await gateway.create_agent(f"{SINK}/{number}"))
        tasks = [asyncio.create_task(take(agent)) for agent in agents]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await agent.publish(...)`, one by one."""
    fanout = agp.ALL if pattern == "broadcast" else agp.ANY
    names = [f"{SINK}/{number}" if pattern == "unicast" else SINK for number in range(receivers)]
    async with connect(at) as gateway:
        agent = await gateway.create_agent("acme/bench/source")

        async def send(numbers: Sequence[int], body: bytes) -> None:
            for number in numbers:
                await agent.publish(names[number], body, fanout=fanout)

        yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """A request handler."""
    async with connect(at) as gateway:
        agent = await gateway.create_agent(SINK)

        @agent.on_request
        async def echo(data: bytes) -> bytes:
            return data

        yield


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """`await agent.request(...)`."""
    async with connect(at) as gateway:
        agent = await gateway.create_agent("acme/bench/source")

        async def ask(body: bytes) -> bytes:
            answer: bytes = await agent.request(SINK, body)
            return answer

        yield ask


def main(arguments: list[str]) -> int:
    """`agpd serve` with the settings of `bench.load.serve`, on a given port."""
    from agpd.cli.serve import nothing_more, run
    from bench.load.serve import configuration

    logging.disable(logging.WARNING)
    config = configuration(Path(arguments[1]) if len(arguments) > 1 else None)
    listen = msgspec.structs.replace(config.listen, native=f"{HOST}:{arguments[0]}")
    return run(msgspec.structs.replace(config, listen=listen), nothing_more)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
