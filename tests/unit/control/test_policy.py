"""agpd/control/policy.py: verdicts beside a naive model that reads every rule, and what a question costs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios.rules import Naive, policy, prefix

from agpd.config import Grant
from agpd.control.policy import DISCOVERS, OPERATOR_SIDE, Policy, Side, Statement, operator_statements
from agpd.control.resources import VERBS
from agpd.errors import Refused
from agpd.names import Name, Pattern, parse, parse_pattern

ORGANIZATIONS = ("red", "green", "blue")
SEGMENTS = (st.sampled_from(ORGANIZATIONS), *[st.sampled_from("ab")] * 3)
PREFIXES = st.integers(0, 4).flatmap(lambda n: st.tuples(*SEGMENTS[:n]))
TYPES = st.tuples(*SEGMENTS[:3]).map(lambda parts: Name(*parts))
INSTANCES = st.tuples(*SEGMENTS).map(lambda parts: Name(*parts))
STATEMENTS = st.builds(
    Statement, st.sampled_from((*ORGANIZATIONS, OPERATOR_SIDE)), PREFIXES, st.sampled_from(VERBS), PREFIXES
).flatmap(lambda rule: st.booleans().map(lambda allow: rule._replace(allow=allow or not rule.owner)))
CALLERS = st.dictionaries(
    TYPES.map(lambda name: name[:3]), st.lists(PREFIXES, min_size=1, max_size=3), max_size=3
)
SUSPENDED = st.sets(st.sampled_from(ORGANIZATIONS), max_size=1)


def about(rule: Statement) -> bool:
    """As the service checks: a tenant speaks only of what concerns its own agents."""
    return not rule.owner or rule.owner in (*rule.subject[:1], *rule.object[:1])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STATEMENTS.filter(about), max_size=25),
    CALLERS,
    SUSPENDED,
    st.lists(st.tuples(INSTANCES, TYPES | INSTANCES), max_size=12),
)
def test_verdicts_are_those_of_the_naive_model(rules, callers, suspended, questions) -> None:
    compiled, naive = Policy.compiled(rules, callers, suspended), Naive(rules, callers, suspended)
    for subject, target in questions:
        own, other = subject.organization, target.organization
        for verb in ("publish", "request", "subscribe", "watch"):
            assert compiled.allows(verb, subject, target) is naive.allows(
                verb, subject, tuple(filter(None, target)), [own, other]
            )
        assert compiled.allows("register", subject, subject) is naive.allows(
            "register", subject, subject, [own]
        )
        found = any(compiled.allows(verb, subject, target) for verb in DISCOVERS)
        assert compiled.allows("discover", subject, target) is found
        for length in range(5):
            part = tuple(filter(None, target))[:length]
            assert compiled.allows_pattern("route", subject, Pattern(part)) is naive.allows(
                "route", subject, part, [own]
            )
        space = target[:2]
        assert compiled.allows_pattern("observe", subject, Pattern(space)) is naive.allows(
            "observe", subject, space, [own, other]
        )


@settings(max_examples=300, deadline=None)
@given(st.lists(STATEMENTS.filter(about), max_size=25), CALLERS, SUSPENDED, PREFIXES.filter(bool), TYPES)
def test_a_type_is_found_by_whoever_covers_a_name_that_may_find_it(
    rules, callers, suspended, who, target
) -> None:
    """All names of a finite world, and one segment that no rule speaks of."""
    compiled = Policy.compiled(rules, callers, suspended)
    names = [Name(who[0], *rest) for rest in itertools.product("abz", repeat=3)]
    covered = [name for name in names if Pattern(who).matches(name)]
    may = any(compiled.allows("discover", name, target) for name in covered)
    if who[0] == target.organization:
        assert compiled.discovers(Pattern(who), target)
    else:
        assert compiled.discovers(Pattern(who), target) is may
        if may:
            assert any(pattern.matches(target) for pattern in compiled.visible_patterns(Pattern(who)))


def test_visible_patterns_are_of_other_organizations_and_agreed_on_both_sides() -> None:
    rules = policy(
        "acme: allow acme/prod/* publish globex/*",
        "globex: allow acme/prod/a publish globex/api/search",
        "globex: allow acme/* watch globex/api/status",  # acme says nothing
        "acme: allow acme/* publish acme/*",
        "operator: allow acme/* watch initech/*",
    )
    assert rules.visible_patterns(parse_pattern("acme/*")) == [
        Pattern(("globex", "api", "search")),
        Pattern(("initech",)),
    ]
    assert rules.visible_patterns(parse_pattern("acme/dev/*")) == [Pattern(("initech",))]
    assert rules.visible_patterns(parse_pattern("globex/*")) == []
    assert rules.visible_patterns(Pattern(())) == [Pattern(())]


def test_a_policy_with_other_sides_leaves_the_old_one_as_it_was() -> None:
    old = policy("acme: allow acme/* observe acme/prod/*", "globex: deny globex/* register globex/*")
    side = Side(suspended=True)
    new = old.replaced({"acme": None, "initech": side})
    agent, space = parse("acme/prod/a/1"), parse_pattern("acme/prod/*")
    assert (old.allows_pattern("observe", agent, space), new.allows_pattern("observe", agent, space)) == (
        True,
        False,
    )
    assert (old.is_suspended("initech"), new.is_suspended("initech")) == (False, True)
    assert new.side("globex") is old.side("globex")


def test_grants_of_the_configuration_stand_for_both_sides_and_publish_lets_ask() -> None:
    grants = [
        Grant(subject="acme/*", verb="publish", object="globex/*"),
        Grant(subject="*", verb="observe", object="acme/*"),
    ]
    rules = Policy.compiled(operator_statements(grants))
    agent, target = parse("acme/prod/a/1"), parse("globex/api/b")
    assert rules.allows("publish", agent, target)
    assert rules.allows("request", agent, target)
    assert not rules.allows("watch", agent, target)
    assert not rules.allows("publish", target.at("1"), agent)
    assert rules.allows_pattern("observe", agent, parse_pattern("acme/prod/*"))
    denied = Policy.compiled(
        [*operator_statements(grants), Statement("globex", (), "request", prefix("globex/*"), False)]
    )
    assert denied.allows("publish", agent, target)
    assert not denied.allows("request", agent, target)
    with pytest.raises(Refused):
        operator_statements([Grant(subject="acme", verb="publish", object="*")])


class Counted(dict):
    """A dictionary that counts what is looked up in it."""

    lookups = 0

    def get(self, key, default=None):
        Counted.lookups += 1
        return super().get(key, default)


def question_costs(grants: int) -> int:
    """Look-ups for one verdict among so many grants of both sides, each with a subject and an object of its own."""
    rules = [
        Statement(owner, ("acme", f"n{n}", "a"), "publish", ("globex", f"n{n}", "b"))
        for n in range(grants)
        for owner in ("acme", "globex")
    ]
    compiled = Policy.compiled(rules)
    for owner in ("acme", "globex"):
        side = compiled.side(owner)
        side.allowed = Counted({verb: Counted(table) for verb, table in side.allowed.items()})
    Counted.lookups = 0
    assert compiled.allows(
        "publish", Name("acme", f"n{grants - 1}", "a", "1"), Name("globex", f"n{grants - 1}", "b")
    )
    assert not compiled.allows("publish", Name("acme", "n0", "a", "1"), Name("globex", "n1", "b"))
    return Counted.lookups


def test_a_question_costs_the_same_among_100_000_grants() -> None:
    assert question_costs(10) == question_costs(50_000) < 30
