"""Workers as processes: who serves, and what becomes of everybody when one of the processes ends."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from peer import Ended, Peer, Peers, body_of
from process import GatewayProcess, World, gateway
from witness import Witness

import agpd_client as agp
from agpd.wire.frames import Kind

COUNT = 2
LISTEN = {"workers": COUNT}
MIB = 1024 * 1024


@pytest.fixture
def running(tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway(tmp_path, listen=LISTEN) as running:
        yield running


def server_of(peer: Peer, running: GatewayProcess) -> int:
    """The worker that holds the other end of this connection."""
    inode = _inode_of_other_end(peer)
    for pid in running.workers():
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(file) == f"socket:[{inode}]":
                    return pid
    raise AssertionError("nobody serves it")


def _inode_of_other_end(peer: Peer) -> str:
    remote, local = (peer.writer.get_extra_info(name)[1] for name in ("peername", "sockname"))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, *_, inode = line.split()[:10]
        if (int(here[-4:], 16), int(there[-4:], 16)) == (remote, local):
            return inode
    raise AssertionError("no such connection")


async def agents_on_each(peers: Peers, running: GatewayProcess) -> dict[int, Peer]:
    """A connection with an agent for every worker, by its process id."""
    found: dict[int, Peer] = {}
    async with asyncio.timeout(15):
        while len(found) < COUNT:
            peer = await peers.agent()
            found.setdefault(server_of(peer, running), peer)
    return found


class Spared(Peers):
    """Connections that are not carried by the worker `victim`."""

    def __init__(self, running: GatewayProcess, victim: int) -> None:
        super().__init__(running.address)
        self._running, self._victim = running, victim

    async def greet(self, context: ssl.SSLContext | None = None, epoch: int = 1) -> Peer:
        while server_of(peer := await super().greet(context, epoch), self._running) == self._victim:
            pass
        return peer


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
async def test_both_serve_and_their_clients_reach_each_other(tmp_path: Path, tls: bool) -> None:
    world = World(tmp_path / "pki") if tls else None
    context = world and world.context(world.issue("acme/dev/*", "agent"))
    with gateway(tmp_path, world, listen=LISTEN) as running:
        async with Peers(running.address, context) as peers:
            one, other = (await agents_on_each(peers, running)).values()
            for sender, receiver in ((one, other), (other, one)):
                sender.publish(await sender.open(receiver.name), b"across", 5, receipt=True)
                assert body_of(await receiver.expect(Kind.PUBLISH)) == b"across"
                assert (await sender.expect(Kind.RECEIPT)).id == 5
        running.stop()
        lines = running.log.find("no longer listening")
        assert sorted(line["worker"] for line in lines) == [1, 2]
        assert all(line["accepted"] for line in lines)


async def test_a_worker_that_is_killed_costs_its_own_clients_a_reconnect_and_others_nothing(
    running: GatewayProcess,
) -> None:
    async with Peers(running.address) as peers:
        served = await agents_on_each(peers, running)
        victim = min(served)
        url = "agp+tcp://{}:{}".format(*running.address)
        async with (
            Spared(running, victim) as spared,
            Witness(spared, at_least=200),
            agp.connect(url) as mine,
            agp.connect(url) as yours,
        ):
            writer, reader = (
                await mine.create_agent("acme/a/writer"),
                await yours.create_agent("acme/a/reader"),
            )
            os.kill(victim, signal.SIGKILL)
            assert await served[victim].ended() is None
            ended = await asyncio.to_thread(running.log.wait, "worker ended")
            assert (ended["pid"], ended["exit"], ended["level"]) == (victim, -signal.SIGKILL, "warning")
            assert ended["connections"] >= 1
            await asyncio.to_thread(running.log.wait, "worker listens", count=COUNT + 1)
            async with asyncio.timeout(15):
                while True:
                    with suppress(agp.AgpError):
                        await writer.publish(reader.name, "still here", confirm=True)
                        break
            assert (await reader.receive(timeout=5)).data == "still here"
            again = await agents_on_each(peers, running)
            assert victim not in again
            assert served.keys() - {victim} < again.keys()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def until(condition, deadline_s: float = 10.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_listens_when_all_of_them_do(running: GatewayProcess) -> None:
    events = [record["event"] for record in running.log.records]
    assert events.count("worker listens") == COUNT
    assert events.index("listening") > len(events) - 1 - events[::-1].index("worker listens")


async def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    with gateway(tmp_path, listen=LISTEN, limits={"drain_timeout_ms": 60_000}) as running:
        workers = running.workers()
        async with Peers(running.address) as peers:
            await agents_on_each(peers, running)
            running.signal(signal.SIGTERM)
            await asyncio.to_thread(running.log.wait, "stopping")
            running.signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.exit_code, 5) == 1
        await until(lambda: all(map(gone, workers)))


async def test_workers_do_not_outlive_the_gateway(running: GatewayProcess) -> None:
    workers = running.workers()
    assert len(workers) == COUNT
    async with Peers(running.address) as peers:
        await agents_on_each(peers, running)
        running.signal(signal.SIGKILL)
        await until(lambda: all(map(gone, workers)))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*running.address)


async def test_signals_to_all_processes_are_for_the_gateway_to_obey(tmp_path: Path) -> None:
    """As from a terminal, and from a supervisor that ends the whole group."""
    with gateway(tmp_path, listen=LISTEN, limits={"drain_timeout_ms": 60_000}) as running:
        workers = running.workers()
        async with Peers(running.address) as peers:
            agents = (await agents_on_each(peers, running)).values()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                for pid in workers:
                    os.kill(pid, number)
            running.signal(signal.SIGINT)
            for peer in agents:
                await peer.expect(Kind.DRAIN)
                await peer.ping()
            assert running.process.poll() is None
        assert await asyncio.to_thread(running.exit_code) == 0
        await until(lambda: all(map(gone, workers)))


async def test_a_worker_that_stands_still_takes_the_others_no_time_to_leave(tmp_path: Path) -> None:
    with gateway(tmp_path, listen=LISTEN, limits={"drain_timeout_ms": 4000}) as running:
        async with Peers(running.address) as peers:
            agents = await agents_on_each(peers, running)
            still, moving = agents
            os.kill(still, signal.SIGSTOP)
            try:
                running.signal(signal.SIGTERM)
                await agents[moving].expect(Kind.DRAIN)
                await agents[moving].ping()
            finally:
                os.kill(still, signal.SIGKILL)
        assert await asyncio.to_thread(running.exit_code) == 0


async def test_who_does_not_read_delays_nobody_of_the_same_worker(running: GatewayProcess) -> None:
    async with Peers(running.address) as peers:
        stuck = await peers.agent("acme/dev/stuck")
        stuck.transport.pause_reading()
        place = server_of(stuck, running)
        while server_of(healthy := await peers.agent(), running) != place:
            pass
        flooder, sender = await peers.agent(), await peers.agent()
        before = running.rss_bytes()
        target = await flooder.open(stuck.name)
        flood = asyncio.create_task(pour(flooder, target, 100 * MIB))
        to_healthy = await sender.open(healthy.name)
        for number in range(100):
            sender.publish(to_healthy, b"%d" % number, number)
            assert body_of(await healthy.expect(Kind.PUBLISH, deadline_s=2.0)) == b"%d" % number
        await asyncio.wait_for(flood, 30)
        assert (
            running.rss_bytes() - before < 40 * MIB
        )  # 4 MiB of outbox, credits, and the buffers of three processes


async def pour(peer: Peer, target: int, size: int) -> None:
    for number in range(size // 16_384):
        peer.publish(target, bytes(16_384), number)
        await peer.writer.drain()


async def test_workers_are_told_when_there_are_enough_connections(tmp_path: Path) -> None:
    with gateway(tmp_path, listen=LISTEN, limits={"connections": 3}, log={"level": "debug"}) as running:
        async with Peers(running.address) as peers:
            for _ in range(3):
                last = await peers.greet()
            with pytest.raises((Ended, ConnectionError)):
                await peers.greet()
            await asyncio.to_thread(running.log.wait, "connection refused", reason="not_accepting")
            last.reset()
            async with asyncio.timeout(10):
                while True:
                    with suppress(Ended, ConnectionError):
                        await peers.greet()
                        break


def test_an_address_is_not_shared_with_another_gateway_by_accident(
    running: GatewayProcess, tmp_path: Path
) -> None:
    host, port = running.address
    options = [
        "--workers",
        "2",
        "--set",
        f"listen.native={host}:{port}",
        "--set",
        "listen.plaintext=true",
        "--set",
        "listen.grpc=",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "agpd", "serve", *options], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "is in use" in done.stderr


def test_a_worker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    """Its modules are not found: what a broken installation, or a lack of memory, looks like from the gateway."""
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import sys\nif 'workers' in ' '.join(sys.orig_argv[:4]): __import__('os')._exit(3)\n")
    options = [
        "--workers",
        "2",
        "--set",
        "listen.native=127.0.0.1:0",
        "--set",
        "listen.plaintext=true",
        "--set",
        "listen.grpc=",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "agpd", "serve", *options],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert re.search(
        r"^Error: worker \d ended before it listened; its log says why$", done.stderr, re.MULTILINE
    )
    assert "Traceback" not in done.stderr


def test_a_signal_is_obeyed_while_a_worker_still_starts(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    hangs = "if 'workers' in ' '.join(sys.orig_argv[:4]): open({!r}, 'w').close(); signal.pause()\n"
    (tmp_path / "sitecustomize.py").write_text("import signal, sys\n" + hangs.format(str(begun)))
    options = [
        "--workers",
        "2",
        "--set",
        "listen.native=127.0.0.1:0",
        "--set",
        "listen.plaintext=true",
        "--set",
        "listen.grpc=",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "agpd", "serve", *options],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    begun.read_text()  # until a worker has begun
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert "listening" not in log
    assert "Traceback" not in log


async def test_a_worker_starts_within_seconds_of_its_end_again_and_again(running: GatewayProcess) -> None:
    for number in range(1, 3):
        os.kill(running.workers()[0], signal.SIGKILL)
        began = time.monotonic()
        await asyncio.to_thread(running.log.wait, "worker listens", count=COUNT + number)
        assert time.monotonic() - began < 5 + number
        async with Peers(running.address) as peers:
            await agents_on_each(peers, running)
    running.stop()
