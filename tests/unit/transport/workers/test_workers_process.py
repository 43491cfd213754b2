"""A worker, spoken to as the hub does: on the loop of the test, with a real listener and a real trunk socket."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from unit.transport.certificate_world import World

from agpd.config import Config, Limits, Listen, Tls
from agpd.transport.collector import Collector
from agpd.transport.sockets import bind
from agpd.transport.workers import codec, process
from agpd.transport.workers.codec import Splitter
from agpd.transport.workers.process import Start, Worker
from agpd.transport.workers.trunk import pair

DEADLINE_S = 15.0


class Hub:
    """The other end of a worker's trunk."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.address = ("", 0)
        self._splitter = Splitter()
        self._items: list[codec.Item] = []

    def say(self, kind: int, value: int = 0, payload: bytes = b"") -> None:
        self.writer.write(codec.frame(kind, value, payload))

    async def expect(self, kind: int) -> codec.Item:
        """The next item; it is of this kind."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._items:
                data = await self.reader.read(65536)
                assert data, "the worker has gone"
                items = self._splitter.feed(data)
                self._items += [item for item in items if item[0] != codec.TAKEN]
        item = self._items.pop(0)
        assert item[0] == kind, item
        return item


@pytest.fixture
async def ends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hub, Worker]]:
    """Of a worker that has not been told anything yet, and the worker."""
    # Both are for a process that is the worker's own.
    monkeypatch.setattr(process.logs, "setup", lambda *args, **fields: None)
    monkeypatch.setattr(Collector, "start", lambda self: None)
    loop = asyncio.get_running_loop()
    ours, theirs = pair()
    listener = bind("127.0.0.1", 0)
    worker = Worker(1, listener)
    await loop.create_unix_connection(lambda: worker.trunk, sock=theirs)
    hub = Hub(*await asyncio.open_unix_connection(sock=ours))
    hub.address = listener.getsockname()
    yield hub, worker
    listener.close()


@pytest.fixture
async def hub(ends: tuple[Hub, Worker]) -> AsyncIterator[Hub]:
    """Of a worker that has not been told anything yet, and is stopped afterwards."""
    hub, worker = ends
    yield hub
    hub.say(codec.STOP)
    await hub.expect(codec.STOPPED)
    hub.writer.close()
    await asyncio.wait_for(worker.ended, DEADLINE_S)


async def begin(hub: Hub, config: Config) -> None:
    hub.say(codec.START, 0, msgspec.json.encode(Start(config, 2)))
    await hub.expect(codec.READY)


async def test_a_client_is_a_channel(hub: Hub) -> None:
    await begin(hub, Config(listen=Listen(plaintext=True, workers=2)))
    reader, writer = await asyncio.open_connection(*hub.address)
    _, number, payload = await hub.expect(codec.OPEN)
    assert isinstance(number, int)
    host, port = writer.get_extra_info("sockname")
    assert codec.opened(payload) == (f"{host}:{port}", b"")
    writer.write(b"hello")
    assert await hub.expect(codec.DATA) == (codec.DATA, number, b"hello")
    hub.writer.write(codec.data_head(number, 5) + b"world")
    assert await reader.readexactly(5) == b"world"
    assert list(codec.acked((await hub.expect(codec.ACK))[2])) == [(number, 5)]
    hub.say(codec.CLOSE, number)
    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    assert await hub.expect(codec.LOST) == (codec.LOST, number, b"")
    writer.close()


async def test_who_is_not_welcome_is_closed(hub: Hub) -> None:
    await begin(hub, Config(listen=Listen(plaintext=True, workers=2)))
    hub.say(codec.ACCEPTING, 0)
    hub.say(codec.RELOAD)
    await hub.expect(codec.RELOADED)  # it has taken the word before, too
    reader, writer = await asyncio.open_connection(*hub.address)
    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    writer.close()
    hub.say(codec.ACCEPTING, 1)
    hub.say(codec.RELOAD)
    await hub.expect(codec.RELOADED)
    _, writer = await asyncio.open_connection(*hub.address)
    await hub.expect(codec.OPEN)
    writer.close()
    await hub.expect(codec.LOST)


async def test_it_holds_its_part_of_the_unfinished_handshakes(hub: Hub, tmp_path: Path) -> None:
    world = World(tmp_path)
    files = {
        "certificate": str(world.gateway.certificate),
        "key": str(world.gateway.key),
        "ca": str(world.ca),
    }
    limits = Limits(prehandshake_connections=8, prehandshake_per_ip=8)
    await begin(hub, Config(tls=Tls(**files), listen=Listen(workers=2), limits=limits))
    silent = [await asyncio.open_connection(*hub.address) for _ in range(6)]
    reading = {asyncio.ensure_future(reader.read()) for reader, _ in silent}
    refused: set[asyncio.Future[bytes]] = set()
    async with asyncio.timeout(DEADLINE_S):
        while len(refused) < 2:
            done, reading = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
    hub.say(codec.RELOAD)
    await hub.expect(codec.RELOADED)
    assert not any(task.done() for task in reading)
    for _, writer in silent:
        writer.close()
    await asyncio.wait(reading)


async def test_the_certificate_of_the_client_is_passed_on_and_its_own_is_read_again(
    hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    files = {
        "certificate": str(world.gateway.certificate),
        "key": str(world.gateway.key),
        "ca": str(world.ca),
    }
    await begin(hub, Config(tls=Tls(**files), listen=Listen(workers=2)))
    context = world.client(world.agent)
    serials = []
    for _ in range(2):
        _, writer = await asyncio.open_connection(*hub.address, ssl=context, server_hostname="localhost")
        _, _, payload = await hub.expect(codec.OPEN)
        der = codec.opened(payload)[1]
        assert ssl.DER_cert_to_PEM_cert(der).strip() in world.agent.certificate.read_text()
        serials.append(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()
        await hub.expect(codec.LOST)
        world.authority.issue_gateway(["localhost"], tmp_path / "gateway", time.time())
        hub.say(codec.RELOAD)
        assert (await hub.expect(codec.RELOADED))[1] == 1
    assert serials[0] != serials[1]
    Path(files["certificate"]).write_text("half a certif")
    hub.say(codec.RELOAD)
    assert (await hub.expect(codec.RELOADED))[1] == 0
    assert "not reloaded" in caplog.text


async def test_without_a_certificate_it_says_what_is_wrong_and_ends(
    ends: tuple[Hub, Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub, worker = ends
    missing = str(tmp_path / "missing.pem")
    config = Config(tls=Tls(certificate=missing, key=missing, ca=missing), listen=Listen(workers=2))
    hub.say(codec.START, 0, msgspec.json.encode(Start(config, 2)))
    await asyncio.wait_for(worker.ended, DEADLINE_S)
    assert [record.message for record in caplog.records] == ["worker cannot start"]
    hub.writer.close()
