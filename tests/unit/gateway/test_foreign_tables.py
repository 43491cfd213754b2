"""agpd/gateway/foreign_tables.py: what is forgotten, and what stays."""

import pytest

from agpd.gateway.foreign_tables import Wants, Way, Ways
from agpd.names import parse
from agpd.wire.frames import Kind

CHAT, NEWS = parse("acme/lab/chat"), parse("acme/lab/news")


def way(source: int, destination: int) -> Way:
    return Way(Kind.PUBLISH, source, destination)


@pytest.fixture
def ways() -> Ways[str]:
    """Two agents write to two addresses, the second address only one of them."""
    made: Ways[str] = Ways()
    made.put("a", "chat", way(1, 10))
    made.put("b", "chat", way(2, 10))
    made.put("b", "news", way(2, 20))
    return made


def test_ways_are_found_by_both_ends(ways: Ways[str]) -> None:
    assert ways.get("b", "chat") == way(2, 10)
    assert ways.get("chat", "b") is None
    assert ways.destination(10) == "chat"
    assert ways.destination(1) is None
    assert list(ways.destinations()) == [(10, "chat"), (20, "news")]
    assert (len(ways), ways.oldest()) == (3, 10)


def test_ways_to_a_handle_go_together(ways: Ways[str]) -> None:
    ways.forget_to(10)
    ways.forget_to(10)
    assert (len(ways), ways.oldest()) == (1, 20)
    assert ways.get("a", "chat") is None
    assert list(ways.destinations()) == [(20, "news")]


def test_handles_that_no_way_leads_to_are_told(ways: Ways[str]) -> None:
    assert ways.forget_from(2) == [20]
    assert ways.forget_from(2) == []
    assert ways.get("a", "chat") == way(1, 10)
    assert ways.forget_from(1) == [10]
    assert not ways
    assert ways.destination(10) is None


@pytest.fixture
def wants() -> Wants[str]:
    """One agent by its name and by its type, and two in a topic."""
    made: Wants[str] = Wants()
    made.add("a", "a", ("a", CHAT))
    made.add("a", "chat", ("a", CHAT))
    made.add("a", "news", ("a", NEWS))
    made.add("b", "news", ("b", NEWS))
    return made


def test_a_part_goes_with_the_last_that_wants_it(wants: Wants[str]) -> None:
    wants.add("a", "chat", ("a", CHAT))
    assert wants.remove("chat") == []
    assert wants.remove("chat") == []
    assert ("a", CHAT) in wants
    assert wants.remove("a") == [("a", CHAT)]
    assert ("a", CHAT) not in wants
    assert wants.remove("news") == [("a", NEWS), ("b", NEWS)]
    assert list(wants.each()) == []


def test_what_cannot_be_served_is_wanted_no_more(wants: Wants[str]) -> None:
    assert wants.of("a") == [("a", CHAT), ("a", NEWS)]
    wants.give_up(("a", CHAT))
    assert list(wants.destinations()) == ["news"]
    wants.give_up(("a", NEWS))
    assert list(wants.each()) == [("b", "news", NEWS)]
    assert wants.of("a") == []
