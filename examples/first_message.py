"""One agent sends another one a message. Start `agpd dev` first."""

import agpd_client as agp


async def main() -> None:
    async with agp.connect() as gateway:
        alice = await gateway.create_agent("acme/demo/alice")
        bob = await gateway.create_agent("acme/demo/bob")
        await alice.publish("acme/demo/bob", "hello")
        message = await bob.receive(timeout=5)
        print(message.source, "says", message.data)


if __name__ == "__main__":
    agp.run(main())
