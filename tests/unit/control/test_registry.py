"""Registration: who may register what, quotas, instances and their expiry, and what the audit log says."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from agpd.control.caller import Caller
from agpd.control.discovery import Discovery
from agpd.control.liveness import INSTANCES_LIMIT
from agpd.control.policy import Policy, Statement
from agpd.control.registry import AGENT_LIMIT_BYTES, Registry
from agpd.control.resources import Agent, AgentType, AuditEvent, Instance, Namespace, Query, Quotas, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.control.watching import Feed
from agpd.errors import Code, Refused

Make = Callable[[str], Caller]
LIFE = 60
KIND = "acme/prod/writer"


class Services:
    """The registry with what it needs; `policy` may be set to another one."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.tenants, self.namespaces, self.types = (
            kind(store, 100) for kind in (Tenants, Namespaces, Types)
        )
        self.policy = Policy({})
        self.feed = Feed(store, lambda: self.policy, 10)
        numbers = itertools.count()
        self.registry = Registry(
            store,
            self.feed,
            lambda: self.policy,
            instance_life=LIFE,
            clock=clock,
            chance=lambda bits: next(numbers),
        )
        self.discovery = Discovery(store, self.feed, lambda: self.policy, 100)
        self.events: list[AuditEvent] = []
        store.listen(self.events.extend)

    async def actions(self) -> list[tuple[str, str]]:
        """Of the registry, since the last call."""
        await asyncio.sleep(0)
        found = [(event.action, event.object) for event in self.events]
        self.events.clear()
        return [each for each in found if not each[0].startswith(("tenant.", "namespace."))]


@pytest.fixture
async def services(store: Store, clock: Callable[[], float], operator: Caller) -> AsyncIterator[Services]:
    services = Services(store, clock)
    for name in ("acme", "globex"):
        await services.tenants.put(operator, Tenant(name=name))
        await services.namespaces.put(operator, Namespace(name=f"{name}/prod"))
    yield services
    await services.feed.close()


async def refusal(call: Any) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code, caught.value.detail


FULL = Agent(
    type=KIND,
    identity="main",
    description="Writes.",
    labels={"tier": "gold"},
    capabilities=["write", "read"],
    card={"name": "Writer", "skills": [{"id": "x", "n": 1.5, "none": None}]},
    public_keys={"sealing": "AAAA"},
)


async def test_what_was_registered_is_found(services: Services, agent_of: Make, clock: Any) -> None:
    agent = agent_of(KIND)
    registered = await services.registry.register(agent, FULL)
    assert registered == msgspec.structs.replace(FULL, created=clock.now, updated=clock.now)
    assert await services.discovery.get(agent, KIND, "main") == registered
    assert await services.actions() == [("type.create", KIND), ("agent.register", f"{KIND}/main")]


async def test_the_registry_sets_times_and_instances_itself(
    services: Services, agent_of: Make, clock: Any
) -> None:
    forged = msgspec.structs.replace(FULL, created=1.0, updated=2.0, instances=[Instance(name=f"{KIND}/x")])
    registered = await services.registry.register(agent_of(KIND), forged)
    assert (registered.created, registered.updated, registered.instances) == (clock.now, clock.now, [])


async def test_an_update_keeps_when_it_was_created(services: Services, agent_of: Make, clock: Any) -> None:
    agent = agent_of(KIND)
    first = await services.registry.register(agent, FULL)
    await services.actions()
    clock.advance(10)
    assert await services.registry.register(agent, FULL) == first
    assert await services.actions() == []
    changed = msgspec.structs.replace(FULL, description="Writes more.", card=None)
    second = await services.registry.register(agent, changed)
    assert (second.created, second.updated) == (first.created, first.created + 10)
    assert await services.discovery.get(agent, KIND, "main") == second
    await asyncio.sleep(0)
    assert services.events[-1].detail == {"changed": ["card", "description"]}
    assert await services.actions() == [("agent.update", f"{KIND}/main")]


async def test_create_refuses_what_is_there(services: Services, agent_of: Make) -> None:
    agent = agent_of(KIND)
    await services.registry.register(agent, FULL, create=True)
    assert (await refusal(services.registry.register(agent, FULL, create=True)))[0] is Code.ALREADY_EXISTS


