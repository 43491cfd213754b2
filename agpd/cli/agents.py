"""`agpctl agents`: who registers, starts, stops and leaves."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from agpd.cli import completion
from agpd.cli.asking import asks, form_option, quiet
from agpd.cli.kinds import find
from agpd.cli.lazy import INTERRUPTED, Failure
from agpd.cli.rest import Parameters, Server
from agpd.cli.text import printable


@click.group()
def agents() -> None:
    """Follow the registered agents."""


@agents.command()
@click.argument("name", required=False, shell_complete=completion.of("agent"))
@click.option(
    "-l", "--selector", "labels", multiple=True, metavar="KEY=VALUE", help="With this label. May be repeated."
)
@click.option("--count", type=click.IntRange(1), help="End after this many lines.")
@form_option("table", "json")
@asks
def watch(server: Server, name: str | None, labels: tuple[str, ...], count: int | None, form: str) -> None:
    """Print changes of agents as they happen: registered, changed, deregistered, started, stopped.

    NAME is an organization, a namespace org/ns or a type org/ns/type; left out, all that may be seen.
    """
    query: Parameters = [("label", label) for label in labels]
    follow(server, (name,) if name else (), query, form, count)


def follow(server: Server, names: tuple[str, ...], query: Parameters, form: str, count: int | None) -> None:
    """Print changes, `count` of them or until interrupted or the gateway ends it. Raises `Failure`."""
    if len(names) > 1 or (names and names[0].count("/") > 2):
        raise Failure("watch one organization, namespace org/ns or type org/ns/type at a time")
    below = zip(("organization", "namespace", "type"), names[0].split("/") if names else (), strict=False)
    events = server.events("/v1/agents/watch", [*below, *query], lambda: quiet("watching agents"))
    try:
        _print(events, form, count)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _print(events: Iterator[dict[str, Any]], form: str, count: int | None) -> None:
    for event in events:
        if "agent" not in event:
            raise Failure(f"the gateway ended the watch: {event.get('message', event)}")
        click.echo(json.dumps(event) if form == "json" else _line(event))
        if count is not None and (count := count - 1) == 0:
            return


def _line(event: dict[str, Any]) -> str:
    agent = event["agent"]
    name = printable(find("agent").title(agent))
    return f"{time.strftime('%H:%M:%S')}  {printable(str(event['kind'])):<12}  {name}  ({len(agent['instances'])} live)"
