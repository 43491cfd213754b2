import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk

from agpd.control import jose
from agpd.errors import Code, Refused

RSA = jwk.RSAKey.generate_key(2048)


def refused(text: str) -> str:
    with pytest.raises(Refused) as caught:
        jose.parse(text)
    assert caught.value.code is Code.INVALID_TOKEN
    return caught.value.detail


@pytest.mark.parametrize("algorithm", ["Ed25519", "ES256"])
def test_what_is_signed_is_parsed_and_its_signature_right(algorithm: jose.Algorithm) -> None:
    key = jose.generate(algorithm)
    text = jose.sign({"kid": "k", "typ": "at+jwt"}, {"a": [1, "\u00e9"]}, algorithm, key)
    token = jose.parse(text)
    assert token.header == {"alg": algorithm, "kid": "k", "typ": "at+jwt"}
    assert token.key_id == "k"
    assert token.claims == {"a": [1, "\u00e9"]}
    jose.check_signature(token, algorithm, key)
    for other, stranger in ((algorithm, jose.generate(algorithm)), ("RS256", RSA)):
        with pytest.raises(Refused):
            jose.check_signature(token, other, stranger)
    again = jose.import_private(json.loads(json.dumps(key.as_dict(private=True))))
    jose.check_signature(jose.parse(jose.sign({}, {}, algorithm, again)), algorithm, key)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        jose.parse(text)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_parts_are_parsed_or_refused(header: bytes, claims: bytes) -> None:
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, claims, b"x")]
    with contextlib.suppress(Refused):
        token = jose.parse(".".join(parts))
        assert (token.header, token.claims) == (json.loads(header), json.loads(claims))


def test_the_limit_is_of_characters() -> None:
    key = jose.generate("Ed25519")
    text = jose.sign({}, {"x": "a" * 100}, "Ed25519", key)
    assert jose.parse(text, len(text)).claims
    with pytest.raises(Refused):
        jose.parse(text, len(text) - 1)
    assert "3072" in refused("a" * 4000)


@pytest.mark.parametrize(
    ("value", "algorithm"),
    [
        (jwk.OKPKey.generate_key("Ed25519").as_dict(private=True), "Ed25519"),
        ({**jwk.OKPKey.generate_key("Ed25519").as_dict(), "alg": "EdDSA"}, "Ed25519"),
        (jwk.ECKey.generate_key("P-256").as_dict(), "ES256"),
        (jwk.ECKey.generate_key("P-384").as_dict(), "ES384"),
        (RSA.as_dict(private=True), "RS256"),
        ({**RSA.as_dict(private=False), "alg": "PS256", "use": "sig", "key_ops": ["verify"]}, "PS256"),
    ],
)
def test_public_keys_are_imported_without_private_parts(value: dict[str, object], algorithm: str) -> None:
    name, key = jose.import_public(value)
    assert name == algorithm
    assert not key.is_private
    assert not {"d", "p", "q"} & jose.public_jwk(key).keys()


@pytest.mark.parametrize(
    "value",
    [
        None, [], "x", {}, {"kty": "oct", "k": "AAAA"}, {"kty": ["OKP"]}, {"kty": "OKP"},
        jwk.OKPKey.generate_key("X25519").as_dict(), jwk.OKPKey.generate_key("Ed448").as_dict(),
        jwk.ECKey.generate_key("P-521").as_dict(), jwk.ECKey.generate_key("secp256k1").as_dict(),
        {**RSA.as_dict(private=False), "use": "enc"}, {**RSA.as_dict(private=False), "alg": "RSA-OAEP"},
        {**RSA.as_dict(private=False), "alg": "ES256"}, {**RSA.as_dict(private=False), "alg": "HS256"},
        {**RSA.as_dict(private=False), "alg": "none"}, {**RSA.as_dict(private=False), "n": "AQAB"},
        {**RSA.as_dict(private=False), "n": "A" * 350}, {**RSA.as_dict(private=False), "n": 1},
        {**RSA.as_dict(private=False), "e": 1}, {**RSA.as_dict(private=False), "use": 1},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "\u00e9"}, {"kty": "OKP", "crv": [], "x": "AAAA"},
    ],
)  # fmt: skip
def test_what_is_no_key_for_signatures_is_refused(value: object) -> None:
    with pytest.raises(Refused) as caught:
        jose.import_public(value)
    assert caught.value.code is Code.INVALID_REQUEST


def test_dates_are_numbers_of_a_sensible_size() -> None:
    assert jose.number({"exp": 1}, "exp") == 1.0
    assert jose.number({"exp": 1.5}, "exp") == 1.5
    assert jose.number({}, "exp") is None
    for wrong in (True, None, "1", -1, 2**53, float("inf"), float("nan"), [1]):
        with pytest.raises(Refused):
            jose.number({"exp": wrong}, "exp")


def test_the_thumbprint_of_a_certificate_is_that_of_rfc_8705() -> None:
    assert jose.thumbprint(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