async def test_many_at_once_are_as_one_after_the_other(services: Services, agent_of: Make) -> None:
    agent = agent_of("acme/prod/*")
    many = [Agent(type=f"acme/prod/t{n % 3}", identity=f"a{n % 40}") for n in range(120)]
    many += [Agent(type=KIND, identity="same", description=str(n)) for n in range(5)]
    many.append(Agent(type="acme/nowhere/x", identity="a"))
    answers = await asyncio.gather(
        *(services.registry.register(agent, each) for each in many), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Agent] * 125 + [Refused]
    page = await services.discovery.find(agent, Query(), limit=200)
    assert len({(found.type, found.identity) for found in page.items}) == len(page.items) == 100
    assert (await services.discovery.get(agent, KIND, "same")).description == "4"
    actions = [action for action, _ in await services.actions()]
    assert [actions.count(kind) for kind in ("type.create", "agent.register", "agent.update")] == [4, 121, 4]


async def test_the_namespace_must_be_there(services: Services, agent_of: Make) -> None:
    call = services.registry.register(agent_of("acme/*"), Agent(type="acme/test/writer", identity="a"))
    code, detail = await refusal(call)
    assert (code, detail.split(";")[0]) == (Code.NOT_FOUND, "namespace acme/test")


async def test_who_may_register(services: Services, agent_of: Make, admin_of: Make, operator: Caller) -> None:
    for caller in (agent_of("acme/*"), agent_of(KIND), agent_of(f"{KIND}/main"), admin_of("acme"), operator):
        await services.registry.register(caller, FULL)
        await services.registry.start(caller, KIND, "main", f"{KIND}/main")
        await services.registry.heartbeat(caller, f"{KIND}/main")
        await services.registry.stop(caller, f"{KIND}/main")
        await services.registry.deregister(caller, KIND, "main")
    other = agent_of("acme/prod/reader")
    for call in (
        services.registry.register(other, FULL),
        services.registry.deregister(other, KIND, "main"),
        services.registry.start(other, KIND, "main", f"{KIND}/1"),
        services.registry.heartbeat(other, f"{KIND}/1"),
        services.registry.stop(other, f"{KIND}/1"),
        services.registry.register(agent_of(f"{KIND}/main"), Agent(type=KIND, identity="other")),
    ):
        assert (await refusal(call))[0] is Code.NOT_PERMITTED


async def test_a_grant_may_deny_to_register(services: Services, agent_of: Make) -> None:
    denied = Statement("acme", ("acme", "prod"), "register", ("acme", "prod", "writer"), allow=False)
    services.policy = Policy.compiled([denied])
    assert (await refusal(services.registry.register(agent_of(KIND), FULL)))[0] is Code.NOT_PERMITTED
    await services.registry.register(agent_of("acme/*"), Agent(type="acme/prod/reader", identity="main"))


async def test_what_is_anothers_is_as_if_it_did_not_exist(
    services: Services, agent_of: Make, admin_of: Make
) -> None:
    await services.registry.register(agent_of("globex/*"), Agent(type="globex/prod/x", identity="here"))
    await services.registry.start(agent_of("globex/*"), "globex/prod/x", "here", "globex/prod/x/here")
    for caller in (agent_of("acme/*"), admin_of("acme")):
        for identity in ("here", "nowhere"):
            name = f"globex/prod/x/{identity}"
            told = (Code.NOT_FOUND, f"agent {name}")
            agent = Agent(type="globex/prod/x", identity=identity)
            assert await refusal(services.registry.register(caller, agent)) == told
            assert await refusal(services.registry.deregister(caller, "globex/prod/x", identity)) == told
            assert await refusal(services.registry.start(caller, "globex/prod/x", identity, name)) == told
            told = (Code.NOT_FOUND, f"instance {name}")
            assert await refusal(services.registry.heartbeat(caller, name)) == told
            assert await refusal(services.registry.stop(caller, name)) == told


