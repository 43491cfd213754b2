"""`agpctl bench`: senders, receivers and requesters that measure a running gateway.

One process does one of it, so that the sides do not share a core: start `sub`, then `pub`; or `rr --serve`, then `rr`.
"""

import contextlib
import functools
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from agpd.cli.load import background, raw, raw_requests, sdk
from agpd.cli.load.measure import Answered, AnsweredUnderLoad, Loaded, Result
from agpd.cli.load.plan import Pattern
from agpd.errors import Code
from agpd.names import parse_type
from agpd_client.errors import AgpError, ConnectError
from agpd_client.gateway import Gateway, connect
from agpd_client.transports.address import DEFAULT_URL, parse_url
from agpd_client.transports.carrier import Carrier

_Command = TypeVar("_Command", bound=Callable[..., Any])
SLOWER = "raise outbox limits, or send more slowly"


class Target:
    """Where to measure and how: what all commands have in common."""

    def __init__(
        self, url: str, files: dict[str, Path | None], raw: bool, gateway_pid: int | None, as_json: bool
    ) -> None:
        self.url = url
        self.files = files
        self.raw = raw
        self.gateway_pid = gateway_pid
        self.as_json = as_json

    def carrier(self) -> Carrier:
        """For bare peers."""
        return Carrier(parse_url(self.url), **self.files)

    def options(self) -> list[str]:
        """Those of another `agpctl bench` with the same gateway."""
        named = {"url": self.url, **self.files}
        return [word for name, value in named.items() if value for word in (f"--{name}", str(value))]

    def gateway(self) -> Gateway:
        """For the SDK."""
        return connect(self.url, **self.files, reconnect=False)  # type: ignore[arg-type]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end; errors are one line."""
        try:
            return uvloop.run(work)
        except* (AgpError, TimeoutError) as group:
            raise _Failure(str(_first(group))) from None

    def show(self, result: Result, lost: int, way_out: str = SLOWER) -> None:
        """Print the result; a loss is an error, whose text ends with the way out."""
        if self.as_json:
            click.echo(msgspec.json.encode(result).decode())
        else:
            for name, value in _rows(msgspec.to_builtins(result)):
                click.echo(f"{name:<25} {_text(value)}")
        if lost:
            raise _Failure(f"{lost} messages were lost: {way_out}")


class _Failure(click.ClickException):
    exit_code = 2


