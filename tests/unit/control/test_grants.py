"""agpd/control/grants.py: the uniform contract, what a tenant may grant, and that nothing is told of other tenants."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event

from agpd.control import grants as module
from agpd.control.caller import Caller
from agpd.control.grants import Grants
from agpd.control.policies import Policies
from agpd.control.resources import AuditEvent, Grant, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Tenants
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]


class Service(Grants):
    """With pages of two, ids that can be told beforehand, and the audit events so far."""

    def __init__(self, store: Store, policies: Policies) -> None:
        numbers = iter(range(1, 100))
        super().__init__(store, policies, 2, lambda _: f"g-{next(numbers):016x}")
        self.events: list[AuditEvent] = []
        store.listen(self.events.extend)


@pytest.fixture
async def grants(store: Store, operator: Caller) -> Service:
    for name in ("acme", "globex"):
        await Tenants(store, 2).put(operator, Tenant(name=name))
    return Service(store, Policies(store))


def grant(tenant: str = "acme", **fields: Any) -> Grant:
    return Grant(
        **({"tenant": tenant, "subject": "acme/*", "verb": "publish", "object": "globex/*"} | fields)
    )


async def refusal(call: Any) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code, caught.value.detail


async def test_what_was_put_is_got_replaced_listed_and_deleted(grants: Service, admin_of: Make) -> None:
    admin = admin_of("acme")
    made = await grants.put(admin, grant(object="globex/api/search/*"))
    assert (made.id, made.object) == ("g-0000000000000001", "globex/api/search")
    named = await grants.put(admin, grant(id="acme.partner"), create=True)
    assert await grants.get(admin, "acme.partner") == named
    changed = await grants.put(admin, grant(id="acme.partner", effect="deny"))
    assert (await grants.get(admin, "acme.partner")).effect == "deny"
    await grants.put(admin, changed)
    third = await grants.put(admin, grant(verb="watch"))
    first = await grants.list(admin, "acme")
    assert first.items == [changed, made]
    assert await grants.list(admin, "acme", after=first.next) == await grants.list(
        admin, "acme", after=made.id
    )
    assert (await grants.list(admin, "acme", after=first.next)).items == [third]
    await grants.delete(admin, made.id)
    assert await refusal(grants.get(admin, made.id)) == (Code.NOT_FOUND, f"grant {made.id}")
    assert [
        (event.action, event.object, event.tenant)
        for event in grants.events
        if event.action.startswith("grant")
    ] == [
        ("grant.create", made.id, "acme"),
        ("grant.create", "acme.partner", "acme"),
        ("grant.update", "acme.partner", "acme"),
        ("grant.create", third.id, "acme"),
        ("grant.delete", made.id, "acme"),
    ]
    assert await refusal(grants.put(admin, named, create=True)) == (Code.ALREADY_EXISTS, "grant acme.partner")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"subject": "globex/*"}, Code.INVALID_REQUEST),  # nothing of its own
        ({"subject": "*", "object": "*"}, Code.INVALID_REQUEST),
        ({"subject": "acme"}, Code.INVALID_NAME),
        ({"object": "Globex/*"}, Code.INVALID_NAME),
        ({"id": "partner"}, Code.INVALID_REQUEST),
        ({"id": "globex.partner"}, Code.INVALID_REQUEST),
        ({"id": "acme."}, Code.INVALID_REQUEST),
        ({"id": "acme.a\0"}, Code.INVALID_REQUEST),
        ({"id": "acme." + 60 * "a"}, Code.INVALID_REQUEST),
        ({"id": "g-123"}, Code.INVALID_REQUEST),
    ],
)
async def test_what_is_no_grant_of_the_tenant(
    grants: Service, admin_of: Make, fields: Any, code: Code
) -> None:
    assert (await refusal(grants.put(admin_of("acme"), grant(**fields))))[0] is code
    assert (await grants.list(admin_of("acme"), "acme")).items == []


@pytest.mark.parametrize(
    "fields", [{}, {"subject": "*"}, {"subject": "globex/*", "object": "acme/*"}, {"object": "*"}]
)
async def test_a_tenant_grants_what_concerns_its_own_agents(
    grants: Service, admin_of: Make, fields: Any
) -> None:
    fields = {"object": "acme/*"} | fields
    put = await grants.put(admin_of("acme"), grant(**fields))
    assert await grants.get(admin_of("acme"), put.id) == put


async def test_only_administrators_write_and_members_read(
    grants: Service, admin_of: Make, agent_of: Make
) -> None:
    member = agent_of("acme/prod/writer")
    put = await grants.put(admin_of("acme"), grant())
    assert await grants.get(member, put.id) == put
    assert (await grants.list(member, "acme")).items == [put]
    assert (await refusal(grants.put(member, grant())))[0] is Code.NOT_PERMITTED
    assert (await refusal(grants.delete(member, put.id)))[0] is Code.NOT_PERMITTED
    assert await grants.get(member, put.id) == put


async def test_a_foreign_grant_is_as_one_that_does_not_exist(
    grants: Service, admin_of: Make, operator: Caller
) -> None:
    theirs = await grants.put(operator, grant("globex"))
    for caller in (admin_of("acme"),):
        for act in (grants.get, grants.delete):
            answers = {
                (await refusal(act(caller, key)))[0] for key in (theirs.id, "g-00000000000000ff", "a\0b")
            }
            assert answers == {Code.NOT_FOUND}
            assert await refusal(act(caller, theirs.id)) == (Code.NOT_FOUND, f"grant {theirs.id}")
        for tenant in ("globex", "initech"):
            assert await refusal(grants.list(caller, tenant)) == (Code.NOT_FOUND, f"tenant {tenant}")
            assert await refusal(grants.put(caller, grant(tenant))) == (Code.NOT_FOUND, f"tenant {tenant}")
    assert await grants.get(operator, theirs.id) == theirs
    assert await refusal(grants.put(operator, grant("initech", object="initech/*"))) == (
        Code.NOT_FOUND,
        "tenant initech",
    )
    assert (await refusal(grants.put(admin_of("acme"), grant(id=theirs.id))))[0] is Code.ALREADY_EXISTS
    assert await grants.get(operator, theirs.id) == theirs


async def test_a_tenant_has_a_limit_of_grants(
    store: Store, grants: Service, admin_of: Make, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = Policies(store)
    await policies.open()
    limited = Service(store, policies)
    monkeypatch.setattr(module, "GRANTS_LIMIT", 2)
    put = [await limited.put(admin_of("acme"), grant()) for _ in range(2)]
    await policies.settled()
    assert (await refusal(limited.put(admin_of("acme"), grant())))[0] is Code.QUOTA_EXCEEDED
    await limited.put(admin_of("acme"), grant(id=put[0].id, effect="deny"))
    await limited.put(operator, grant("globex"))
    await policies.close()


async def test_a_refusal_takes_the_same_work_whether_or_not_there_is_something(
    grants: Service, admin_of: Make, operator: Caller
) -> None:
    """The same statements, so the time tells nothing either."""
    theirs = await grants.put(operator, grant("globex"))
    await grants.put(operator, grant("globex", effect="deny"))
    admin = admin_of("acme")

    async def statements(act: Any, *arguments: Any) -> list[str]:
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            await asyncio.gather(act(*arguments), return_exceptions=True)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return seen

    for act in (grants.get, grants.delete):
        there, absent = [await statements(act, admin, key) for key in (theirs.id, "globex.none")]
        assert there == absent
        assert there
    asked = [
        await statements(grants.can, admin, "acme/a/b/c", "publish", f"{organization}/a/b")
        for organization in ("globex", "absent")
    ]
    assert asked[0] == asked[1]
    assert len(asked[0]) >= 3
