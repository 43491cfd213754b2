"""Senders, receivers and requesters as users write them: with the Python SDK."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable

from agpd.cli.load.measure import Answered, Published, Received, Stopwatch, answered
from agpd.cli.load.plan import FRAMES_MINIMUM, Pattern, instances, parts
from agpd.cli.load.raw import published
from agpd.cli.load.tally import Tally
from agpd.errors import Code
from agpd_client.agent import Agent
from agpd_client.events import Refused
from agpd_client.gateway import Gateway

Connect = Callable[[], Gateway]


@contextlib.asynccontextmanager
async def _gateways(connect: Connect, count: int) -> AsyncIterator[list[Gateway]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect()) for _ in range(count)]


async def publish(
    connect: Connect,
    name: str,
    source: str,
    *,
    pattern: Pattern,
    size: int,
    messages: int,
    connections: int,
    receivers: int,
    chance: random.Random,
    gateway_pid: int | None,
) -> Published:
    """Send `messages` of `size` bytes over all connections together, each `await agent.publish(...)`.

    One agent of the type `source` on each connection.
    """
    names = pattern.destinations(name, receivers)
    chosen = [chance.choice(names) for _ in range(FRAMES_MINIMUM)]
    async with _gateways(connect, connections) as gateways:
        agents = [await gateway.create_agent(source) for gateway in gateways]
        refused: Counter[Code] = Counter()
        noting = [asyncio.create_task(_note_refusals(gateway, refused)) for gateway in gateways]
        watch = Stopwatch(gateway_pid)
        async with asyncio.TaskGroup() as group:
            for gateway, agent, share in zip(gateways, agents, parts(messages, connections), strict=True):
                group.create_task(_pour(gateway, agent, chosen, b"x" * size, share, pattern.fanout))
        watch.lap()
    await asyncio.gather(*noting)  # events end with their gateway
    return published(pattern, size, connections, messages, refused, watch)


async def _note_refusals(gateway: Gateway, refused: Counter[Code]) -> None:
    async for event in gateway.events():
        if isinstance(event, Refused):
            refused[event.code] += event.count


async def _pour(
    gateway: Gateway, agent: Agent, names: list[str], data: bytes, count: int, fanout: int
) -> None:
    for to in itertools.islice(itertools.cycle(names), count):
        await agent.publish(to, data, fanout=fanout)
    await gateway.drain(timeout=None)


async def subscribe(
    connect: Connect,
    name: str,
    *,
    expected: int,
    connections: int,
    idle_s: float,
    gateway_pid: int | None,
    ready: Callable[[], None],
) -> Received:
    """Be the instances `name`/0, `name`/1 ..., one on each connection, and take each message with `async for`."""
    tally = Tally(expected, gateway_pid)
    async with _gateways(connect, connections) as gateways:
        agents = [
            await gateway.create_agent(own)
            for gateway, own in zip(gateways, instances(name, connections), strict=True)
        ]
        tasks = [asyncio.create_task(_count(agent, tally)) for agent in agents]
        for task in tasks:
            task.add_done_callback(lambda done: None if done.cancelled() else tally.fail(done.exception()))
        ready()
        try:
            await tally.complete(idle_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    return tally.result(connections)


async def _count(agent: Agent, tally: Tally) -> None:
    async for message in agent:
        tally.begin()
        tally.add(1, len(message.body))


async def answer(connect: Connect, name: str, ready: Callable[[], None]) -> None:
    """Be `name`/0 and answer every request with its own payload, until cancelled."""
    async with connect() as gateway:
        agent = await gateway.create_agent(f"{name}/0")

        @agent.on_request
        async def echo(payload: bytes) -> bytes:
            return payload

        ready()
        await asyncio.get_running_loop().create_future()


async def request(
    connect: Connect,
    name: str,
    source: str,
    *,
    size: int,
    requests: int,
    concurrency: int,
    timeout_s: float,
    gateway_pid: int | None,
) -> Answered:
    """Ask `name`/0 `requests` times with `await agent.request(...)`, `concurrency` at a time; time each."""
    async with connect() as gateway:
        agent = await gateway.create_agent(source)
        times_s: deque[float] = deque()
        watch = Stopwatch(gateway_pid)
        async with asyncio.TaskGroup() as group:
            for share in parts(requests, concurrency):
                group.create_task(_ask(agent, f"{name}/0", b"x" * size, share, timeout_s, times_s))
        watch.lap()
    return answered(size, concurrency, requests, times_s, watch)


async def _ask(
    agent: Agent, to: str, data: bytes, count: int, timeout_s: float, times_s: deque[float]
) -> None:
    clock = time.perf_counter
    for _ in range(count):
        began = clock()
        await agent.request(to, data, timeout=timeout_s)
        times_s.append(clock() - began)
