"""The SDK through a tunnel: its scenarios over other carriers are played here too; then what only a tunnel shows."""

import asyncio
import inspect
import queue
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_sdk_connection
import test_sdk_tokens
import test_sdk_verbs
from control_world import OPERATOR, control_world
from ctl import Ctl
from test_sdk_tokens import Sleeper, event_of

import agpd_client as agp
from agpd.app import Gateway
from agpd.config import Config, Grant, Limits, Listen, Outbox
from agpd.names import parse_pattern
from agpd.transport.pki import Authority
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier

near, far = test_sdk_verbs.near, test_sdk_verbs.far  # fixtures


class Plain(test_sdk_connection.Plain):
    """As the gateway of those scenarios, reached through a tunnel."""

    def __init__(self, outbox: Outbox | None = None) -> None:
        super().__init__()
        self._outbox = outbox or Outbox()

    async def start(self) -> None:
        listen = Listen(native="127.0.0.1:0", grpc=self.address, plaintext=True)
        self.server = Gateway(Config(listen=listen, outbox=self._outbox))
        self.server.start()
        self.address = address_of(self.server)

    def connect(self, **options: Any) -> agp.Gateway:
        chance = test_sdk_connection.Quick()
        return agp.connect(f"agp+grpc+tcp://{self.address}", chance=chance, **options)


class Sockets:
    """A gateway, reached as a `MemoryGateway` is."""

    def __init__(self, gateway: Gateway) -> None:
        self._url = f"agp+grpc+tcp://{address_of(gateway)}"

    def connect(self, **options: Any) -> agp.Gateway:
        return agp.connect(self._url, **options)


class Place(test_sdk_tokens.Place):
    """As the world of those scenarios, reached through a tunnel with mutual TLS."""

    def carrier(self, pattern: str = "acme/*") -> Carrier:
        pair = self.world.issue(pattern)
        return Carrier(self.address, pair.certificate, pair.key, self.world.directory / "ca.pem")

    @property
    def address(self) -> Address:
        assert self.world.gateway.grpc is not None
        assert self.world.gateway.grpc.address is not None
        return Address("tunnel", *self.world.gateway.grpc.address)


def address_of(gateway: Gateway) -> str:
    assert gateway.grpc is not None
    assert gateway.grpc.address is not None
    return "{}:{}".format(*gateway.grpc.address)


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    gateway = Plain()
    await gateway.start()
    yield gateway
    assert gateway.server is not None
    await gateway.server.stop(drain_s=0)


@pytest.fixture
async def server() -> AsyncIterator[Sockets]:
    config = Config(
        listen=Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", plaintext=True),
        limits=Limits(frame_limit_bytes=64 * 1024, linger_timeout_ms=100),
        grants=(Grant(subject="acme/*", verb="observe", object="acme/prod/*"),),
    )
    async with Gateway(config) as gateway:
        gateway.start()
        yield Sockets(gateway)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    sleeper = Sleeper()
    async with control_world(tmp_path, clock=sleeper.wall, require_token=True) as world:
        await world.tenant("acme")
        yield Place(world, sleeper)


FIXTURES = {"plain", "server", "near", "far", "place"}
PLAYED = {
    name: function
    for module in (test_sdk_connection, test_sdk_verbs, test_sdk_tokens)
    for name, function in vars(module).items()
    if name.startswith("test_") and FIXTURES.intersection(inspect.signature(function).parameters)
}
globals().update(PLAYED)


def test_most_scenarios_are_played() -> None:
    assert len(PLAYED) > 30


# What only a tunnel shows


def files(place: Place, pattern: str = "acme/*") -> dict[str, Any]:
    pair = place.world.issue(pattern)
    return {"certificate": pair.certificate, "key": pair.key, "ca": place.world.directory / "ca.pem"}


def url_of(place: Place) -> str:
    return place.address.url


async def test_a_token_takes_the_place_of_the_certificate(place: Place) -> None:
    ca = place.world.directory / "ca.pem"
    credentials = await place.credentials(agent="acme/dev/*")
    async with agp.connect(url_of(place), ca=ca, credentials=credentials) as gateway:
        assert gateway.may_speak_as == "acme/dev/*"
        await gateway.create_agent("acme/dev/worker")
        assert await gateway.renew_token() > 590
        events: Any = gateway.events()
        secret = (await place.world.control.clients.get(OPERATOR, "acme.a")).secrets[0].id
        await place.world.control.clients.revoke_secret(OPERATOR, "acme.a", secret)
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, ended.error.code) == (True, agp.Code.TOKEN_REVOKED)


