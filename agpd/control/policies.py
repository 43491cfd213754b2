"""The policy that is in force: compiled from the store when the control plane opens, and again after each change.

Only the side of the tenant that has changed is read anew, in pages, so that the event loop is never held for more than
a few hundred grants, however many there are. The new policy takes the place of the old one at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, Text, cast, select, tuple_

from agpd import config
from agpd.control.model import agent_type, grant, tenant
from agpd.control.policy import OPERATOR_SIDE, Policy, Prefix, Side, operator_statements
from agpd.control.resources import AuditEvent
from agpd.control.store import Store
from agpd.errors import Refused

PAGE = 250  # grants that are compiled in one turn of the loop: about 1 ms
RETRY_S = 1.0
CHANGES = ("grant.", "type.", "tenant.")  # audit events that may change the policy
_log = logging.getLogger(__name__)


class Policies:
    """Keeps `current` as the store has it. `open` it once, `close` it at the end."""

    def __init__(self, store: Store, grants: Iterable[config.Grant] = ()) -> None:
        """`grants` are the operator's, from the configuration. Raises `Refused(INVALID_NAME)`."""
        self.operator = operator_statements(grants)
        self.current = Policy.compiled(self.operator)
        self._store = store
        self._callbacks: list[Callable[[], None]] = []
        self._changed: set[str] = set()  # tenants whose side is to be read
        self._wake = asyncio.Event()
        self._in_force = asyncio.Event()
        self._in_force.set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read all sides, and follow the store from now on. Raises `Refused(UNAVAILABLE)`."""
        self._store.listen(self._heard)
        sides = await self._read(None)
        self.current = self.current.replaced(sides)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call it each time that `current` is another one."""
        self._callbacks.append(callback)

    async def settled(self) -> None:
        """Wait until what has been committed here is in force."""
        await self._in_force.wait()

    def _heard(self, events: Sequence[AuditEvent]) -> None:
        changed = {event.tenant for event in events if event.action.startswith(CHANGES)}
        if changed:
            self._changed |= changed
            self._in_force.clear()
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, set()
            try:
                sides = await self._read(changed)
            except Exception as error:  # also a fault of ours: it must not keep later changes out for ever
                reason = None if isinstance(error, Refused) else error
                _log.error(
                    "changed grants cannot be read, those of before stay in force: %s", error, exc_info=reason
                )
                self._changed |= changed
                self._wake.set()
                await asyncio.sleep(RETRY_S)
                continue
            self._replace({name: sides.get(name) for name in changed})

    def _replace(self, sides: dict[str, Side | None]) -> None:
        self.current = self.current.replaced(sides)
        for callback in self._callbacks:
            asyncio.get_running_loop().call_soon(callback)
        if not self._changed:
            self._in_force.set()

    async def _read(self, tenants: set[str] | None) -> dict[str, Side]:
        """The sides of these tenants, or of all. One that says nothing is left out."""
        sides: dict[str, Side] = {}

        def take_tenant(row: Row[Any]) -> None:
            sides[row.name] = Side(suspended=True)

        def take_grant(row: Row[Any]) -> None:
            side = sides.setdefault(row.tenant, Side())
            side.add(_prefix(row.subject), row.verb, _prefix(row.object), row.effect == "allow")

        def take_type(row: Row[Any]) -> None:
            side = sides.setdefault(row.organization, Side())
            side.callers[row.organization, row.namespace, row.name] = frozenset(map(_prefix, row.callers))

        await self._each(tenant, ("name",), tenant.c.name, tenants, tenant.c.suspended.is_(True), take_tenant)
        await self._each(grant, ("id",), grant.c.tenant, tenants, None, take_grant)
        restricted = cast(agent_type.c.callers, Text) != "[]"
        key = ("organization", "namespace", "name")
        await self._each(agent_type, key, agent_type.c.organization, tenants, restricted, take_type)
        sides.pop(OPERATOR_SIDE, None)
        return sides

    async def _each(
        self,
        table: Table,
        key: Sequence[str],
        owner: ColumnElement[str],
        tenants: set[str] | None,
        where: ColumnElement[bool] | None,
        take: Callable[[Row[Any]], None],
    ) -> None:
        """Give `take` each row of these tenants, a page in one turn of the loop."""
        columns = [table.c[name] for name in key]
        query = select(table).order_by(*columns).limit(PAGE)
        if tenants is not None:
            query = query.where(owner.in_(sorted(tenants)))
        if where is not None:
            query = query.where(where)
        rows = await self._page(query)
        while rows:
            for row in rows:
                take(row)
            last = [getattr(rows[-1], name) for name in key]
            rows = (
                await self._page(query.where(tuple_(*columns) > tuple_(*last))) if len(rows) == PAGE else []
            )

    async def _page(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return await self._store.read(lambda connection: connection.execute(query).all())


def _prefix(pattern: str) -> Prefix:
    """Of a pattern as it is stored: checked, and in the one way to write it."""
    segments = tuple(pattern.split("/"))
    return segments[:-1] if segments[-1] == "*" else segments
