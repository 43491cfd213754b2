"""The verbs of an agent on the gateway object: its default agent does them."""

import asyncio

import pytest

import agpd_client as agp
from agpd_client.testing import MemoryGateway

WRITER, READER, CHAT = "acme/prod/writer", "acme/prod/reader", "acme/prod/chat"


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
    assert await near.publish_many(READER, ["a", "b"], fanout=agp.ALL, headers={"k": "v"}, ttl=60) == 2
    pair = [await reader.receive(timeout=1) for _ in range(2)]
    assert [message.data for message in pair] == ["a", "b"]
    assert (pair[1].fanout, pair[1].headers, pair[1].expires_ms > 0) == (agp.ALL, {"k": "v"}, True)
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
