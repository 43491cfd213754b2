"""Forged, altered and stolen tokens are refused; the token that each was made from is accepted."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from conftest import Clock
from cryptography.hazmat.primitives import serialization
from joserfc import jwk, jws
from oauth_world import BASE, OPERATOR, OTHER_THUMBPRINT, THUMBPRINT, World, signed, with_certificate

from agpd.control import jose
from agpd.control.store import Store
from agpd.errors import Code, Refused

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
NOW = 1_800_000_000


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    yield world
    await world.close()


def active(world: World, tenant: str = "acme") -> jose.Key:
    """The private key of a tenant: attacks on what is around a signature use a right one."""
    held = world.control.keys._active(tenant)
    assert held is not None
    assert held.private is not None
    return held.private


async def good(world: World, thumbprint: str = "", tenant: str = "acme") -> str:
    """A token that is accepted."""
    shown = with_certificate(await world.login(f"{tenant}.bot", f"{tenant}/prod/*"), thumbprint)
    text = (await world.issue(shown, tenant)).access_token
    assert world.tokens.verify(text, thumbprint).organization == tenant
    return text


def refused(world: World, text: str, thumbprint: str = "") -> str:
    with pytest.raises(Refused) as caught:
        world.tokens.verify(text, thumbprint)
    assert caught.value.code is Code.INVALID_TOKEN
    assert text not in caught.value.detail or len(text) < 5
    return caught.value.detail


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def resigned(world: World, text: str, header: Any = None, claims: Any = None) -> str:
    """With other header members or claims (or their JSON), rightly signed with the tenant's own key."""
    token = jose.parse(text)
    parts = []
    for before, change in ((token.header, header), (token.claims, claims)):
        parts.append(encode(change if isinstance(change, bytes) else {**before, **(change or {})}))
    message = ".".join(parts)
    private = active(world).private_key
    return f"{message}.{encode(private.sign(message.encode()))}"  # type: ignore[union-attr,call-arg]


async def test_control_what_is_signed_again_unchanged_is_accepted(world: World) -> None:
    text = await good(world)
    assert world.tokens.verify(resigned(world, text), "").client == "acme.bot"
    assert world.tokens.verify(resigned(world, text, {"typ": "application/at+jwt"}), "")
    assert world.tokens.verify(resigned(world, text, claims={"aud": ["x", BASE]}), "")


@pytest.mark.parametrize(
    "algorithm", ["none", "nOnE", "NONE", "None", "", "HS256", "EdDSA", "ES256", "RS256", None, 1, []]
)
async def test_the_algorithm_is_that_of_the_key(world: World, algorithm: object) -> None:
    text = await good(world)
    assert "algorithm" in refused(world, resigned(world, text, {"alg": algorithm}))
    header, claims, _ = resigned(world, text, {"alg": algorithm}).split(".")
    refused(world, f"{header}.{claims}.")
    refused(world, f"{header}.{claims}.AAAA")


async def test_a_mac_with_the_public_key_is_no_signature(world: World) -> None:
    text = await good(world)
    token = jose.parse(text)
    public = active(world).public_key
    shapes = [
        public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw),
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(world.control.keys.jwks("acme", NOW)["keys"][0]).encode(),
    ]

    for secret in shapes:
        for algorithm in ("HS256", "Ed25519"):
            message = f"{encode({**token.header, 'alg': algorithm})}.{encode(token.claims)}"
            mac = hmac.digest(secret, message.encode(), "sha256")
            refused(world, f"{message}.{encode(mac)}")


@pytest.mark.parametrize(
    "kid",
    [
        *(
            "../../../../dev/null",
            "/dev/null",
            "' OR '1'='1",
            "x'; DROP TABLE signing_key; --",
            "",
            "\0",
            "*",
        ),
        *("a" * 300, 1, None, [], {}, True),
    ],
)
async def test_the_key_id_chooses_among_our_keys_only(world: World, kid: object) -> None:
    text = await good(world)
    refused(world, resigned(world, text, {"kid": kid}))
    token = jose.parse(text)
    header = {name: value for name, value in token.header.items() if name != "kid"}
    refused(world, resigned(world, text, json.dumps(header).encode()))


async def test_the_key_of_another_tenant_signs_only_for_that_tenant(world: World) -> None:
    text = await good(world)
    await good(world, tenant="globex")
    claims = jose.parse(text).claims
    key = active(world, "globex")
    foreign = world.control.keys._active("globex")
    own = world.control.keys._active("acme")
    assert foreign is not None
    assert own is not None
    for kid in (foreign.info.id, own.info.id):
        refused(world, signed(key, claims, kid=kid, typ="at+jwt"))
    elsewhere = {**claims, "iss": f"{BASE}/t/globex"}
    assert "outside" in refused(world, signed(key, elsewhere, kid=foreign.info.id, typ="at+jwt"))
    right = {**elsewhere, "sub": "globex/prod/*"}
    assert (
        world.tokens.verify(signed(key, right, kid=foreign.info.id, typ="at+jwt"), "").organization
        == "globex"
    )


