"""`agpctl pub`, `sub`, `request` and `watch`: the SDK from a shell."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click
import msgspec

import agpd_client as agp
from agpd import names
from agpd.cli import show
from agpd.cli.asking import context_option, wanted_context
from agpd.cli.contexts import current
from agpd.cli.lazy import INTERRUPTED, Failure
from agpd.cli.text import printable
from agpd.errors import Refused
from agpd.wire.frames import FANOUT_LIMIT

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _fanout(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """From `all`, `any`, or a number of distinct instances."""
    words = {"all": agp.ALL, "any": agp.ANY}
    if value in words:
        return words[value]
    if not value.isdecimal() or not 1 <= int(value) <= FANOUT_LIMIT:
        raise click.BadParameter(f"{value!r} is not all, any, or a number from 1 to {FANOUT_LIMIT}")
    return int(value)


def _connection_options(command: _Command) -> _Command:
    """Where the gateway is and who we are; the SDK's defaults where left out."""
    file = click.Path(exists=True, dir_okay=False)
    for option in (
        click.option("--as", "name", metavar="NAME", help="Speak as this agent type, org/ns/type."),
        click.option("--ca", type=file, help="The gateway's authority; otherwise AGP_CA or the context's."),
        click.option(
            "--key", type=file, help="The key of the certificate; otherwise AGP_KEY or the context's."
        ),
        click.option(
            "--certificate", type=file, help="Our certificate; otherwise AGP_CERTIFICATE or the context's."
        ),
        click.option("--url", help="The gateway; otherwise AGP_URL, the context's, or agp://127.0.0.1:7420."),
        context_option,
    ):
        command = option(command)
    return command


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
_count = click.option("--count", type=click.IntRange(1), help="End after this many lines.")
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to wait.",
)
_content_type = click.option(
    "--content-type",
    type=click.Choice(["text", "json", "bytes"]),
    default="text",
    show_default=True,
    help="What DATA is; of JSON the receiver gets the value.",
)


@click.command()
@click.argument("to")
@click.argument("data")
@click.option(
    "--fanout",
    metavar="all|any|N",
    callback=_fanout,
    default="any",
    show_default=True,
    help="To how many instances of a type.",
)
@click.option("--confirm", is_flag=True, help="Print in how many outboxes the gateway put it.")
@_content_type
@_timeout
@_json
@_connection_options
def pub(
    to: str,
    data: str,
    fanout: int,
    confirm: bool,
    content_type: str,
    timeout: float,
    as_json: bool,
    **how: Any,
) -> None:
    """Publish DATA to TO: a type or topic org/ns/type, or one agent org/ns/type/uuid. DATA `-` is standard input.

    Fails with NO_ROUTE if nobody is there.
    """
    value = payload(data, content_type)

    async def publish() -> None:
        async with _agent(how, to) as agent:
            count = await agent.publish(to, value, fanout=fanout, confirm=True, timeout=timeout)
        if as_json:
            click.echo(show.ascii_json({"instances": count}))
        elif confirm:
            click.echo(f"put in {count} outbox{'' if count == 1 else 'es'}")

    _run(publish())


@click.command()
@click.argument("to")
@click.argument("data")
@_content_type
@_timeout
@_json
@_connection_options
def request(to: str, data: str, content_type: str, timeout: float, as_json: bool, **how: Any) -> None:
    """Send DATA to one instance of TO and print its reply. DATA `-` is standard input."""
    value = payload(data, content_type)

    async def ask() -> None:
        async with _agent(how, to) as agent:
            reply = await agent.request_message(to, value, timeout=timeout)
        _ = reply.data  # raises what the other side's handler raised
        click.echo(show.message_json(reply) if as_json else show.payload_text(reply))

    _run(ask())


@click.command()
@click.argument("topic")
@_count
@_json
@_connection_options
def sub(topic: str, count: int | None, as_json: bool, **how: Any) -> None:
    """Subscribe to TOPIC, a type or topic org/ns/type, and print what arrives; org/ns/* observes a namespace.

    A subscriber is an instance of the topic: what is published to any one instance may come here.
    """
    form = show.message_json if as_json else show.message_text

    async def listen() -> None:
        async with _agent(how, topic, stay=True) as agent:
            subscribe = agent.observe if topic.endswith("/*") else agent.subscribe
            await _print(await subscribe(topic), form, count, f"{agent.name} is subscribed to {topic}")

    _run(listen())


