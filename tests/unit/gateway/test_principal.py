"""Who a connection is."""

import dataclasses

import pytest

from agpd.gateway.principal import PLAINTEXT, Principal, narrower
from agpd.names import parse, parse_pattern


def test_a_principal_speaks_for_its_pattern_only():
    principal = Principal(parse_pattern("acme/dev/*"), b"k" * 32, 1, 2.0, "agp://acme/dev/*")
    assert principal.may_speak_as(parse("acme/dev/writer/1"))
    assert not principal.may_speak_as(parse("acme/devel/writer/1"))


def test_a_principal_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAINTEXT.label = "root"


def test_plaintext_speaks_as_anybody_and_has_no_key():
    assert PLAINTEXT.may_speak_as(parse("acme/dev/writer/1"))
    assert PLAINTEXT.key_fingerprint == b""
    assert PLAINTEXT.not_after > 1e18


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("*", "acme/dev/*", "acme/dev/*"),
        ("acme/dev/*", "acme/*", "acme/dev/*"),
        ("acme/*", "acme/*", "acme/*"),
        ("acme/*", "globex/*", None),
        ("acme/dev/writer", "acme/dev/writers", None),
    ],
)
def test_the_narrower_of_two_patterns(one, other, both):
    found = narrower(parse_pattern(one), parse_pattern(other))
    assert found == (None if both is None else parse_pattern(both))


def test_whose_quotas_it_uses():
    assert PLAINTEXT.organization == ""
    assert Principal(parse_pattern("acme/dev/*"), b"", 1, 2.0, "x").organization == "acme"