async def test_keys_that_come_with_a_token_are_not_looked_at(world: World) -> None:
    text = await good(world)
    claims, kid = jose.parse(text).claims, jose.parse(text).header["kid"]
    evil = jwk.OKPKey.generate_key("Ed25519")
    public = evil.as_dict(private=False)
    url = "https://127.0.0.1:1/keys"
    for extra in (
        {"jwk": public},
        {"jku": url},
        {"x5u": url},
        {"x5c": ["AAAA"]},
        {"jwk": public, "jku": url},
    ):
        for key_id in (kid, evil.thumbprint()):
            message = (
                f"{encode({'alg': 'Ed25519', 'typ': 'at+jwt', 'kid': key_id, **extra})}.{encode(claims)}"
            )
            signature = evil.private_key.sign(message.encode())  # type: ignore[union-attr]
            refused(world, f"{message}.{encode(signature)}")
    assert world.tokens.verify(resigned(world, text, {"jku": url}), "")  # ignored, not obeyed


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"}, {"aud": f"{BASE}/"}, {"aud": []}, {"aud": None}, {"aud": {BASE: 1}},
        {"aud": f"{BASE}/t/acme"}, {"aud": [[BASE]]},
        {"iss": f"{BASE}/t/globex"}, {"iss": BASE}, {"iss": "https://evil.example/t/acme"}, {"iss": None},
        {"iss": f"{BASE}/t/acme/"}, {"iss": [f"{BASE}/t/acme"]}, {"iss": f"{BASE}/t/acme/../globex"},
        {"exp": NOW - 30}, {"exp": 0}, {"exp": -1}, {"exp": None}, {"exp": "9999999999"}, {"exp": True},
        {"exp": [NOW + 60]}, {"exp": 2**60}, {"exp": 1e300},
        {"nbf": NOW + 31}, {"nbf": "x"}, {"iat": NOW + 31}, {"iat": None}, {"iat": "x"},
        {"sub": "globex/prod/*"}, {"sub": "*"}, {"sub": ""}, {"sub": None}, {"sub": "acme"}, {"sub": ["acme/*"]},
        {"sub": "acme/../globex/x"}, {"act": {"sub": "globex/a/b"}}, {"act": {}}, {"act": {"sub": 1}},
        {"client_id": None}, {"client_id": 1}, {"jti": ""}, {"jti": None}, {"cred": None},
        {"scope": 1}, {"scope": ["agp:admin"]}, {"scope": "root"}, {"scope": "agp:admin  agp:admin"},
        {"cnf": {}}, {"cnf": None}, {"cnf": "x"}, {"cnf": {"jkt": "x"}}, {"cnf": {"x5t#S256": ""}},
        {"cnf": {"x5t#S256": None}}, {"cnf": {"x5t#S256": THUMBPRINT, "jkt": "x"}},
    ],
)  # fmt: skip
async def test_wrong_claims_are_refused_though_rightly_signed(
    world: World, claims: dict[str, object]
) -> None:
    text = await good(world)
    refused(world, resigned(world, text, claims=claims))
    refused(world, resigned(world, text, claims=claims), THUMBPRINT)


@pytest.mark.parametrize("typ", ["JWT", "", None, "at+JWT ", "dpop+jwt", 1, "logout+jwt"])
async def test_other_types_of_tokens_are_refused(world: World, typ: object) -> None:
    refused(world, resigned(world, await good(world), {"typ": typ}))


@pytest.mark.parametrize("crit", [["b64"], ["x"], [], None, "exp"])
async def test_critical_extensions_are_not_known(world: World, crit: object) -> None:
    text = await good(world)
    assert "extensions" in refused(world, resigned(world, text, {"crit": crit, "b64": False, "x": 1}))


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 400, b"1e9999999"])
async def test_numbers_that_are_none_are_refused(world: World, value: bytes) -> None:
    text = await good(world)
    raw = json.dumps(jose.parse(text).claims).encode()
    changed = raw.replace(b'"exp": 1800000600', b'"exp": ' + value)
    assert changed != raw
    refused(world, resigned(world, text, claims=changed))


@pytest.mark.parametrize(
    "twice", [b'"sub": "acme/*"', b'"s\\u0075b": "acme/*"', b'"exp": 9999999999', b'"aud": "x"']
)
async def test_duplicate_claims_are_refused(world: World, twice: bytes) -> None:
    text = await good(world)
    raw = json.dumps(jose.parse(text).claims).encode()
    assert world.tokens.verify(resigned(world, text, claims=raw), "")
    for changed in (b"{" + twice + b", " + raw[1:], raw[:-1] + b", " + twice + b"}"):
        assert "twice" in refused(world, resigned(world, text, claims=changed))


async def test_duplicate_header_members_are_refused(world: World) -> None:
    text = await good(world)
    raw = json.dumps(jose.parse(text).header).encode()
    for twice in (b'"alg": "none"', b'"alg": "Ed25519"', b'"kid": "x"', b'"\\u0061lg": "none"'):
        assert "twice" in refused(world, resigned(world, text, b"{" + twice + b", " + raw[1:]))


