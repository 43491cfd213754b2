"""Tenants, namespaces and types: the uniform contract, who may do what, and what the audit log says."""

from collections.abc import Callable
from typing import Any

import pytest

from agpd.control.caller import Caller
from agpd.control.resources import AgentType, AuditEvent, Namespace, Quotas, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]


class Services:
    """The three services, and the audit events so far."""

    def __init__(self, store: Store) -> None:
        self.tenants, self.namespaces, self.types = (kind(store, 2) for kind in (Tenants, Namespaces, Types))
        self.events: list[AuditEvent] = []
        store.listen(self.events.extend)

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(event.action, event.object) for event in self.events]


@pytest.fixture
def services(store: Store) -> Services:
    return Services(store)


@pytest.fixture
async def acme(services: Services, operator: Caller) -> Services:
    """With two tenants, a namespace and a type in each."""
    for name in ("acme", "globex"):
        await services.tenants.put(operator, Tenant(name=name))
        await services.namespaces.put(operator, Namespace(name=f"{name}/prod"))
        await services.types.put(operator, AgentType(name=f"{name}/prod/writer"))
    return services


async def refusal(call: Any) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code, caught.value.detail


async def test_what_was_put_is_got(services: Services, operator: Caller) -> None:
    tenant = Tenant(
        name="acme", title="Acme", suspended=True, require_encryption=True, quotas=Quotas(agents=5)
    )
    namespace = Namespace(name="acme/prod", title="Production")
    kind = AgentType(
        name="acme/prod/writer",
        category="text",
        description="Writes.",
        labels={"tier": "gold"},
        capabilities=["write"],
        callers=["acme/*", "globex/prod/reader"],
    )
    assert await services.tenants.put(operator, tenant) == tenant
    assert await services.namespaces.put(operator, namespace) == namespace
    assert await services.types.put(operator, kind) == kind
    assert await services.tenants.get(operator, "acme") == tenant
    assert await services.namespaces.get(operator, "acme/prod") == namespace
    assert await services.types.get(operator, "acme/prod/writer") == kind
    assert services.actions == [
        ("tenant.create", "acme"),
        ("namespace.create", "acme/prod"),
        ("type.create", "acme/prod/writer"),
    ]


async def test_an_update_is_told_with_what_changed_and_nothing_without(
    acme: Services, operator: Caller
) -> None:
    acme.events.clear()
    await acme.tenants.put(operator, Tenant(name="acme"))
    await acme.namespaces.put(operator, Namespace(name="acme/prod"))
    await acme.types.put(operator, AgentType(name="acme/prod/writer"))
    assert acme.events == []
    await acme.tenants.put(operator, Tenant(name="acme", suspended=True, quotas=Quotas(agents=7)))
    await acme.namespaces.put(operator, Namespace(name="acme/prod", title="P"))
    await acme.types.put(operator, AgentType(name="acme/prod/writer", callers=["acme/*"]))
    assert acme.actions == [
        ("tenant.update", "acme"),
        ("namespace.update", "acme/prod"),
        ("type.update", "acme/prod/writer"),
    ]
    assert [sorted(event.detail) for event in acme.events] == [
        ["quotas", "suspended"],
        ["title"],
        ["callers"],
    ]
    assert acme.events[0].detail["quotas"]["agents"] == 7
    assert {(event.actor, event.tenant) for event in acme.events} == {("operator", "acme")}
    assert (await acme.tenants.get(operator, "acme")).quotas.agents == 7


async def test_create_refuses_what_is_there(acme: Services, operator: Caller) -> None:
    for call in (
        acme.tenants.put(operator, Tenant(name="acme"), create=True),
        acme.namespaces.put(operator, Namespace(name="acme/prod"), create=True),
        acme.types.put(operator, AgentType(name="acme/prod/writer"), create=True),
    ):
        assert (await refusal(call))[0] is Code.ALREADY_EXISTS
    await acme.types.put(operator, AgentType(name="acme/prod/reader"), create=True)


