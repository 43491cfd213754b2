"""Peers that vanish with and without a word, and a gateway that stands still for a while."""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from peer import Peer, Peers, body_of, message, name
from process import gateway

from agpd.wire import frames
from agpd.wire.frames import Kind

PINGS = {"ping_interval_ms": 500, "ping_misses": 2}
NOTICED_S = (
    5.5  # two pings and the wait after the second, each of which waits for a round, which takes a second
)
TYPE = "acme/dev/worker"
CLONE_NEWNET = 0x40000000

# Registers an agent and then does nothing; the kernel goes on to acknowledge for it while it is stopped.
CLIENT = """
import socket, sys
from agpd.wire import frames
from agpd.wire.frames import Kind
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(frames.encode(Kind.HELLO, frames.Hello([1], "x", 1)))
sock.sendall(frames.encode(Kind.REGISTER, frames.Named(sys.argv[3])))
while sock.recv(65536):
    pass
"""


async def watcher(peers: Peers) -> Peer:
    peer = await peers.agent("acme/dev/watcher")
    await peer.ask(Kind.WATCH, frames.Named(TYPE), source=peer.me)
    return peer


async def presence(peer: Peer, deadline_s: float = 15.0) -> tuple[str, bool]:
    said = frames.decode((await peer.expect(Kind.PRESENCE, deadline_s=deadline_s)).body, frames.Presence)
    return said.name, said.present


async def test_a_reset_is_noticed_at_once(tmp_path):
    with gateway(tmp_path) as running:
        async with Peers(running.address) as peers:
            watching, victim = await watcher(peers), await peers.agent(TYPE)
            assert await presence(watching) == (victim.name, True)
            victim.reset()
            assert await presence(watching, 1.0) == (victim.name, False)
            running.log.wait("connection ended", code="CONNECTION_LOST", deadline_s=1.0)
        running.stop()


async def test_a_stopped_peer_is_found_by_pings(tmp_path):
    with gateway(tmp_path, limits=PINGS) as running:
        async with Peers(running.address) as peers:
            watching = await watcher(peers)
            its_name = name(TYPE)
            with subprocess.Popen(
                [sys.executable, "-c", CLIENT, *map(str, running.address), its_name]
            ) as client:
                try:
                    assert await presence(watching) == (its_name, True)
                    client.send_signal(signal.SIGSTOP)
                    await until_gone(watching, its_name)
                finally:
                    client.kill()
            running.log.wait("connection ended", code="PING_TIMEOUT")


async def until_gone(watching: Peer, its_name: str) -> None:
    """Answer pings until the watcher is told that the agent has left."""
    began = time.monotonic()
    while True:
        frame = await watching.expect(Kind.PING, Kind.PRESENCE)
        if frame.kind == Kind.PRESENCE:
            break
        watching.send(frames.encode(Kind.PONG, id=frame.id))
    said = frames.decode(frame.body, frames.Presence)
    assert (said.name, said.present) == (its_name, False)
    assert time.monotonic() - began < NOTICED_S


@contextmanager
def namespace():
    """A network namespace behind a cable: its name, our address, its end of the cable."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")
    unique = f"agpd{os.getpid() % 100_000}"
    ours, theirs = f"{unique}a", f"{unique}b"
    commands = [
        f"netns add {unique}",
        f"link add {ours} type veth peer name {theirs} netns {unique}",
        f"address add 10.213.97.1/30 dev {ours}",
        f"link set {ours} up",
        f"-n {unique} address add 10.213.97.2/30 dev {theirs}",
        f"-n {unique} link set {theirs} up",
    ]
    try:
        for command in commands:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, timeout=10)
            if done.returncode:
                pytest.skip(f"ip {command}: {done.stderr.strip()}")
        yield unique, "10.213.97.1", theirs
    finally:
        # The cable first: connections that end in the namespace keep it alive for minutes.
        subprocess.run(["ip", "link", "delete", ours], capture_output=True, timeout=10)
        subprocess.run(["ip", "netns", "delete", unique], capture_output=True, timeout=10)


def connect_within(space: str, address: tuple[str, int]) -> socket.socket:
    """A socket that lives in the namespace; only this thread enters it, and comes back."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{space}").open() as away:
        assert libc.setns(away.fileno(), CLONE_NEWNET) == 0
        try:
            return socket.create_connection(address, timeout=5)
        finally:
            assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