@click.command()
@click.argument("type_name", metavar="TYPE")
@_count
@_json
@_connection_options
def watch(type_name: str, count: int | None, as_json: bool, **how: Any) -> None:
    """Print which agents of TYPE are there, then who joins and leaves."""

    def form(presence: agp.Presence) -> str:
        return show.ascii_json(presence._asdict()) if as_json else show.presence_text(presence)

    async def look() -> None:
        async with _agent(how, type_name, stay=True) as agent, agent.watch(type_name) as watching:
            there = [agp.Presence(name, True) for name in sorted(watching.present)][:count]
            for presence in there:
                click.echo(form(presence))
            left = None if count is None else count - len(there)
            await _print(watching, form, left, f"watching {type_name}")

    _run(look())


def payload(data: str, content_type: str) -> Any:
    """DATA of the command line, or of standard input for `-`, as the value to send. Raises `Failure`."""
    raw = sys.stdin.buffer.read() if data == "-" else data.encode(errors="surrogateescape")
    if content_type == "bytes":
        return raw
    try:
        return msgspec.json.decode(raw) if content_type == "json" else raw.decode()
    except UnicodeDecodeError as error:
        raise Failure(f"DATA is not UTF-8 text ({error}): send it with --content-type bytes") from error
    except msgspec.DecodeError as error:
        raise Failure(f"DATA is not JSON: {error}") from error


def own_name(allowed: str, about: str) -> str:
    """Whom to speak as if nobody said it: within what the certificate allows, close to the name it is about."""
    prefix = names.parse_pattern(allowed).prefix
    if len(prefix) >= 3:
        return "/".join(prefix)
    return "/".join((*prefix, *about.split("/")[len(prefix) : 2], "agpctl"))


def from_context(wanted: str | None, how: dict[str, Any]) -> dict[str, Any]:
    """Options of a connection, with the context's where neither an option nor the environment says otherwise.

    A context's certificate and tokens are shown to no gateway but its own. Raises `Failure`, `ConfigError`.
    """
    name = wanted_context(wanted)
    if how["url"] or (not name and os.environ.get("AGP_URL")):
        return how
    found = current(os.environ, name)
    if found is None or not (context := found[1]).gateway:
        return how
    filled = how | {"url": context.gateway}
    own = how["certificate"] or how["key"] or "AGP_CERTIFICATE" in os.environ or "AGP_KEY" in os.environ
    if not own:
        filled |= {"certificate": context.certificate or None, "key": context.key or None}
        filled |= {"token": _tokens(found[0])} if context.client else {}
    if not how["ca"] and "AGP_CA" not in os.environ:
        filled["ca"] = context.ca or None
    if not own and not context.certificate and context.gateway.startswith("agp://"):
        raise Failure(
            f"the context {found[0]} has no certificate to show to {context.gateway}: "
            f"agpctl context add {found[0]} --certificate FILE --key FILE"
        )
    return filled


def _tokens(name: str) -> Callable[[], Awaitable[str]]:
    """Where the SDK gets access tokens of this context from. Raises `Failure` if there are none now."""
    from agpd.cli.rest import connected

    def token() -> str:
        with connected(name) as server:
            return server.token()

    token()  # it is kept; what is wrong is said at once

    async def fetch() -> str:
        return await asyncio.to_thread(token)

    return fetch


@asynccontextmanager
async def _agent(how: dict[str, Any], about: str, *, stay: bool = False) -> AsyncIterator[agp.Agent]:
    """An agent on a new connection, in order to do something with `about`, a name or `org/ns/*`.

    `stay`: connect again when the connection is lost, and say so. Raises `Refused` for a name against the grammar.
    """
    # Before our own name is made of it: the error is to speak of what the user wrote.
    names.parse_pattern(about) if about.endswith("/*") else names.parse(about)
    name = how.pop("name")
    how = from_context(how.pop("context"), how)
    async with agp.connect(**how, name="agpctl", reconnect=stay) as gateway:
        news = asyncio.create_task(_tell(gateway))
        try:
            yield await gateway.create_agent(name or own_name(gateway.may_speak_as, about))
        finally:
            news.cancel()


async def _tell(gateway: agp.Gateway) -> None:
    """Say on standard error what happens to the connection."""
    async for event in gateway.events():
        if isinstance(event, agp.Disconnected) and not event.final:
            _note(f"disconnected: {event.error}; connecting again")
        elif isinstance(event, agp.Connected):
            _note("connected again")
        elif isinstance(event, agp.Dropped):
            _note(f"the gateway dropped {event.count} messages: they are printed too slowly")


async def _print(source: Any, form: Callable[[Any], str], count: int | None, first: str) -> None:
    """Print what comes from an async iterator, `count` of them or all."""
    _note(first)
    while count is None or count > 0:
        click.echo(form(await anext(source)))
        count = None if count is None else count - 1


def _note(text: str) -> None:
    click.echo(printable(text), err=True)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run it; an error of the SDK is one line and exit code 2, Ctrl-C a quiet end."""
    try:
        agp.run(main)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (agp.AgpError, Refused, ValueError) as error:
        raise Failure(str(error)) from error
