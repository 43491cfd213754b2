"""What other agents send is shown without harm to a terminal."""

import asyncio
import base64
import json

import msgspec

from agpd.cli import show
from agpd_client.testing import MemoryGateway

NAUGHTY = "a\x1b[31mb\nc\r\x9b2J\u202ed\u2028e\x00\x7f"


def test_json_output_is_ascii() -> None:
    text = show.ascii_json({"data": NAUGHTY, "more": "é"})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"data": NAUGHTY, "more": "é"}


async def test_payloads_that_are_no_text_are_shown_without_harm() -> None:
    async with MemoryGateway() as memory, memory.connect() as gateway:
        one = await gateway.create_agent("acme/s/one")
        two = await gateway.create_agent("acme/s/two")
        shown = []
        for data in (b"\x1b[2J", {"k": [1.5, b"\x00"]}, "x" * 5000, msgspec.msgpack.Ext(5, b"\x1b")):
            await one.publish("acme/s/two", data)
            message = await two.receive(timeout=5)
            shown.append((show.payload_text(message), json.loads(show.message_json(message))["data"]))
    assert shown[0] == ("<4 bytes> 1b5b324a", base64.b64encode(b"\x1b[2J").decode())
    assert shown[1] == ('{"k":[1.5,"AA=="]}', {"k": [1.5, "AA=="]})
    assert shown[2] == ("x" * 2000 + "... (5000 characters)", "x" * 5000)
    assert shown[3][0].startswith("<3 bytes> ")


async def test_a_request_is_marked() -> None:
    async with MemoryGateway() as memory, memory.connect() as gateway:
        one = await gateway.create_agent("acme/s/one")
        two = await gateway.create_agent("acme/s/two")
        asking = asyncio.create_task(one.request("acme/s/two", "?"))
        message = await two.receive(timeout=5)
        await message.reply("!")
        assert await asking == "!"
    assert show.message_text(message) == f"{one.name} -> {two.name} (request)  ?"
