"""agpd/app.py: a configuration becomes a gateway that listens, reloads and stops."""

import asyncio
import itertools
import logging
import secrets
import time

import pytest
from unit.transport.certificate_world import World

from agpd.app import Gateway, _number, memory_gateway
from agpd.config import Config, Grant, Limits, Listen, Tls
from agpd.errors import Code
from agpd.gateway.principal import Principal
from agpd.names import Name
from agpd.transport.identity import LEEWAY_S
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind
from agpd.wire.framing import Reassembly, split

HELLO = frames.encode(Kind.HELLO, frames.Hello([1], "test", 1))
PLAIN = Listen(native="127.0.0.1:0", grpc="", plaintext=True)


class Client(asyncio.Protocol):
    """Keeps the frames it gets; `frame` waits for the next."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._reassembly = Reassembly(2**20)

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in split(data, self._reassembly):
            self.frames.put_nowait(frame)
            if frame.kind == Kind.CLOSE:
                self.transport.close()

    def connection_lost(self, exc) -> None:
        self.frames.put_nowait(None)

    async def expect(self, kind: Kind | None) -> Frame | None:
        frame = await asyncio.wait_for(self.frames.get(), 10)
        assert (frame and frame.kind) == kind
        return frame


async def test_agents_of_this_process_need_no_socket():
    async with memory_gateway() as gateway:
        client = Client()
        gateway.attach(client)
        client.transport.write(HELLO)
        welcome = await client.expect(Kind.WELCOME)
        assert frames.decode(welcome.body, frames.Welcome).may_speak_as == "*"
        with pytest.raises(AssertionError):
            _ = gateway.listener
    await client.expect(Kind.DRAIN)
    await client.expect(Kind.CLOSE)


async def test_it_listens_and_stops(caplog):
    gateway = Gateway(Config(listen=PLAIN, limits=Limits(linger_timeout_ms=100)))
    gateway.start()
    host, port = gateway.address
    assert port > 0
    assert "plaintext" in caplog.text
    _, client = await asyncio.get_running_loop().create_connection(Client, host, port)
    client.transport.write(HELLO)
    await client.expect(Kind.WELCOME)
    assert gateway.listener.accepted == 1
    with caplog.at_level(logging.INFO):
        stopping = asyncio.ensure_future(gateway.stop(drain_s=30))
        await client.expect(Kind.DRAIN)
        client.transport.write(frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)))
        await client.expect(None)
        began = time.monotonic()
        await stopping
    assert time.monotonic() - began < 5, "it waits for nobody"
    assert gateway.hub.ended == {Code.GOODBYE: 1}
    assert "stopped" in caplog.text
    with pytest.raises(OSError):
        await asyncio.open_connection(host, port)


async def test_who_does_not_leave_is_cut_with_the_reason():
    gateway = Gateway(Config(listen=PLAIN, limits=Limits(linger_timeout_ms=100)))
    gateway.start()
    _, client = await asyncio.get_running_loop().create_connection(Client, *gateway.address)
    client.transport.write(HELLO)
    await client.expect(Kind.WELCOME)
    await gateway.stop(drain_s=0)
    await client.expect(Kind.DRAIN)
    assert frames.decode((await client.expect(Kind.CLOSE)).body, frames.Refusal).code == Code.SHUTTING_DOWN
    assert not gateway.hub.links


async def test_grants_of_the_configuration_hold():
    grants = (Grant(subject="acme/*", verb="publish", object="beta/*"),)
    async with memory_gateway(Config(listen=PLAIN, grants=grants)) as gateway:
        allowed = gateway.hub.admission.allows
        assert allowed("publish", Name("acme", "a", "b", "c"), Name("beta", "a", "b"))
        assert not allowed("publish", Name("beta", "a", "b", "c"), Name("acme", "a", "b"))


def with_tls(world: World) -> Config:
    tls = Tls(
        certificate=str(world.gateway.certificate),
        key=str(world.gateway.key),
        ca=str(world.ca),
        crl=str(world.crl),
        reload_check_s=0.1,
    )
    return Config(listen=Listen(native="127.0.0.1:0", grpc=""), tls=tls, limits=Limits(linger_timeout_ms=100))


async def test_reloading_cuts_the_revoked_and_bad_files_change_nothing(tmp_path, caplog):
    world = World(tmp_path / "pki")
    gateway = Gateway(with_tls(world))
    gateway.start()
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        Client, *gateway.address, ssl=world.client(world.agent), server_hostname="localhost"
    )
    client.transport.write(HELLO)
    welcome = await client.expect(Kind.WELCOME)
    assert frames.decode(welcome.body, frames.Welcome).may_speak_as == "acme/dev/writer"
    (link,) = gateway.hub.links
    assert isinstance(link.principal, Principal)
    gateway.reload()
    assert link in gateway.hub.links
    crl = world.crl.read_bytes()
    world.crl.write_bytes(b"no list")
    gateway.reload()
    assert "not reloaded" in caplog.text
    assert link in gateway.hub.links
    world.crl.write_bytes(crl)
    world.authority.revoke(link.principal.serial, time.time())
    gateway.reload()
    said = await client.expect(Kind.CLOSE)
    assert frames.decode(said.body, frames.Refusal).code == Code.CERTIFICATE_REVOKED
    await gateway.stop(drain_s=0)


async def test_changed_files_are_found_without_being_told(tmp_path):
    world = World(tmp_path / "pki")
    gateway = Gateway(with_tls(world))
    gateway.start()
    _, client = await asyncio.get_running_loop().create_connection(
        Client, *gateway.address, ssl=world.client(world.agent), server_hostname="localhost"
    )
    client.transport.write(HELLO)
    await client.expect(Kind.WELCOME)
    (link,) = gateway.hub.links
    world.authority.revoke(link.principal.serial, time.time())
    said = await client.expect(Kind.CLOSE)
    assert frames.decode(said.body, frames.Refusal).code == Code.CERTIFICATE_REVOKED
    await gateway.stop(drain_s=0)


async def test_a_connection_ends_with_its_certificate(tmp_path):
    world = World(tmp_path / "pki")
    now = [time.time()]
    gateway = Gateway(with_tls(world), wall_clock=lambda: now[0])
    gateway.start()
    _, client = await asyncio.get_running_loop().create_connection(
        Client, *gateway.address, ssl=world.client(world.agent), server_hostname="localhost"
    )
    client.transport.write(HELLO)
    await client.expect(Kind.WELCOME)
    (link,) = gateway.hub.links
    gateway._end_expired([link], link.principal.not_after + LEEWAY_S)  # control: it has not ended yet
    assert link in gateway.hub.links
    now[0] = link.principal.not_after + LEEWAY_S + 1
    said = await client.expect(Kind.CLOSE)
    assert frames.decode(said.body, frames.Refusal).code == Code.CERTIFICATE_EXPIRED
    assert gateway.hub.ended == {Code.CERTIFICATE_EXPIRED: 1}
    await gateway.stop(drain_s=0)


def test_the_gap_between_two_handle_numbers_says_nothing(monkeypatch):
    got = [_number() for _ in range(100)]
    assert len({b - a for a, b in itertools.pairwise(got)}) > 90  # consecutive numbers have one gap
    monkeypatch.setattr(secrets, "randbelow", lambda n: 0)
    assert _number() == 1
    monkeypatch.setattr(secrets, "randbelow", lambda n: n - 1)
    assert _number() == 2**32 - 1


async def test_plaintext_has_nothing_to_reload():
    async with memory_gateway() as gateway:
        gateway.reload()
        assert gateway.certificates is None


async def test_a_fault_while_a_link_is_ended_does_not_end_the_checks_of_all_others():
    async with memory_gateway() as gateway:
        silent, other = Client(), Client()
        for client in (silent, other):
            gateway.attach(client)
        first, second = gateway.hub.links
        first.watch.started_at -= 3600
        on_end = gateway.hub.on_end

        def faulty(*_):
            raise ZeroDivisionError

        gateway.hub.on_end = faulty
        gateway._steps.cancel()  # as if it were due
        with pytest.raises(ZeroDivisionError):
            gateway._step()
        gateway.hub.on_end = on_end
        second.watch.started_at -= 3600
        await asyncio.wait_for(other.expect(Kind.CLOSE), 10)
