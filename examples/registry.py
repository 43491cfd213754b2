"""The registry: an agent says what it is and can do, another finds it by that and asks it."""

import agpd_client as agp


async def main() -> None:
    async with agp.connect() as gateway:
        editor = await gateway.create_agent("acme/demo/editor")
        writer = await gateway.create_agent("acme/demo/writer")

        @writer.on_request
        async def write(topic: str) -> str:
            return f"Notes on {topic}"

        async with gateway.registry.watch(organization="acme", capability="write") as watch:
            await writer.onboard(
                identity="eu-1",
                description="Writes release notes",
                labels={"region": "eu"},
                capabilities=["write"],
                card={"name": "Writer", "version": "1.0"},
            )
            print("told:", (await watch.receive(timeout=5)).kind)
            print("told:", (await watch.receive(timeout=5)).kind)

        found = await gateway.registry.find(
            organization="acme", labels={"region": "eu"}, text="release notes", live=True
        ).first()
        assert found is not None
        print("found:", found.type, found.identity, found.capabilities)
        print("answer:", await editor.request(found.instances[0].name, "agpd"))


if __name__ == "__main__":
    agp.run(main())
