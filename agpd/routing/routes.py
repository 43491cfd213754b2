"""Routes: who carries a message that nobody else gets.

A route belongs to one tenant. One that a connection has set leads to one agent of that tenant and ends with it; a
standing one leads to whoever is there of a type of that tenant. Its pattern may lie outside the organization: that is
how a bridge to another one is named. The longest prefix is tried first, `*` last, and of the same prefix the route
that a connection has set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from agpd.names import Name, Pattern

if TYPE_CHECKING:
    from agpd.routing.connections import Agent, Held
    from agpd.routing.subscriptions import Tenant


class Route:
    """What matches `pattern` in the view of `tenant` goes to `via`; it ends with `via` or with its owner."""

    __slots__ = ("owner", "pattern", "tenant", "via")

    def __init__(self, tenant: Tenant, pattern: Pattern, via: Agent, owner: Held) -> None:
        self.tenant = tenant
        self.pattern = pattern
        self.via = via
        self.owner = owner


def put(route: Route) -> None:
    """Enter a route; it replaces the one of the same pattern, whoever set that."""
    replaced = route.tenant.routes.get(route.pattern.prefix)
    if replaced is not None:
        drop(replaced)
    route.tenant.routes[route.pattern.prefix] = route
    route.via.routes[route] = None
    route.owner.routes[route] = None
    route.tenant.changes += 1


def drop(route: Route) -> None:
    """Remove a route that is entered."""
    del route.tenant.routes[route.pattern.prefix]
    del route.via.routes[route]
    del route.owner.routes[route]
    route.tenant.changes += 1


Standing = Mapping[tuple[str, ...], "Name"]
"""The standing routes of one tenant: prefix -> the type that it leads to."""

NONE_STANDING: Standing = {}


def candidates(tenant: Tenant, standing: Standing, name: Name) -> Iterator[Route | Name]:
    """The routes for a name, in the order in which they are tried; a standing one as the type that it leads to.

    At most ten look-ups, however many routes there are.
    """
    if not tenant.routes and not standing:
        return
    # A type has an empty fourth segment, which no pattern has: it is looked up in vain.
    for length in (4, 3, 2, 1, 0):
        prefix = name[:length]
        route = tenant.routes.get(prefix)
        if route is not None:
            yield route
        via = standing.get(prefix)
        if via is not None:
            yield via