async def test_what_is_not_empty_is_not_deleted(acme: Services, operator: Caller) -> None:
    assert await refusal(acme.tenants.delete(operator, "acme")) == (
        Code.CONFLICT,
        "tenant acme has 1 namespaces, such as prod: delete them first",
    )
    code, detail = await refusal(acme.namespaces.delete(operator, "acme/prod"))
    assert (code, "writer" in detail) == (Code.CONFLICT, True)
    acme.events.clear()
    await acme.types.delete(operator, "acme/prod/writer")
    await acme.namespaces.delete(operator, "acme/prod")
    await acme.tenants.delete(operator, "acme")
    assert [action for action, _ in acme.actions] == ["type.delete", "namespace.delete", "tenant.delete"]
    assert [item.name for item in (await acme.tenants.list(operator)).items] == ["globex"]


async def test_the_parent_must_be_there(services: Services, operator: Caller) -> None:
    assert await refusal(services.namespaces.put(operator, Namespace(name="acme/prod"))) == (
        Code.NOT_FOUND,
        "tenant acme",
    )
    code, detail = await refusal(services.types.put(operator, AgentType(name="acme/prod/writer")))
    assert (code, detail.split(";")[0]) == (Code.NOT_FOUND, "namespace acme/prod")


async def test_what_is_anothers_is_as_if_it_did_not_exist(
    acme: Services, admin_of: Make, agent_of: Make
) -> None:
    for caller in (admin_of("acme"), agent_of("acme/prod/writer")):
        for name in ("globex", "nobody"):
            told = (Code.NOT_FOUND, f"tenant {name}")
            assert await refusal(acme.tenants.get(caller, name)) == told
            assert await refusal(acme.tenants.put(caller, Tenant(name=name, title="mine"))) == told
            assert await refusal(acme.tenants.delete(caller, name)) == told
            assert await refusal(acme.namespaces.list(caller, name)) == told
            assert await refusal(acme.types.list(caller, f"{name}/prod")) == told
            told = (Code.NOT_FOUND, f"namespace {name}/prod")
            assert await refusal(acme.namespaces.get(caller, f"{name}/prod")) == told
            assert await refusal(acme.namespaces.put(caller, Namespace(name=f"{name}/prod"))) == told
            assert await refusal(acme.namespaces.delete(caller, f"{name}/prod")) == told
            told = (Code.NOT_FOUND, f"type {name}/prod/writer")
            assert await refusal(acme.types.get(caller, f"{name}/prod/writer")) == told
            assert await refusal(acme.types.put(caller, AgentType(name=f"{name}/prod/writer"))) == told
            assert await refusal(acme.types.delete(caller, f"{name}/prod/writer")) == told
        assert [item.name for item in (await acme.tenants.list(caller)).items] == ["acme"]


async def test_agents_read_and_administrators_write(acme: Services, admin_of: Make, agent_of: Make) -> None:
    agent = agent_of("acme/prod/writer")
    assert (await acme.types.get(agent, "acme/prod/writer")).name == "acme/prod/writer"
    for call in (
        acme.tenants.put(agent, Tenant(name="acme", title="x")),
        acme.namespaces.put(agent, Namespace(name="acme/new")),
        acme.types.put(agent, AgentType(name="acme/prod/new")),
        acme.types.delete(agent, "acme/prod/writer"),
    ):
        assert (await refusal(call))[0] is Code.NOT_PERMITTED
    admin = admin_of("acme")
    await acme.namespaces.put(admin, Namespace(name="acme/new"))
    await acme.types.put(admin, AgentType(name="acme/new/reader"))
    await acme.types.delete(admin, "acme/new/reader")
    await acme.namespaces.delete(admin, "acme/new")


