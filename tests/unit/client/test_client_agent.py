"""An agent: its name, its verbs' refusals, its end; and the same verbs on the gateway object's default agent."""

import asyncio
import uuid

import pytest

import agpd_client as agp
from agpd_client.agent import full_name
from agpd_client.testing import MemoryGateway

WRITER, READER, CHAT = "acme/prod/writer", "acme/prod/reader", "acme/prod/chat"


def test_a_type_gets_a_new_instance_each_time() -> None:
    assert full_name(WRITER, None) != full_name(WRITER, None)
    assert uuid.UUID(full_name(WRITER, None).rpartition("/")[2])
    assert full_name(WRITER, "one") == full_name(f"{WRITER}/one", None) == full_name(f"{WRITER}/one", "one")
    with pytest.raises(agp.InvalidName, match="names an instance already"):
        full_name(f"{WRITER}/one", "two")
    for wrong in ("acme", "acme/prod/Writer", f"{WRITER}/"):
        with pytest.raises(agp.InvalidName):
            full_name(wrong, None)


async def test_its_parts(near: agp.Gateway) -> None:
    agent = await near.create_agent(WRITER, instance="one")
    assert (agent.name, agent.type_name, agent.instance) == (f"{WRITER}/one", WRITER, "one")
    assert repr(agent) == f"<agent {WRITER}/one>"


async def test_wrong_names_are_refused_here(near: agp.Gateway) -> None:
    agent = await near.create_agent(WRITER)
    for work in (
        agent.subscribe(f"{CHAT}/x"),
        agent.observe(CHAT),
        agent.observe("acme/*"),
        agent.set_route("x"),
    ):
        with pytest.raises(agp.InvalidName):
            await work
    with pytest.raises(agp.InvalidName):
        agent.watch("acme/prod")


async def test_the_own_type_has_a_queue_without_asking_the_gateway(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    own = await reader.subscribe(READER)
    waiting = asyncio.create_task(own.receive(timeout=1))
    await asyncio.sleep(0)
    await writer.publish(READER, 1)
    assert (await waiting).data == 1
    await own.close()
    await own.close()
    await writer.publish(READER, 2)
    assert (await reader.receive(timeout=1)).data == 2


async def test_a_refused_subscription_leaves_no_trace(near: agp.Gateway) -> None:
    agent = await near.create_agent(WRITER)
    with pytest.raises(agp.NotPermitted):
        await agent.observe("globex/prod/*")
    assert agent.subscriptions == {}


async def test_leaving_the_block_gives_the_name_back_and_ends_everything(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    async with await near.create_agent(WRITER, instance="one") as agent:
        chat, watch = await agent.subscribe(CHAT), agent.watch(READER)
        await watch.open()
        agent.on_request(lambda x: x)
    await agent.close()
    assert [message async for message in agent] == []
    assert [message async for message in chat] == []
    for work in (agent.subscribe(CHAT), agent.remove_route("*"), agent.watch(READER).open()):
        with pytest.raises(agp.Closed, match="was closed"):
            await work
    assert near._uplink.connection is not None
    await near._uplink.connection.barrier()
    assert (await far.create_agent(WRITER, instance="one")).name == agent.name


async def test_an_end_that_was_not_asked_for_is_raised_by_iteration(near: agp.Gateway) -> None:
    agent = await near.create_agent(WRITER)
    agent.end(agp.Unauthorized("revoked"))
    agent.end(agp.Closed("later"))
    with pytest.raises(agp.Unauthorized):
        _ = [message async for message in agent]


async def test_data_is_what_receive_asks_for(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(reader.name, 1)
    assert (await reader.receive(timeout=1, type=int)).data == 1


async def test_another_loop_is_refused(near: agp.Gateway) -> None:
    agent = await near.create_agent(WRITER)
    for verb in (agent.receive, lambda: agent.subscribe(CHAT), lambda: agent.set_route("*")):
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, verb())


async def test_the_default_agent_has_the_same_verbs(near: agp.Gateway, far: agp.Gateway) -> None:
    reader = await far.create_agent(READER)
    me = await near.default_agent()
    assert me is await near.default_agent()

    @near.on_request
    async def upper(text: str) -> str:
        return text.upper()

    assert await reader.request(me.name, "a") == "A"
    near.on_request(type=int)(lambda number: number + 1)
    assert await reader.request(me.name, 1) == 2
    await near.subscribe(CHAT)
    await reader.publish(CHAT, 1)
    assert (await near.receive(timeout=1)).data == 1
    await near.unsubscribe(CHAT)
    seen = await near.observe("acme/prod/*")
    await reader.publish("acme/prod/me", 2, confirm=True)
    assert (await seen.receive(timeout=1)).data == 2
    await near.set_route("globex/*")
    await reader.publish("globex/x/y", 3, confirm=True)
    async for message in near:
        if message.data == 3:
            break
    await near.remove_route("globex/*")
    async with near.watch(READER) as watch:
        assert watch.present == {reader.name}
    reader.on_request(lambda x: x)
    assert await near.publish(READER, 4, confirm=True) == 1
    assert await near.request(READER, 5, type=int) == 5
    assert (await near.request_message(READER, 6)).data == 6


async def test_without_a_name_the_default_agent_says_how_to_name_it(far: agp.Gateway) -> None:
    with pytest.raises(agp.InvalidName, match=r"pass connect\(agent="):
        far.watch(READER)
    with pytest.raises(agp.InvalidName, match="does not say which agent"):
        await far.publish(READER, 1)


async def test_iterating_the_gateway_object_ends_with_it() -> None:
    async with MemoryGateway() as server:
        gateway = server.connect(agent=WRITER)
        await gateway.open()
        listening = asyncio.create_task(_all(gateway))
        await asyncio.sleep(0)
        await gateway.close()
        assert await listening == []


async def _all(gateway: agp.Gateway) -> list[object]:
    return [message async for message in gateway]
