"""The SDK's registry against a real gateway with a control plane: mutual TLS, SQLite, two organizations."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from process import World

import agpd_client as agp
from agpd.app import Gateway
from agpd.config import Config, Control, Listen, Tls
from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Grant, Namespace, Tenant
from agpd.errors import Code
from agpd.names import Pattern

WRITER, REVIEWER = "acme/prod/writer", "globex/prod/reviewer"
OPERATOR = Caller(OPERATOR_TENANT, Pattern(()), Role.OPERATOR, "test")


class Place:
    """A gateway with two tenants, whose clock can be set, and connections to it."""

    def __init__(self, world: World, gateway: Gateway, ahead: list[float], stack: AsyncExitStack) -> None:
        self.world = world
        self.gateway = gateway
        self._ahead = ahead
        self._stack = stack
        assert gateway.plane is not None
        self.plane = gateway.plane
        self.control = gateway.plane.control

    def pass_time(self, seconds: float) -> None:
        self._ahead[0] += seconds

    async def connect(self, pattern: str) -> agp.Gateway:
        """A connection with a certificate for these names."""
        pair = self.world.issue(pattern, pattern.replace("/", "-").replace("*", "all"))
        assert self.gateway.grpc is not None
        assert self.gateway.grpc.address is not None
        connection = agp.connect(
            f"agp://127.0.0.1:{self.gateway.address[1]}",
            certificate=pair.certificate,
            key=pair.key,
            ca=self.world.directory / "ca.pem",
            control=f"127.0.0.1:{self.gateway.grpc.address[1]}",
        )
        return await self._stack.enter_async_context(connection)

    async def grant(self, tenant: str, verb: str = "request") -> str:
        asked = Grant(tenant=tenant, subject=WRITER, verb=verb, object=REVIEWER)  # type: ignore[arg-type]
        return (await self.control.grants.put(OPERATOR, asked, create=True)).id


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    world = World(tmp_path / "pki")
    ahead = [0.0]
    clock: Callable[[], float] = lambda: time.time() + ahead[0]  # noqa: E731
    config = Config(
        listen=Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", http="127.0.0.1:0"),
        tls=Tls(**world.settings()),  # type: ignore[arg-type]
        control=Control(enabled=True, state_directory=str(tmp_path / "state"), page_limit=3),
    )
    gateway = Gateway(config, clock)
    await gateway.open()
    gateway.start()
    async with AsyncExitStack() as stack:
        place = Place(world, gateway, ahead, stack)
        for tenant in ("acme", "globex"):
            await place.control.tenants.put(OPERATOR, Tenant(name=tenant), create=True)
            await place.control.namespaces.put(OPERATOR, Namespace(name=f"{tenant}/prod"), create=True)
        yield place
    await gateway.stop(drain_s=0)


async def test_an_onboarded_agent_is_found_by_what_it_is_and_answers(place: Place) -> None:
    acme = await place.connect("acme/*")
    writer = await acme.create_agent(WRITER)
    writer.on_request(type=str)(lambda text: text.upper())
    registration = await writer.onboard(
        identity="eu-1",
        description="writes release notes",
        labels={"region": "eu"},
        capabilities=["write"],
        card={"skills": [{"id": "w", "weight": 1.5}], "none": None},
        public_keys={"sign": "AAAA"},
    )
    other = await place.connect("acme/prod/*")
    for condition in (
        {"labels": {"region": "eu"}},
        {"capability": "write"},
        {"text": "release notes"},
        {"organization": "acme", "namespace": "prod", "type": "writer", "live": True},
    ):
        found = await other.registry.find(**condition).first()  # type: ignore[arg-type]
        assert found is not None, condition
        assert (found.identity, found.card, found.public_keys) == (
            "eu-1",
            registration.agent.card,
            {"sign": "AAAA"},
        )
    assert await other.registry.find(labels={"region": "us"}).first() is None
    editor = await other.create_agent("acme/prod/editor")
    assert await editor.request(found.instances[0].name, "a") == "A"
    await writer.close()
    assert not (await other.registry.get(WRITER, "eu-1")).is_live


async def test_all_pages(place: Place) -> None:
    acme = await place.connect("acme/*")
    for number in range(10):
        await acme.registry.register(WRITER, f"eu-{number}", create=True)
    assert len(await acme.registry.find()) == 10


async def test_what_a_watch_tells(place: Place) -> None:
    acme = await place.connect("acme/*")
    writer = await acme.create_agent(WRITER)
    async with acme.registry.watch(organization="acme") as watch:
        await writer.onboard(identity="eu-1")
        await writer.onboard(identity="eu-1", description="more")
        await writer.close()
        await acme.registry.deregister(WRITER, "eu-1")
        kinds = [(await watch.receive(timeout=10)).kind for _ in range(7)]
    assert kinds == ["registered", "started", "stopped", "changed", "started", "stopped", "deregistered"]


async def test_an_instance_whose_time_is_over_is_gone_and_comes_back_with_the_next_heartbeat(
    place: Place,
) -> None:
    acme = await place.connect("acme/*")
    writer = await acme.create_agent(WRITER)
    async with acme.registry.watch() as watch:
        registration = await writer.onboard(identity="eu-1")
        place.pass_time(61)
        kinds = [(await watch.receive(timeout=10)).kind for _ in range(3)]
        assert kinds == ["registered", "started", "stopped"]
        await registration._renew()
        assert (await watch.receive(timeout=10)).kind == "started"
    assert (await acme.registry.get(WRITER, "eu-1")).is_live


async def test_two_organizations_see_each_other_when_both_have_granted(place: Place) -> None:
    acme, globex = await place.connect("acme/prod/*"), await place.connect("globex/prod/*")
    writer, reviewer = await acme.create_agent(WRITER), await globex.create_agent(REVIEWER)
    reviewer.on_request(type=str)(lambda text: f"{text}: good")
    await reviewer.onboard(identity="eu-1", capabilities=["review"])

    async def visible() -> bool:
        found = await acme.registry.find(organization="globex", capability="review").first()
        return found is not None

    async def until(wanted: bool) -> None:  # a change is in force everywhere within two seconds
        async with asyncio.timeout(10):
            while await visible() is not wanted:
                pass

    assert not await visible()
    with pytest.raises(agp.NotFound) as hidden:
        await acme.registry.get(REVIEWER, "eu-1")
    with pytest.raises(agp.NotFound) as absent:
        await acme.registry.get(REVIEWER, "eu-2")
    assert str(hidden.value).replace("eu-1", "eu-2") == str(absent.value)
    mine = await place.grant("acme")
    assert not await visible()
    with pytest.raises(agp.NotPermitted):
        await writer.request(REVIEWER, "a")
    await place.grant("globex")
    await until(True)
    assert await writer.request(REVIEWER, "a") == "a: good"
    await place.control.grants.delete(OPERATOR, mine)
    await until(False)
    async with asyncio.timeout(10):
        while True:
            try:
                await writer.request(REVIEWER, "a")
            except agp.NotPermitted:
                break


async def test_who_may_not_register_under_a_name_is_told_why(place: Place) -> None:
    acme = await place.connect("acme/prod/*")
    with pytest.raises(agp.NotPermitted):
        await acme.registry.register("acme/test/writer", "eu-1")
    with pytest.raises(agp.AgpError) as foreign:
        await acme.registry.register(REVIEWER, "eu-1")
    assert foreign.value.code in (Code.NOT_PERMITTED, Code.NOT_FOUND)
    with pytest.raises(agp.InvalidName):
        await acme.registry.register("acme/prod/Writer", "eu-1")
    with pytest.raises(agp.InvalidRequest):
        await acme.registry.register(WRITER, "eu-1", labels={"x": "y" * 300})


async def test_a_gateway_without_a_control_plane_says_so(tmp_path: Path) -> None:
    world = World(tmp_path / "pki")
    gateway = Gateway(Config(listen=Listen(native="127.0.0.1:0", grpc=""), tls=Tls(**world.settings())))  # type: ignore[arg-type]
    gateway.start()
    pair = world.issue("acme/*", "acme")
    url = f"agp://127.0.0.1:{gateway.address[1]}"
    files = {"certificate": pair.certificate, "key": pair.key, "ca": os.fspath(world.directory / "ca.pem")}
    async with agp.connect(url, control="127.0.0.1:9", **files) as connection:
        with pytest.raises(agp.ConnectError, match=r"control\.enabled"):
            await connection.registry.find()
    await gateway.stop(drain_s=0)
