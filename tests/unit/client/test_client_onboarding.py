"""An onboarded agent: registered, renewed at a third of its life through failures, stopped when it ends."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from scripted_registry import LIFE_S, ScriptedRegistry

import agpd_client as agp
from agpd._proto import control_pb2 as messages
from agpd.errors import Code
from agpd_client.backoff import Clock
from agpd_client.testing import MemoryGateway

WRITER = "acme/prod/writer"


class Sleeps:
    """A clock whose sleeps last until the test wakes them. `slept`: how long each was to be."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._asleep: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.put_nowait(waiting)
        await waiting

    async def wake(self) -> None:
        """Wait for somebody to sleep, and wake it."""
        (await self._asleep.get()).set_result(None)

    async def until_asleep(self) -> None:
        """What was woken has done its work and sleeps again."""
        self._asleep.put_nowait(await self._asleep.get())


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as server:
        yield server


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def gateway(
    server: MemoryGateway, registry: ScriptedRegistry, sleeps: Sleeps
) -> AsyncIterator[agp.Gateway]:
    clock = Clock(sleep=sleeps.sleep)
    async with server.connect(control=f"127.0.0.1:{registry.port}", clock=clock) as gateway:
        yield gateway


@pytest.fixture
async def writer(gateway: agp.Gateway) -> agp.Agent:
    return await gateway.create_agent(WRITER)


async def onboard(agent: agp.Agent, identity: str = "eu-1", **fields: Any) -> agp.Registration:
    return await agent.onboard(identity=identity, **fields)


