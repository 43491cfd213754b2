"""What the data plane enforces for each tenant beside the policy: its quotas and its standing routes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from agpd.control.model import route, tenant
from agpd.control.resources import Quotas
from agpd.names import Name, Pattern, parse_pattern, parse_type

AT_ONCE = 500  # names in one question: databases have a limit


@dataclass(slots=True)
class Enforced:
    """Of one tenant. `routes` maps a pattern to the type that it leads to."""

    quotas: Quotas = field(default_factory=Quotas)
    routes: dict[Pattern, Name] = field(default_factory=dict)


def read(connection: Connection, names: Collection[str] | None) -> Mapping[str, Enforced]:
    """Of these tenants (None: of all); tenants that do not exist are not in the answer."""
    if names is None:
        return _read(connection, None)
    ordered, found = sorted(names), dict[str, Enforced]()
    for start in range(0, len(ordered), AT_ONCE):
        found |= _read(connection, ordered[start : start + AT_ONCE])
    return found


def _read(connection: Connection, names: list[str] | None) -> dict[str, Enforced]:
    tenants, routes = (
        select(tenant.c.name, tenant.c.quotas),
        select(route.c.tenant, route.c.pattern, route.c.via),
    )
    if names is not None:
        tenants, routes = tenants.where(tenant.c.name.in_(names)), routes.where(route.c.tenant.in_(names))
    found = {name: Enforced(Quotas(**quotas)) for name, quotas in connection.execute(tenants)}
    for name, pattern, via in connection.execute(routes):
        found[name].routes[parse_pattern(pattern)] = parse_type(via)
    return found
