"""agpd/control/simulator.py: `can` agrees with the policy in force, names the rules, and tells nothing of others."""

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agpd import config
from agpd.control.caller import Caller
from agpd.control.grants import Grants
from agpd.control.policies import Policies
from agpd.control.resources import VERBS, AgentType, Grant, Namespace, Rule, Tenant, Verdict
from agpd.control.simulator import question
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]
AGENT, TARGET = "acme/prod/a/1", "globex/api/b"
BOTH = {"subject": "acme/*", "verb": "publish", "object": "globex/*"}


class World:
    """The services that change the policy, and the policy."""

    def __init__(self, store: Store, operator: Caller) -> None:
        self.policies = Policies(store, [config.Grant(subject="acme/*", verb="watch", object="globex/*")])
        self.grants = Grants(store, self.policies, 100)
        self.tenants, self.namespaces, self.types = Tenants(store, 9), Namespaces(store, 9), Types(store, 9)
        self.operator = operator

    async def grant(self, tenant: str, **fields: Any) -> Grant:
        return await self.grants.put(self.operator, Grant(**({"tenant": tenant} | BOTH | fields)))

    async def can(
        self,
        caller: Caller,
        verb: Any = "publish",
        *,
        object: str = TARGET,  # noqa: A002
        subject: str = AGENT,
    ) -> Verdict:
        await self.policies.settled()
        return await self.grants.can(caller, subject, verb, object)


@pytest.fixture
async def world(store: Store, operator: Caller) -> AsyncIterator[World]:
    world = World(store, operator)
    for name in ("acme", "globex"):
        await world.tenants.put(operator, Tenant(name=name))
        for space in ("prod", "api"):
            await world.namespaces.put(operator, Namespace(name=f"{name}/{space}"))
    await world.policies.open()
    yield world
    await world.policies.close()


def missing(side: str, verb: str = "publish", target: str = TARGET) -> Rule:
    return Rule(source=side, effect="missing", text=f"{side} has no grant that lets {AGENT} {verb} {target}")


async def test_each_side_that_is_missing_is_named(world: World, admin_of: Make) -> None:
    admin = admin_of("acme")
    verdict = await world.can(admin)
    assert (verdict.allowed, verdict.rules) == (False, [missing("acme"), missing("globex")])
    ours = await world.grant("acme")
    verdict = await world.can(admin)
    said = Rule(source="acme", effect="allow", text=f"grant {ours.id}: acme/* may publish globex/*")
    assert (verdict.allowed, verdict.rules) == (False, [said, missing("globex")])
    await world.grant("globex")
    verdict = await world.can(admin)
    allows = Rule(source="globex", effect="allow", text="globex allows it")
    assert (verdict.allowed, verdict.rules) == (True, [said, allows])


async def test_the_other_side_is_one_answer_whatever_the_reason(
    world: World, admin_of: Make, operator: Caller
) -> None:
    """A denial, a suspension, `callers`, no grant and no such tenant look alike; operators see which it is."""
    admin = admin_of("acme")
    await world.grant("acme", object="*")
    for organization in ("globex", "absent"):
        target = f"{organization}/api/b"
        assert (await world.can(admin, object=target)).rules[1:] == [missing(organization, target=target)]
    theirs = await world.grant("globex")
    denial = await world.grant("globex", effect="deny", subject="acme/prod/*")
    assert (await world.can(admin)).rules[1:] == [missing("globex")]
    assert {rule.text for rule in (await world.can(operator)).rules} >= {
        f"grant {denial.id}: acme/prod/* may not publish globex/*",
        f"grant {theirs.id}: acme/* may publish globex/*",
    }
    await world.grants.delete(operator, denial.id)
    await world.types.put(operator, AgentType(name=TARGET, callers=["acme/ops/*"]))
    assert (await world.can(admin)).rules[1:] == [missing("globex")]
    shown = Rule(source="globex", effect="deny", text=f"callers of type {TARGET}: acme/ops/*")
    assert shown in (await world.can(operator)).rules
    assert shown in (await world.can(admin_of("globex"))).rules
    await world.types.put(operator, AgentType(name=TARGET))
    assert (await world.can(admin)).allowed
    await world.tenants.put(operator, Tenant(name="globex", suspended=True))
    assert (await world.can(admin)).rules[1:] == [missing("globex")]
    assert (
        Rule(source="globex", effect="deny", text="tenant globex is suspended")
        in (await world.can(operator)).rules
    )


