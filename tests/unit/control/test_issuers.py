import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
from conftest import Clock
from identity_provider import REALM, Provider, ok, provider
from joserfc import jwk
from oauth_world import BASE, OPERATOR, OTHER_THUMBPRINT, THUMBPRINT, World, admin_of

from agpd.control.issuers import REFETCH_S, REFRESH_S, Issuers
from agpd.control.issuing import ACCESS_TOKEN, EXCHANGE
from agpd.control.resources import Issuer
from agpd.control.store import Store
from agpd.errors import Code, Refused
from agpd.names import parse

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def idp() -> AsyncIterator[Provider]:
    async with provider() as one:
        yield one


@pytest.fixture
async def world(store: Store, clock: Clock, idp: Provider) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    world.control.issuers._context = idp.context
    yield world
    await world.close()


def issuers(world: World) -> Issuers:
    return world.control.issuers


def configuration(idp: Provider, **fields: object) -> Issuer:
    full = {
        "id": "acme.keycloak",
        "tenant": "acme",
        "issuer": REALM,
        "jwks_uri": idp.uri,
        "audience": f"{BASE}/t/acme",
        "subject": "acme/prod/{azp}",
        "scopes": "scope",
        "internal": True,
        **fields,
    }
    return msgspec.convert(full, Issuer)


async def configure(world: World, idp: Provider, **fields: object) -> Issuer:
    made = await issuers(world).put(OPERATOR, configuration(idp, **fields))
    await issuers(world).settled()
    return made


def refused(world: World, text: str, thumbprint: str = "") -> str:
    with pytest.raises(Refused) as caught:
        world.tokens.verify(text, thumbprint)
    assert caught.value.code is Code.INVALID_TOKEN
    return caught.value.detail


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
async def test_tokens_of_a_configured_issuer_are_accepted(
    world: World, idp: Provider, algorithm: str
) -> None:
    text = idp.token(algorithm)
    assert "issuer" in refused(world, text)
    await configure(world, idp)
    verified = world.tokens.verify(text, "")
    assert verified.organization == "acme"
    assert str(verified.pattern) == "acme/prod/writer"
    assert verified.scopes.permits("publish", parse("acme/prod/x"))
    assert not verified.scopes.permits("publish", parse("acme/test/x"))
    assert not verified.admin
    assert idp.requests[0].startswith(b"GET /certs HTTP/1.1\r\n")
    assert f"Host: localhost:{idp.port}".lower().encode() in idp.requests[0].lower()


@pytest.mark.parametrize(
    ("scopes", "default", "permitted"),
    [
        ("scope", [], {"publish"}),
        ("realm_access.roles", [], {"watch"}),
        ("absent", ["agp:publish:*"], set()),
        ("", ["agp:subscribe:*"], {"subscribe"}),
        ("", [], set()),
    ],
)
async def test_scopes_come_from_a_claim_or_are_the_default(
    world: World, idp: Provider, scopes: str, default: list[str], permitted: set[str]
) -> None:
    await configure(world, idp, scopes=scopes, default_scopes=default)
    verified = world.tokens.verify(idp.token(), "")
    verbs = ("publish", "watch", "subscribe", "register")
    assert {verb for verb in verbs if verified.scopes.permits(verb, parse("acme/prod/x"))} == permitted
    assert not verified.scopes.admin
    assert not verified.scopes.offline


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"aud": "account"}, {"aud": None}, {"exp": 1_799_999_000}, {"exp": None},
        {"iat": None}, {"nbf": 1_800_000_100}, {"azp": None}, {"azp": "a/b"}, {"azp": "../x"}, {"azp": "Writer"},
        {"azp": ["writer"]}, {"azp": ""}, {"azp": "*"}, {"azp": "x\n"}, {"scope": 1}, {"scope": "agp:fly:x"},
        {"cnf": {"jkt": "x"}}, {"azp": "a" * 64},
    ],
)  # fmt: skip
async def test_wrong_claims_are_refused(world: World, idp: Provider, claims: dict[str, object]) -> None:
    await configure(world, idp)
    refused(world, idp.token(**claims))
    assert world.tokens.verify(idp.token(), "")


