"""The SDK with a real control plane over TLS: tokens of its endpoint, renewed under traffic, ended by revocation."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_world import OPERATOR, ControlWorld, control_world

import agpd_client as agp
from agpd.control.resources import Client
from agpd.errors import Code
from agpd.names import parse_pattern
from agpd.transport.identity import thumbprint_of
from agpd_client.backoff import Clock
from agpd_client.gateway import assemble
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier

DEADLINE_S = 10.0


class Sleeper:
    """The SDK's clock: sleeps of over five seconds last until they are cut short, and take as long on the gateway's."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.waiting: list[tuple[float, asyncio.Event]] = []

    def wall(self) -> float:
        return time.time() + self.ahead

    async def sleep(self, seconds: float) -> None:
        if seconds <= 5:
            await asyncio.sleep(seconds)
            return
        woken = asyncio.Event()
        self.waiting.append((seconds, woken))
        await woken.wait()

    async def wake(self, count: int = 1) -> None:
        """So many sleep, and are woken."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.waiting) < count:
                await asyncio.sleep(0.01)
        self.ahead += max(seconds for seconds, _ in self.waiting)
        waiting, self.waiting = self.waiting, []
        for _, woken in waiting:
            woken.set()

    def clock(self) -> Clock:
        return Clock(lambda: time.monotonic() + self.ahead, self.sleep)


class Place:
    """A world with the organization acme, and clients of its gateway."""

    def __init__(self, world: ControlWorld, sleeper: Sleeper) -> None:
        self.world, self.sleeper = world, sleeper

    async def credentials(
        self, id_: str = "acme.a", agent: str = "acme/*", **fields: Any
    ) -> agp.ClientCredentials:
        shown = await self.world.client(id_, "acme", agent)
        return agp.ClientCredentials(f"{self.world.url}/t/acme", id_, shown.secret, **fields)

    def carrier(self, pattern: str = "acme/*") -> Carrier:
        pair = self.world.issue(pattern)
        address = Address("tls", *self.world.gateway.address)
        return Carrier(address, pair.certificate, pair.key, self.world.directory / "ca.pem")

    def connect(self, tokens: Any = None, **options: Any) -> agp.Gateway:
        return assemble(self.carrier(), tokens=tokens, clock=self.sleeper.clock(), **options)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    sleeper = Sleeper()
    async with control_world(tmp_path, clock=sleeper.wall, require_token=True) as world:
        await world.tenant("acme")
        yield Place(world, sleeper)


async def event_of(events: agp.gateway.Events, kind: type) -> Any:
    while True:
        event = await events.receive(timeout=DEADLINE_S)
        if isinstance(event, kind):
            return event


async def test_client_credentials(place: Place) -> None:
    async with place.connect(await place.credentials(agent="acme/dev/*")) as gateway:
        assert gateway.may_speak_as == "acme/dev/*"
        agent = await gateway.create_agent("acme/dev/worker")
        with pytest.raises(agp.NotPermitted):
            await gateway.create_agent("acme/prod/worker")
        assert agent.name.startswith("acme/dev/worker/")
    async with place.connect() as bare:
        with pytest.raises(agp.NotPermitted, match="credentials"):
            await bare.create_agent("acme/dev/worker")


async def test_a_token_and_a_function_that_returns_one(place: Place) -> None:
    shown = await place.world.client("acme.a", "acme", "acme/*")

    async def fresh() -> str:
        return await place.world.token("acme", shown)

    for tokens in (await fresh(), fresh):
        async with place.connect(tokens) as gateway:
            await gateway.create_agent("acme/dev/worker")


async def test_by_the_certificate_of_the_connection(place: Place) -> None:
    carrier = place.carrier()
    files = carrier.credentials()
    assert files is not None
    der = ssl.PEM_cert_to_DER_cert(Path(files.certificate).read_text().partition("-\n\n")[0])
    client = Client(id="acme.tls", tenant="acme", agent="acme/*", certificates=[thumbprint_of(der)])
    await place.world.control.clients.put(OPERATOR, client)
    credentials = agp.ClientCredentials(f"{place.world.url}/t/acme", "acme.tls")
    async with assemble(carrier, tokens=credentials) as gateway:
        await gateway.create_agent("acme/dev/worker")


async def test_renewal_under_traffic_loses_nothing(place: Place) -> None:
    credentials = await place.credentials()
    async with place.connect(credentials) as near, place.connect(credentials) as far:
        events: Any = near.events()
        sender, receiver = await near.create_agent("acme/dev/sender"), await far.create_agent("acme/dev/sink")
        inbox = await receiver.subscribe("acme/dev/news")
        sent, stop = 0, asyncio.Event()

        async def pour() -> None:
            nonlocal sent
            while not stop.is_set():
                await sender.publish("acme/dev/news", sent)
                sent += 1
                await asyncio.sleep(0)

        pouring = asyncio.create_task(pour())
        for _ in range(5):
            await place.sleeper.wake(2)
            assert (await event_of(events, agp.TokenRenewed)).expires_s > 590
        stop.set()
        await pouring
        assert sent > 100
        assert place.sleeper.ahead > 2000  # more than three lives of the first token
        for number in range(sent):
            assert (await inbox.receive(timeout=DEADLINE_S)).data == number
        assert near.statistics.reconnects == far.statistics.reconnects == 0


async def test_a_revoked_secret_ends_the_gateway_object(place: Place) -> None:
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(place.connect(await place.credentials()))
        neighbour = await stack.enter_async_context(place.connect(await place.credentials("acme.b")))
        agent = await gateway.create_agent("acme/dev/worker")
        events: Any = gateway.events()
        secret = (await place.world.control.clients.get(OPERATOR, "acme.a")).secrets[0].id
        await place.world.control.clients.revoke_secret(OPERATOR, "acme.a", secret)
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, type(ended.error), ended.error.code) == (
            True,
            agp.Unauthorized,
            Code.TOKEN_REVOKED,
        )
        with pytest.raises(agp.Unauthorized):
            await agent.publish("acme/dev/x", 1)
        assert neighbour.state is agp.State.CONNECTED


async def test_tokens_hold_behind_workers(tmp_path: Path) -> None:
    sleeper = Sleeper()
    async with control_world(tmp_path, clock=sleeper.wall, require_token=True, workers=2) as world:
        await world.tenant("acme")
        place = Place(world, sleeper)
        shown = await world.client("acme.b", "acme", "acme/*")
        pairs = [world.issue("acme/*") for _ in range(2)]
        bound = await world.bound_token("acme", shown, pairs[0])
        address = Address("tls", *world.gateway.address)
        carriers = [
            Carrier(address, pair.certificate, pair.key, world.directory / "ca.pem") for pair in pairs
        ]
        with pytest.raises(agp.Unauthorized) as caught:
            await assemble(carriers[1], tokens=bound).open()
        assert caught.value.code is Code.INVALID_TOKEN
        async with (
            place.connect(await place.credentials()) as near,
            assemble(carriers[0], tokens=bound) as far,
        ):
            sender, receiver = (
                await near.create_agent("acme/dev/sender"),
                await far.create_agent("acme/dev/sink"),
            )
            inbox = await receiver.subscribe("acme/dev/news")
            await sender.publish("acme/dev/news", 1)
            assert (await inbox.receive(timeout=DEADLINE_S)).data == 1
            events: Any = near.events()
            await world.control.clients.delete(OPERATOR, "acme.a")
            ended = await event_of(events, agp.Disconnected)
            assert (ended.final, ended.error.code) == (True, Code.TOKEN_REVOKED)
            assert far.state is agp.State.CONNECTED


async def test_a_token_that_ends_without_another(place: Place) -> None:
    shown = await place.world.client("acme.a", "acme", "acme/*")
    gateway = place.connect(await place.world.token("acme", shown))
    async with gateway:
        events: Any = gateway.events()
        place.sleeper.ahead += 700
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, type(ended.error)) == (True, agp.TokenExpired)
        with pytest.raises(agp.TokenExpired):
            await gateway.create_agent("acme/dev/worker")


async def test_what_cannot_be_renewed_is_told_until_it_can(place: Place) -> None:
    shown = await place.world.client("acme.a", "acme", "acme/*")
    fails = False

    async def fresh() -> str:
        if fails:
            raise agp.ConnectError("the issuer is away")
        return await place.world.token("acme", shown)

    async with place.connect(fresh) as gateway:
        agent, events = await gateway.create_agent("acme/dev/worker"), gateway.events()
        fails = True
        await place.sleeper.wake()
        assert "away" in str((await event_of(events, agp.TokenNotRenewed)).error)
        place.sleeper.ahead += 300
        ended = await event_of(events, agp.Disconnected)
        assert (ended.final, type(ended.error)) == (False, agp.TokenExpired)
        fails = False
        assert (await event_of(events, agp.Connected)).reconnects == 1
        assert agent.name in gateway._uplink.agents


async def test_wrong_credentials(place: Place) -> None:
    good = await place.credentials()
    bad = agp.ClientCredentials(good.issuer, good.client_id, "agps_wrong")
    with pytest.raises(agp.Unauthorized, match="invalid_client") as caught:
        await place.connect(bad).open()
    assert "agps_wrong" not in str(caught.value)
    with pytest.raises(agp.Unauthorized) as caught:
        await place.connect("no token").open()
    assert caught.value.code is Code.INVALID_TOKEN


async def test_a_kept_token_that_is_not_accepted_any_more_is_replaced(place: Place) -> None:
    credentials = await place.credentials()
    async with place.connect(credentials) as gateway:
        events: Any = gateway.events()
        gateway._uplink.tokens.current = "of keys that were thrown away"
        hub = place.world.gateway.hub
        for link in list(hub.links):
            hub.end(link, Code.SHUTTING_DOWN)
        assert not (await event_of(events, agp.Disconnected)).final
        assert (await event_of(events, agp.Connected)).reconnects == 1


async def test_a_renewed_certificate_waits_for_the_next_connection_and_tokens_go_on_until_then(
    place: Place,
) -> None:
    control = place.world.grpc_address
    async with place.connect(await place.credentials(), control=control) as gateway:
        worker = await gateway.create_agent("acme/dev/worker")
        files = gateway._uplink.dialer.carrier.credentials()
        assert files is not None
        before = Path(files.certificate).read_bytes()
        assert place.world.authority is not None
        out = Path(files.certificate).with_suffix("")
        place.world.authority.issue_agent(parse_pattern("acme/*"), out, time.time(), 3600.0)
        assert Path(files.certificate).read_bytes() != before
        assert await gateway.registry.find() == []
        assert await gateway.renew_token() > 0  # bound to the certificate that this connection has shown
        assert gateway.statistics.reconnects == 0
        for link in list(place.world.gateway.hub.links):
            place.world.gateway.hub.end(link, Code.OVERLOADED)
        await worker.publish("acme/dev/nobody", 1)
        async with asyncio.timeout(DEADLINE_S):
            while gateway.statistics.reconnects == 0:
                await asyncio.sleep(0.01)
        shown = gateway._uplink.dialer.carrier.pem()
        assert shown is not None
        assert shown.certificate == Path(files.certificate).read_bytes()
        assert await gateway.renew_token() > 0  # and now to the new one
        assert await gateway.registry.find() == []
