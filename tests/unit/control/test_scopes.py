import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.control import scopes
from agpd.control.resources import VERBS
from agpd.control.scopes import Scopes, everything, parse
from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, parse_pattern
from agpd.names import parse as name

segment = st.sampled_from(["a", "b"])
patterns = st.lists(segment, max_size=4).map(lambda parts: Pattern(tuple(parts)))
pairs = st.tuples(st.sampled_from(VERBS), patterns)
sets = st.builds(Scopes, st.frozensets(pairs, max_size=5), st.booleans(), st.booleans())
names = st.builds(Name, segment, segment, segment, st.sampled_from(["", "a", "b"]))


def test_a_scope_permits_its_verb_for_the_names_of_its_pattern() -> None:
    granted = parse("agp:publish:acme/prod/* agp:register:acme/prod/writer")
    assert granted.permits("publish", name("acme/prod/reader"))
    assert not granted.permits("publish", name("acme/test/reader"))
    assert not granted.permits("subscribe", name("acme/prod/reader"))
    assert granted.permits("register", name("acme/prod/writer/1"))
    assert not granted.permits("register", name("acme/prod/reader/1"))
    assert not granted.admin
    assert not granted.offline


def test_whoever_may_publish_may_request_and_not_the_other_way_round() -> None:
    assert parse("agp:publish:acme/*").permits("request", name("acme/a/b"))
    assert not parse("agp:request:acme/*").permits("publish", name("acme/a/b"))


def test_flags_permit_nothing_by_themselves() -> None:
    granted = parse("agp:admin offline_access")
    assert granted.admin
    assert granted.offline
    assert not any(granted.permits(verb, name("acme/a/b")) for verb in VERBS)


@pytest.mark.parametrize(
    "text",
    [
        *("agp:fly:acme/*", "agp:publish:", "agp:publish:Acme/*", "agp:publish", "openid", "agp:publish:*  agp:admin"),
        *(" ", "agp:publish:acme/*/x", "AGP:ADMIN", "agp:publish:a/b/c/d/e", "agp:admin ", "agp:publish:" + "a" * 3000),
    ],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert caught.value.code is Code.INVALID_REQUEST


def test_a_client_without_scopes_may_do_all_but_register_other_names() -> None:
    granted = everything(parse_pattern("acme/prod/*"))
    assert granted.permits("publish", name("globex/a/b"))
    assert granted.permits("request", name("globex/a/b"))
    assert granted.permits("register", name("acme/prod/x/1"))
    assert not granted.permits("register", name("acme/test/x/1"))
    assert not granted.admin


@given(sets)
def test_printing_and_parsing_keeps_what_is_permitted(one: Scopes) -> None:
    again = parse(str(one))
    assert again.covers(one)
    assert one.covers(again)
    assert bool(again) == bool(one)


@given(sets, sets, st.sampled_from(VERBS), names)
def test_intersection_and_union_are_those_of_what_is_permitted(
    one: Scopes, two: Scopes, verb: str, target: Name
) -> None:
    both = one.permits(verb, target), two.permits(verb, target)
    assert one.intersection(two).permits(verb, target) == all(both)
    assert one.union(two).permits(verb, target) == any(both)


@given(sets, sets, st.sampled_from(VERBS), names)
def test_what_covers_permits_as_much(one: Scopes, two: Scopes, verb: str, target: Name) -> None:
    if one.covers(two) and two.permits(verb, target):
        assert one.permits(verb, target)
    assert one.covers(one.intersection(two))
    assert one.union(two).covers(two)


def test_covering_counts_the_flags() -> None:
    assert not Scopes().covers(Scopes(admin=True))
    assert not Scopes().covers(Scopes(offline=True))
    assert Scopes(admin=True, offline=True).covers(Scopes(admin=True))
    assert not parse("agp:publish:acme/*").permits_pattern("publish", Pattern(()))
    assert parse("agp:publish:acme/*").without("publish") == Scopes()
    assert parse("agp:publish:acme/* agp:admin").of_verb("publish") == parse("agp:publish:acme/*")


def test_patterns_meet_in_the_narrower_one() -> None:
    wide, narrow = parse_pattern("acme/*"), parse_pattern("acme/prod/*")
    assert scopes.meet(wide, narrow) == scopes.meet(narrow, wide) == narrow
    assert scopes.meet(narrow, parse_pattern("acme/test/*")) is None
