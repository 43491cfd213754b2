"""Registering many at once: rounds without a name twice, and a number of statements that does not grow."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from agpd.control.caller import Caller
from agpd.control.registration import Registration, register_all, rounds
from agpd.control.resources import Agent, Namespace, Tenant
from agpd.control.store import Notes, Store
from agpd.control.tenants import Namespaces, Tenants
from agpd.errors import Code, Refused
from agpd.names import Name


@given(st.lists(st.integers(0, 5)))
def test_rounds_keep_the_order_of_each_key(keys: list[int]) -> None:
    found = list(rounds(keys))
    assert sorted(place for places in found for place in places) == list(range(len(keys)))
    for places in found:
        assert len({keys[place] for place in places}) == len(places)
    for key in set(keys):
        places = [place for part in found for place in part if keys[place] == key]
        assert places == sorted(places)
    assert len(found) == max((keys.count(key) for key in keys), default=0)


def registration(number: int, space: str = "prod", description: str = "") -> Registration:
    agent = Agent(
        type=f"acme/{space}/t{number % 7}",
        identity=f"i{number}",
        description=description,
        labels={"n": str(number)},
    )
    return Registration(
        "bench", agent, Name("acme", space, f"t{number % 7}", f"i{number}"), number + 1, False
    )


@pytest.fixture
async def prepared(store: Store, operator: Caller) -> Store:
    await Tenants(store, 10).put(operator, Tenant(name="acme"))
    await Namespaces(store, 10).put(operator, Namespace(name="acme/prod"))
    return store


def counted(asked: Sequence[Registration]) -> Any:
    """A work that registers these; it answers with the outcomes, the actions, and how many statements it took."""

    def work(connection: Connection, notes: Notes) -> tuple[list[Any], list[str], int]:
        statements: list[str] = []

        def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
            statements.append(statement)

        event.listen(connection, "before_cursor_execute", note)
        outcomes = register_all(connection, notes, asked)
        event.remove(connection, "before_cursor_execute", note)
        return list(outcomes), [each.action for each in notes.events], len(statements)

    return work


async def test_a_hundred_take_as_many_statements_as_one(prepared: Store) -> None:
    _, _, one = await prepared.write(counted([registration(1000)]))
    outcomes, actions, hundred = await prepared.write(counted([registration(n) for n in range(100)]))
    assert hundred <= one <= 10
    assert [outcome.identity for outcome in outcomes] == [f"i{n}" for n in range(100)]
    # The type of the first agent, number 1000, is there already: 1000 % 7 == 6.
    assert (actions.count("type.create"), actions.count("agent.register")) == (6, 100)


async def test_what_differs_is_written_and_the_rest_is_not(prepared: Store) -> None:
    await prepared.write(counted([registration(n) for n in range(3)]))
    outcomes, actions, _ = await prepared.write(
        counted([registration(0), registration(1, description="new")])
    )
    assert actions == ["agent.update"]
    assert [outcome.description for outcome in outcomes] == ["", "new"]


async def test_one_that_is_refused_leaves_the_others(prepared: Store) -> None:
    outcomes, actions, _ = await prepared.write(
        counted([registration(0), registration(1, space="nowhere"), registration(2)])
    )
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].code is Code.NOT_FOUND
    assert [type(outcomes[place]) for place in (0, 2)] == [Agent, Agent]
    assert actions.count("agent.register") == 2
