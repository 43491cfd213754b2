"""agpd/gateway/admission.py: certificates, grants and limits."""

import pytest
from scenarios.harness import World

from agpd.config import Limits
from agpd.errors import Code, Refused
from agpd.gateway.admission import Admission
from agpd.names import Name, Pattern, parse, parse_pattern


class Table:
    """A policy that denies what is in it."""

    def __init__(self, *denied: tuple[str, str, str]) -> None:
        self.denied = set(denied)

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        return (verb, str(subject), str(target)) not in self.denied

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        return (verb, str(subject), str(target)) not in self.denied

    def is_suspended(self, organization: str) -> bool:
        return ("suspended", organization, "") in self.denied


def admission(*denied, **limits):
    return Admission(Table(*denied), Limits(**limits))


def test_the_present_policy_is_asked():
    name, target = parse("acme/dev/a/1"), parse("acme/dev/b")
    rules = admission(("publish", "acme/dev/a/1", "acme/dev/b"))
    assert not rules.allows("publish", name, target)
    assert rules.allows_pattern("observe", name, parse_pattern("acme/dev/*"))
    rules.policy = Table(("observe", "acme/dev/a/1", "acme/dev/*"))
    assert rules.allows("publish", name, target)
    assert not rules.allows_pattern("observe", name, parse_pattern("acme/dev/*"))


def test_a_name_that_the_policy_denies_is_not_registered():
    link = World().peer().link
    rules = admission(("register", "acme/dev/a/1", "acme/dev/a/1"))
    with pytest.raises(Refused, match="register acme/dev/a/1") as caught:
        rules.check_register(link, parse("acme/dev/a/1"))
    assert caught.value.code is Code.NOT_PERMITTED
    rules.check_register(link, parse("acme/dev/a/2"))


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
