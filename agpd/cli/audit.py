"""`agpctl audit`: what was done, and whether the log of it is whole."""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agpd.cli import output
from agpd.cli.asking import context_option, form_option, server, tenant_option
from agpd.cli.lazy import Failure
from agpd.cli.text import printable


@click.group()
def audit() -> None:
    """Read and check the audit log of the control plane."""


@audit.command("list")
@click.option("--all", "everything", is_flag=True, help="Of all tenants; for operators.")
@click.option("--after", default="", metavar="N", help="Only what came after the event with this number.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the newest."
)
@form_option("table", "wide", "json", "yaml")
@context_option
@tenant_option
def list_events(
    context: str | None, tenant: str, everything: bool, after: str, limit: int, form: str
) -> None:
    """List what was done to the tenant, the oldest first."""
    with server(context, tenant) as asked:
        query: list[Any] = [] if everything else [("tenant", asked.tenant)]
        events = deque(asked.pages("/v1/audit", [*query, *([("after", after)] if after else [])]), limit)
    if form in ("json", "yaml"):
        click.echo(output.documents(events, form))
        return
    titles = ["N", "TIME", "ACTOR", "ACTION", "OBJECT", *(["TENANT", "DETAIL"] if form == "wide" else [])]
    click.echo(output.table(titles, [_row(event)[: len(titles)] for event in events], cut=form != "wide"))


@audit.command()
@click.option("--database", metavar="URL", help="Check this database instead, without a gateway.")
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="Its control.key; with --database.")
@form_option("table", "json")
@context_option
def verify(context: str | None, database: str | None, key_file: Path | None, form: str) -> None:
    """Check that nothing in the log was changed, taken out or cut off. Exit code 0: it is whole, 1: it is not.

    For operators; or with --database for whoever has the database and the key.
    """
    if (database is None) != (key_file is None):
        raise click.UsageError("--database and --key go together")
    if database is not None and key_file is not None:
        _check_there(database, key_file)
        found = asyncio.run(_verify(database, key_file))
    else:
        with server(context) as asked:
            found = asked.get("/v1/audit/verify")
    click.echo(json.dumps(found) if form == "json" else _verdict(found))
    sys.exit(0 if found["intact"] else 1)


def _check_there(url: str, key_file: Path) -> None:
    """To open them would make them. Raises `Failure`."""
    if not key_file.is_file():
        raise Failure(f"there is no key {key_file}: it is control.key in the gateway's state directory")
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise Failure(f"there is no database {url.removeprefix('sqlite:///')}")


async def _verify(url: str, key_file: Path) -> dict[str, Any]:
    """Of a database that no gateway need be running on; nothing in it is changed. Raises `ConfigError`."""
    import msgspec

    from agpd.control.audit import verify
    from agpd.control.database import connect
    from agpd.control.sealing import Sealer
    from agpd.control.store import Store

    database = connect(url)
    try:
        checked = await verify(Store(database, time.time, Sealer.open(key_file), poll_s=1.0))
    finally:
        await database.close()
    built: dict[str, Any] = msgspec.to_builtins(checked)
    return built


def _verdict(found: Mapping[str, Any]) -> str:
    if found["intact"]:
        return f"the audit log is whole: {found['sequence']} events, digest {found['digest']}"
    where = f" at event {found['broken']}" if found["broken"] else ""
    return f"the audit log is NOT whole{where}: {printable(found['reason'])}"


def _row(event: Mapping[str, Any]) -> list[str]:
    texts = [
        output.date(event["at"]),
        *(str(event[name]) for name in ("actor", "action", "object", "tenant")),
    ]
    return [str(event["sequence"]), *map(printable, texts), printable(json.dumps(event["detail"]))]
