"""Certificates and revocations change under a running gateway: good connections lose nothing, revoked ones end."""

import asyncio
import signal
import ssl
import time
from collections.abc import Callable

import pytest
from peer import DEADLINE_S, Ended, Peer, Peers, code_in
from process import World, gateway
from witness import Witness

from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind
from agpd.wire.framing import Reassembly, split

CUT_S = 5.0


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "pki")


@pytest.fixture(params=["signal", "file"])
def place(request, tmp_path, world):
    """A gateway that is told of changes by SIGHUP, or finds them; and what tells it."""
    check_s = 0.2 if request.param == "file" else 3600
    with gateway(tmp_path, world, tls={"reload_check_s": check_s}) as running:

        def tell() -> None:
            if request.param == "signal":
                running.signal(signal.SIGHUP)

        yield running, tell
        running.stop()


async def let_in(peers: Peers, context) -> bool:
    try:
        await peers.greet(context)
    except (Ended, OSError):
        return False
    return True


def serial(peer: Peer) -> str:
    """Of the certificate that the gateway showed."""
    return peer.writer.get_extra_info("peercert")["serialNumber"]


async def test_a_revoked_certificate_is_cut_and_kept_out_and_nobody_else_notices(place, world):
    running, tell = place
    good = world.context(world.issue("acme/dev/*", "good"))
    pair = world.issue("acme/dev/*", "victim")
    bad = world.context(pair)
    async with Peers(running.address, good) as peers, Witness(peers):
        victim, bystander = await peers.greet(bad), await peers.agent()
        await victim.join("acme/dev/victim")
        tell()
        await victim.ping()  # control: a reload without a revocation leaves it alone
        assert await let_in(peers, bad)
        began = time.monotonic()
        world.authority.revoke(pair.serial, time.time())
        tell()
        assert await victim.ended() is Code.CERTIFICATE_REVOKED
        assert time.monotonic() - began < CUT_S
        assert not await let_in(peers, bad)
        assert await let_in(peers, good)
        await bystander.ping()
        renewed = world.context(world.issue("acme/dev/*", "victim"))
        assert await let_in(peers, renewed)


async def greet_slowly(
    address: tuple[str, int], context: ssl.SSLContext, halfway: Callable[[], None]
) -> Frame:
    """The gateway's first frame to a client that does `halfway` before it shows its certificate."""
    reader, writer = await asyncio.open_connection(*address)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

    async def until_done(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await asyncio.wait_for(reader.read(65536), DEADLINE_S))

    await until_done(tls.do_handshake)  # its last flight, with the certificate, is still in `outgoing`
    await asyncio.to_thread(halfway)
    tls.write(frames.encode(Kind.HELLO, frames.Hello([1], "slow", 1)))
    reassembly = Reassembly(4096)
    while not (got := list(split(await until_done(lambda: tls.read(4096)), reassembly))):
        pass
    writer.transport.abort()
    return got[0]


async def test_a_handshake_that_a_revocation_overtakes_is_refused(tmp_path, world):
    pair = world.issue("acme/dev/*", "victim")
    bad = world.context(pair)
    with gateway(tmp_path, world, tls={"reload_check_s": 3600}) as running:

        def reload() -> None:
            reloads = len(running.log.find("certificates reloaded"))
            running.signal(signal.SIGHUP)
            running.log.wait("certificates reloaded", count=reloads + 1)

        def revoke() -> None:
            world.authority.revoke(pair.serial, time.time())
            reload()

        assert (await greet_slowly(running.address, bad, reload)).kind == Kind.WELCOME  # control
        frame = await greet_slowly(running.address, bad, revoke)
        assert frame.kind == Kind.CLOSE
        assert code_in(frame)[0] is Code.CERTIFICATE_REVOKED
        running.stop()


async def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on(place, world):
    running, tell = place
    good = world.context(world.issue("acme/dev/*", "good"))
    async with Peers(running.address, good) as peers, Witness(peers):
        old = await peers.agent()
        for _ in range(3):
            renewed = world.authority.issue_gateway(
                ["localhost", "127.0.0.1"], world.directory / "gateway", time.time()
            )
            reloads = len(running.log.find("certificates reloaded"))
            tell()
            await asyncio.to_thread(running.log.wait, "certificates reloaded", count=reloads + 1)
            new = await peers.agent()
            assert int(serial(new), 16) == renewed.serial != int(serial(old), 16)
        await old.ping()


async def test_a_bad_file_changes_nothing(tmp_path, world):
    good = world.context(world.issue("acme/dev/*", "good"))
    with gateway(tmp_path, world, tls={"reload_check_s": 3600}) as running:
        async with Peers(running.address, good) as peers, Witness(peers):
            whole = world.gateway.certificate.read_bytes()
            world.gateway.certificate.write_text("half a certif")
            running.signal(signal.SIGHUP)
            await asyncio.to_thread(running.log.wait, "certificates not reloaded")
            assert await let_in(peers, good)
            world.gateway.certificate.write_bytes(whole)
            running.signal(signal.SIGHUP)
            await asyncio.to_thread(running.log.wait, "certificates reloaded")
        running.log.records = [
            one for one in running.log.records if one["event"] != "certificates not reloaded"
        ]


async def test_reloads_one_after_the_other_under_traffic_lose_nothing(tmp_path, world):
    good = world.context(world.issue("acme/dev/*", "good"))
    with gateway(tmp_path, world, tls={"reload_check_s": 3600}) as running:
        async with Peers(running.address, good) as peers, Witness(peers, at_least=200):
            watched = await peers.agent()
            for number in range(1, 51):
                running.signal(signal.SIGHUP)
                await asyncio.to_thread(running.log.wait, "certificates reloaded", count=number)
            watched.send(b"")
            await watched.ping()
            assert not [frame for frame in watched.aside if frame.kind == Kind.CLOSE]
        assert not running.log.find("connection ended", code="CERTIFICATE_REVOKED")
