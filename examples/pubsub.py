"""A topic with three subscribers: one message to all, to any one, to two of them."""

import asyncio

import agpd_client as agp

TOPIC = "acme/demo/news"


async def main() -> None:
    async with agp.connect() as gateway:
        editor = await gateway.create_agent("acme/demo/editor")
        readers = [await gateway.create_agent("acme/demo/reader") for _ in range(3)]
        queues = [await reader.subscribe(TOPIC, type=str) for reader in readers]
        for text, fanout in (("to all", agp.ALL), ("to any one", agp.ANY), ("to two", 2)):
            count = await editor.publish(TOPIC, text, fanout=fanout, confirm=True)
            print(f"{text}: {count} receivers")
        counts = await asyncio.gather(*map(drained, queues))
        print("received in all:", sum(counts))


async def drained(queue: agp.Subscription[str]) -> int:
    """How many messages are there, until none has come for a while."""
    count = 0
    while True:
        try:
            await queue.receive(timeout=0.5)
        except agp.Timeout:
            return count
        count += 1


if __name__ == "__main__":
    agp.run(main())
