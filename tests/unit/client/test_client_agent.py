"""An agent: its name, its verbs' refusals, its end."""

import asyncio
import uuid

import pytest

import agpd_client as agp
from agpd_client.agent import full_name

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


async def test_another_loop_is_refused_though_it_would_not_have_to_wait(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(reader.name, 1)
    while not reader.inbox.items:
        await asyncio.sleep(0)
    for verb in (reader.__anext__, lambda: writer.publish(reader.name, 2)):
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, verb())
    assert len(reader.inbox.items) == 1


async def test_iteration_tells_of_what_was_lost_before_it_goes_on(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer = await near.create_agent(WRITER)
    reader = await far.create_agent(READER, inbox_limit=2, inbox_policy="error")
    await writer.publish_many(reader.name, range(4))
    while reader.inbox.dropped < 2:
        await asyncio.sleep(0)
    with pytest.raises(agp.Backpressure, match="2 were lost"):
        await anext(reader)
    assert [(await anext(reader)).data for _ in range(2)] == [0, 1]
