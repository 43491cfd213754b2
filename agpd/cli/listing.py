"""What is there of a kind: all of it, or what lies below a part of a name."""

from collections.abc import Iterator, Mapping
from typing import Any

from agpd.cli.kinds import Key, Kind, find, own
from agpd.cli.lazy import Failure
from agpd.cli.rest import Parameters, Rejected, Server

Values = dict[str, Any]


def items(server: Server, kind: Kind, below: Key = (), query: Parameters | None = None) -> Iterator[Values]:
    """The resources below this beginning of a name; of no name, all of the tenant. Raises `Failure`."""
    if kind.name == "agent":
        yield from server.pages(
            kind.lists, [*zip(("organization", "namespace", "type"), below, strict=False), *(query or [])]
        )
    elif kind.name == "tenant":
        yield from server.pages(kind.lists, query)
    elif kind.name == "type" and len(below) < 2:
        for namespace in items(server, find("namespace"), below):
            yield from items(server, kind, tuple(namespace["name"].split("/")), query)
    else:
        yield from server.pages(kind.list_path(below or (server.tenant,)), query)


def key_of(server: Server, kind: Kind, name: str) -> Key:
    """The key of what the user calls so; what lies in a tenant may be named without it."""
    segments = tuple(name.strip("/").split("/"))
    if kind.in_tenant and len(segments) == 1:
        return (server.tenant_of(segments[0]), *segments)
    if kind.name == "namespace" and len(segments) == 1:
        return (server.tenant, *segments)
    return segments


def one(server: Server, kind: Kind, key: Key) -> Values:
    """Raises `Rejected` (NOT_FOUND)."""
    if not kind.changes:  # there is no address of a single one
        for item in items(server, kind, key[:-1]):
            if kind.key(item) == key:
                return item
        raise Rejected(404, "NOT_FOUND", f"NOT_FOUND: there is no {kind.name} {'/'.join(key)}")
    found: Values = server.get(kind.item_path(key))
    return found


def present(server: Server, kind: Kind, values: Mapping[str, Any]) -> Values | None:
    """What is there of this name, or without an id, what says the same; None: nothing."""
    key = kind.key(values)
    try:
        if key[-1]:
            return one(server, kind, key)
        alike = [item for item in items(server, kind, key[:-1]) if _same(kind, item, values)]
    except Rejected as error:
        if error.status == 404:
            return None
        raise
    if len(alike) > 1:
        raise Failure(f"there are {len(alike)} {kind.plural} like that: name one by its id")
    return alike[0] if alike else None


def differs(kind: Kind, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Would `wanted` change what is there? An empty id of `wanted` is no difference."""
    before, after = own(kind, there), own(kind, wanted)
    return any(before.get(name) != value for name, value in after.items() if name != "id" or value)


def _same(kind: Kind, there: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return bool(kind.same) and all(there[name] == values[name] for name in kind.same)
