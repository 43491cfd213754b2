"""`agpd dev`: a gateway with a control plane on this machine, without any configuration."""

import importlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from agpd.errors import missing_package

if TYPE_CHECKING:
    from agpd.app import Gateway
    from agpd.cli import welcome
    from agpd.cli.contexts import Context
    from agpd.config import Config
    from agpd.control.service import Control

CONNECTIONS = 500
DRAIN_MS = 1000
DEFAULT_PORT = 7420
CLIENT = "acme.admin"
TENANT = "acme"


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65533),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port on loopback; the control plane takes those after it. 0 takes free ones.",
)
@click.option("--plaintext", is_flag=True, help="Without TLS and certificates.")
def dev(port: int, plaintext: bool) -> None:
    """Run a gateway on this machine without any configuration.

    It listens on loopback only. Its certificates and its control plane's database are made once and kept below the
    state directory (AGPD_STATE_DIR, or the user's own); the SDK finds them there, agpctl by the context `dev`, which
    is written, and selected if none is. For development only.
    """
    from agpd.cli.serve import run
    from agpd.cli.welcome import welcome
    from agpd.telemetry import logs
    from agpd_client.transports.tls import development_directory

    directory = development_directory(os.environ)
    without = lacking()
    config = dev_config(
        port, directory, plaintext=plaintext, control=not without.control, grpc=not without.grpc
    )
    logs.setup(config.log.level, config.log.format, sys.stderr)

    async def ready(gateway: "Gateway") -> None:
        control = await prepare(gateway, directory, os.environ)
        welcome(
            gateway.address[1],
            None if plaintext else directory,
            control._replace(lacking=without.control, without_grpc=without.grpc),
        )

    sys.exit(run(config, ready))


class Lacking(NamedTuple):
    """The packages that parts of the gateway lack, one of each; empty: none."""

    control: str
    grpc: str


def lacking() -> Lacking:
    """What is not installed of the control plane, and of gRPC."""
    return Lacking(_missing("agpd.plane"), _missing("agpd.transport.grpc_front"))


def _missing(module: str) -> str:
    try:
        importlib.import_module(module)  # what `agpd.app` imports if it is enabled
    except ModuleNotFoundError as error:
        if not (package := missing_package(error)):
            raise
        return package
    return ""


def dev_config(port: int, directory: Path, *, plaintext: bool, control: bool, grpc: bool = True) -> "Config":
    """The configuration of `agpd dev`; certificates are made in `directory`, where the control plane's state is too."""
    import msgspec

    from agpd.config import Config, Control, Limits, Listen, Tls
    from agpd.transport.pki import development

    listen = Listen(native=f"127.0.0.1:{port}", plaintext=plaintext)
    if port != DEFAULT_PORT:  # that has the default ports of the others beside it
        http, beside = (f"127.0.0.1:{port + more if port else 0}" for more in (1, 2))
        listen = msgspec.structs.replace(listen, http=http, grpc=beside)
    if not grpc:
        listen = msgspec.structs.replace(listen, grpc="")
    limits = Limits(connections=CONNECTIONS, drain_timeout_ms=DRAIN_MS)
    plane = Control(enabled=control, state_directory=str(directory))
    if plaintext:
        return Config(listen=listen, limits=limits, control=plane)
    files = development(directory, time.time())
    tls = Tls(
        certificate=str(files.certificate),
        key=str(files.key),
        ca=str(files.ca),
        accept_any_name=True,
    )
    return Config(listen=listen, limits=limits, tls=tls, control=plane)


async def prepare(gateway: "Gateway", directory: Path, environ: Mapping[str, str]) -> "welcome.Control":
    """Seed the control plane, if there is one, and write the context. Returns what is to be said about it."""
    from agpd.cli.contexts import Contexts
    from agpd.cli.welcome import CONTEXT, Control

    contexts = Contexts.of(environ)
    if gateway.plane is None or gateway.plane.http is None:
        return Control(context=contexts.selected())
    await seed(gateway.plane.control, directory)
    context = context_of(gateway, gateway.plane.http[1], directory)
    contexts.save(CONTEXT, context)
    contexts.cache(CONTEXT).unlink(missing_ok=True)
    if not contexts.selected():
        contexts.select(CONTEXT)
    return Control(context.server, contexts.selected(), registry=registry_of(gateway))


async def seed(control: "Control", directory: Path) -> None:
    """Make what `agpd dev` offers; secrets of its clients are in `CLIENT.secret` files of mode 0600."""
    from agpd.control.seed import development
    from agpd.transport.pem import write_atomically

    made = await development(control, lambda client: secret_file(directory, client).exists())
    for client, secret in made.items():
        write_atomically(secret_file(directory, client), f"{secret}\n".encode(), 0o600)


def context_of(gateway: "Gateway", port: int, directory: Path) -> "Context":
    """How agpctl reaches this gateway: with the development certificate, in plaintext as a client."""
    from agpd.cli.contexts import Context
    from agpd.cli.welcome import gateway_url

    plaintext = gateway.config.listen.plaintext
    url = gateway_url(gateway.address[1], plaintext)
    if plaintext:
        server, file = f"http://127.0.0.1:{port}", str(secret_file(directory, CLIENT))
        return Context(server=server, gateway=url, tenant=TENANT, client=CLIENT, secret_file=file)
    ca, certificate, key = (str(directory / name) for name in ("ca.pem", "agent.pem", "agent.key"))
    server = f"https://127.0.0.1:{port}"
    return Context(server=server, gateway=url, ca=ca, certificate=certificate, key=key, tenant=TENANT)


def registry_of(gateway: "Gateway") -> str:
    """What AGP_CONTROL has to be for the SDK; empty: it finds the registry by itself."""
    from agpd_client.transports.control import DEFAULT_PORT as USUAL

    address = None if gateway.grpc is None else gateway.grpc.address
    host, port = address or ("", USUAL)
    return "" if port == USUAL else f"{host}:{port}"


def secret_file(directory: Path, client: str) -> Path:
    """Where the secret of a client of `agpd dev` is."""
    return directory / f"{client}.secret"