async def test_with_neither_certificate_nor_token_the_gateway_says_what_to_show(place: Place) -> None:
    with pytest.raises(agp.Unauthorized, match="show a client certificate, or in the metadata") as caught:
        await agp.connect(url_of(place), ca=place.world.directory / "ca.pem").open()
    assert caught.value.code is agp.Code.UNAUTHENTICATED


async def test_a_token_that_is_none_is_refused_for_good(place: Place) -> None:
    with pytest.raises(agp.Unauthorized) as caught:
        await agp.connect(url_of(place), ca=place.world.directory / "ca.pem", token="made.up").open()
    assert caught.value.code is agp.Code.INVALID_TOKEN


async def test_an_object_without_certificate_comes_back_with_a_fresh_token(place: Place) -> None:
    ca = place.world.directory / "ca.pem"
    async with agp.connect(url_of(place), ca=ca, credentials=await place.credentials()) as gateway:
        events: Any = gateway.events()
        gateway._uplink.tokens.current = "of keys that were thrown away"
        for link in list(place.world.gateway.hub.links):
            place.world.gateway.hub.end(link, agp.Code.OVERLOADED)
        assert (await event_of(events, agp.Connected)).reconnects == 1


async def test_the_registry_is_asked_at_the_port_of_the_tunnel(place: Place) -> None:
    credentials = await place.credentials()
    async with agp.connect(url_of(place), **files(place), credentials=credentials) as gateway:
        assert await gateway.registry.find() == []


async def test_a_revoked_certificate_ends_the_object(place: Place) -> None:
    mine, other = files(place), files(place)
    async with agp.connect(url_of(place), **mine) as gateway, agp.connect(url_of(place), **other) as stays:
        events: Any = gateway.events()
        assert place.world.authority is not None
        serial = place.world.authority.serial_of(mine["certificate"])
        place.world.authority.revoke(serial, place.world.gateway._wall_clock())
        place.world.gateway.reload()
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, ended.error.code) == (True, agp.Code.CERTIFICATE_REVOKED)
        assert stays.state is agp.State.CONNECTED


async def test_certificates_that_one_side_does_not_accept(place: Place, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "other", time.time())
    pair = other.issue_agent(parse_pattern("acme/*"), tmp_path / "agent", time.time(), 3600.0)
    mine = files(place)
    with pytest.raises(agp.Unauthorized, match=r"is not accepted.*other/ca\.pem.*pass ca= / --ca"):
        await agp.connect(url_of(place), **{**mine, "ca": tmp_path / "other" / "ca.pem"}).open()
    foreign = {"certificate": pair.certificate, "key": pair.key}
    with pytest.raises((agp.ConnectError, agp.Unauthorized), match=r"authority.*agent\.pem"):
        await agp.connect(url_of(place), **{**mine, **foreign}).open()
    with pytest.raises(agp.Unauthorized, match=r"cannot use the certificate .*ca\.pem with the key"):
        await agp.connect(url_of(place), **{**mine, "key": mine["ca"], "certificate": mine["ca"]}).open()


async def test_large_messages_both_ways(place: Place) -> None:
    async with (
        agp.connect(url_of(place), **files(place), credentials=await place.credentials()) as near,
        place.connect(await place.credentials("acme.b")) as far,
    ):
        sender, receiver = await near.create_agent("acme/dev/a"), await far.create_agent("acme/dev/b")

        @receiver.on_request
        async def turn(body: bytes) -> bytes:
            return body[::-1]

        body = random.Random(1).randbytes(1024 * 1024)
        for _ in range(3):
            assert await sender.request(receiver.name, body, timeout=10) == body[::-1]
        with pytest.raises(agp.MessageTooLarge):
            await sender.publish(receiver.name, bytes(2 * 1024 * 1024))


async def test_native_and_tunnelled_agents_reach_each_other(plain: Plain) -> None:
    assert plain.server is not None
    native = "agp+tcp://{}:{}".format(*plain.server.address)
    async with plain.connect() as near, agp.connect(native) as far:
        one, two = await near.create_agent("acme/dev/a"), await far.create_agent("acme/dev/b")
        for sender, receiver in ((one, two), (two, one)):
            await _numbers(sender, receiver.name, 2000)
            assert [(await receiver.receive(timeout=5)).data for _ in range(2000)] == list(range(2000))


