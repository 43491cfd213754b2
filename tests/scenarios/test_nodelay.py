"""Nagle's algorithm is off at both ends: what is flushed at the end of a turn leaves at once."""

import asyncio
import socket
from pathlib import Path

import pytest
import uvloop
from process import World

from agpd.app import Gateway
from agpd.config import Config, Listen, Tls
from agpd_client.transports.address import parse_url
from agpd_client.transports.carrier import Carrier

TIMEOUT_S = 10.0


def without_delay(transport: asyncio.BaseTransport) -> bool:
    return bool(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def both_ends(world: World | None) -> tuple[bool, bool]:
    """Connect as the SDK does: is the accepted socket without delay, is the client's?"""
    listen = Listen(native="127.0.0.1:0", grpc="", plaintext=world is None)
    files: dict[str, Path | None] = {"certificate": None, "key": None, "ca": None}
    tls = Tls()
    if world is not None:
        pair = world.issue("acme/*", "agent")
        files = {"certificate": pair.certificate, "key": pair.key, "ca": world.directory / "ca.pem"}
        tls = Tls(**world.settings())  # type: ignore[arg-type]
    async with Gateway(Config(listen=listen, tls=tls)) as gateway:
        gateway.start()
        scheme = "agp+tcp" if world is None else "agp"
        carrier = Carrier(parse_url(f"{scheme}://127.0.0.1:{gateway.address[1]}"), **files)
        ended = asyncio.Event()

        class Client(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def connection_lost(self, exc: Exception | None) -> None:
                ended.set()

        client = await carrier.connect(Client, TIMEOUT_S)
        async with asyncio.timeout(TIMEOUT_S):
            while not gateway.hub.links:
                await asyncio.sleep(0)
        (link,) = gateway.hub.links
        result = without_delay(link.carrier), without_delay(client.transport)  # type: ignore[arg-type]
        client.transport.abort()  # type: ignore[attr-defined]
        async with asyncio.timeout(TIMEOUT_S):
            await ended.wait()
        return result


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_neither_end_waits_for_more(tmp_path: Path, tls: bool) -> None:
    world = World(tmp_path / "pki") if tls else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(both_ends(world)) == (True, True)


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_nor_does_a_client_on_the_loop_of_the_standard_library(tmp_path: Path, tls: bool) -> None:
    world = World(tmp_path / "pki") if tls else None
    with asyncio.Runner() as runner:
        _, client = runner.run(both_ends(world))
        assert client
