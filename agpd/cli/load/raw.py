"""Senders and receivers that speak frames themselves: the least work outside the gateway."""

import asyncio
import collections
import random
import secrets
from collections.abc import Callable

from agpd.cli.load.measure import Published, Received, Stopwatch
from agpd.cli.load.peer import Peer, connect
from agpd.cli.load.plan import Blobs, Pattern, instances, parts
from agpd.cli.load.tally import Counter, Tally
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd_client.transports.carrier import Carrier


async def publish(
    carrier: Carrier,
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
    """Send `messages` of `size` bytes over all connections together, as fast as the gateway reads.

    The agents are `source`/<connection>-<random>.
    """
    peers, plans = [], []
    for number in range(connections):
        peer = await connect(carrier)
        own = await peer.register(f"{source}/{number}-{secrets.token_hex(4)}")
        handles = [await peer.open(own, one) for one in pattern.destinations(name, receivers)]
        peers.append(peer)
        plans.append(Blobs(size, own, handles, pattern.fanout, chance))
    watch = Stopwatch(gateway_pid)
    shares = parts(messages, connections)
    async with asyncio.TaskGroup() as group:
        for peer, plan, share in zip(peers, plans, shares, strict=True):
            group.create_task(_pour(peer, plan, share))
    watch.lap()
    refused = sum((peer.refused for peer in peers), collections.Counter[Code]())
    result = published(pattern, size, connections, messages, refused, watch)
    await asyncio.gather(*(peer.close() for peer in peers))
    return result


async def _pour(peer: Peer, plan: Blobs, count: int) -> None:
    for blob in plan.take(count):
        if not peer.writable.is_set():
            await peer.writable.wait()
        peer.transport.write(blob)
        await asyncio.sleep(0)
        if peer.lost.done():
            break
    await peer.barrier()


def published(
    pattern: Pattern,
    size: int,
    connections: int,
    messages: int,
    refused: collections.Counter[Code],
    watch: Stopwatch,
) -> Published:
    """The result of a sender whose watch has been stopped."""
    return Published(
        pattern=pattern.value,
        size_bytes=size,
        connections=connections,
        messages=messages,
        refused=refused.total(),
        refused_as=max(refused, key=lambda code: refused[code]).name if refused else "",
        seconds=watch.seconds,
        messages_per_s=watch.per_s(messages),
        gateway_cpu_s=watch.cpu_s,
        cpu_us_per_message=watch.cpu_us_per(messages),
    )


async def subscribe(
    carrier: Carrier,
    name: str,
    *,
    expected: int,
    connections: int,
    idle_s: float,
    gateway_pid: int | None,
    ready: Callable[[], None],
) -> Received:
    """Be the instances `name`/0, `name`/1 ..., one on each connection, and count what comes."""
    tally = Tally(expected, gateway_pid)
    peers = []
    for own in instances(name, connections):
        peer = await connect(carrier)
        await peer.register(own)
        peer.sink = Counter(tally, _pong(peer)).feed
        peer.lost.add_done_callback(lambda lost: tally.fail(lost.exception()))
        peers.append(peer)
    ready()
    await tally.complete(idle_s)
    await asyncio.gather(*(peer.close() for peer in peers))
    return tally.result(connections)


def _pong(peer: Peer) -> Callable[[int], None]:
    return lambda id_: peer.transport.write(frames.encode(Kind.PONG, id=id_))