def _way_out(refused_as: str, name: str) -> str:
    """What a sender does whose messages were refused with this code."""
    if refused_as == Code.NO_ROUTE.name:
        return f"nobody is subscribed to {name}: start `agpctl bench sub {name}` first"
    return f"{refused_as}: {SLOWER}" if refused_as == Code.RECEIVER_FULL.name else refused_as


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _rows(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _rows(value, f"{name}_")
        else:
            yield before + name, value


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _ready() -> None:
    click.echo("ready", err=True)


def _type_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return str(parse_type(value))


def _target(command: _Command) -> _Command:
    """The options of `Target`; the command gets it as its first argument."""

    @functools.wraps(command)
    def with_target(
        url: str,
        certificate: Path | None,
        key: Path | None,
        ca: Path | None,
        raw: bool,
        gateway_pid: int | None,
        as_json: bool,
        **rest: Any,
    ) -> None:
        files = {"certificate": certificate, "key": key, "ca": ca}
        command(Target(url, files, raw, gateway_pid, as_json), **rest)

    decorated: Any = with_target
    for option in reversed(_TARGET_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


_file = click.Path(path_type=Path)
_TARGET_OPTIONS: list[Callable[[Any], Any]] = [
    click.argument("name", callback=_type_name),
    click.option("--url", default=DEFAULT_URL, envvar="AGP_URL", show_default=True, help="The gateway."),
    click.option("--certificate", type=_file, help="PEM; else AGP_CERTIFICATE, else that of `agpd dev`."),
    click.option("--key", type=_file, help="Its key; else AGP_KEY."),
    click.option("--ca", type=_file, help="The authority of the gateway; else AGP_CA."),
    click.option("--raw", is_flag=True, help="Prebuilt frames instead of the SDK: the gateway is the limit."),
    click.option("--gateway-pid", type=int, help="Report the processor time of this process."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object."),
]
_size = click.option(
    "--size", type=click.IntRange(0), default=256, show_default=True, help="Payload, in bytes."
)
_source = click.option("--as", "source", help="Type to send as, org/ns/type; else `bench` beside NAME.")
_load_rate = click.option(
    "--load-rate", type=click.FloatRange(1), metavar="N", help="Background load: so many messages a second."
)
_load_share = click.option(
    "--background-load",
    type=click.FloatRange(0.01, 1),
    metavar="FRACTION",
    help="Background load: this part of what one sender brings through the gateway, measured first.",
)
_idle = click.option(
    "--idle", "idle_s", type=float, default=5.0, show_default=True, help="Seconds of silence that end it."
)


@click.group()
def bench() -> None:
    """Measure throughput and latency of a running gateway."""


@bench.command()
@_target
@click.option("--count", type=click.IntRange(1), default=1_000_000, show_default=True, help="Messages.")
@_size
@click.option("--connections", type=click.IntRange(1), default=1, show_default=True, help="Senders.")
@click.option(
    "--pattern",
    type=click.Choice([each.value for each in Pattern]),
    default="unicast",
    show_default=True,
    help="To one receiver chosen here, to one chosen by the gateway, or to all.",
)
@click.option(
    "--receivers", type=click.IntRange(1), default=1, show_default=True, help="Connections of `sub`."
)
@_source
def pub(
    target: Target,
    name: str,
    count: int,
    size: int,
    connections: int,
    pattern: str,
    receivers: int,
    source: str | None,
) -> None:
    """Send messages to NAME, org/ns/type, as fast as the gateway takes them."""
    options: dict[str, Any] = {
        "pattern": Pattern(pattern),
        "size": size,
        "messages": count,
        "connections": connections,
        "receivers": receivers,
        "chance": random.Random(1),  # noqa: S311  (the same choices in each run)
        "gateway_pid": target.gateway_pid,
    }
    sender = _beside(name, source)
    if target.raw:
        result = target.run(raw.publish(target.carrier(), name, sender, **options))
    else:
        result = target.run(sdk.publish(target.gateway, name, sender, **options))
    target.show(result, result.refused, _way_out(result.refused_as, name))


@bench.command()
@_target
@click.option("--count", type=click.IntRange(1), default=1_000_000, show_default=True, help="Deliveries.")
@click.option("--connections", type=click.IntRange(1), default=1, show_default=True, help="Receivers.")
@_idle
def sub(target: Target, name: str, count: int, connections: int, idle_s: float) -> None:
    """Receive as NAME/0, NAME/1 ... and count. Prints `ready` on standard error once all are registered.

    Ends when all of COUNT has come; less than that is a loss, with exit code 2.
    """
    options: dict[str, Any] = {
        "expected": count,
        "connections": connections,
        "idle_s": idle_s,
        "gateway_pid": target.gateway_pid,
        "ready": _ready,
    }
    if target.raw:
        result = target.run(raw.subscribe(target.carrier(), name, **options))
    else:
        result = target.run(sdk.subscribe(target.gateway, name, **options))
    target.show(result, result.lost)


@bench.command()
@_target
@click.option("--count", type=click.IntRange(1), default=10_000, show_default=True, help="Requests.")
@_size
@click.option("--concurrency", type=click.IntRange(1), default=1, show_default=True, help="At a time.")
@click.option("--serve", is_flag=True, help="Answer requests instead, until interrupted.")
@_load_rate
@_load_share
@_idle
@_source
def rr(
    target: Target,
    name: str,
    count: int,
    size: int,
    concurrency: int,
    serve: bool,
    load_rate: float | None,
    background_load: float | None,
    idle_s: float,
    source: str | None,
) -> None:
    """Send requests to NAME/0 and time the replies; start `rr --serve NAME` first, which answers them.

    With --background-load or --load-rate, `load` runs meanwhile, in a process of its own.
    """
    if serve:
        _serve(target, name)
        return
    options: dict[str, Any] = {
        "size": size,
        "requests": count,
        "concurrency": concurrency,
        "gateway_pid": target.gateway_pid,
    }
    sender = _beside(name, source)

    def measured() -> Answered:
        if target.raw:
            work = raw_requests.request(target.carrier(), name, sender, idle_s=idle_s, **options)
        else:
            work = sdk.request(target.gateway, name, sender, timeout_s=idle_s, **options)
        return target.run(work)  # type: ignore[no-any-return]

    if load_rate is None and background_load is None:
        result = measured()
    else:
        result = _under_load([sender, *target.options(), *_pace(load_rate, background_load)], measured)
    target.show(result, result.lost)


def _under_load(load: list[str], measured: Callable[[], Answered]) -> Answered:
    try:
        with background.beside(load) as end:
            return AnsweredUnderLoad.of(measured(), end())
    except ConnectError as error:
        raise _Failure(str(error)) from None


def _pace(rate: float | None, share: float | None) -> list[str]:
    if rate is not None:
        return ["--load-rate", str(rate)]
    return ["--background-load", str(share)]


@bench.command()
@_target
@_size
@_load_rate
@_load_share
@click.option("--seconds", type=click.FloatRange(0.001), help="Then it ends; else SIGTERM or Ctrl-C ends it.")
def load(
    target: Target,
    name: str,
    size: int,
    load_rate: float | None,
    background_load: float | None,
    seconds: float | None,
) -> None:
    """Send messages at a steady rate from one agent of type NAME to another, with prebuilt frames.

    The rate holds by the clock, whether or not the gateway keeps up. Prints `ready` on standard error once it begins.
    """
    if load_rate is None and background_load is None:
        raise click.UsageError("give --load-rate or --background-load")
    work = background.run(
        target.carrier(),
        name,
        size=size,
        rate=load_rate,
        share=background_load,
        seconds=seconds,
        ready=_ready,
    )
    result: Loaded = target.run(work)
    target.show(result, result.lost)


def _serve(target: Target, name: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        if target.raw:
            target.run(raw_requests.answer(target.carrier(), name, _ready))
        else:
            target.run(sdk.answer(target.gateway, name, _ready))


def _beside(name: str, source: str | None) -> str:
    return str(parse_type(source)) if source else f"{name.rpartition('/')[0]}/bench"
