"""Without async and await: a script, a web handler, a cell of a Jupyter notebook."""

from agpd_client import sync


def main() -> None:
    with sync.connect() as gateway:
        asker = gateway.create_agent("acme/demo/asker")
        clerk = gateway.create_agent("acme/demo/clerk")

        @clerk.on_request
        def shout(text: str) -> str:
            return text.upper()

        print("answer:", asker.request("acme/demo/clerk", "hello", type=str))
        asker.publish("acme/demo/clerk", "a note")
        print("note:", clerk.receive(timeout=5).data)


if __name__ == "__main__":
    main()
