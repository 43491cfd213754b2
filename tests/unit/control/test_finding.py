"""How agents are found: scopes, places, and that every search is a range of an index on both databases."""

from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from agpd.control import finding
from agpd.control.finding import Place, Scope, place, scopes, wanted
from agpd.control.model import agent, agent_tag, agent_type, namespace, tenant
from agpd.control.resources import Agent, Query
from agpd.control.store import Notes, Store
from agpd.control.tags import RUNNING, row
from agpd.control.words import blind, words_of
from agpd.errors import Refused
from agpd.names import Name

ANY = ("", "", "")


@pytest.mark.parametrize(
    ("visible", "parts", "expected"),
    [
        ([("acme",)], ANY, [Scope(("acme",))]),
        ([("acme",)], ("acme", "", ""), [Scope(("acme",))]),
        ([("acme",)], ("globex", "", ""), []),
        ([("acme",)], ("acme", "prod", "x"), [Scope(("acme", "prod", "x"))]),
        ([("acme",)], ("", "", "x"), [Scope(("acme",))]),
        ([("acme",)], ("", "prod", "x"), [Scope(("acme", "prod", "x"))]),
        ([()], ANY, [Scope(())]),
        ([()], ("acme", "", ""), [Scope(("acme",))]),
        ([()], ("", "prod", ""), [Scope(())]),
        ([("g", "p"), ("acme",), ("g",), ("g", "p", "x")], ANY, [Scope(("acme",)), Scope(("g",))]),
        ([("a-b",), ("a", "z"), ("a", "z", "y")], ANY, [Scope(("a", "z")), Scope(("a-b",))]),
        ([("g", "p", "x", "2"), ("g", "p", "x", "1")], ANY, [Scope(("g", "p", "x"), ("1", "2"))]),
        ([("g", "p", "x", "1"), ("g", "p", "x")], ANY, [Scope(("g", "p", "x"))]),
        ([("g", "p", "x", "1")], ("", "", "y"), []),
    ],
)
def test_scopes(visible: Any, parts: Any, expected: list[Scope]) -> None:
    assert scopes(visible, parts) == expected


def test_places_are_printed_and_read() -> None:
    somewhere = Place("acme", "prod", "x", 2**62)
    assert place(str(somewhere)) == somewhere
    assert place("") is None


def test_a_query_is_taken_apart() -> None:
    want = wanted(Query(type="x", labels={"a": "1"}, capabilities=["c"], live=True, text="One two"))
    assert want.parts == ("", "", "x")
    assert want.tags == [("l", "a", "1"), ("c", "c", ""), ("r", "", "")]
    assert want.words == {"one", "two"}
    assert wanted(Query()).words is None
    with pytest.raises(Refused):
        wanted(Query(text="-"))


NUMBER = 3000


def _fill(connection: Connection, _: Notes) -> None:
    """Agents 0, 1 ... of acme in ten types, of which one in a hundred is rare and one in ten runs."""
    connection.execute(
        tenant.insert().values(name="acme", title="", suspended=False, require_encryption=False, quotas={})
    )
    connection.execute(namespace.insert().values(organization="acme", name="prod", title=""))
    blank = {"description": "", "labels": {}, "capabilities": []}
    connection.execute(
        agent_type.insert(),
        [{"organization": "acme", "namespace": "prod", "name": f"t{n}", "category": "", "callers": [], **blank}
         for n in range(10)],
    )  # fmt: skip
    names = [Name("acme", "prod", f"t{n % 10}", f"i{n}") for n in range(NUMBER)]
    agents = [
        {"id": number, "organization": "acme", "namespace": "prod", "type": name.type, "identity": name.instance,
         "card": None, "public_keys": {}, "created": 0.0, "updated": 0.0, **blank,
         "words": blind("acme", words_of(Agent(type="acme/prod/x", identity=name.instance, description="common")))}
        for number, name in enumerate(names)
    ]  # fmt: skip
    connection.execute(agent.insert(), agents)
    marks = [row(number, name, "l", "region", "eu") for number, name in enumerate(names)]
    marks += [row(number, name, "c", "rare", "") for number, name in enumerate(names) if number % 100 == 0]
    marks += [row(number, name, RUNNING, "", "") for number, name in enumerate(names) if number % 10 == 0]
    connection.execute(agent_tag.insert(), marks)


AFTER = Place("acme", "prod", "t5", 1505)
QUERIES = [
    (Query(), [("acme",)], 3000),
    (Query(type="t5", namespace="prod"), [("acme",)], 300),
    (Query(type="t5"), [("acme",)], 300),
    (Query(type="t5", labels={"region": "eu"}), [("acme",)], 300),
    (Query(type="t"), [("acme",)], 0),
    (Query(labels={"region": "eu"}), [("acme",)], 3000),
    (Query(labels={"region": "eu"}), [()], 3000),
    (Query(labels={"region": "eu"}, type="t5", namespace="prod"), [("acme",)], 300),
    (Query(labels={"region": "eu"}, capabilities=["rare"]), [("acme",)], 30),
    (Query(live=True), [("acme",)], 300),
    (Query(text="common"), [("acme",)], 3000),
    (Query(text="common i7"), [("acme",)], 1),
    (Query(), [("acme", "prod", "t5", "i5"), ("acme", "prod", "t5", "i6")], 1),
]


@pytest.mark.parametrize(("query", "visible", "number"), QUERIES)
async def test_each_search_is_a_range_of_an_index(
    store: Store, query: Query, visible: Any, number: int
) -> None:
    await store.write(_fill)
    within = scopes(visible, (query.organization, query.namespace, query.type))

    def run(connection: Connection) -> tuple[int, list[Place], list[str]]:
        want = wanted(query)
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        count = len(finding.find(connection, want, within, None, NUMBER + 1))
        asked: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, values: Any, *rest: Any) -> None:
            asked.append((statement, values))

        event.listen(connection, "before_cursor_execute", note)
        found = finding.find(connection, want, within, AFTER, 20)
        event.remove(connection, "before_cursor_execute", note)
        how = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        plans = [
            str(line[-1]) for statement, values in asked
            for line in connection.exec_driver_sql(how + statement, values)
        ]  # fmt: skip
        return count, found, plans

    count, found, plans = await store.read(run)
    assert count == number
    assert all(at > AFTER for at in found) or query.text
    assert found == sorted(found) or query.text
    scans = [
        line for line in plans if "SCAN agent " in line or line.strip() in ("SCAN agent", "SCAN agent_tag")
    ]
    assert scans == []
    assert not any("Seq Scan on agent" in line for line in plans), plans
    if not query.text and within[0].prefix:
        assert not any("TEMP B-TREE" in line for line in plans), plans


async def test_types_of_one_name_that_are_many_are_searched_through(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "TYPES_LIMIT", 0)
    await store.write(_fill)
    want = wanted(Query(type="t5", labels={"region": "eu"}))
    found = await store.read(lambda connection: finding.find(connection, want, [Scope(("acme",))], None, 400))
    assert len(found) == 300


async def test_the_rarest_tag_drives(store: Store) -> None:
    await store.write(_fill)
    want = wanted(Query(labels={"region": "eu"}, capabilities=["rare"], live=True))

    def rarest(connection: Connection) -> tuple[str, str, str]:
        return finding._rarest(connection, want, Scope(("acme",)))

    assert await store.read(rarest) == ("c", "rare", "")
