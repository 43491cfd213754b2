from typing import Any

import msgspec
import pytest

from agpd.control.claims import check_mapping, look_up, pattern_of, scopes_of
from agpd.control.resources import Issuer
from agpd.errors import Code, Refused

ISSUER = Issuer(
    tenant="acme", issuer="i", jwks_uri="u", audience="a", subject="acme/prod/{azp}", scopes="scope"
)


def issuer(**fields: Any) -> Issuer:
    return msgspec.structs.replace(ISSUER, **fields)


@pytest.mark.parametrize(
    ("subject", "claims", "pattern"),
    [
        ("acme/prod/{azp}", {"azp": "writer"}, "acme/prod/writer"),
        ("acme/{ns}/x-{azp}", {"azp": "w", "ns": "prod"}, "acme/prod/x-w"),
        ("acme/prod/{user.team}/{sub}", {"user": {"team": "a"}, "sub": "1"}, "acme/prod/a/1"),
        ("acme/prod/{https://x.example/name}", {"https://x.example/name": "a"}, "acme/prod/a"),
        ("acme/{ns}/*", {"ns": "prod"}, "acme/prod/*"),
        ("acme/prod/writer", {}, "acme/prod/writer"),
    ],
)
def test_claims_fill_the_template(subject: str, claims: dict[str, Any], pattern: str) -> None:
    check_mapping(issuer(subject=subject))
    assert str(pattern_of(issuer(subject=subject), claims)) == pattern


@pytest.mark.parametrize(
    "value", ["a/b", "..", "*", "", "A", "a b", None, 1, ["a"], {}, "\u00e9", "a" * 64, "a\n", "{sub}"]
)
def test_a_value_is_one_segment(value: object) -> None:
    with pytest.raises(Refused) as caught:
        pattern_of(ISSUER, {"azp": value, "sub": "x"})
    assert caught.value.code is Code.INVALID_TOKEN
    assert str(pattern_of(ISSUER, {"azp": "a"})) == "acme/prod/a"


def test_a_filled_name_is_not_too_long() -> None:
    long = issuer(subject="acme/{a}{a}/x")
    assert pattern_of(long, {"a": "b" * 31})
    with pytest.raises(Refused):
        pattern_of(long, {"a": "b" * 32})


def test_scopes_are_a_text_or_a_list_and_others_than_ours_are_passed_over() -> None:
    for value in ("openid agp:publish:acme/*", ["openid", "agp:publish:acme/*"]):
        assert str(scopes_of(ISSUER, {"scope": value})) == "agp:publish:acme/*"
    assert not scopes_of(ISSUER, {})
    assert not scopes_of(ISSUER, {"scope": "agp:admin offline_access"})
    for wrong in (1, {"a": 1}, [1], "agp:fly:x"):
        with pytest.raises(Refused) as caught:
            scopes_of(ISSUER, {"scope": wrong})
        assert caught.value.code is Code.INVALID_TOKEN


def test_a_claim_is_found_by_name_and_by_path() -> None:
    claims = {"a": {"b": 1}, "a.b": 2, "c": "x"}
    assert look_up(claims, "a.b") == 2
    assert look_up({"a": {"b": 1}}, "a.b") == 1
    assert look_up(claims, "c.d") is None
    assert look_up(claims, "x") is None
