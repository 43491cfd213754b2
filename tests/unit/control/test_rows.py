"""Reading agents: by name and by number, as many as wanted, with their instances."""

from typing import Any

import pytest
from sqlalchemy import Connection

from agpd.control import rows
from agpd.control.caller import Caller
from agpd.control.liveness import Start, start_all
from agpd.control.registration import Registration, register_all
from agpd.control.resources import Agent, Namespace, Tenant
from agpd.control.rows import agent_name, agents_named, agents_numbered
from agpd.control.store import Notes, Store
from agpd.control.tenants import Namespaces, Tenants
from agpd.names import Name

NUMBER = 12
NAMES = [Name("acme", "prod", f"t{number % 3}", f"i{number}") for number in range(NUMBER)]


@pytest.fixture
async def filled(store: Store, operator: Caller) -> Store:
    """Agents 1 to 12, of which each third has two instances."""
    await Tenants(store, 10).put(operator, Tenant(name="acme"))
    await Namespaces(store, 10).put(operator, Namespace(name="acme/prod"))

    def fill(connection: Connection, notes: Notes) -> None:
        agents = [Agent(type=str(name.type_name), identity=name.instance) for name in NAMES]
        asked = [
            Registration("test", agent, agent_name(agent), place + 1, False)
            for place, agent in enumerate(agents)
        ]
        register_all(connection, notes, asked)
        start_all(
            connection,
            notes,
            [Start(name, f"{name}-{letter}", 60) for name in NAMES[::3] for letter in "ba"],
        )

    await store.write(fill)
    return store


async def test_by_name(filled: Store) -> None:
    absent = [Name("acme", "prod", "t0", "nobody"), Name("acme", "prod", "", "i0"), Name("x", "y", "z", "'")]
    found = await filled.read(lambda connection: agents_named(connection, [*NAMES[:5], *absent]))
    assert {name: stored.id for name, stored in found.items()} == {
        name: n + 1 for n, name in enumerate(NAMES[:5])
    }
    assert await filled.read(lambda connection: agents_named(connection, [])) == {}


async def test_by_number_in_parts(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PART", 5)
    wanted = [*range(NUMBER, 0, -1), 99]
    found = await filled.read(lambda connection: agents_numbered(connection, wanted))
    assert [stored.id for stored in found] == wanted[:-1]
    instances: dict[str, Any] = {
        stored.agent.identity: [each.name for each in stored.agent.instances] for stored in found
    }
    assert instances["i0"] == ["acme/prod/t0/i0-a", "acme/prod/t0/i0-b"]
    assert instances["i1"] == []
