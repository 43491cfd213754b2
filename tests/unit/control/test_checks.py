"""Checks that the services have in common."""

from typing import Any

import pytest

from agpd.control.checks import (
    changes,
    check_given_id,
    check_own_id,
    check_texts,
    fresh_id,
    page_of,
    page_size,
    split_name,
)
from agpd.control.resources import Agent, Quotas, Tenant
from agpd.errors import Code, Refused


@pytest.mark.parametrize("text", ["a\0", "\\\0", "\ud800", "a\udfffb"])
def test_texts_that_no_database_holds(text: str) -> None:
    for resource in (Tenant(name="a", title=text), Agent(type="a", identity="b", card={"x": [{text: text}]})):
        with pytest.raises(Refused) as caught:
            check_texts(resource)
        assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize("text", ["", "\\u0000", "\\\\u0000", "u0000", "\x01\x7f", "ü\U0001f600"])
def test_texts_that_every_database_holds(text: str) -> None:
    assert check_texts(Tenant(name="a", title=text)) > len(text)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("depth", "refused"), [(100, False), (101, True), (50_000, True)])
def test_what_is_too_deep(depth: int, refused: bool, as_list: bool) -> None:
    """At the same depth with every version of Python, of which each recurses to another."""
    value: Any = {} if not as_list else []
    for _ in range(depth - 2):  # it is one itself, and within one
        value = [value] if as_list else {"a": value}
    agent = Agent(type="a", identity="b", card={"a": value, "b": "text"})
    if refused:
        with pytest.raises(Refused, match="nested deeper than 100"):
            check_texts(agent)
    else:
        assert check_texts(agent) > depth


def test_names_have_the_shape_asked_for() -> None:
    assert split_name("acme", "organization") == ("acme",)
    assert split_name("acme/prod", "organization/namespace") == ("acme", "prod")
    for name in ("", "acme/prod/x", "acme/*", "*", "Acme/prod", "acme//", "/acme"):
        with pytest.raises(Refused) as caught:
            split_name(name, "organization/namespace")
        assert caught.value.code is Code.INVALID_NAME


def test_changes_are_the_fields_that_differ() -> None:
    before, after = Tenant(name="a", title="x"), Tenant(name="a", title="y", quotas=Quotas(agents=1))
    assert changes(before, before) == {}
    assert changes(before, after)["title"] == "y"
    assert changes(before, after)["quotas"]["agents"] == 1
    assert sorted(changes(before, after)) == ["quotas", "title"]


def test_the_size_of_a_page() -> None:
    assert [page_size(limit, 10) for limit in (0, 3, 10, 11)] == [10, 3, 10, 10]
    for limit, after in ((-1, ""), (0, "\0"), (0, "ä")):
        with pytest.raises(Refused):
            page_size(limit, 10, after)


def test_a_page_says_whether_there_is_more() -> None:
    page = page_of([1, 2, 3], 2, str)
    assert (page.items, page.next) == ([1, 2], "2")
    page = page_of([1, 2], 2, str)
    assert (page.items, page.next) == ([1, 2], "")


def test_made_ids_are_not_guessed_and_fit() -> None:
    made = {fresh_id("g") for _ in range(100)}
    assert len(made) == 100
    for text in (*made, "", "acme.a", "acme.a-b_1", "acme." + "a" * 59):
        check_own_id(text, "acme", "g")


@pytest.mark.parametrize(
    "text",
    ["a", "globex.a", "acme.", "acme.A", "acme.a.b", "acme.a\n", "acme." + "a" * 60, "r-" + "0" * 16, "g-0"],
)
def test_ids_of_others_and_of_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"write acme\.<label>") as caught:
        check_own_id(text, "acme", "g")
    assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    "text", ["", "bot", "globex.bot", "acme.", "acme.a.b", f"acme.{'a' * 64}", "g-0123456789abcdef"]
)
def test_an_id_that_must_be_given_begins_with_its_owner(text: str) -> None:
    check_given_id(f"acme.{'a' * 63}", "acme")
    with pytest.raises(Refused, match=r"write acme\.<label>") as caught:
        check_given_id(text, "acme")
    assert caught.value.code is Code.INVALID_REQUEST
