"""A request that comes between the registration of an agent and its handler."""

import asyncio

from agpd_client.testing import MemoryGateway


async def test_a_request_that_was_there_before_the_handler_is_answered() -> None:
    async with MemoryGateway() as memory, memory.connect() as gateway, memory.connect() as other:
        asker = await gateway.create_agent("acme/demo/asker")
        clerk = await other.create_agent("acme/demo/clerk")
        await asker.publish("acme/demo/clerk", "a note", confirm=True)
        answer = asyncio.create_task(asker.request("acme/demo/clerk", "early", timeout=5))
        async with asyncio.timeout(5):
            while len(clerk.inbox.items) < 2:  # nothing else announces it
                await asyncio.sleep(0)

        @clerk.on_request
        async def shout(text: str) -> str:
            return text.upper()

        assert await answer == "EARLY"
        assert (await clerk.receive(timeout=5)).data == "a note"