async def test_algorithms_keys_and_types_must_fit(world: World, idp: Provider) -> None:
    await configure(world, idp, algorithms=["RS256", "ES256"])
    assert "algorithm" in refused(world, idp.token("Ed25519"))
    assert world.tokens.verify(idp.token("RS256"), "")
    refused(world, idp.token("RS256", {"kid": "kid-ES256"}))
    refused(world, idp.token("RS256", {"kid": "enc"}))
    refused(world, idp.token("RS256", {"typ": "dpop+jwt"}))

    good = idp.keys["RS256"]
    idp.keys["RS256"] = jwk.RSAKey.generate_key(2048)
    assert "signature" in refused(world, idp.token("RS256"))
    idp.keys["RS256"] = good
    assert world.tokens.verify(idp.token("RS256"), "")


async def test_a_bound_token_needs_its_certificate(world: World, idp: Provider) -> None:
    await configure(world, idp)
    text = idp.token(cnf={"x5t#S256": THUMBPRINT})
    assert world.tokens.verify(text, THUMBPRINT)
    for other in ("", OTHER_THUMBPRINT):
        assert "certificate" in refused(world, text, other)


async def test_an_unknown_key_is_fetched_but_not_too_often(world: World, idp: Provider, clock: Clock) -> None:
    await configure(world, idp)
    idp.keys["RS256"] = jwk.RSAKey.generate_key(2048)
    text = idp.token("RS256", {"kid": "new"})
    jwks = idp.jwks().replace(b"kid-RS256", b"new      ").replace(b'"new      "', b'"new"      ')
    idp.answer = lambda: jwks
    assert "try again" in refused(world, text)
    assert len(idp.requests) == 1  # too soon
    clock.advance(REFETCH_S)
    for _ in range(10):
        assert "try again" in refused(world, text)
    await issuers(world).settled()
    assert len(idp.requests) == 2
    assert world.tokens.verify(text, "").organization == "acme"


async def test_keys_are_fetched_again_each_hour(world: World, idp: Provider, clock: Clock) -> None:
    await configure(world, idp)
    await world.control.tick(clock.now)
    assert len(idp.requests) == 1
    clock.advance(REFRESH_S)
    await world.control.tick(clock.now)
    await issuers(world).settled()
    assert len(idp.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
        ok(b"{}"),
        ok(b'{"keys": []}'),
        ok(b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "kid-RS256"}]}'),
        ok(b'{"keys": [], "keys": []}'),
        ok(b'{"keys": [' + b"{}," * 100 + b"{}]}"),
        ok(b'{"keys": "' + b"a" * 300_000 + b'"}'),
        ok(b"[" * 10_000),
    ],
    ids=range(12),
)
async def test_a_fetch_that_fails_leaves_the_keys_as_they_are(
    world: World, idp: Provider, clock: Clock, answer: bytes
) -> None:
    await configure(world, idp)
    idp.answer = lambda: answer
    clock.advance(REFETCH_S)
    refused(world, idp.token("RS256", {"kid": "other"}))
    await issuers(world).settled()
    assert len(idp.requests) == 2
    assert world.tokens.verify(idp.token(), "").organization == "acme"


async def test_verifying_does_not_wait_for_a_slow_issuer(world: World, idp: Provider) -> None:
    idp.gate.clear()
    await issuers(world).put(OPERATOR, configuration(idp))
    await issuers(world)._following.settled()
    assert "try again" in refused(world, idp.token())
    idp.gate.set()
    await issuers(world).settled()
    assert world.tokens.verify(idp.token(), "")


async def test_certificates_of_the_issuer_are_checked(world: World, idp: Provider) -> None:
    issuers(world)._context = None  # only the system's authorities
    await configure(world, idp)
    refused(world, idp.token())
    assert idp.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"]
)
async def test_keys_of_tenants_are_fetched_from_public_addresses_only(
    world: World, idp: Provider, host: str
) -> None:
    uri = f"https://{host}:{idp.port}/certs"
    made = await issuers(world).put(admin_of("acme"), configuration(idp, jwks_uri=uri, internal=False))
    await issuers(world).settled()
    assert not made.internal
    assert idp.requests == []
    assert "not known" in refused(world, idp.token())