async def test_json_that_is_deep_or_no_object_is_refused(world: World) -> None:
    text = await good(world)
    for claims in (b"[]", b'"x"', b"1", b"null", b"{", b"\xff", b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}"):
        refused(world, resigned(world, text, claims=claims))
        refused(world, resigned(world, text, claims))


async def test_one_spelling_of_base64url_only(world: World) -> None:
    text = await good(world)
    header, claims, signature = text.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes leave four unused bits in the last character.
    sibling = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    padded = base64.urlsafe_b64decode(signature + "==")
    assert base64.urlsafe_b64decode(sibling + "==") == padded
    standard = base64.b64encode(padded).rstrip(b"=").decode()
    variants = [
        f"{header}.{claims}.{sibling}",
        f"{header}.{claims}.{signature}=",
        f"{header}.{claims}.{signature}==",
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}.{signature}\n",
        f" {text}",
        f"{text} ",
        f"{header}.{claims}",
        f"{header}.{claims}.{signature}.",
        f"{header}.{claims}.{signature}.{signature}",
        f".{claims}.{signature}",
        f"{header}..{signature}",
        f"{header}.{claims}.",
        "..",
        "",
        "\u00e9" + text[1:],
        text.replace(".", "\uff0e"),
        text[:20] + "\0" + text[20:],
    ]
    if standard != signature:
        variants.append(f"{header}.{claims}.{standard}")
    for variant in variants:
        refused(world, variant)
    assert "one spelling" in refused(world, variants[0])
    assert world.tokens.verify(text, "")


async def test_every_changed_character_is_noticed(world: World) -> None:
    text = await good(world)
    for place in range(0, len(text), 3):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        refused(world, changed)


async def test_what_is_too_long_is_refused_before_it_is_read(world: World) -> None:
    text = await good(world)
    assert "characters" in refused(world, resigned(world, text, claims={"x": "a" * 3000}))
    assert world.tokens.verify(resigned(world, text, claims={"x": "a" * 300}), "")
    assert "characters" in refused(world, "a" * 10_000_000)


async def test_a_token_is_good_until_its_end_and_the_leeway(world: World, clock: Clock) -> None:
    text = await good(world)
    clock.now = NOW + 629.9
    assert world.tokens.verify(text, "")
    clock.now = NOW + 630
    assert "expired" in refused(world, text)
    clock.now = NOW - 30
    assert world.tokens.verify(text, "")
    clock.now = NOW - 31
    assert "later" in refused(world, text)
    for wrong in (-86_400, -3600, 3600, 86_400):
        clock.now = NOW + wrong
        refused(world, text)


async def test_a_stolen_token_is_worth_nothing_with_another_certificate(world: World) -> None:
    text = await good(world, THUMBPRINT)
    for thief in (OTHER_THUMBPRINT, "", THUMBPRINT.lower(), THUMBPRINT[:-1]):
        assert "certificate" in refused(world, text, thief)
    claims = {name: value for name, value in jose.parse(text).claims.items() if name != "cnf"}
    refused(world, f"{text.split('.')[0]}.{encode(claims)}.{text.split('.')[2]}", OTHER_THUMBPRINT)


async def test_a_key_of_another_kind_under_a_known_id_is_refused(world: World) -> None:
    text = await good(world)
    kid, claims = jose.parse(text).header["kid"], jose.parse(text).claims
    stranger: list[tuple[jose.Key, str]] = [
        (jwk.ECKey.generate_key("P-256"), "ES256"),
        (jwk.RSAKey.generate_key(2048), "RS256"),
        (jwk.OKPKey.generate_key("Ed25519"), "Ed25519"),
    ]
    for key, algorithm in stranger:
        refused(world, signed(key, claims, algorithm, kid=kid, typ="at+jwt"))


async def test_rotating_a_hundred_times_refuses_no_valid_token(world: World, clock: Clock) -> None:
    shown = await world.login()
    living: list[tuple[float, str]] = []
    for _ in range(100):
        living.append((clock.now, (await world.issue(shown)).access_token))
        await world.control.keys.rotate(OPERATOR, "acme")
        living.append((clock.now, (await world.issue(shown)).access_token))
        clock.advance(60)
        await world.control.tick(clock.now)
        for issued, text in living[-20:]:
            assert clock.now - issued <= 600
            assert world.tokens.verify(text, "").client == "acme.bot"
    assert len(world.control.keys.jwks("acme", clock.now)["keys"]) <= 930 / 60 + 3
    last = living[-1][1]
    forged = jws.extract_compact(living[0][1].encode()).headers()["kid"]
    held = [key.info.id for key in world.control.keys._tenants["acme"]]
    assert forged not in held
    assert world.tokens.verify(last, "")
    fresh = resigned(world, last, {"kid": forged}, {"exp": int(clock.now) + 600})
    assert "replaced" in refused(world, fresh)


async def test_refusals_name_no_secrets(world: World) -> None:
    """What is told of a bad token holds nothing of it that is not known to everybody."""
    text = await good(world)
    checks: list[Callable[[], str]] = [
        lambda: refused(world, text[:-4] + "AAAA"),
        lambda: refused(world, resigned(world, text, claims={"sub": "globex/x/y"})),
    ]
    signature = text.split(".")[2]
    assert all(signature not in check() for check in checks)
