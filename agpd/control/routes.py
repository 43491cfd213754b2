"""Standing routes: what agents of a tenant send and nobody takes goes to an instance of a type of that tenant."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from agpd.control.caller import Caller, missing
from agpd.control.checks import changes, check_own_id, fresh_id, page_of, page_size, split_name
from agpd.control.model import route, tenant
from agpd.control.resources import Page, Route
from agpd.control.store import Notes, Store
from agpd.errors import Code, Refused
from agpd.names import parse_pattern, parse_type

ROUTES_LIMIT = 10_000  # of one tenant


class Routes:
    """The administrators of a tenant write its routes, all its agents read them. Key: id. One route for each pattern.

    Methods raise `Refused`: NOT_FOUND for what does not exist and for what another tenant has; ALREADY_EXISTS,
    NOT_PERMITTED, INVALID_NAME, INVALID_REQUEST, QUOTA_EXCEEDED.
    """

    def __init__(self, store: Store, page_limit: int, new_id: Callable[[str], str] = fresh_id) -> None:
        self._store = store
        self._page_limit = page_limit
        self._new_id = new_id

    async def put(self, caller: Caller, resource: Route, *, create: bool = False) -> Route:
        """Create or replace it; with `create` only create. It is in force a moment after this returns.

        An id is `<tenant>.<label>` or one that was made here; empty: one is made.
        """
        caller.check_admin(resource.tenant, f"tenant {resource.tenant}")
        given = _checked(resource)
        if not given.id:
            given = msgspec.structs.replace(given, id=self._new_id("r"))

        def work(connection: Connection, notes: Notes) -> Route:
            before = _read(connection, given.id)
            if before is not None and (create or before.tenant != given.tenant):
                raise Refused(Code.ALREADY_EXISTS, f"route {given.id}")
            _check_pattern_is_free(connection, given)
            if before is None:
                _insert(connection, notes, caller, given)
            elif changed := changes(before, given):
                connection.execute(route.update().where(route.c.id == given.id).values(_values(given)))
                notes.add(caller.label, given.tenant, "route.update", given.id, changed)
            return given

        return await self._store.write(work)

    async def get(self, caller: Caller, key: str) -> Route:
        """One of the caller's tenant; operators get all."""
        found = await self._store.read(lambda connection: _read(connection, key))
        if found is None or not caller.belongs_to(found.tenant):
            raise missing(f"route {key}")
        return found

    async def delete(self, caller: Caller, key: str) -> None:
        """It is out of force a moment after this returns."""

        def work(connection: Connection, notes: Notes) -> None:
            found = _read(connection, key)
            if found is None:
                raise missing(f"route {key}")
            caller.check_admin(found.tenant, f"route {key}")
            connection.execute(route.delete().where(route.c.id == key))
            notes.add(caller.label, found.tenant, "route.delete", key, _values(found))

        await self._store.write(work)

    async def list(self, caller: Caller, scope: str, *, after: str = "", limit: int = 0) -> Page[Route]:
        """Those of the tenant `scope`, sorted by id."""
        split_name(scope, "organization")
        caller.check_member(scope, f"tenant {scope}")
        size = page_size(limit, self._page_limit, after)
        query = select(route).where(route.c.tenant == scope, route.c.id > after)
        query = query.order_by(route.c.id).limit(size + 1)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return page_of([_resource(row) for row in rows], size, lambda item: item.id)


def _checked(resource: Route) -> Route:
    """The route with its pattern in the one way to write it."""
    pattern, via = parse_pattern(resource.pattern), parse_type(resource.via)
    if via.organization != resource.tenant:
        raise Refused(
            Code.INVALID_REQUEST,
            f"via {via} is no type of {resource.tenant}: a route leads to agents of its own organization",
        )
    check_own_id(resource.id, resource.tenant, "r")
    return msgspec.structs.replace(resource, pattern=str(pattern))


def _check_pattern_is_free(connection: Connection, given: Route) -> None:
    same = select(route.c.id).where(route.c.tenant == given.tenant, route.c.pattern == given.pattern)
    other = connection.execute(same.where(route.c.id != given.id)).scalar()
    if other is not None:
        raise Refused(Code.ALREADY_EXISTS, f"route {other} has the pattern {given.pattern} already")


def _insert(connection: Connection, notes: Notes, caller: Caller, given: Route) -> None:
    if connection.execute(select(tenant.c.name).where(tenant.c.name == given.tenant)).first() is None:
        raise missing(f"tenant {given.tenant}")
    count = select(func.count()).select_from(route).where(route.c.tenant == given.tenant)
    if connection.execute(count).scalar_one() >= ROUTES_LIMIT:
        raise Refused(Code.QUOTA_EXCEEDED, f"{given.tenant} has {ROUTES_LIMIT} routes, which is the limit")
    connection.execute(route.insert().values(id=given.id, tenant=given.tenant, **_values(given)))
    notes.add(caller.label, given.tenant, "route.create", given.id, _values(given))


def _values(item: Route) -> dict[str, Any]:
    return {"pattern": item.pattern, "via": item.via}


def _read(connection: Connection, key: str) -> Route | None:
    if not key.isprintable():
        return None
    row = connection.execute(select(route).where(route.c.id == key)).first()
    return None if row is None else _resource(row)


def _resource(row: Row[Any]) -> Route:
    return Route(id=row.id, tenant=row.tenant, pattern=row.pattern, via=row.via)
