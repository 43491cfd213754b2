"""`agpctl get`, `describe`, `apply` and `delete`: the resources of a gateway's control plane."""

import time
from typing import Any

import click

from agpd.cli import completion, output
from agpd.cli.asking import asks, dry_run_option, form_option
from agpd.cli.documents import Document, read_all
from agpd.cli.kinds import Kind, find, own
from agpd.cli.lazy import Failure
from agpd.cli.listing import differs, items, key_of, one, present
from agpd.cli.rest import Parameters, Rejected, Server

_kind = click.argument("kind", shell_complete=completion.kinds)
_names = click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completion.names)
_files = click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="YAML, JSON or TOML; - is standard input. May be repeated.",
)


@click.command()
@_kind
@_names
@form_option(*output.FORMATS)
@click.option(
    "-l", "--selector", "labels", multiple=True, metavar="KEY=VALUE", help="With this label. May be repeated."
)
@click.option(
    "--capability", "capabilities", multiple=True, help="Agents with this capability. May be repeated."
)
@click.option("--text", default="", help="Agents in whose description, labels or card these words are.")
@click.option("--live", is_flag=True, help="Agents of which an instance runs.")
@click.option("-w", "--watch", is_flag=True, help="Agents: print changes too, until interrupted.")
@asks
def get(
    server: Server,
    kind: str,
    names: tuple[str, ...],
    form: str,
    labels: tuple[str, ...],
    capabilities: tuple[str, ...],
    text: str,
    live: bool,
    watch: bool,
) -> None:
    """List resources of KIND, or those named.

    KIND is tenants, namespaces, types, agents, clients, grants, routes, issuers or keys. NAME is an id or a whole
    name; of types and agents also the beginning of one, such as acme or acme/prod.
    """
    known, wanted = find(kind), pairs(labels)
    query: Parameters = [("label", f"{name}={value}") for name, value in wanted.items()]
    query += [("capability", name) for name in capabilities]
    query += [("text", text)] * bool(text) + [("live", "true")] * live
    if known.name != "agent":
        if capabilities or text or live or watch:
            raise Failure("--capability, --text, --live and --watch are for agents")
        query = []
    found = [item for item in _found(server, known, names, query) if _labelled(item, wanted)]
    single = (
        bool(names) and len(found) == len(names) == 1 and len(key_of(server, known, names[0])) == known.depth
    )
    if found or form != "table" or not watch:
        text = output.resources(known, found, form, time.time(), one=single)
        click.echo(text, err=not found and form in ("table", "wide"))
    if watch:
        from agpd.cli.agents import follow

        follow(server, names, query, "json" if form == "json" else "table", None)


@click.command()
@_kind
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.names)
@asks
def describe(server: Server, kind: str, names: tuple[str, ...]) -> None:
    """Show everything about the named resources of KIND."""
    known = find(kind)
    found = [one(server, known, key_of(server, known, name)) for name in names]
    click.echo("\n\n".join(output.description(item) for item in found))


@click.command()
@_files
@dry_run_option
@asks
def apply(server: Server, files: tuple[str, ...], dry_run: bool) -> None:
    """Make resources as files say: create them, or replace them if they differ.

    A file is the whole truth of a resource: what it leaves out gets its default. The same file twice changes nothing.
    """
    if not files:
        raise click.UsageError("name a file with -f, or - for standard input")
    for document in read_all(files, server.context.tenant):
        verb = _apply(server, document, dry_run)
        click.echo(f"{shown(document)} {verb}{' (dry run)' * dry_run}")


@click.command()
@click.argument("kind", required=False, shell_complete=completion.kinds)
@_names
@_files
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@dry_run_option
@asks
def delete(
    server: Server,
    kind: str | None,
    names: tuple[str, ...],
    files: tuple[str, ...],
    ignore_not_found: bool,
    dry_run: bool,
) -> None:
    """Delete the named resources of KIND, or those that files name."""
    if bool(files) == bool(kind and names):
        raise click.UsageError("write KIND and NAME, or name a file with -f")
    if files:
        for document in reversed(read_all(files, server.context.tenant)):
            there = present(server, document.kind, document.values)
            _delete(
                server, document.kind, document.kind.key(there or document.values), ignore_not_found, dry_run
            )
        return
    known = find(kind or "")
    for name in names:
        _delete(server, known, key_of(server, known, name), ignore_not_found, dry_run)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """From `key=value` texts. Raises `Failure`."""
    for text in texts:
        if "=" not in text[1:]:
            raise Failure(f"{text!r}: write KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def shown(document: Document) -> str:
    """Kind and name of a resource; of one that has no id yet, what it says."""
    kind, values = document
    return f"{kind.name} {kind.title(values) or ' '.join(str(values[name]) for name in kind.same)}"


def _found(server: Server, kind: Kind, names: tuple[str, ...], query: Parameters) -> list[dict[str, Any]]:
    if not names:
        return list(items(server, kind, (), query))
    found: list[dict[str, Any]] = []
    for name in names:
        key = key_of(server, kind, name)
        if kind.name in ("type", "agent") and len(key) < kind.depth:
            found += items(server, kind, key, query)
        else:
            found.append(one(server, kind, key))
    return found


def _labelled(item: dict[str, Any], wanted: dict[str, str]) -> bool:
    # The gateway has chosen among agents: they have the labels of their type too.
    return "identity" in item or wanted.items() <= item.get("labels", {}).items()


def _apply(server: Server, document: Document, dry_run: bool) -> str:
    kind, values = document
    check_changes(kind)
    there = present(server, kind, values)
    if there is not None:
        if not differs(kind, there, values):
            return "unchanged"
        values = values | {name: there[name] for name in kind.names}
    if not dry_run:
        write(server, kind, values, create=there is None)
    return "created" if there is None else "configured"


def write(server: Server, kind: Kind, values: dict[str, Any], *, create: bool) -> dict[str, Any]:
    """Create it, or replace it; the resource as it is then."""
    key = kind.key(values)
    if create:
        path = kind.list_path(key)
        written: dict[str, Any] = server.send("POST", path, own(kind, values))
    else:
        written = server.send("PUT", kind.item_path(key), own(kind, values))
    return written


def check_changes(kind: Kind) -> None:
    """Raises `Failure` for a kind that the gateway makes by itself."""
    if not kind.changes:
        raise Failure(f"{kind.plural} are made by the gateway: see agpctl key rotate")


def _delete(server: Server, kind: Kind, key: tuple[str, ...], ignore_not_found: bool, dry_run: bool) -> None:
    check_changes(kind)
    name = f"{kind.name} {'/'.join(key[1:] if kind.in_tenant else key)}"
    path = kind.item_path(key)
    try:
        server.get(path) if dry_run else server.send("DELETE", path)
    except Rejected as error:
        if error.status != 404 or not ignore_not_found:
            raise
        click.echo(f"{name} not found")
        return
    click.echo(f"{name} deleted{' (dry run)' * dry_run}")