async def test_inside_an_organization(world: World, admin_of: Make) -> None:
    admin, target = admin_of("acme"), "acme/api/x"
    verdict = await world.can(admin, object=target)
    assert verdict.allowed
    assert [rule.effect for rule in verdict.rules] == ["allow"]
    denial = await world.grant("acme", object="acme/api/*", effect="deny")
    verdict = await world.can(admin, object=target)
    assert not verdict.allowed
    assert f"grant {denial.id}: acme/* may not publish acme/api/*" in [rule.text for rule in verdict.rules]
    assert (await world.can(admin, "observe", object="acme/api/*")).rules == [
        missing("acme", "observe", "acme/api/*")
    ]
    await world.grant("acme", verb="observe", object="acme/*")
    assert (await world.can(admin, "observe", object="acme/api/*")).allowed


async def test_a_denial_of_a_part_decides_about_patterns(world: World, admin_of: Make) -> None:
    admin = admin_of("acme")
    assert (await world.can(admin, "route", object="globex/*")).allowed
    denial = await world.grant("acme", verb="route", object="globex/a_b/x", effect="deny")
    await world.grant("acme", verb="route", object="globex/acb/y", effect="deny")
    assert not (await world.can(admin, "route", object="globex/*")).allowed
    found = await world.can(admin, "route", object="globex/a_b/*")
    assert found.rules[0].text == f"grant {denial.id}: acme/* may not route globex/a_b/x"
    assert len(found.rules) == 2


async def test_grants_of_the_configuration_are_named(world: World, admin_of: Make) -> None:
    verdict = await world.can(admin_of("acme"), "watch")
    assert verdict.allowed
    assert verdict.rules[-1].source == "operator"


async def test_only_who_is_concerned_may_ask(
    world: World, admin_of: Make, agent_of: Make, operator: Caller
) -> None:
    for caller in (admin_of("acme"), agent_of("globex/api/*"), operator):
        assert not (await world.can(caller)).allowed
    for subject in (AGENT, "absent/a/b/c"):
        with pytest.raises(Refused) as caught:
            await world.can(admin_of("initech"), subject=subject)
        assert (caught.value.code, caught.value.detail) == (
            Code.NOT_PERMITTED,
            "ask about a name of your own organization",
        )


@pytest.mark.parametrize(
    ("subject", "verb", "target", "code"),
    [
        ("acme/a", "publish", TARGET, Code.INVALID_NAME),
        (AGENT, "publish", "globex/*", Code.INVALID_NAME),
        (AGENT, "observe", "globex/*", Code.INVALID_NAME),
        (AGENT, "route", "globex", Code.INVALID_NAME),
        (AGENT, "register", TARGET, Code.INVALID_REQUEST),
        ("acme/prod/a", "register", "acme/prod/a", Code.INVALID_NAME),
    ],
)
def test_what_cannot_be_asked(subject: str, verb: Any, target: str, code: Code) -> None:
    with pytest.raises(Refused) as caught:
        question(subject, verb, target)
    assert caught.value.code is code


async def test_it_agrees_with_the_policy_in_force(world: World, operator: Caller) -> None:
    chance = random.Random(5)

    def pattern(organizations: list[str]) -> str:
        parts = [
            chance.choice(organizations),
            chance.choice(("prod", "api")),
            chance.choice("ab"),
            chance.choice("12"),
        ]
        length = chance.randrange(5)
        return "/".join(parts[:length] + ["*"] * (length < 3))

    for _ in range(60):
        owner = chance.choice(("acme", "globex"))
        fields = {"subject": pattern(["acme", "globex"]), "object": pattern(["acme", "globex"])}
        if owner not in {text.partition("/")[0] for text in fields.values()}:
            continue
        effect = "deny" if chance.random() < 0.3 else "allow"
        await world.grant(owner, verb=chance.choice(VERBS), effect=effect, **fields)
    await world.types.put(operator, AgentType(name=TARGET, callers=["acme/prod/a"]))
    await world.policies.settled()
    verdicts = []
    for _ in range(200):
        subject = f"{chance.choice(('acme', 'globex'))}/prod/{chance.choice('ab')}/{chance.choice('12')}"
        verb = chance.choice(VERBS)
        organization = chance.choice(("acme", "globex"))
        space = f"{organization}/{chance.choice(('prod', 'api'))}"
        target = (
            subject if verb == "register" else f"{space}/*" if verb in ("observe", "route") else f"{space}/b"
        )
        asked = question(subject, verb, target)
        verdict = await world.grants.can(operator, subject, verb, target)
        assert verdict.allowed is asked.put(world.policies.current), asked
        verdicts.append(verdict.allowed)
    assert 40 < sum(verdicts) < 160
