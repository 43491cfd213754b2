"""agpd/control/allotments.py: the data plane hears of quotas and routes at the start and at each change."""

from collections.abc import Callable

from agpd.control.allotments import Allotment, Allotments
from agpd.control.caller import Caller
from agpd.control.resources import Quotas, Route, Tenant
from agpd.control.routes import Routes
from agpd.control.store import Store
from agpd.control.tenants import Tenants
from agpd.names import parse, parse_pattern

Make = Callable[[str], Caller]
QUOTAS = Quotas(connections=5)
VIA = {parse_pattern("acme/prod/*"): parse("acme/ops/desk")}


async def test_what_is_there_and_what_changes(store: Store, operator: Caller, admin_of: Make) -> None:
    tenants, routes = Tenants(store, 10), Routes(store, 10)
    for name in ("acme", "globex"):
        await tenants.put(operator, Tenant(name=name))
    await tenants.put(operator, Tenant(name="acme", quotas=QUOTAS))
    told: list[tuple[str, Allotment]] = []
    allotments = Allotments(store)
    await allotments.load()
    allotments.listen(lambda organization, allotment: told.append((organization, allotment)))
    assert told == [("acme", Allotment(QUOTAS))]

    made = await routes.put(
        admin_of("acme"), Route(tenant="acme", pattern="acme/prod/*", via="acme/ops/desk")
    )
    await allotments.settled()
    assert told[1:] == [("acme", Allotment(QUOTAS, VIA))]
    await tenants.put(operator, Tenant(name="acme", title="no news to the data plane", quotas=QUOTAS))
    await allotments.settled()
    await tenants.put(operator, Tenant(name="globex", quotas=QUOTAS))
    await allotments.settled()
    assert told[2:] == [("globex", Allotment(QUOTAS))]
    await tenants.put(operator, Tenant(name="acme"))
    await routes.delete(operator, made.id)
    await tenants.delete(operator, "globex")
    await allotments.settled()
    assert dict(told) == {"acme": Allotment(), "globex": Allotment()}
    assert allotments.current == {}
    await allotments.close()