async def test_what_only_operators_change(acme: Services, admin_of: Make, operator: Caller) -> None:
    admin = admin_of("acme")
    await acme.tenants.put(operator, Tenant(name="acme", quotas=Quotas(agents=5)))
    kept = Tenant(name="acme", title="Acme", require_encryption=True, quotas=Quotas(agents=5))
    assert await acme.tenants.put(admin, kept) == kept
    for tenant in (
        Tenant(name="acme", quotas=Quotas(agents=500)),
        Tenant(name="acme", suspended=True, quotas=Quotas(agents=5)),
    ):
        assert (await refusal(acme.tenants.put(admin, tenant)))[0] is Code.NOT_PERMITTED
    assert (await refusal(acme.tenants.delete(admin, "acme")))[0] is Code.NOT_PERMITTED
    assert (await refusal(acme.tenants.put(admin_of("new"), Tenant(name="new"))))[0] is Code.NOT_PERMITTED
    assert await acme.tenants.get(admin, "acme") == kept


async def test_the_tenant_of_the_operators_stays(services: Services, operator: Caller) -> None:
    await services.tenants.put(operator, Tenant(name="agpd"))
    assert (await refusal(services.tenants.delete(operator, "agpd")))[0] is Code.CONFLICT
    suspended = services.tenants.put(operator, Tenant(name="agpd", suspended=True))
    assert (await refusal(suspended))[0] is Code.CONFLICT
    await services.tenants.put(operator, Tenant(name="agpd", title="Operators"))


async def test_lists_come_in_pages_in_the_order_of_their_segments(acme: Services, operator: Caller) -> None:
    for name in ("acme/a", "acme/a-b", "acme/a_c"):
        await acme.namespaces.put(operator, Namespace(name=name))
        await acme.types.put(operator, AgentType(name=f"{name}/x"))
    seen: list[str] = []
    after = ""
    while True:
        page = await acme.types.list(operator, "acme", after=after)
        assert len(page.items) <= 2
        seen += [item.name for item in page.items]
        if not (after := page.next):
            break
    assert seen == ["acme/a/x", "acme/a-b/x", "acme/a_c/x", "acme/prod/writer"]
    assert [item.name for item in (await acme.types.list(operator, "acme/a")).items] == ["acme/a/x"]
    first = await acme.namespaces.list(operator, "acme", limit=1)
    assert (first.items, first.next) == ([Namespace(name="acme/a")], "acme/a")
    with pytest.raises(Refused, match="limit"):
        await acme.namespaces.list(operator, "acme", limit=-1)


@pytest.mark.parametrize("name", ["", "Acme", "acme/prod", "a b", "*", "acme/", "a\0", "x" * 64, "ä"])
async def test_names_follow_the_grammar(services: Services, operator: Caller, name: str) -> None:
    for call in (
        services.tenants.put(operator, Tenant(name=name)),
        services.tenants.get(operator, name),
        services.tenants.delete(operator, name),
        services.namespaces.list(operator, name),
        services.namespaces.get(operator, f"acme/{name}"),
        services.types.get(operator, f"acme/prod/{name}"),
    ):
        assert (await refusal(call))[0] is Code.INVALID_NAME


async def test_what_no_database_can_hold_is_refused(acme: Services, operator: Caller) -> None:
    for title in ("a\0b", "\ud800"):
        call = acme.tenants.put(operator, Tenant(name="acme", title=title))
        assert (await refusal(call))[0] is Code.INVALID_REQUEST
    assert (await refusal(acme.tenants.list(operator, after="\0")))[0] is Code.INVALID_REQUEST
    plain = Tenant(name="acme", title="a\\u0000 \\ \x01 'ü'; DROP TABLE tenant")
    await acme.tenants.put(operator, plain)
    assert await acme.tenants.get(operator, "acme") == plain


async def test_patterns_of_callers_are_checked(acme: Services, operator: Caller) -> None:
    call = acme.types.put(operator, AgentType(name="acme/prod/writer", callers=["no pattern"]))
    assert (await refusal(call))[0] is Code.INVALID_NAME