async def test_a_quota_bounds_the_agents_of_a_tenant(
    services: Services, operator: Caller, agent_of: Make
) -> None:
    await services.tenants.put(operator, Tenant(name="acme", quotas=Quotas(agents=3)))
    agent = agent_of("acme/*")
    answers = await asyncio.gather(
        *(services.registry.register(agent, Agent(type=KIND, identity=f"a{n}")) for n in range(5)),
        return_exceptions=True,
    )
    assert [answer.code for answer in answers if isinstance(answer, Refused)] == [Code.QUOTA_EXCEEDED] * 2
    await services.registry.register(agent, Agent(type=KIND, identity="a0", description="changed"))
    await services.registry.deregister(agent, KIND, "a0")
    await services.registry.register(agent, Agent(type=KIND, identity="a4"))
    await services.registry.register(agent_of("globex/*"), Agent(type="globex/prod/x", identity="free"))
    assert (await refusal(services.registry.register(agent, FULL)))[0] is Code.QUOTA_EXCEEDED


async def test_a_suspended_tenant_registers_nothing(
    services: Services, operator: Caller, agent_of: Make
) -> None:
    await services.tenants.put(operator, Tenant(name="acme", suspended=True))
    assert (await refusal(services.registry.register(agent_of(KIND), FULL)))[0] is Code.NOT_PERMITTED


async def test_deregistered_is_gone_with_its_instances(
    services: Services, agent_of: Make, operator: Caller
) -> None:
    agent = agent_of(KIND)
    await services.registry.register(agent, FULL)
    await services.registry.start(agent, KIND, "main", f"{KIND}/1")
    assert (await refusal(services.types.delete(operator, KIND)))[0] is Code.CONFLICT
    await services.actions()
    await services.registry.deregister(agent, KIND, "main")
    assert await services.actions() == [("agent.deregister", f"{KIND}/main")]
    told = (Code.NOT_FOUND, f"agent {KIND}/main")
    assert await refusal(services.discovery.get(agent, KIND, "main")) == told
    assert await refusal(services.registry.deregister(agent, KIND, "main")) == told
    assert (await refusal(services.registry.heartbeat(agent, f"{KIND}/1")))[0] is Code.NOT_FOUND
    await services.types.delete(operator, KIND)
    await services.registry.register(agent, FULL)
    assert (await services.discovery.get(agent, KIND, "main")).instances == []


async def test_an_instance_lives_as_long_as_it_is_renewed(
    services: Services, agent_of: Make, clock: Any
) -> None:
    agent = agent_of(KIND)
    await services.registry.register(agent, FULL)
    born = clock.now
    started = await services.registry.start(agent, KIND, "main", f"{KIND}/1")
    assert started == Instance(name=f"{KIND}/1", since=born, expires=born + LIFE)
    await services.registry.start(agent, KIND, "main", f"{KIND}/2")
    clock.advance(LIFE - 1)
    assert (await services.registry.heartbeat(agent, f"{KIND}/1")).expires == clock.now + LIFE
    clock.advance(1)
    await services.registry.tick(clock.now)
    assert [each.name for each in (await services.discovery.get(agent, KIND, "main")).instances] == [
        f"{KIND}/1"
    ]
    assert (await refusal(services.registry.heartbeat(agent, f"{KIND}/2")))[0] is Code.NOT_FOUND
    again = await services.registry.start(agent, KIND, "main", f"{KIND}/1")
    assert again == Instance(name=f"{KIND}/1", since=born, expires=clock.now + LIFE)
    await services.registry.stop(agent, f"{KIND}/1")
    await services.registry.stop(agent, f"{KIND}/1")
    assert (await services.discovery.get(agent, KIND, "main")).instances == []
    assert [action for action, _ in await services.actions()] == ["type.create", "agent.register"]


