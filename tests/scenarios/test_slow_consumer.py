"""Subscribers that read slowly or not at all cost themselves messages, never those who keep up."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from peer import Peer, Peers, code_in
from process import World, gateway

from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind

COUNT = 3000
BODY = bytes(10 * 1024)
TOPIC = "acme/dev/news"
BUDGET_S = 0.2
POLICY = {"stall_budget_ms": int(BUDGET_S * 1000), "write_stall_ms": 1000}
MIB = 1024 * 1024


@asynccontextmanager
async def crowd(gateway_, world=None, subscribers=2):
    """A producer, and subscribers of which the first is the one who keeps up."""
    context = None if world is None else world.context(world.issue("acme/dev/*", "agent"))
    async with Peers(gateway_.address, context) as peers:
        readers = [await peers.agent() for _ in range(subscribers)]
        for reader in readers:
            await reader.subscribe(TOPIC)
        producer = await peers.agent()
        yield producer, await producer.open(TOPIC), readers


async def produce(producer: Peer, target: int, count: int = COUNT) -> None:
    """Broadcast `count` messages as fast as the gateway reads them."""
    for number in range(1, count + 1):
        producer.publish(target, BODY, number, fanout=0)
        await producer.writer.drain()


async def consume(reader: Peer, count: int = COUNT, silence_s: float = 15.0) -> tuple[int, float]:
    """Read deliveries in order: how many came until `count` or silence, and the longest pause between two."""
    received, longest_s, last = 0, 0.0, time.monotonic()
    while received < count:
        try:
            frame = await reader.expect(Kind.PUBLISH, deadline_s=silence_s)
        except TimeoutError:
            break
        received += 1
        assert frame.id == received
        now = time.monotonic()
        longest_s, last = max(longest_s, now - last), now
    return received, longest_s


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
async def test_one_who_never_reads_takes_nothing_from_the_other_and_is_cut(tmp_path, tls):
    world = World(tmp_path / "pki") if tls else None
    with gateway(tmp_path, world, outbox=POLICY) as running:
        async with crowd(running, world) as (producer, target, (healthy, stuck)):
            stuck.transport.pause_reading()
            began = time.monotonic()
            producing = asyncio.create_task(produce(producer, target))
            received, longest_s = await consume(healthy)
            assert received == COUNT
            assert longest_s < BUDGET_S + 0.5
            assert time.monotonic() - began < 15
            await producing
            ended = await asyncio.to_thread(running.log.wait, "connection ended", code="SLOW_CONSUMER")
            assert ended["peer"] == stuck.local
            assert ended["dropped"] > 0
            refused = 0
            while refused < ended["dropped"]:  # the producer has been told of every one
                code, count = code_in(await producer.expect(Kind.REFUSED))
                assert code is Code.RECEIVER_FULL
                refused += count
            assert refused == ended["dropped"]
            await healthy.ping()
        assert running.stop()["ended_slow_consumer"] == 1


async def test_control_without_a_bound_on_the_pause_the_healthy_one_is_hurt(tmp_path):
    with gateway(tmp_path, outbox={"stall_budget_ms": 60_000, "write_stall_ms": 60_000}) as running:
        async with crowd(running) as (producer, target, (healthy, stuck)):
            stuck.transport.pause_reading()
            producing = asyncio.create_task(produce(producer, target))
            received, _ = await consume(healthy, silence_s=1.5)
            assert 0 < received < COUNT
            producing.cancel()


async def test_one_who_trickles_takes_nothing_from_the_other(tmp_path):
    with gateway(tmp_path, outbox=POLICY) as running:
        async with crowd(running) as (producer, target, (healthy, slow)):
            slow.transport.pause_reading()

            async def trickle() -> None:
                while True:
                    slow.transport.resume_reading()
                    await slow.reader.read(4096)
                    slow.transport.pause_reading()
                    await asyncio.sleep(0.05)

            trickling = asyncio.create_task(trickle())
            producing = asyncio.create_task(produce(producer, target))
            received, longest_s = await consume(healthy)
            assert received == COUNT
            assert longest_s < BUDGET_S + 0.5
            await producing
            trickling.cancel()


async def account(reader: Peer, sent: int) -> tuple[int, int]:
    """Read until everything sent is received or reported as dropped."""
    received = dropped = 0
    while received + dropped < sent:
        frame = await reader.expect(Kind.PUBLISH, Kind.DROPPED)
        if frame.kind == Kind.PUBLISH:
            received += 1
        else:
            dropped += frames.decode(frame.body, frames.Count).count
    return received, dropped


async def test_one_who_reads_again_learns_exactly_how_many_it_has_missed(tmp_path):
    with gateway(tmp_path, outbox=POLICY | {"write_stall_ms": 10_000}) as running:
        async with crowd(running, subscribers=1) as (producer, target, (reader,)):
            for _ in range(2):
                reader.transport.pause_reading()
                await produce(producer, target)
                await producer.ping()
                reader.transport.resume_reading()
                received, dropped = await account(reader, COUNT)
                assert received + dropped == COUNT
                assert received > 0
                assert dropped > 0
                refused = 0
                while refused < dropped:
                    refused += code_in(await producer.expect(Kind.REFUSED))[1]
                assert refused == dropped
            producer.publish(target, b"again", 1, fanout=0)
            assert len((await reader.expect(Kind.PUBLISH)).body) < 100
        assert running.stop()["dropped"] > 0


async def test_a_bottleneck_that_keeps_reading_sets_the_pace_and_loses_nothing(tmp_path):
    """It is over its mark whenever one looks, for longer than six write stalls, and yet it catches up all the time."""
    stall_s = 0.4
    policy = {"stall_budget_ms": 200, "write_stall_ms": int(stall_s * 1000), "mark_bytes": 64 * 1024}
    with gateway(tmp_path, outbox=policy) as running:
        async with crowd(running, subscribers=1) as (producer, target, (reader,)):
            producing = asyncio.create_task(produce(producer, target, 100_000))
            until = time.monotonic() + stall_s * 6 + 3
            reader.transport.pause_reading()
            while time.monotonic() < until:
                reader.transport.resume_reading()
                async with asyncio.timeout(1):
                    await reader.reader.read(128 * 1024)
                reader.transport.pause_reading()
                await asyncio.sleep(0.01)
            assert not running.log.find("connection ended")
            assert not producing.done()
            producing.cancel()
        assert running.stop()["dropped"] == 0


async def test_many_who_never_read_cannot_take_the_memory(tmp_path):
    stuck_count, budget = 200, 32 * MIB
    with gateway(tmp_path, outbox=POLICY | {"budget_bytes": budget, "write_stall_ms": 5000}) as running:
        async with crowd(running, subscribers=1 + stuck_count) as (producer, target, (healthy, *stuck)):
            before = running.rss_bytes()
            for each in stuck:
                each.transport.pause_reading()
            worst = 0
            producing = asyncio.create_task(produce(producer, target, 1000))
            consuming = asyncio.create_task(consume(healthy, 1000))
            while not consuming.done():
                worst = max(worst, running.rss_bytes() - before)
                await asyncio.wait([consuming], timeout=0.05)
            received, longest_s = consuming.result()
            print(
                f"{worst / MIB:.0f} MiB for {stuck_count} stuck subscribers, longest pause {longest_s:.2f} s"
            )
            assert received == 1000
            await producing
            assert worst < 300 * MIB
            await healthy.ping()
        assert running.stop()["ended_slow_consumer"] > 0


async def test_the_cut_one_is_told_why_if_it_still_reads(tmp_path):
    with gateway(tmp_path, outbox=POLICY, limits={"linger_timeout_ms": 5000}) as running:
        async with crowd(running, subscribers=1) as (producer, target, (stuck,)):
            stuck.transport.pause_reading()
            await produce(producer, target)
            await asyncio.to_thread(running.log.wait, "connection ended", code="SLOW_CONSUMER")
            stuck.transport.resume_reading()
            assert await stuck.ended() is Code.SLOW_CONSUMER


async def test_one_who_reads_slower_than_the_others_does_not_set_their_pace(tmp_path):
    """It drains its whole outbox again and again, so it is no dead one; the others are not made to wait for it."""
    rate_bytes_per_s = 4 * MIB
    with gateway(tmp_path, outbox=POLICY) as running:
        async with crowd(running) as (producer, target, (healthy, slow)):

            async def sip() -> None:
                began, taken = time.monotonic(), 0
                while data := await slow.reader.read(64 * 1024):
                    taken += len(data)
                    await asyncio.sleep(max(0.0, taken / rate_bytes_per_s - (time.monotonic() - began)))

            sipping = asyncio.create_task(sip())
            began = time.monotonic()
            producing = asyncio.create_task(produce(producer, target))
            received, _ = await consume(healthy)
            took_s = time.monotonic() - began
            await producing
            sipping.cancel()
        assert received == COUNT
        # 30 MB at 4 MiB/s are more than 7 s.
        assert took_s < 4.0
