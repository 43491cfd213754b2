"""What the data plane is told of each tenant beside the policy: its quotas and its standing routes.

Read at the start, and again for the tenants that change.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select

from agpd.control.following import Following
from agpd.control.model import route, tenant
from agpd.control.resources import AuditEvent, Quotas
from agpd.control.store import Store
from agpd.names import Name, Pattern, parse_pattern, parse_type

NO_QUOTAS = Quotas()


class Allotment(NamedTuple):
    """Of one tenant. `routes`: pattern -> the type of the tenant that it leads to."""

    quotas: Quotas = NO_QUOTAS
    routes: Mapping[Pattern, Name] = {}


class Allotments:
    """Of all tenants that have any. `tell(organization, allotment)` is called for each that changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Callable[[str, Allotment], None]] = []
        self._marked: set[str] = set()
        self._following = Following(self._reload)
        self.current: dict[str, Allotment] = {}
        store.listen(self._changed)

    async def load(self) -> None:
        """Read all of them."""
        self.current = await self._store.read(lambda connection: _read(connection, None))

    async def close(self) -> None:
        """Follow no further."""
        await self._following.close()

    async def settled(self) -> None:
        """Wait until every change so far has been told."""
        await self._following.settled()

    def listen(self, tell: Callable[[str, Allotment], None]) -> None:
        """Tell it of those that are there, and of each change."""
        self._listeners.append(tell)
        for organization, allotment in self.current.items():
            tell(organization, allotment)

    def _changed(self, events: Iterable[AuditEvent]) -> None:
        marked = {event.tenant for event in events if event.action.startswith(("tenant.", "route."))}
        if marked:
            self._marked |= marked
            self._following.mark()

    async def _reload(self) -> None:
        # What fails stays marked, and is read with the next ones.
        marked = set(self._marked)
        found = await self._store.read(lambda connection: _read(connection, marked))
        self._marked -= marked
        for organization in sorted(marked):
            allotment = found.get(organization, Allotment())
            if allotment == self.current.get(organization, Allotment()):
                continue
            if allotment == Allotment():
                del self.current[organization]
            else:
                self.current[organization] = allotment
            for tell in self._listeners:
                tell(organization, allotment)


def _read(connection: Connection, organizations: set[str] | None) -> dict[str, Allotment]:
    """Those of these tenants, or of all, that are not empty."""
    quotas_of = select(tenant.c.name, tenant.c.quotas)
    routes_of = select(route.c.tenant, route.c.pattern, route.c.via)
    if organizations is not None:
        quotas_of = quotas_of.where(tenant.c.name.in_(organizations))
        routes_of = routes_of.where(route.c.tenant.in_(organizations))
    routes: dict[str, dict[Pattern, Name]] = {}
    for organization, pattern, via in connection.execute(routes_of):
        routes.setdefault(organization, {})[parse_pattern(pattern)] = parse_type(via)
    found = {
        organization: Allotment(Quotas(**values), routes.get(organization, {}))
        for organization, values in connection.execute(quotas_of)
    }
    return {organization: each for organization, each in found.items() if each != Allotment()}