async def test_many_instances_at_once(services: Services, agent_of: Make, clock: Any) -> None:
    agent = agent_of("acme/*")
    for identity in ("one", "two"):
        await services.registry.register(agent, Agent(type=KIND, identity=identity))

    async def start(identity: str, number: int) -> Instance:
        return await services.registry.start(agent, KIND, identity, f"{KIND}/{identity}-{number}")

    await asyncio.gather(
        *(start(identity, n % 600) for n in range(1200) for identity in ("one", "two") if n % 600 < 250)
    )
    for identity in ("one", "two"):
        assert len((await services.discovery.get(agent, KIND, identity)).instances) == 250
    names = [f"{KIND}/one-{n}" for n in range(251)]
    renewed = await asyncio.gather(
        *(services.registry.heartbeat(agent, name) for name in names), return_exceptions=True
    )
    assert [isinstance(each, Instance) for each in renewed] == [True] * 250 + [False]
    clock.advance(LIFE)
    await services.registry.tick(clock.now)
    assert (await services.discovery.find(agent, Query(live=True))).items == []


async def test_what_instances_may_be(services: Services, agent_of: Make) -> None:
    agent = agent_of("acme/*")
    for identity in ("main", "other"):
        await services.registry.register(agent, Agent(type=KIND, identity=identity))
    start = services.registry.start
    assert (await refusal(start(agent, KIND, "nobody", f"{KIND}/1")))[0] is Code.NOT_FOUND
    assert (await refusal(start(agent, KIND, "main", "acme/prod/reader/1")))[0] is Code.INVALID_REQUEST
    assert (await refusal(start(agent, KIND, "main", KIND)))[0] is Code.INVALID_NAME
    await start(agent, KIND, "main", f"{KIND}/1")
    assert await refusal(start(agent, KIND, "other", f"{KIND}/1")) == (
        Code.CONFLICT,
        f"instance {KIND}/1 is another agent's",
    )
    await asyncio.gather(*(start(agent, KIND, "main", f"{KIND}/{n}") for n in range(INSTANCES_LIMIT)))
    assert (await refusal(start(agent, KIND, "main", f"{KIND}/more")))[0] is Code.CONFLICT
    await start(agent, KIND, "main", f"{KIND}/1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "acme/prod"}, Code.INVALID_NAME),
        ({"type": f"{KIND}/1"}, Code.INVALID_NAME),
        ({"type": "Acme/prod/writer"}, Code.INVALID_NAME),
        ({"identity": ""}, Code.INVALID_NAME),
        ({"identity": "a/b"}, Code.INVALID_NAME),
        ({"identity": "*"}, Code.INVALID_NAME),
        ({"description": "a\0b"}, Code.INVALID_REQUEST),
        ({"card": {"a": ["\ud800"]}}, Code.INVALID_REQUEST),
        ({"card": {"a": "x" * AGENT_LIMIT_BYTES}}, Code.INVALID_REQUEST),
        ({"public_keys": {"sealing": "no base64"}}, Code.INVALID_REQUEST),
    ],
)
async def test_what_is_refused(
    services: Services, agent_of: Make, change: dict[str, Any], code: Code
) -> None:
    resource = msgspec.structs.replace(FULL, **change)
    assert (await refusal(services.registry.register(agent_of("acme/*"), resource)))[0] is code
    assert (await services.discovery.find(agent_of("acme/*"), Query())).items == []


async def test_a_card_that_is_too_deep_is_refused(services: Services, agent_of: Make) -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    call = services.registry.register(agent_of(KIND), msgspec.structs.replace(FULL, card=deep))
    assert (await refusal(call))[0] is Code.INVALID_REQUEST


async def test_a_type_that_was_made_by_an_agent_is_kept_when_it_is_described(
    services: Services, agent_of: Make, admin_of: Make
) -> None:
    await services.registry.register(agent_of(KIND), FULL)
    described = AgentType(name=KIND, description="Writers.", labels={"team": "x"})
    await services.types.put(admin_of("acme"), described)
    await services.registry.register(agent_of(KIND), Agent(type=KIND, identity="second"))
    assert await services.types.get(agent_of(KIND), KIND) == described


async def test_numbers_differ_within_a_millisecond(services: Services, agent_of: Make) -> None:
    services.registry._chance = lambda bits: 0
    many = [Agent(type=KIND, identity=f"a{n}") for n in range(300)]
    answers = await asyncio.gather(*(services.registry.register(agent_of(KIND), each) for each in many))
    assert len(answers) == 300
