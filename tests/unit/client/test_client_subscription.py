"""Subscriptions: where their messages go, and how they end."""

import asyncio

import pytest

import agpd_client as agp

WRITER, READER, CHAT = "acme/prod/writer", "acme/prod/reader", "acme/prod/chat"


async def pair(near: agp.Gateway, far: agp.Gateway) -> tuple[agp.Agent, agp.Agent]:
    return await near.create_agent(WRITER), await far.create_agent(READER)


async def queued(agent: agp.Agent, count: int) -> None:
    while len(agent.inbox.items) < count:
        await asyncio.sleep(0)


async def test_the_inbox_has_it_until_one_asks_the_subscription(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    chat = await reader.subscribe(CHAT, type=int)
    assert (chat.topic, chat.inbox, chat.dropped) == (CHAT, reader.inbox, 0)
    await writer.publish(CHAT, 1)
    assert (await reader.receive(timeout=1)).data == 1
    await writer.publish(CHAT, 2, fanout=agp.ALL)
    await writer.publish(reader.name, "mine")
    await writer.publish(f"{CHAT}/{reader.instance}", 3)
    await queued(reader, 3)
    assert [(await chat.receive(timeout=1)).data for _ in range(2)] == [2, 3]
    assert chat.inbox is not reader.inbox
    await writer.publish(CHAT, "four", confirm=True)
    with pytest.raises(agp.DecodeError):
        _ = (await chat.receive(timeout=1)).data
    assert (await reader.receive(timeout=1)).data == "mine"


async def test_an_observer_has_what_is_not_subscribed_more_closely(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await pair(near, far)
    seen = await reader.observe("acme/prod/*")
    chat = await reader.subscribe(CHAT)
    assert seen.holds("acme/prod/other")
    assert not seen.holds("acme/test/other")
    assert not seen.holds(f"acme/prod/other/{reader.instance}")
    assert not seen.holds(CHAT)
    assert chat.holds(CHAT)
    assert not chat.holds(f"{CHAT}/{writer.instance}")


async def test_its_queue_has_a_limit_of_its_own(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    chat = await reader.subscribe(CHAT, limit=2, policy="drop_new")
    assert await reader.subscribe(CHAT) is chat
    with pytest.raises(agp.Timeout):
        await chat.receive(timeout=0)
    for number in range(5):
        await writer.publish(CHAT, number, confirm=True)
    while chat.dropped < 3:
        await asyncio.sleep(0)
    assert [(await chat.receive(timeout=1)).data for _ in range(2)] == [0, 1]


async def test_what_is_queued_is_received_before_the_end(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    async with await reader.subscribe(CHAT) as chat:
        await writer.publish(CHAT, 1)
        await queued(reader, 1)
    assert [message.data async for message in chat] == [1]
    with pytest.raises(agp.Closed, match="was unsubscribed"):
        await chat.receive()
    with pytest.raises(agp.NoRoute):
        await writer.publish(CHAT, 2, confirm=True)


async def test_the_end_of_the_gateway_object_is_its_end(near: agp.Gateway, far: agp.Gateway) -> None:
    _, reader = await pair(near, far)
    chat, quiet = await reader.subscribe(CHAT), await reader.subscribe("acme/prod/quiet")
    listening = asyncio.create_task(_all(chat))
    await asyncio.sleep(0)
    reader.end(agp.Unauthorized("revoked"))
    with pytest.raises(agp.Unauthorized):
        await listening
    with pytest.raises(agp.Unauthorized):
        await quiet.receive()


async def _all(chat: agp.Subscription[object]) -> list[object]:
    return [message async for message in chat]


async def test_a_queue_made_after_the_end_knows_of_it(near: agp.Gateway) -> None:
    reader = await near.create_agent(READER)
    chat = await reader.subscribe(CHAT)
    reader.inbox.fail(agp.Closed("over"))
    with pytest.raises(agp.Closed, match="over"):
        await chat.receive(timeout=1)


async def test_another_loop_is_refused_though_something_is_queued(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await pair(near, far)
    chat = await reader.subscribe(CHAT)
    with pytest.raises(agp.Timeout):
        await chat.receive(timeout=0)  # now it has a queue of its own
    await writer.publish(CHAT, 1)
    while not chat.inbox.items:
        await asyncio.sleep(0)

    async def iterate() -> None:
        async for _ in chat:
            break

    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, iterate())
    async for message in chat:
        assert message.data == 1
        break