async def test_a_name_is_looked_up_once(world: World, idp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    look_up = socket.getaddrinfo

    def counting(host: str, *args: object, **kwargs: object) -> object:
        asked.append(host)
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    await configure(world, idp)
    assert asked.count("localhost") == 1
    assert world.tokens.verify(idp.token(), "")


async def test_only_operators_allow_private_addresses(world: World, idp: Provider) -> None:
    with pytest.raises(Refused) as caught:
        await issuers(world).put(admin_of("acme"), configuration(idp))
    assert caught.value.code is Code.NOT_PERMITTED


@pytest.mark.parametrize(
    "fields",
    [
        {"jwks_uri": "http://localhost/x", "internal": False}, {"jwks_uri": "http://sso.example/x"},
        {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": "https://u:p@sso.example/x"}, {"jwks_uri": "https://"},
        {"jwks_uri": "https://[::1/x"}, {"jwks_uri": "https://sso.example:99999/x"}, {"jwks_uri": ""},
        {"jwks_uri": "https://sso.example/x#y"}, {"subject": "globex/prod/{azp}"}, {"subject": "{org}/prod/x"},
        {"subject": "acme"}, {"subject": "acme/{azp"}, {"subject": "*"}, {"issuer": ""}, {"audience": ""},
        {"issuer": f"{BASE}/t/globex"}, {"issuer": BASE}, {"algorithms": ["none"]}, {"algorithms": ["HS256"]},
        {"algorithms": []}, {"default_scopes": ["agp:admin"]}, {"default_scopes": ["x"]}, {"id": "acme.A"},
        {"id": "keycloak"}, {"id": "globex.keycloak"}, {"id": "g-0123456789abcdef"},
    ],
)  # fmt: skip
async def test_what_is_no_issuer_is_refused(world: World, idp: Provider, fields: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        await issuers(world).put(OPERATOR, configuration(idp, **fields))
    assert caught.value.code in (Code.INVALID_REQUEST, Code.INVALID_NAME)


async def test_a_token_belongs_to_one_organization(world: World, idp: Provider) -> None:
    await configure(world, idp)
    await configure(world, idp, id="acme.k3", audience="account")
    other = configuration(
        idp, id="globex.k2", tenant="globex", subject="globex/prod/{azp}", audience="account"
    )
    assert world.tokens.verify(idp.token(aud="account"), "").organization == "acme"
    await issuers(world).put(OPERATOR, other)  # that others have it is not told
    await issuers(world).settled()
    assert "more than one organization" in refused(world, idp.token(aud="account"))
    fields = {
        "id": "globex.k4",
        "tenant": "globex",
        "subject": "globex/prod/{azp}",
        "audience": f"{BASE}/t/globex",
    }
    await configure(world, idp, **fields)
    assert world.tokens.verify(idp.token(aud=f"{BASE}/t/globex"), "").organization == "globex"
    assert world.tokens.verify(idp.token(), "").organization == "acme"


async def test_an_organization_has_an_audience_of_an_issuer_once(world: World, idp: Provider) -> None:
    await configure(world, idp)
    with pytest.raises(Refused, match=r"acme\.keycloak") as caught:
        await configure(world, idp, id="acme.k2")
    assert caught.value.code is Code.CONFLICT
    await configure(world, idp, id="acme.k2", audience="account")


async def test_a_token_for_two_organizations_is_for_none(world: World, idp: Provider) -> None:
    await configure(world, idp, audience="one")
    await configure(world, idp, id="acme.own", audience="two", subject="acme/prod/{azp}")
    text = idp.token(aud=["one", "account", "two"])
    assert world.tokens.verify(text, "").organization == "acme"  # control
    fields = {"id": "globex.k2", "tenant": "globex", "subject": "globex/prod/{azp}", "audience": "account"}
    await configure(world, idp, **fields)
    detail = refused(world, text)
    assert "more than one organization" in detail
    assert "globex" not in detail


async def test_the_issuer_of_an_organization_is_an_audience_that_others_cannot_take(
    world: World, idp: Provider
) -> None:
    fields = {"id": "globex.k2", "tenant": "globex", "subject": "globex/prod/{azp}"}
    with pytest.raises(Refused, match="another organization's") as caught:
        await configure(world, idp, **fields)
    assert caught.value.code is Code.INVALID_REQUEST
    await configure(world, idp)
    await configure(world, idp, **fields, audience="account")
    token = world.tokens.verify(idp.token(aud=["account", f"{BASE}/t/acme"]), "")
    assert token.organization == "acme"
    assert world.tokens.verify(idp.token(aud="account"), "").organization == "globex"


async def test_only_operators_configure_an_audience_that_organizations_may_share(
    world: World, idp: Provider
) -> None:
    shared = configuration(idp, internal=False, jwks_uri="https://idp.example/certs", audience="account")
    with pytest.raises(Refused, match=f"{BASE}/t/acme") as caught:
        await issuers(world).put(admin_of("acme"), shared)
    assert caught.value.code is Code.NOT_PERMITTED
    assert await issuers(world).put(OPERATOR, shared) == shared
    own = configuration(idp, internal=False, jwks_uri="https://idp.example/certs")
    assert await issuers(world).put(admin_of("acme"), own) == own


async def test_a_tenant_has_only_so_many_issuers(
    world: World, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agpd.control.issuers.ISSUERS_LIMIT", 1)
    made = await configure(world, idp)
    await configure(world, idp, scopes="")
    with pytest.raises(Refused) as caught:
        await issuers(world).put(OPERATOR, configuration(idp, id="acme.k2", audience="x"))
    assert caught.value.code is Code.QUOTA_EXCEEDED
    await issuers(world).delete(OPERATOR, made.id)
    await configure(world, idp, id="acme.k2", audience="x")


async def test_an_issuer_that_goes_takes_its_tokens_along(world: World, idp: Provider, clock: Clock) -> None:
    made = await configure(world, idp)
    token = world.tokens.verify(idp.token(), "")
    clock.advance(1)
    await configure(world, idp, subject="acme/test/{azp}")
    assert world.tokens.is_revoked(token)
    later = idp.token(iat=1_800_000_010)
    clock.advance(20)
    token = world.tokens.verify(later, "")
    assert str(token.pattern) == "acme/test/writer"
    await issuers(world).delete(admin_of("acme"), made.id)
    await issuers(world).settled()
    assert world.tokens.is_revoked(token)
    assert "issuer" in refused(world, later)


async def test_the_service_keeps_tenants_apart(world: World, idp: Provider) -> None:
    made = await issuers(world).put(admin_of("acme"), configuration(idp, id="", internal=False))
    assert made.id.startswith("i-")
    assert await issuers(world).get(admin_of("acme"), made.id) == made
    assert (await issuers(world).list(admin_of("acme"), "acme")).items == [made]
    foreign = admin_of("globex")
    for call in (issuers(world).get, issuers(world).delete):
        with pytest.raises(Refused) as caught:
            await call(foreign, made.id)
        assert caught.value.code is Code.NOT_FOUND
    for tenant in ("acme", "nowhere"):
        with pytest.raises(Refused) as caught:
            await issuers(world).list(foreign, tenant)
        assert caught.value.code is Code.NOT_FOUND
    taken = configuration(
        idp,
        id=made.id,
        tenant="globex",
        subject="globex/x/{azp}",
        internal=False,
        audience=f"{BASE}/t/globex",
    )
    with pytest.raises(Refused) as caught:
        await issuers(world).put(foreign, taken)
    assert caught.value.code is Code.ALREADY_EXISTS


async def test_a_foreign_token_can_be_exchanged_for_one_of_ours(world: World, idp: Provider) -> None:
    await configure(world, idp)
    actor = await world.login("acme.tool", "acme/prod/tool", may_exchange=True)
    form = {"grant_type": EXCHANGE, "subject_token": idp.token(), "subject_token_type": ACCESS_TOKEN}
    verified = world.tokens.verify((await world.issue(actor, **form)).access_token, "")
    assert (verified.subject, str(verified.pattern)) == ("acme/prod/writer", "acme/prod/tool")
    assert verified.scopes.permits("publish", parse("acme/prod/x"))