async def test_a_peer_whose_cable_is_pulled_is_found_by_pings(tmp_path):
    with namespace() as (space, host, cable), gateway(tmp_path, host=host, limits=PINGS) as running:
        async with Peers(running.address) as peers:
            watching = await watcher(peers)
            sock = await asyncio.to_thread(connect_within, space, running.address)
            peer = await peers.adopt(sock)
            await peer.hello()
            await peer.join(TYPE)
            assert await presence(watching) == (peer.name, True)
            subprocess.run(["ip", "-n", space, "link", "set", cable, "down"], check=True, timeout=10)
            await until_gone(watching, peer.name)
            running.log.wait("connection ended", code="PING_TIMEOUT")


async def test_a_held_producer_that_vanishes_holds_up_nobody(tmp_path):
    outbox = {"stall_budget_ms": 300, "write_stall_ms": 1000}
    with gateway(tmp_path, outbox=outbox) as running:
        async with Peers(running.address) as peers:
            stuck, other = await peers.agent(), await peers.agent()
            stuck.transport.pause_reading()
            producers = [await peers.agent() for _ in range(3)]
            elsewhere = await producers[2].open(other.name)
            for producer in producers:
                target = await producer.open(stuck.name)
                for number in range(600):
                    producer.publish(target, bytes(10_240), number)
            await asyncio.wait_for(producers[0].writer.drain(), 10)
            producers[0].reset()
            producers[1].reset()
            producers[2].publish(elsewhere, b"still here", 1)
            assert body_of(await other.expect(Kind.PUBLISH)) == b"still here"
            await asyncio.to_thread(running.log.wait, "connection ended", code="CONNECTION_LOST", count=2)
            await asyncio.to_thread(running.log.wait, "connection ended", code="SLOW_CONSUMER")


def stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


async def test_a_gateway_that_stood_still_loses_nothing_and_blames_nobody(tmp_path):
    limits = {"hello_timeout_ms": 1000, "frame_timeout_ms": 1000, "ping_interval_ms": 1000, "ping_misses": 1}
    policy = {"write_stall_ms": 1000, "stall_budget_ms": 1000}
    with gateway(tmp_path, limits=limits, outbox=policy) as running:
        async with Peers(running.address) as peers:
            sender, receiver, full = await peers.agent(), await peers.agent(), await peers.agent()
            target = await sender.open(receiver.name)
            to_full = await sender.open(full.name)
            full.transport.pause_reading()
            for number in range(900):
                sender.publish(to_full, bytes(10_240), number)
            await sender.writer.drain()
            greeting, halfway = await peers.connect(), await peers.agent()
            its_target = await halfway.open(receiver.name)
            frame = message(halfway.me, its_target, b"whole", 1)
            halfway.send(frame[:30])
            await halfway.writer.drain()

            running.signal(signal.SIGSTOP)
            while not stopped(running.pid):
                await asyncio.sleep(0)
            full.transport.resume_reading()
            for number in range(100):
                sender.publish(target, b"%d" % number, number)
            halfway.send(frame[30:])
            greeting.send(frames.encode(Kind.HELLO, frames.Hello([1], "patient", 1)))
            await asyncio.sleep(2)  # the fault itself, not a wait
            running.signal(signal.SIGCONT)

            got = [body_of(await receiver.expect(Kind.PUBLISH)) for _ in range(101)]
            assert [each for each in got if each != b"whole"] == [b"%d" % number for number in range(100)]
            assert b"whole" in got
            await greeting.expect(Kind.WELCOME)
            for peer in (sender, receiver, full, greeting, halfway):
                await peer.ping()
            assert not running.log.find("connection ended")
