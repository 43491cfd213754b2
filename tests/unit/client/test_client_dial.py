"""What a connection that is not welcomed means: over real TLS, against scripted ends and against a real gateway."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scripted_peer import Peers, peers

import agpd_client as agp
from agpd.app import Gateway as Server
from agpd.config import Config, Listen, Tls
from agpd.errors import Code
from agpd.names import parse_pattern
from agpd.transport.pki import Authority
from agpd.transport.tls import server_context
from agpd.wire import frames
from agpd.wire.frames import Kind, Refusal, encode
from agpd_client.backoff import Clock
from agpd_client.dial import REJECTIONS_LIMIT

QUICK = Clock(sleep=lambda _: asyncio.sleep(0))


class World:
    """An authority, a gateway certificate and an agent certificate."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority.create(directory, "test", time.time())
        self.gateway = self.authority.issue_gateway(["127.0.0.1"], directory / "gateway", time.time())
        self.agent = self.authority.issue_agent(parse_pattern("acme/*"), directory / "agent", time.time())
        self.ca, self.crl = directory / "ca.pem", directory / "crl.pem"
        self.files = (directory / "agent.pem", directory / "agent.key", self.ca)
        self._gateway_files = (directory / "gateway.pem", directory / "gateway.key")
        self.context = server_context(*self._gateway_files, [self.ca], None)

    def start(self, address: str) -> Server:
        certificate, key = map(str, self._gateway_files)
        tls = Tls(certificate=certificate, key=key, ca=str(self.ca), crl=str(self.crl))
        server = Server(Config(listen=Listen(native=address, grpc=""), tls=tls))
        server.start()
        return server

    def revoke(self) -> None:
        self.authority.revoke(self.authority.serial_of(self.files[0]), time.time())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "pki")


@pytest.fixture
async def cutting(world: World) -> AsyncIterator[Peers]:
    async with peers(world.context, world.files) as all_:
        yield all_


async def test_an_end_after_the_handshake_names_the_certificate_and_the_way_out(
    cutting: Peers, world: World
) -> None:
    opening = asyncio.create_task(cutting.connect().open())
    (await cutting.accept()).reset()
    with pytest.raises(
        agp.ConnectError, match=r"expired, revoked or of an authority.*agent\.pem.*gateway's log"
    ):
        await opening


async def test_without_tls_no_certificate_is_suspected() -> None:
    async with peers() as all_:
        opening = asyncio.create_task(all_.connect().open())
        (await all_.accept()).reset()
        with pytest.raises(agp.ConnectError, match="before it welcomed us; the gateway's log") as caught:
            await opening
        assert "certificate" not in str(caught.value)


async def _welcomed(all_: Peers) -> tuple[agp.Gateway, Any]:
    gateway = all_.connect(clock=QUICK)
    opening = asyncio.create_task(gateway.open())
    peer = await all_.accept()
    await peer.welcome()
    await opening
    return gateway, peer


async def test_repeated_ends_after_the_handshake_are_a_refusal(cutting: Peers) -> None:
    gateway, peer = await _welcomed(cutting)
    events = gateway.events()
    peer.reset()
    for number in range(REJECTIONS_LIMIT):
        assert gateway.error is None, number
        (await cutting.accept()).reset()
    assert isinstance(await events.receive(timeout=2), agp.Disconnected)
    final = await events.receive(timeout=2)
    assert isinstance(final, agp.Disconnected)
    assert final.final
    assert isinstance(final.error, agp.Unauthorized)
    assert final.error.code is Code.UNAUTHENTICATED
    assert f"{REJECTIONS_LIMIT} times in a row" in str(final.error)
    await gateway.close()


@pytest.mark.parametrize("between", ["welcome", "shutting down"])
async def test_only_ends_in_a_row_count(cutting: Peers, between: str) -> None:
    gateway, peer = await _welcomed(cutting)
    peer.reset()
    for _ in range(2):
        for _ in range(REJECTIONS_LIMIT - 1):
            (await cutting.accept()).reset()
        peer = await cutting.accept()
        if between == "welcome":
            await peer.welcome()
            peer.reset()
        else:
            await peer.read(Kind.HELLO)
            peer.write(encode(Kind.CLOSE, Refusal(int(Code.SHUTTING_DOWN))))
    assert gateway.error is None
    await gateway.close()


async def test_without_tls_it_tries_for_ever() -> None:
    async with peers() as all_:
        gateway, peer = await _welcomed(all_)
        peer.reset()
        for _ in range(3 * REJECTIONS_LIMIT):
            (await all_.accept()).reset()
        assert gateway.error is None
        await gateway.close()


async def test_a_revoked_agent_is_turned_away_for_good_by_a_real_gateway(world: World) -> None:
    server = world.start("127.0.0.1:0")
    port = server.address[1]
    names = dict(zip(("certificate", "key", "ca"), world.files, strict=True))
    async with agp.connect(f"agp://127.0.0.1:{port}", **names, chance=random.Random(1)) as gateway:  # type: ignore[arg-type]
        agent = await gateway.create_agent("acme/prod/me")
        waiting = asyncio.create_task(agent.receive())
        for link in list(server.hub.links):
            link.carrier.abort()
        await server.stop(drain_s=0)
        world.revoke()
        async with world.start(f"127.0.0.1:{port}"):
            with pytest.raises(agp.Unauthorized, match="revoked"):
                await asyncio.wait_for(waiting, 10)
            assert gateway.state is agp.State.CLOSED
            with pytest.raises(agp.Unauthorized):
                await agent.publish("acme/prod/x", 1)


async def test_something_that_does_not_speak_the_protocol(world: World) -> None:
    async with peers() as all_:
        with pytest.raises(agp.ConnectError, match="is it another service"):
            await all_.connect(connect_timeout=0.05).open()


@pytest.mark.parametrize("code", [Code.UNSUPPORTED_VERSION, Code.UNAUTHENTICATED])
async def test_the_reason_of_the_gateway_is_kept(cutting: Peers, code: Code) -> None:
    opening = asyncio.create_task(cutting.connect().open())
    peer = await cutting.accept()
    hello = frames.decode((await peer.read(Kind.HELLO)).body, frames.Hello)
    assert hello.client.startswith("agpd-python/")
    peer.write(encode(Kind.CLOSE, Refusal(int(code))))
    with pytest.raises(agp.AgpError) as caught:
        await opening
    assert caught.value.code is code
    assert ("agent.pem" in str(caught.value)) is (code is Code.UNAUTHENTICATED)


async def test_cancelling_open_ends_the_carrier(cutting: Peers) -> None:
    opening = asyncio.create_task(cutting.connect().open())
    peer = await cutting.accept()
    await peer.read(Kind.HELLO)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    with pytest.raises((AssertionError, ConnectionError)):
        await peer.read(Kind.CLOSE)


async def test_epochs_grow_though_the_clock_stands(cutting: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agpd_client.dial.time.time", lambda: 5.0)
    epochs = []
    gateway = cutting.connect(clock=QUICK)
    opening = asyncio.create_task(gateway.open())
    for _ in range(3):
        peer = await cutting.accept()
        epochs.append((await peer.welcome()).epoch)
        if not opening.done():
            await opening
        peer.reset()
    assert epochs == [5000, 5001, 5002]
    await gateway.close()