async def test_it_is_registered_under_its_type_and_runs_under_its_name(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    registration = await onboard(writer, labels={"region": "eu"}, capabilities=["write"], card={"a": 1})
    assert (registration.agent.type, registration.agent.identity) == (WRITER, "eu-1")
    assert dict(registry.agents[WRITER, "eu-1"].labels) == {"region": "eu"}
    assert registration.agent.card == {"a": 1}
    assert list(registry.instances) == [writer.name]
    assert registration.instance.name == writer.name


async def test_it_is_renewed_at_a_third_of_its_life(
    writer: agp.Agent, registry: ScriptedRegistry, sleeps: Sleeps
) -> None:
    registration = await onboard(writer)
    for _ in range(3):
        await sleeps.wake()
    await sleeps.until_asleep()
    assert sleeps.slept == [LIFE_S / 3] * 4
    assert registry.calls == ["Register", "Start", "Heartbeat", "Heartbeat", "Heartbeat"]
    assert registration.instance.expires == 1000.0 + 2 * LIFE_S


async def test_a_name_that_a_process_before_ran_under_is_renewed_as_often_as_a_new_one(
    gateway: agp.Gateway, registry: ScriptedRegistry, sleeps: Sleeps
) -> None:
    writer = await gateway.create_agent(WRITER, instance="1")
    registry.instances[writer.name] = messages.Instance(name=writer.name, since=1.0, expires=1030.0)
    await onboard(writer)
    await sleeps.until_asleep()
    assert sleeps.slept == [LIFE_S / 3]
    assert registry.calls == ["Register", "Stop", "Start"]


async def test_failures_are_retried_with_growing_delays_and_forgotten_after_a_success(
    server: MemoryGateway, registry: ScriptedRegistry, sleeps: Sleeps
) -> None:
    class Always(random.Random):
        def random(self) -> float:
            return 1.0

    failures = [grpc.StatusCode.UNAVAILABLE, Code.UNAVAILABLE, Code.INVALID_TOKEN]
    async with server.connect(
        control=f"127.0.0.1:{registry.port}", clock=Clock(sleep=sleeps.sleep), chance=Always()
    ) as gateway:
        registration = await onboard(await gateway.create_agent(WRITER))
        for _ in range(2):
            registry.failures.extend(failures)
            for _ in range(1 + len(failures)):
                await sleeps.wake()
            await sleeps.until_asleep()
        assert registration.error is None
    assert sleeps.slept == [*([LIFE_S / 3, 0.05, 0.1, 0.2] * 2), LIFE_S / 3]


async def test_an_instance_that_was_taken_for_gone_starts_again(
    writer: agp.Agent, registry: ScriptedRegistry, sleeps: Sleeps
) -> None:
    registration = await onboard(writer)
    registry.instances.clear()
    await sleeps.wake()
    await sleeps.until_asleep()
    assert list(registry.instances) == [writer.name]
    assert registry.calls[2:] == ["Heartbeat", "Start"]
    assert registration.error is None


async def test_who_was_deregistered_gives_up_tells_it_and_goes_on_with_messages(
    gateway: agp.Gateway, writer: agp.Agent, registry: ScriptedRegistry, sleeps: Sleeps
) -> None:
    registration = await onboard(writer)
    events = gateway.events()
    await gateway.registry.deregister(WRITER, "eu-1")
    registry.instances.clear()
    await sleeps.wake()
    event = await events.receive(timeout=5)
    assert isinstance(event, agp.Refused)
    assert (event.code, event.agent, event.destination) == (Code.NOT_FOUND, writer.name, f"{WRITER}/eu-1")
    assert isinstance(registration.error, agp.NotFound)
    other = await gateway.create_agent(WRITER)
    await other.publish(writer.name, "still here")
    assert (await writer.receive(timeout=5)).data == "still here"


async def test_closing_the_agent_stops_the_instance_before_the_name_is_given_back(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    await onboard(writer)
    await writer.close()
    assert registry.instances == {}
    assert (WRITER, "eu-1") in registry.agents


async def test_closing_the_gateway_object_stops_all_instances(
    gateway: agp.Gateway, writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    await onboard(writer)
    await onboard(await gateway.create_agent(WRITER), "eu-2")
    assert len(registry.instances) == 2
    await gateway.close()
    assert registry.instances == {}


async def test_closing_the_registration_stops_the_instance_alone(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    registration = await onboard(writer)
    await registration.close()
    await registration.close()
    assert registry.instances == {}
    assert registry.calls.count("Stop") == 1
    assert writer.inbox.error is None


async def test_an_agent_that_loses_its_name_is_not_said_to_run(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    await onboard(writer)
    writer.end(agp.NameTaken("somebody else has it"))
    async with asyncio.timeout(5):
        while registry.instances:
            await asyncio.sleep(0)


async def test_closing_does_not_wait_for_a_control_plane_that_is_gone(
    gateway: agp.Gateway, writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    await onboard(writer)
    await registry.close()
    await gateway.close()
    assert gateway.state is agp.State.CLOSED


async def test_a_second_call_takes_the_place_of_the_first(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    first = await onboard(writer)
    second = await onboard(writer, "eu-2")
    assert writer.registration is second is not first
    assert registry.calls == ["Register", "Start", "Stop", "Register", "Start"]


async def test_who_may_not_is_told_and_nothing_runs(writer: agp.Agent, registry: ScriptedRegistry) -> None:
    registry.failures.append(Code.NOT_PERMITTED)
    with pytest.raises(agp.NotPermitted):
        await onboard(writer)
    assert writer.registration is None
    await writer.close()
    with pytest.raises(agp.Closed):
        await onboard(writer)


async def test_an_agent_that_ends_meanwhile_is_not_left_running(
    writer: agp.Agent, registry: ScriptedRegistry
) -> None:
    registry.held = asyncio.Event()
    onboarding = asyncio.ensure_future(onboard(writer))
    while not registry.calls:
        await asyncio.sleep(0)
    await writer.close()
    registry.held.set()
    with pytest.raises(agp.Closed):
        await onboarding
    assert registry.instances == {}


async def test_the_gateway_object_onboards_its_default_agent(
    server: MemoryGateway, registry: ScriptedRegistry
) -> None:
    async with server.connect(agent=WRITER, control=f"127.0.0.1:{registry.port}") as gateway:
        await gateway.onboard(identity="eu-1", description="writes", public_keys={"sign": "AAAA"})
        assert list(registry.instances) == [(await gateway.default_agent()).name]
        assert registry.agents[WRITER, "eu-1"].description == "writes"
    assert registry.instances == {}
