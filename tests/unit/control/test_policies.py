"""agpd/control/policies.py: the policy follows the store, reads what has changed, and never holds the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from agpd import config
from agpd.control import policies as module
from agpd.control.caller import Caller
from agpd.control.grants import Grants
from agpd.control.model import grant
from agpd.control.policies import Policies
from agpd.control.resources import AgentType, Grant, Namespace, Tenant
from agpd.control.store import Notes, Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.errors import Code, Refused
from agpd.names import parse, parse_pattern

AGENT, TARGET = parse("acme/prod/a/1"), parse("globex/api/b")
EVERYTHING = {"subject": "acme/*", "verb": "publish", "object": "globex/*"}


@pytest.fixture
async def filled(store: Store, operator: Caller) -> Store:
    tenants = Tenants(store, 10)
    for name in ("acme", "globex"):
        await tenants.put(operator, Tenant(name=name))
        await Namespaces(store, 10).put(operator, Namespace(name=f"{name}/api"))
    return store


@pytest.fixture
async def policies(filled: Store) -> AsyncIterator[Policies]:
    policies = Policies(filled)
    await policies.open()
    yield policies
    await policies.close()


def allowed(policies: Policies) -> bool:
    return policies.current.allows("publish", AGENT, TARGET)


async def test_what_was_in_the_store_is_in_force_from_the_start(filled: Store, operator: Caller) -> None:
    grants = Grants(filled, Policies(filled), 10)
    for tenant in ("acme", "globex"):
        await grants.put(operator, Grant(tenant=tenant, **EVERYTHING))
    await Types(filled, 10).put(operator, AgentType(name="globex/api/closed", callers=["globex/*"]))
    policies = Policies(filled)
    assert not allowed(policies)
    await policies.open()
    assert allowed(policies)
    assert not policies.current.allows("publish", AGENT, parse("globex/api/closed"))
    await policies.close()


async def test_each_kind_of_change_comes_into_force_and_is_told(
    policies: Policies, filled: Store, operator: Caller
) -> None:
    grants, told = Grants(filled, policies, 10), []
    policies.listen(lambda: told.append(policies.current))
    made = [await grants.put(operator, Grant(tenant=tenant, **EVERYTHING)) for tenant in ("acme", "globex")]
    await policies.settled()
    assert allowed(policies)
    before = policies.current

    async def changed(act: Any, now: bool) -> None:
        await act
        await policies.settled()
        assert allowed(policies) is now

    types, tenants = Types(filled, 10), Tenants(filled, 10)
    await changed(types.put(operator, AgentType(name="globex/api/b", callers=["acme/ops/*"])), False)
    await changed(types.put(operator, AgentType(name="globex/api/b")), True)
    await changed(tenants.put(operator, Tenant(name="globex", suspended=True)), False)
    await changed(tenants.put(operator, Tenant(name="globex")), True)
    denial = Grant(
        id="acme.no", tenant="acme", subject="acme/prod/*", verb="publish", object="*", effect="deny"
    )
    await changed(grants.put(operator, denial), False)
    await changed(grants.delete(operator, "acme.no"), True)
    await changed(grants.delete(operator, made[1].id), False)
    assert before.allows("publish", AGENT, TARGET), "a policy never changes"
    await asyncio.sleep(0)
    assert told[-1] is policies.current


async def test_only_the_side_that_has_changed_is_read_anew(
    policies: Policies, filled: Store, operator: Caller
) -> None:
    grants = Grants(filled, policies, 10)
    await grants.put(operator, Grant(tenant="acme", **EVERYTHING))
    await policies.settled()
    kept = policies.current.side("acme")
    await grants.put(operator, Grant(tenant="globex", **EVERYTHING))
    await policies.settled()
    assert policies.current.side("acme") is kept
    assert policies.current.side("globex").statements == 1


async def test_grants_of_the_configuration_stay(filled: Store, operator: Caller) -> None:
    policies = Policies(filled, [config.Grant(subject="acme/*", verb="publish", object="globex/*")])
    await policies.open()
    assert allowed(policies)
    await Grants(filled, policies, 10).put(operator, Grant(tenant="acme", **EVERYTHING))
    await policies.settled()
    assert allowed(policies)
    await policies.close()


async def test_many_grants_are_compiled_in_pages(
    filled: Store, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No turn of the loop takes more of them than a page has."""
    common = {"tenant": "acme", "verb": "publish", "effect": "allow", "subject": "acme/prod/a"}
    rows = [common | {"id": f"g-{n:016x}", "object": f"globex/n{n}/*"} for n in range(1000)]

    def fill(connection: Connection, notes: Notes) -> None:
        connection.execute(insert(grant), rows)
        notes.add("x", "acme", "grant.create", "all")

    await filled.write(fill)
    compiled: list[int] = []
    add = module.Side.add
    turn = 0

    def counted(*arguments: Any) -> None:
        compiled.append(turn)
        add(*arguments)

    monkeypatch.setattr(module.Side, "add", counted)
    policies = Policies(filled)
    opening = asyncio.create_task(policies.open())
    while not opening.done():
        turn += 1
        await asyncio.sleep(0)
    assert policies.current.allows("publish", AGENT, parse("globex/n999/b")) is False
    assert policies.current.side("acme").statements == 1000
    assert max(compiled.count(each) for each in set(compiled)) <= module.PAGE
    await policies.close()


@pytest.mark.parametrize("error", [Refused(Code.UNAVAILABLE), ValueError("a fault")])
async def test_while_the_database_cannot_be_read_the_policy_of_before_stays(
    policies: Policies,
    filled: Store,
    operator: Caller,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    grants = Grants(filled, policies, 10)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    read: Callable[..., Any] = filled.read
    refusals: list[int] = []

    async def away(work: Any) -> Any:
        refusals.append(1)
        if len(refusals) < 3:
            raise error
        return await read(work)

    monkeypatch.setattr(filled, "read", away)
    for tenant in ("acme", "globex"):
        await grants.put(operator, Grant(tenant=tenant, **EVERYTHING))
    await policies.settled()
    assert allowed(policies)
    assert len(refusals) > 2
    assert policies.current.discovers(parse_pattern("acme/*"), TARGET)
