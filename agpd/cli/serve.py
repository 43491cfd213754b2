"""`agpd serve`: a gateway as a process.

SIGTERM and SIGINT drain; a second one cuts the drain short. SIGHUP reads certificates and revocations again.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agpd.cli.options import config_options

if TYPE_CHECKING:
    from agpd.app import Gateway
    from agpd.config import Config

# Beside connections, a process holds its log, its listener, certificates being read.
SPARE_DESCRIPTORS = 64

Ready = Callable[["Gateway"], Awaitable[None]]
_log = logging.getLogger("agpd.serve")


@click.command()
@config_options
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that carry connections, beside one that routes; 1 is one process for both. listen.workers.",
)
def serve(file: Path | None, sets: tuple[str, ...], workers: int | None) -> None:
    """Run a gateway.

    SIGTERM or Ctrl-C drains it: what was accepted is delivered or refused, then it exits with 0. A second signal
    ends it at once, with 1. SIGHUP reads certificates and revocations again. The log goes to standard error.
    """
    from agpd.config import load
    from agpd.telemetry import logs

    if workers is not None:
        sets = (*sets, f"listen.workers={workers}")
    config = load(file, os.environ, sets)
    logs.setup(config.log.level, config.log.format, sys.stderr)
    sys.exit(run(config, nothing_more))


async def nothing_more(gateway: "Gateway") -> None:
    """What `agpd serve` does once the gateway listens."""


def run(config: "Config", ready: Ready) -> int:
    """Run a gateway until a signal ends it; `ready` is awaited once it listens. Returns the exit code.

    Raises `ConfigError` if it cannot start.
    """
    import uvloop

    from agpd.transport.malloc import keep_large_buffers

    keep_large_buffers()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, ready))


async def _serve(config: "Config", ready: Ready) -> int:
    from agpd.app import Gateway
    from agpd.errors import ConfigError
    from agpd.hotpath import COMPILED
    from agpd.telemetry.logs import event
    from agpd.transport.collector import Collector

    _raise_descriptor_limit(config.limits.connections)
    stops: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    gateway = Gateway(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, number)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    await gateway.open()
    try:
        gateway.start()
    except ConfigError:
        await gateway.stop(drain_s=0)
        raise
    if not await _ready(gateway, stops):
        return await _drain(gateway, stops)
    Collector(loop).start()
    event(
        _log,
        logging.INFO,
        "listening",
        address=_text(gateway.address),
        **_addresses(gateway),
        tls=not config.listen.plaintext,
        hot_path="compiled" if COMPILED else "python",
    )
    await ready(gateway)
    notify("READY=1", os.environ)
    event(_log, logging.INFO, "stopping", signal=(await stops.get()).name)
    notify("STOPPING=1", os.environ)
    return await _drain(gateway, stops)


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"{host}:{port}"


def _addresses(gateway: "Gateway") -> dict[str, str]:
    """Where else it listens: `http` and `grpc`, if it does."""
    where = {
        "http": None if gateway.plane is None else gateway.plane.http,
        "grpc": None if gateway.grpc is None else gateway.grpc.address,
    }
    return {name: _text(address) for name, address in where.items() if address is not None}


async def _ready(gateway: "Gateway", stops: "asyncio.Queue[signal.Signals]") -> bool:
    """Wait until clients are served. False if a signal came before. Raises `WorkerError`."""
    ready = asyncio.ensure_future(gateway.ready())
    stop = asyncio.ensure_future(stops.get())
    await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        if stop.done():  # both at once: the signal is obeyed a little later
            stops.put_nowait(stop.result())
        stop.cancel()
        ready.result()
        return True
    ready.cancel()
    await asyncio.wait((ready,))
    return False


async def _drain(gateway: "Gateway", stops: "asyncio.Queue[signal.Signals]") -> int:
    """0, or 1 if another signal came before everything accepted was delivered."""
    draining = asyncio.ensure_future(gateway.stop())
    impatient = asyncio.ensure_future(stops.get())
    await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
    if draining.done():
        impatient.cancel()
        draining.result()
        return 0
    draining.cancel()
    await asyncio.wait((draining,))
    return 1


def _raise_descriptor_limit(connections: int) -> None:
    """Take as many descriptors as the system allows, and say so if that is too few for `limits.connections`."""
    from agpd.telemetry.logs import event

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < connections + SPARE_DESCRIPTORS:
        event(
            _log,
            logging.WARNING,
            "too few file descriptors for limits.connections; raise LimitNOFILE or ulimit -n",
            descriptors=hard,
            connections=connections,
        )


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Tell systemd (sd_notify), if it asked for it with NOTIFY_SOCKET."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            _log.warning("systemd was not told %s: %s", state, error)