async def _numbers(sender: agp.Agent, to: str, count: int) -> None:
    for number in range(count):
        await sender.publish(to, number)


async def test_whoever_pauses_too_long_is_cut_and_comes_back() -> None:
    outbox = Outbox(mark_bytes=64 * 1024, limit_bytes=2 * 1024 * 1024, stall_budget_ms=20, write_stall_ms=300)
    gateway = Plain(outbox)
    await gateway.start()
    assert gateway.server is not None
    async with gateway.connect() as near, gateway.connect() as far:
        sender = await near.create_agent("acme/dev/a")
        deaf = await far.create_agent("acme/dev/b", inbox_limit=1)
        events: Any = far.events()
        pouring = asyncio.create_task(_pour(sender, deaf.name))
        async with asyncio.timeout(30):
            while not gateway.server.hub.ended[agp.Code.SLOW_CONSUMER]:
                await asyncio.sleep(0.01)
        pouring.cancel()
        reading = asyncio.create_task(_read_all(deaf))
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, ended.error.code) == (False, agp.Code.SLOW_CONSUMER)
        assert (await event_of(events, agp.Connected)).reconnects == 1
        assert near.statistics.reconnects == 0
        reading.cancel()
    await gateway.server.stop(drain_s=0)


async def _read_all(agent: agp.Agent) -> None:
    while True:
        await agent.receive()


async def _pour(sender: agp.Agent, to: str) -> None:
    while True:
        await sender.publish(to, bytes(64 * 1024))


async def test_a_gateway_with_workers_serves_tunnels_too() -> None:
    listen = Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", plaintext=True, workers=2)
    async with Gateway(Config(listen=listen)) as gateway:
        gateway.start()
        await gateway.ready()
        native = "agp+tcp://{}:{}".format(*gateway.address)
        async with Sockets(gateway).connect() as near, agp.connect(native) as far:
            one, two = await near.create_agent("acme/dev/a"), await far.create_agent("acme/dev/b")
            assert await one.publish(two.name, "over", confirm=True) == 1
            assert (await two.receive(timeout=5)).data == "over"


async def test_without_a_gateway_there() -> None:
    with pytest.raises(agp.ConnectError, match=r"no gateway at 127\.0\.0\.1:9: start one with `agpd dev`"):
        await agp.connect("agp+grpc+tcp://127.0.0.1:9").open()


def test_the_command_line(plain_in_a_thread: str, tmp_path: Path) -> None:
    ctl = Ctl({"AGP_URL": plain_in_a_thread, "XDG_CONFIG_HOME": str(tmp_path)}, tmp_path, "")
    ready = threading.Event()

    def answer() -> None:
        with agp.sync.connect(plain_in_a_thread, agent="acme/dev/b") as gateway:
            ready.set()
            gateway.receive(timeout=20).reply("back")

    done = threading.Thread(target=answer)
    done.start()
    assert ready.wait(10)
    assert "back" in ctl("request", "acme/dev/b", "there")
    done.join()
    assert "NO_ROUTE" in ctl.fails("pub", "acme/dev/nobody", "x", "--url", plain_in_a_thread)


def test_the_blocking_facade(plain_in_a_thread: str) -> None:
    with agp.sync.connect(plain_in_a_thread, agent="acme/dev/a") as gateway:
        agent = gateway.create_agent("acme/dev/b")
        assert gateway.publish(agent.name, 1, confirm=True) == 1
        assert agent.receive(timeout=5).data == 1
        with pytest.raises(agp.NoRoute):
            gateway.request("acme/dev/nobody", 1)


@pytest.fixture
def plain_in_a_thread() -> Iterator[str]:
    """The URL of a gateway on a loop of its own."""
    started: queue.Queue[str] = queue.Queue()
    ending = threading.Event()

    async def serve() -> None:
        gateway = Plain()
        await gateway.start()
        started.put(f"agp+grpc+tcp://{gateway.address}")
        await asyncio.to_thread(ending.wait)
        assert gateway.server is not None
        await gateway.server.stop(drain_s=0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield started.get(timeout=10)
    ending.set()
    thread.join()
