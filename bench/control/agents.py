"""The registry that is measured: 100 types of 1,000 agents, with labels of which few, many or most agents have one."""

import asyncio
import itertools
import time
from collections.abc import Iterator

from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Agent, AgentType, Namespace, Tenant
from agpd.control.service import Control
from agpd.names import Pattern

OPERATOR = Caller(OPERATOR_TENANT, Pattern(()), Role.OPERATOR, "bench")
MEMBER = Caller("acme", Pattern(("acme", "bench")), Role.AGENT, "bench")
TYPES = 100
AT_ONCE = 64


def agent(number: int) -> Agent:
    """With a card as large as small A2A cards are."""
    return Agent(
        type=f"acme/bench/t{number % TYPES}",
        identity=f"agent-{number}",
        description=f"Summarises the documents of customer {number}.",
        labels={
            "region": ("eu", "us", "asia")[number % 3],
            "shard": str(number % 1000),
            "tier": "gold" if number % 10 == 0 else "base",
        },
        capabilities=["summarise", "translate"][: 1 + number % 2],
        card={
            "name": f"Agent {number}",
            "skills": [{"id": "summarise", "description": "Reads and sums up."}],
        },
    )


async def prepare(control: Control) -> None:
    """The tenant, its namespace, and a type with a label of its own."""
    await control.tenants.put(OPERATOR, Tenant(name="acme"))
    await control.namespaces.put(OPERATOR, Namespace(name="acme/bench"))
    await control.types.put(OPERATOR, AgentType(name="acme/bench/t0", labels={"team": "blue"}))


async def register(control: Control, numbers: Iterator[int]) -> float:
    """Register these agents, `AT_ONCE` callers at a time; how many in a second."""

    async def caller() -> int:
        done = 0
        for number in numbers:
            await control.registry.register(MEMBER, agent(number))
            done += 1
        return done

    begin = time.perf_counter()
    done = sum(await asyncio.gather(*(caller() for _ in range(AT_ONCE))))
    return done / (time.perf_counter() - begin)


async def register_at(control: Control, rate: float, first: int) -> None:
    """Register agents from number `first` on, so many in a second, until cancelled."""
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            await asyncio.sleep(begin + number / rate - time.perf_counter())
            group.create_task(_one(control, first + number))


async def _one(control: Control, number: int) -> None:
    await control.registry.register(MEMBER, agent(number))
