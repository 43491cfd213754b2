"""Several agents in one process, with the gateway in it too: nothing has to be started.

Another URL, and the same agents talk over the network.
"""

import agpd_client as agp


async def main(url: str = "local://demo") -> None:
    async with agp.connect(url) as one, agp.connect(url) as other:
        asker = await one.create_agent("acme/demo/asker")
        counter = await other.create_agent("acme/demo/counter")

        @counter.on_request
        def count(text: str) -> int:
            return len(text.split())

        print("words:", await asker.request("acme/demo/counter", "three short words", type=int))


if __name__ == "__main__":
    agp.run(main())
