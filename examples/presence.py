"""Watching who is there: workers come and go."""

import agpd_client as agp

WORKER = "acme/demo/worker"


async def main() -> None:
    async with agp.connect() as gateway:
        manager = await gateway.create_agent("acme/demo/manager")
        async with manager.watch(WORKER) as watch:
            print("there at first:", len(watch.present))
            async with await gateway.create_agent(WORKER):
                print("joined:", (await watch.receive(timeout=5)).present)
                print("there now:", len(watch.present))
            print("left:", not (await watch.receive(timeout=5)).present)


if __name__ == "__main__":
    agp.run(main())
