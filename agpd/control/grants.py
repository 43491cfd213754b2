"""Grants: what a tenant says about who may do what to whom, and the simulator that explains a verdict."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from agpd.control.caller import Caller, missing
from agpd.control.checks import changes, check_own_id, fresh_id, page_of, page_size, split_name
from agpd.control.model import grant, tenant
from agpd.control.policies import Policies
from agpd.control.resources import Grant, Page, Verb, Verdict
from agpd.control.simulator import question, verdict
from agpd.control.store import Notes, Store
from agpd.errors import Code, Refused
from agpd.names import parse_pattern

GRANTS_LIMIT = 100_000  # of one tenant


class Grants:
    """The administrators of a tenant write its grants, all its agents read them. Key: id.

    Methods raise `Refused`: NOT_FOUND for what does not exist and for what another tenant has; ALREADY_EXISTS,
    NOT_PERMITTED, INVALID_NAME, INVALID_REQUEST, QUOTA_EXCEEDED.
    """

    def __init__(
        self, store: Store, policies: Policies, page_limit: int, new_id: Callable[[str], str] = fresh_id
    ) -> None:
        self._store = store
        self._policies = policies
        self._page_limit = page_limit
        self._new_id = new_id

    async def put(self, caller: Caller, resource: Grant, *, create: bool = False) -> Grant:
        """Create or replace it; with `create` only create. It is in force a moment after this returns.

        An id is `<tenant>.<label>` or one that was made here; empty: one is made.
        """
        caller.check_admin(resource.tenant, f"tenant {resource.tenant}")
        given = _checked(resource)
        if not given.id:
            given = msgspec.structs.replace(given, id=self._new_id("g"))
        held = self._policies.current.side(given.tenant).statements

        def work(connection: Connection, notes: Notes) -> Grant:
            before = _read(connection, given.id)
            if before is None:
                _insert(connection, notes, caller, given, held)
            elif create or before.tenant != given.tenant:
                raise Refused(Code.ALREADY_EXISTS, f"grant {given.id}")
            elif changed := changes(before, given):
                connection.execute(grant.update().where(grant.c.id == given.id).values(_values(given)))
                notes.add(caller.label, given.tenant, "grant.update", given.id, changed)
            return given

        return await self._store.write(work)

    async def get(self, caller: Caller, key: str) -> Grant:
        """One of the caller's tenant; operators get all."""
        found = (
            await self._store.read(lambda connection: _read(connection, key)) if key.isprintable() else None
        )
        if found is None or not caller.belongs_to(found.tenant):
            raise missing(f"grant {key}")
        return found

    async def delete(self, caller: Caller, key: str) -> None:
        """It is out of force a moment after this returns."""

        def work(connection: Connection, notes: Notes) -> None:
            found = _read(connection, key) if key.isprintable() else None
            if found is None:
                raise missing(f"grant {key}")
            caller.check_admin(found.tenant, f"grant {key}")
            connection.execute(grant.delete().where(grant.c.id == key))
            notes.add(caller.label, found.tenant, "grant.delete", key, _values(found))

        await self._store.write(work)

    async def list(self, caller: Caller, scope: str, *, after: str = "", limit: int = 0) -> Page[Grant]:
        """Those of the tenant `scope`, sorted by id."""
        split_name(scope, "organization")
        caller.check_member(scope, f"tenant {scope}")
        size = page_size(limit, self._page_limit, after)
        query = select(grant).where(grant.c.tenant == scope, grant.c.id > after)
        query = query.order_by(grant.c.id).limit(size + 1)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return page_of([_resource(row) for row in rows], size, lambda item: item.id)

    async def can(self, caller: Caller, subject: str, verb: Verb, object: str) -> Verdict:  # noqa: A002
        """May `subject` do `verb` to `object`, and which rules decide?

        Of the other organization a caller learns no more than whether that side allows it: an organization that is
        not there answers as one without grants. Names of other organizations only are NOT_PERMITTED. Operators see all.
        """
        asked = question(subject, verb, object)
        if not any(caller.belongs_to(organization) for organization in asked.organizations):
            raise Refused(Code.NOT_PERMITTED, "ask about a name of your own organization")
        operator = self._policies.operator
        return await self._store.read(lambda connection: verdict(connection, caller, asked, operator))


def _checked(resource: Grant) -> Grant:
    """The grant with its patterns in the one way to write them."""
    subject, object_ = parse_pattern(resource.subject), parse_pattern(resource.object)
    if resource.tenant not in (*subject.prefix[:1], *object_.prefix[:1]):
        raise Refused(
            Code.INVALID_REQUEST,
            f"neither subject nor object lies in {resource.tenant}, which can grant only what concerns its own agents",
        )
    check_own_id(resource.id, resource.tenant, "g")
    return msgspec.structs.replace(resource, subject=str(subject), object=str(object_))


def _insert(connection: Connection, notes: Notes, caller: Caller, given: Grant, held: int) -> None:
    if connection.execute(select(tenant.c.name).where(tenant.c.name == given.tenant)).first() is None:
        raise missing(f"tenant {given.tenant}")
    if held >= GRANTS_LIMIT:
        raise Refused(Code.QUOTA_EXCEEDED, f"{given.tenant} has {GRANTS_LIMIT} grants, which is the limit")
    connection.execute(grant.insert().values(id=given.id, tenant=given.tenant, **_values(given)))
    notes.add(caller.label, given.tenant, "grant.create", given.id, _values(given))


def _values(item: Grant) -> dict[str, Any]:
    return {"subject": item.subject, "verb": item.verb, "object": item.object, "effect": item.effect}


def _read(connection: Connection, key: str) -> Grant | None:
    row = connection.execute(select(grant).where(grant.c.id == key)).first()
    return None if row is None else _resource(row)


def _resource(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        tenant=row.tenant,
        subject=row.subject,
        verb=row.verb,
        object=row.object,
        effect=row.effect,
    )
