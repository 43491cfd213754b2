"""Instances, many in one work: what each is told, and which agents run."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select

from agpd.control import liveness
from agpd.control.caller import Caller
from agpd.control.liveness import Renewal, Start, Started, expire, renew_all, start_all, stop_all
from agpd.control.model import agent_tag
from agpd.control.registration import Registration, register_all
from agpd.control.resources import Agent, Namespace, Tenant
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants
from agpd.errors import Code, Refused
from agpd.names import Name

ONE, TWO, NOBODY = (Name("acme", "prod", "t", identity) for identity in ("one", "two", "nobody"))


@pytest.fixture
async def filled(store: Store, operator: Caller) -> Store:
    """Agents 1 and 2."""
    await Tenants(store, 10).put(operator, Tenant(name="acme"))
    await Namespaces(store, 10).put(operator, Namespace(name="acme/prod"))
    for number, name in ((1, ONE), (2, TWO)):
        agent = Agent(type="acme/prod/t", identity=name.instance)
        await store.write_each(register_all, Registration("test", agent, name, number, False))
    return store


async def start(store: Store, *asked: Start) -> Sequence[Started | Refused]:
    return await store.write(lambda connection, notes: start_all(connection, notes, asked))


async def running(store: Store) -> set[int]:
    """The agents that are found as running."""

    def read(connection: Connection) -> set[int]:
        return set(connection.scalars(select(agent_tag.c.agent).where(agent_tag.c.kind == "r")))

    return await store.read(read)


async def test_starts_of_one_work(filled: Store, clock: Any) -> None:
    outcomes = await start(
        filled,
        Start(ONE, "acme/prod/t/1", 60),
        Start(ONE, "acme/prod/t/1", 90),
        Start(TWO, "acme/prod/t/1", 60),
        Start(TWO, "acme/prod/t/2", 60),
        Start(NOBODY, "acme/prod/t/3", 60),
    )
    first, again, anothers, second, nobodys = outcomes
    assert isinstance(first, Started)
    assert isinstance(again, Started)
    assert (first.new, first.agent, again.new) == (True, 1, False)
    assert (again.instance.since, again.instance.expires) == (clock.now, clock.now + 90)
    assert isinstance(second, Started)
    assert [each.code for each in (anothers, nobodys) if isinstance(each, Refused)] == [
        Code.CONFLICT,
        Code.NOT_FOUND,
    ]
    assert await running(filled) == {1, 2}


async def test_only_instances_that_are_new_count_against_the_limit(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "INSTANCES_LIMIT", 3)
    await start(filled, Start(ONE, "acme/prod/t/1", 60), Start(TWO, "acme/prod/t/9", 60))
    outcomes = await start(
        filled,
        Start(ONE, "acme/prod/t/1", 60),  # runs already
        Start(ONE, "acme/prod/t/9", 60),  # another's
        *(Start(ONE, f"acme/prod/t/{number}", 60) for number in (2, 3, 4)),
    )
    assert [each.code if isinstance(each, Refused) else each.new for each in outcomes] == [
        False,
        Code.CONFLICT,
        True,
        True,
        Code.CONFLICT,
    ]


async def test_renewals_of_one_work(filled: Store, clock: Any) -> None:
    await start(filled, Start(ONE, "acme/prod/t/1", 60))
    asked = [Renewal("acme/prod/t/1", 70), Renewal("acme/prod/t/9", 70)]
    renewed, unknown = await filled.write(lambda connection, notes: renew_all(connection, notes, asked))
    assert not isinstance(renewed, Refused)
    assert renewed.expires == clock.now + 70
    assert isinstance(unknown, Refused)


async def test_stops_of_one_work(filled: Store) -> None:
    await start(
        filled,
        Start(ONE, "acme/prod/t/1", 60),
        Start(ONE, "acme/prod/t/2", 60),
        Start(TWO, "acme/prod/t/3", 60),
    )
    names = ["acme/prod/t/1", "acme/prod/t/3", "acme/prod/t/3", "acme/prod/t/9"]
    stopped = await filled.write(lambda connection, notes: stop_all(connection, notes, names))
    assert stopped == [1, 2, 0, 0]
    assert await running(filled) == {1}


async def test_what_runs_out_goes_in_parts(
    filled: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "EXPIRED_LIMIT", 2)
    await start(
        filled, *(Start(ONE, f"acme/prod/t/{n}", 10) for n in range(3)), Start(TWO, "acme/prod/t/9", 20)
    )
    now = clock.now + 10
    for left in (2, 1, 0):
        assert len(await filled.write(partial(expire, now=now))) == left
    assert await running(filled) == {2}
    assert not await filled.read(partial(liveness.any_late, now=now))
    assert await filled.read(partial(liveness.any_late, now=clock.now + 20))
