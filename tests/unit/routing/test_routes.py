"""agpd/routing/routes.py: longest prefix first, never back to the sender."""

import pytest

from agpd.names import Name, parse, parse_pattern
from agpd.routing.connections import Agent, Held
from agpd.routing.routes import NONE_STANDING, Route, candidates, drop, put
from agpd.routing.subscriptions import InstanceEntry, Tenant

PATTERNS = ("*", "acme/*", "acme/docs/*", "acme/docs/writer", "acme/docs/writer/u1")


class Pipe:
    full = False
    hears_itself = True


def carrier(uuid: str) -> Agent:
    name = parse(f"acme/net/bridge/{uuid}")
    return Agent(name, Pipe(), InstanceEntry(1, name, Tenant("acme"), None))


def find(tenant: Tenant, name: Name, sender: Agent | None = None) -> Route | Name | None:
    """The first one that does not lead back to the sender."""
    found = candidates(tenant, NONE_STANDING, name)
    return next((route for route in found if isinstance(route, Name) or route.via is not sender), None)


@pytest.mark.parametrize("known", range(1, 6))
def test_the_longest_prefix_comes_first(known: int) -> None:
    tenant, owner = Tenant("acme"), Held()
    routes = [Route(tenant, parse_pattern(text), carrier("b1"), owner) for text in PATTERNS[:known]]
    for route in routes:
        put(route)
    assert find(tenant, parse("acme/docs/writer/u1")) is routes[-1]
    assert find(tenant, parse("acme/docs/writer")) is routes[min(known, 4) - 1]
    assert find(tenant, parse("acme/docs/reviewer")) is routes[min(known, 3) - 1]
    assert find(tenant, parse("other/docs/writer/u1")) is routes[0]


def test_no_route_fits() -> None:
    tenant = Tenant("acme")
    assert find(tenant, parse("acme/docs/writer")) is None
    put(Route(tenant, parse_pattern("acme/docs/writer/u1"), carrier("b1"), Held()))
    assert find(tenant, parse("acme/docs/writer")) is None
    assert find(tenant, parse("acme/docs/writer/u2")) is None


def test_a_route_back_to_the_sender_is_passed_over() -> None:
    tenant, owner, near, far = Tenant("acme"), Held(), carrier("near"), carrier("far")
    put(Route(tenant, parse_pattern("acme/docs/*"), near, owner))
    put(Route(tenant, parse_pattern("*"), far, owner))
    name = parse("acme/docs/writer")
    assert [found.via for sender in (None, far, near) if (found := find(tenant, name, sender))] == [
        near,
        near,
        far,
    ]


def test_the_same_pattern_again_replaces() -> None:
    tenant, first_owner, second_owner = Tenant("acme"), Held(), Held()
    first = Route(tenant, parse_pattern("*"), carrier("b1"), first_owner)
    second = Route(tenant, parse_pattern("*"), carrier("b2"), second_owner)
    put(first)
    put(second)
    assert find(tenant, parse("acme/docs/writer")) is second
    assert (first.via.routes, first_owner.routes) == ({}, {})
    assert (second.via.routes, second_owner.routes) == ({second: None}, {second: None})


def test_dropping_leaves_nothing_and_both_change_the_tenant() -> None:
    tenant, owner = Tenant("acme"), Held()
    route = Route(tenant, parse_pattern("acme/*"), carrier("b1"), owner)
    put(route)
    assert tenant.changes == 1
    drop(route)
    assert tenant.changes == 2
    assert (tenant.routes, route.via.routes, owner.routes) == ({}, {}, {})


def test_standing_routes_come_behind_the_others_of_their_prefix() -> None:
    tenant, owner = Tenant("acme"), Held()
    set_ = {text: Route(tenant, parse_pattern(text), carrier("b1"), owner) for text in ("*", "acme/docs/*")}
    for route in set_.values():
        put(route)
    standing = {
        parse_pattern(text).prefix: parse(f"acme/net/{via}")
        for text, via in (("acme/*", "one"), ("acme/docs/*", "two"))
    }
    found = list(candidates(tenant, standing, parse("acme/docs/writer/u1")))
    assert found == [set_["acme/docs/*"], parse("acme/net/two"), parse("acme/net/one"), set_["*"]]
    assert list(candidates(Tenant("acme"), standing, parse("acme/prod/writer"))) == [parse("acme/net/one")]
    assert list(candidates(Tenant("acme"), standing, parse("other/prod/writer"))) == []
