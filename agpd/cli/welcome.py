"""What `agpd dev` prints: what runs, and how to connect to it."""

import os
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from agpd_client.transports.address import DEFAULT_PORT

CONTEXT = "dev"
_SNIPPET = """\
import agpd_client as agp

async def main() -> None:
    async with agp.connect({url}) as gateway:
        alice = await gateway.create_agent("acme/demo/alice")
        bob = await gateway.create_agent("acme/demo/bob")
        await alice.publish("acme/demo/bob", "hello")
        message = await bob.receive(timeout=5)
        print(message.source, "says", message.data)

agp.run(main())"""


class Control(NamedTuple):
    """What runs beside the gateway.

    `context`: the one that is selected; `lacking`: a package, if no control plane runs; `registry`: where the SDK finds
    the registry, if that is not where it looks; `without_grpc`: a package, if nothing is served over gRPC.
    """

    server: str = ""
    context: str = ""
    lacking: str = ""
    registry: str = ""
    without_grpc: str = ""


def welcome(port: int, directory: Path | None, control: Control) -> None:
    """Print it to standard output. `directory`: where the certificates are, None for plaintext."""
    console = Console(highlight=False, soft_wrap=True)
    for part in _parts(port, directory, os.environ.get("AGPD_STATE_DIR"), control):
        console.print(part)


def _parts(port: int, directory: Path | None, state: str | None, control: Control) -> list[Text]:
    url = gateway_url(port, directory is None)
    shown = "" if url == gateway_url(DEFAULT_PORT, False) else url
    option = _option(url, shown, control)
    return [
        Text.assemble(
            "\n", ("agpd", "bold green"), " is running at ", (url, "bold"), ", on this machine only."
        ),
        _credentials(directory),
        Text("For development only: whoever can use it may speak as any agent.", "yellow"),
        *_environment(state if directory else None),
        Text("\nFrom Python:\n", "bold"),
        _python(_SNIPPET.format(url=f'"{shown}"' if shown else "")),
        Text("\nFrom two other terminals:\n", "bold"),
        Text(f"agpctl sub acme/demo/chat{option}"),
        Text(f"agpctl pub acme/demo/chat 'hello' --fanout all{option}"),
        *_control(control, option),
        *_grpc(control.without_grpc),
        Text("\nCtrl-C ends it.\n", "dim"),
    ]


def _option(url: str, shown: str, control: Control) -> str:
    """What agpctl needs in order to find this gateway."""
    if control.server:
        return "" if control.context == CONTEXT else f" --context {CONTEXT}"
    return f" --url {url}" if shown or control.context else ""


def _control(control: Control, option: str) -> list[Text]:
    if control.lacking:
        return [Text("\nNo control plane: it needs `pip install 'agpd[server]'`.", "yellow")]
    if not control.server:
        return []
    return [
        Text.assemble(("\nThe control plane, at ", "bold"), (control.server, "bold"), (":\n", "bold")),
        Text(f"agpctl get namespaces{option}"),
        Text(f"agpctl get agents{option}"),
        *(
            [Text(f"export AGP_CONTROL={control.registry}  # for gateway.registry")]
            if control.registry
            else []
        ),
    ]


def _grpc(without: str) -> list[Text]:
    if not without:
        return []
    return [Text("Nothing is served over gRPC: it needs `pip install 'agpd[grpc]'`.", "yellow")]


def gateway_url(port: int, plaintext: bool) -> str:
    """Where an SDK on this machine finds the gateway."""
    return f"{'agp+tcp' if plaintext else 'agp'}://127.0.0.1:{port}"


def _credentials(directory: Path | None) -> Text:
    if directory is None:
        return Text("Plaintext: nothing is encrypted, and there are no certificates.", "yellow")
    return Text(f"Mutual TLS, with certificates in {directory}; the SDK and agpctl find them there.")


def _environment(state: str | None) -> list[Text]:
    """What other terminals must know to find the certificates."""
    return [Text(f"Set this in other terminals too: export AGPD_STATE_DIR='{state}'")] if state else []


def _python(code: str) -> Text:
    """In colour, without the blanks with which a `Syntax` fills its lines: it is there to be copied."""
    coloured = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(code)
    coloured.rstrip()
    return coloured
