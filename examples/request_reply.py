"""A question and its answer, with typed payloads; and what the asker sees when the answering function fails."""

from dataclasses import dataclass

import agpd_client as agp


@dataclass
class Draft:
    topic: str
    text: str


async def main() -> None:
    async with agp.connect() as gateway:
        writer = await gateway.create_agent("acme/demo/writer")
        editor = await gateway.create_agent("acme/demo/editor")

        @editor.on_request
        async def edit(draft: Draft) -> Draft:
            if not draft.text:
                raise ValueError("there is nothing to edit")
            return Draft(draft.topic, draft.text.capitalize())

        edited = await writer.request("acme/demo/editor", Draft("otters", "they swim"), type=Draft)
        print("edited:", edited.text)
        try:
            await writer.request("acme/demo/editor", Draft("otters", ""))
        except agp.RemoteError as error:
            print("refused:", error.message)


if __name__ == "__main__":
    agp.run(main())
