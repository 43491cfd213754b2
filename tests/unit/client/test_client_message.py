"""A received message as its reader sees it."""

import asyncio
import copy
import pickle

import msgspec
import pytest

import agpd_client as agp
from agpd_client.testing import MemoryGateway

WRITER, READER = "acme/prod/writer", "acme/prod/reader"


class Draft(msgspec.Struct):
    text: str


async def test_everything_a_message_says(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(READER, {"text": "x"}, fanout=agp.ALL, headers={"k": "v"}, ttl=60)
    message = await reader.receive(timeout=1)
    assert (message.source, message.destination, message.fanout) == (writer.name, READER, agp.ALL)
    assert (message.headers, message.correlation, message.is_request) == ({"k": "v"}, 0, False)
    assert message.expires_ms > 0
    assert message.content_type == 2
    assert message.size > len(message.body) > 0
    assert repr(message) == f"<message from {writer.name} to {READER}, {len(message.body)} bytes>"


async def test_data_is_decoded_once_and_as_asked(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(reader.name, Draft("x"))
    message = await reader.receive(timeout=1)
    assert message.data == {"text": "x"}
    assert message.data is message.data
    assert message.headers == {}
    assert message.expires_ms == 0
    assert message.decode(Draft) == Draft("x")
    assert message.data == {"text": "x"}
    message.expect(Draft)
    assert message.data == Draft("x")
    with pytest.raises(agp.DecodeError, match="not a list"):
        message.decode(list)


async def test_a_copy_is_as_good_as_the_message(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(reader.name, {"text": "x"})
    message = await reader.receive(timeout=1)
    for copied in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert (copied.source, copied.body, copied.data) == (writer.name, message.body, {"text": "x"})
    assert copy.deepcopy(message).data == message.data == {"text": "x"}


async def test_only_requests_are_answered(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    await writer.publish(reader.name, 1)
    message = await reader.receive(timeout=1)
    with pytest.raises(TypeError, match="publish to it instead"):
        await message.reply(1)


async def test_a_failure_is_the_requesters_remote_error() -> None:
    async with MemoryGateway() as server, server.connect() as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
        asked = asyncio.create_task(writer.request_message(READER, 1, timeout=2))
        request = await reader.receive(timeout=1)
        assert repr(request).startswith("<request from")
        await request.reply_failure(KeyError("k"))
        answer = await asked
        with pytest.raises(agp.RemoteError, match="KeyError: 'k'"):
            _ = answer.data


async def test_the_context_of_a_handler(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await near.create_agent(WRITER), await far.create_agent(READER)
    seen: list[agp.Context] = []

    @reader.on_request
    async def note(_: int, context: agp.Context) -> None:
        seen.append(context)

    await writer.request(READER, 1, headers={"k": "v"})
    context = seen[0]
    assert (context.agent, context.source, context.headers) == (reader, writer.name, {"k": "v"})
    # Chosen by the gateway: the destination is the instance.
    assert context.destination == reader.name
    assert context.expires_ms == context.message.expires_ms > 0
