"""agpd/gateway/admission.py: certificates, grants and limits."""

import pytest
from scenarios.harness import World

from agpd.config import Limits
from agpd.errors import Code, Refused
from agpd.gateway.admission import Admission, Grant
from agpd.names import parse, parse_pattern


def admission(*grants, **limits):
    granted = [Grant(parse_pattern(who), verb, parse_pattern(what)) for who, verb, what in grants]
    return Admission(granted, Limits(**limits))


@pytest.mark.parametrize(
    ("verb", "subject", "target", "allowed"),
    [
        ("publish", "acme/dev/a/1", "beta/dev/b", True),
        ("publish", "acme/ops/a/1", "beta/dev/b", False),  # another subject
        ("publish", "acme/dev/a/1", "beta/ops/b", False),  # another object
        ("publish", "beta/dev/b/1", "acme/dev/a", False),  # the other way round
        ("subscribe", "acme/dev/a/1", "beta/dev/b", False),  # another verb
        ("watch", "acme/dev/a/1", "beta/dev/b", False),
    ],
)
def test_a_grant_allows_what_it_says(verb, subject, target, allowed):
    rules = admission(("acme/dev/*", "publish", "beta/dev/*"), ("gamma/*", "subscribe", "*"))
    assert rules.may_cross(verb, parse(subject), parse(target)) is allowed


def test_nothing_is_granted_by_itself():
    assert not admission().may_cross("publish", parse("a/b/c/d"), parse("e/f/g"))


def test_registering_within_the_certificate_and_the_limit():
    link = World().peer("acme/dev/*").link
    rules = admission(agents_per_connection=1)
    rules.check_register(link, parse("acme/dev/writer/1"))
    with pytest.raises(Refused, match=r"outside acme/dev/\*") as caught:
        rules.check_register(link, parse("acme/ops/writer/1"))
    assert caught.value.code is Code.NOT_PERMITTED
    link.sources[1] = None
    with pytest.raises(Refused) as caught:
        rules.check_register(link, parse("acme/dev/writer/1"))
    assert caught.value.code is Code.TOO_MANY_AGENTS


def test_room():
    admission().check_room(4, 5, Code.TOO_MANY_ROUTES)
    with pytest.raises(Refused, match="limit is 5") as caught:
        admission().check_room(5, 5, Code.TOO_MANY_ROUTES)
    assert caught.value.code is Code.TOO_MANY_ROUTES
