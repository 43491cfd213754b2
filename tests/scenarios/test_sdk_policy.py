"""What agents notice when another policy comes into force: of what it ends, and nothing of the rest."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from scenarios.rules import policy

import agpd_client as agp
from agpd.config import Config, Listen
from agpd.errors import Code
from agpd_client.testing import MemoryGateway

OPEN = [
    f"{side}: allow acme/* {verb} beta/*"
    for side in ("acme", "beta")
    for verb in ("publish", "request", "watch")
]
OBSERVE = "acme: allow acme/* observe acme/prod/*"
BOSS, READER, FAR = "acme/prod/boss", "acme/prod/reader", "beta/prod/reader"


@pytest.fixture
async def server() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(Config(listen=Listen(plaintext=True))) as server:
        server.server.hub.adopt(policy(*OPEN, OBSERVE))
        yield server


@pytest.fixture
async def near(server: MemoryGateway) -> AsyncIterator[agp.Gateway]:
    async with server.connect() as gateway:
        yield gateway


@pytest.fixture
async def far(server: MemoryGateway) -> AsyncIterator[agp.Gateway]:
    async with server.connect() as gateway:
        yield gateway


async def test_a_sender_that_lost_its_grant_is_told_by_the_next_act(
    server: MemoryGateway, near: agp.Gateway, far: agp.Gateway
) -> None:
    boss, reader = await near.create_agent(BOSS), await far.create_agent(FAR)
    for to in (FAR, reader.name):
        assert await boss.publish(to, 1, confirm=True) == 1
    server.server.hub.adopt(policy(OBSERVE))
    for to in (FAR, reader.name):
        with pytest.raises(agp.NotPermitted, match=f"publish {to}"):
            await boss.publish(to, 2, confirm=True)
        with pytest.raises(agp.NotPermitted, match=f"publish {to}"):
            await boss.request(to, 2)
    assert [(await reader.receive(timeout=5)).data for _ in range(2)] == [1, 1]
    assert not reader.inbox.items
    server.server.hub.adopt(policy(*OPEN))
    assert await boss.publish(FAR, 3, confirm=True) == 1


async def test_what_an_agent_receives_by_ends_with_an_error(server: MemoryGateway, near: agp.Gateway) -> None:
    reader, boss = await near.create_agent(READER), await near.create_agent(BOSS)
    topic, other = await reader.subscribe("acme/prod/news"), await reader.subscribe("acme/prod/chat")
    seen, watch = await reader.observe("acme/prod/*"), reader.watch(FAR)
    await watch.open()
    await reader.set_route("gamma/*")
    events = near.events()
    server.server.hub.adopt(
        policy("acme: deny acme/* subscribe acme/prod/news", "acme: deny acme/* route gamma/x/*")
    )
    for ended in (topic, seen, watch):
        with pytest.raises(agp.NotPermitted):
            await ended.receive(timeout=5)
    told = [await events.receive(timeout=5) for _ in range(4)]
    assert {(event.code, event.detail, event.agent, event.count) for event in told} == {  # type: ignore[union-attr]
        (Code.NOT_PERMITTED, what, reader.name, 0)
        for what in ("subscribe acme/prod/news", "observe acme/prod/*", f"watch {FAR}", "route gamma/*")
    }
    assert "acme/prod/chat" in reader.subscriptions
    assert not {"acme/prod/news", "acme/prod/*"} & set(reader.subscriptions)
    await boss.publish("acme/prod/chat", 1, confirm=True)
    assert (await other.receive(timeout=5)).data == 1
    with pytest.raises(agp.NotPermitted):
        await boss.publish("gamma/x/y", 1, confirm=True)


async def test_traffic_goes_on_while_policies_change(
    server: MemoryGateway, near: agp.Gateway, far: agp.Gateway
) -> None:
    """Nothing is lost of what every one of them allows: messages, broadcasts, requests, across organizations too."""
    boss, reader = await near.create_agent(BOSS), await far.create_agent(FAR)
    home = await far.create_agent(READER)

    @home.on_request
    async def double(number: int) -> int:
        return 2 * number

    answers: list[int] = []
    for number in range(300):
        await boss.publish(FAR, number)
        await boss.publish(FAR, number, fanout=agp.ALL)
        await boss.publish(reader.name, number)
        server.server.hub.adopt(
            policy(*OPEN, "acme: deny acme/x/* publish *") if number % 2 else policy(*OPEN)
        )
        if not number % 10:
            answers.append(await boss.request(READER, number, type=int))
    got = [(await reader.receive(timeout=5)).data for _ in range(900)]
    assert got == [number for number in range(300) for _ in range(3)]
    assert answers == [2 * number for number in range(0, 300, 10)]
    assert near.statistics.refused == 0


async def test_a_suspended_organization_is_told_and_does_not_come_back(server: MemoryGateway) -> None:
    gateway = server.connect()
    async with gateway:
        agent = await gateway.create_agent(BOSS)
        server.server.hub.adopt(policy(suspended=["acme"]))
        with pytest.raises(agp.NotPermitted):
            await asyncio.wait_for(agent.receive(), 5)
