"""agpd/control/routes.py: standing routes, who may write them, and what the audit log says."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agpd.control import routes
from agpd.control.caller import Caller
from agpd.control.resources import AuditEvent, Route, Tenant
from agpd.control.routes import Routes
from agpd.control.store import Store
from agpd.control.tenants import Tenants
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]
ROUTE = Route(tenant="acme", pattern="acme/prod/*", via="acme/ops/desk")


@pytest.fixture
async def service(store: Store, operator: Caller) -> Routes:
    for name in ("acme", "globex"):
        await Tenants(store, 10).put(operator, Tenant(name=name))
    return Routes(store, 2)


async def refusal(call: Any) -> Code:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


async def test_what_was_put_is_got_listed_and_deleted(service: Routes, store: Store, admin_of: Make) -> None:
    events: list[AuditEvent] = []
    store.listen(events.extend)
    admin = admin_of("acme")
    made = await service.put(admin, ROUTE)
    assert made.id.startswith("r-")
    assert made == msgspec.structs.replace(ROUTE, id=made.id)
    assert await service.get(admin, made.id) == made
    changed = msgspec.structs.replace(made, via="acme/ops/night")
    assert await service.put(admin, changed) == changed
    await service.put(admin, changed)  # what changes nothing is not noted
    assert (await service.list(admin, "acme")).items == [changed]
    await service.delete(admin, made.id)
    assert (await service.list(admin, "acme")).items == []
    assert [event.action for event in events] == ["route.create", "route.update", "route.delete"]
    assert events[0].detail == {"pattern": "acme/prod/*", "via": "acme/ops/desk"}


async def test_lists_are_paged(service: Routes, admin_of: Make) -> None:
    admin = admin_of("acme")
    for label in "abc":
        await service.put(
            admin, Route(id=f"acme.{label}", tenant="acme", pattern=f"{label}/*", via="acme/a/b")
        )
    page = await service.list(admin, "acme")
    assert [item.id for item in page.items] == ["acme.a", "acme.b"]
    rest = await service.list(admin, "acme", after=page.next)
    assert ([item.id for item in rest.items], rest.next) == (["acme.c"], "")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"pattern": "acme"}, Code.INVALID_NAME),
        ({"via": "acme/ops/desk/1"}, Code.INVALID_NAME),
        ({"via": "globex/ops/desk"}, Code.INVALID_REQUEST),
        ({"id": "globex.x"}, Code.INVALID_REQUEST),
        ({"id": "x"}, Code.INVALID_REQUEST),
        ({"id": "acme." + "x" * 64}, Code.INVALID_REQUEST),
    ],
)
async def test_what_is_no_route(service: Routes, admin_of: Make, fields: dict[str, str], code: Code) -> None:
    assert await refusal(service.put(admin_of("acme"), msgspec.structs.replace(ROUTE, **fields))) is code


async def test_one_route_for_each_pattern(service: Routes, admin_of: Make) -> None:
    admin = admin_of("acme")
    made = await service.put(admin, ROUTE)
    assert await refusal(service.put(admin, ROUTE)) is Code.ALREADY_EXISTS
    assert await refusal(service.put(admin, made, create=True)) is Code.ALREADY_EXISTS
    other = msgspec.structs.replace(ROUTE, tenant="globex", via="globex/ops/desk")
    await service.put(admin_of("globex"), other)


async def test_who_may_do_what(service: Routes, admin_of: Make, agent_of: Make, operator: Caller) -> None:
    made = await service.put(admin_of("acme"), ROUTE)
    agent, stranger = agent_of("acme/prod/writer"), admin_of("globex")
    assert await service.get(agent, made.id) == await service.get(operator, made.id) == made
    assert await refusal(service.put(agent, ROUTE)) is Code.NOT_PERMITTED
    assert await refusal(service.delete(agent, made.id)) is Code.NOT_PERMITTED
    for act in (
        service.get(stranger, made.id),
        service.get(stranger, "r-0000000000000000"),
        service.delete(stranger, made.id),
        service.put(stranger, ROUTE),
        service.list(stranger, "acme"),
        service.get(stranger, "\0"),
        service.put(operator, msgspec.structs.replace(ROUTE, tenant="nobody", via="nobody/a/b")),
    ):
        assert await refusal(act) is Code.NOT_FOUND
    taken = msgspec.structs.replace(made, tenant="globex", via="globex/ops/desk")
    assert await refusal(service.put(stranger, taken)) is Code.ALREADY_EXISTS


async def test_a_tenant_has_so_many(service: Routes, admin_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROUTES_LIMIT", 1)
    await service.put(admin_of("acme"), ROUTE)
    more = msgspec.structs.replace(ROUTE, pattern="*")
    assert await refusal(service.put(admin_of("acme"), more)) is Code.QUOTA_EXCEEDED
