"""agpd/control/enforced.py: quotas and routes, of all tenants and of some."""

from collections.abc import Callable

from agpd.control import enforced
from agpd.control.caller import Caller
from agpd.control.enforced import Enforced
from agpd.control.resources import Quotas, Route, Tenant
from agpd.control.routes import Routes
from agpd.control.store import Store
from agpd.control.tenants import Tenants
from agpd.names import parse, parse_pattern


async def test_of_all_and_of_some(store: Store, operator: Caller, admin_of: Callable[[str], Caller]) -> None:
    tenants, routes = Tenants(store, 10), Routes(store, 10)
    await tenants.put(operator, Tenant(name="acme", quotas=Quotas(agents=5)))
    await tenants.put(operator, Tenant(name="globex"))
    await routes.put(admin_of("acme"), Route(tenant="acme", pattern="acme/prod/*", via="acme/ops/desk"))
    acme = Enforced(Quotas(agents=5), {parse_pattern("acme/prod/*"): parse("acme/ops/desk")})
    found = await store.read(lambda connection: enforced.read(connection, None))
    assert found == {"acme": acme, "globex": Enforced()}
    assert await store.read(lambda connection: enforced.read(connection, {"acme", "nobody"})) == {
        "acme": acme
    }
    assert await store.read(lambda connection: enforced.read(connection, set())) == {}
    many = {f"t{number}" for number in range(2 * enforced.AT_ONCE)} | {"acme"}
    assert await store.read(lambda connection: enforced.read(connection, many)) == {"acme": acme}
