import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from conftest import Clock
from joserfc import jwk
from oauth_world import (
    BASE,
    OPERATOR,
    OTHER_THUMBPRINT,
    SETTINGS,
    THUMBPRINT,
    World,
    admin_of,
    signed,
    with_certificate,
)
from sqlalchemy import func, select

from agpd.control import jose
from agpd.control.issuing import ACCESS_TOKEN, EXCHANGE
from agpd.control.model import refresh_token, revocation
from agpd.control.oauth_error import OAuthError
from agpd.control.refresh import GRACE_S
from agpd.control.resources import Tenant
from agpd.control.service import Control
from agpd.control.store import Store
from agpd.control.tokens import Credentials, Issued, answer
from agpd.errors import Code, Refused
from agpd.names import parse

OFFLINE = "agp:publish:acme/* offline_access"


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    yield world
    await world.close()


async def error_of(asked: Awaitable[object]) -> str:
    with pytest.raises(OAuthError) as caught:
        await asked
    return caught.value.error


# ---- client credentials


async def test_a_token_has_the_claims_of_rfc_9068(world: World, clock: Clock) -> None:
    shown = with_certificate(await world.login(scopes=["agp:publish:acme/*"]))
    issued = await world.issue(shown)
    token = jose.parse(issued.access_token)
    assert token.header["typ"] == "at+jwt"
    assert token.header["alg"] == "Ed25519"
    jti, cred = token.claims.pop("jti"), token.claims.pop("cred")
    assert len(jti) == 32
    assert cred.startswith("secret:")
    assert token.claims == {
        "iss": f"{BASE}/t/acme",
        "sub": "acme/prod/*",
        "aud": BASE,
        "iat": clock.now,
        "nbf": clock.now,
        "exp": clock.now + SETTINGS.access_token_life_s,
        "client_id": "acme.bot",
        "scope": "agp:publish:acme/*",
        "org": "acme",
        "ns": "prod",
        "cnf": {"x5t#S256": THUMBPRINT},
    }
    assert issued.expires_in == SETTINGS.access_token_life_s
    assert answer(issued) == {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "agp:publish:acme/*",
    }
    assert issued.access_token not in repr(issued)


async def test_verifying_gives_back_what_was_issued(world: World, clock: Clock) -> None:
    verified = await world.verified(await world.login(), scope="agp:subscribe:acme/prod/*")
    assert (verified.organization, str(verified.pattern), verified.client) == (
        "acme",
        "acme/prod/*",
        "acme.bot",
    )
    assert verified.scopes.permits("subscribe", parse("acme/prod/a"))
    assert not verified.scopes.permits("publish", parse("acme/prod/a"))
    assert (verified.issued, verified.expires) == (clock.now, clock.now + 600)
    assert not verified.admin


@pytest.mark.parametrize(
    ("fields", "asked", "got"),
    [
        ({"scopes": ["agp:publish:acme/*"]}, "agp:publish:*", "agp:publish:acme/*"),
        ({"scopes": ["agp:publish:acme/*"]}, "agp:request:acme/a/*", "agp:request:acme/a/*"),
        ({"scopes": ["agp:publish:acme/*"]}, "agp:subscribe:acme/*", None),
        ({"scopes": ["agp:publish:acme/*"]}, "agp:publish:acme/* agp:admin", None),
        ({"scopes": ["agp:publish:acme/*"]}, "openid", None),
        ({"admin": True}, "agp:admin", "agp:admin"),
        ({}, "agp:admin", None),
        ({}, "agp:register:globex/*", None),
        ({}, "offline_access", "offline_access"),
        ({"admin": True, "scopes": ["agp:admin"]}, "", "agp:admin"),
    ],
)
async def test_scopes_are_what_is_asked_for_as_far_as_it_is_allowed(
    world: World, fields: dict[str, object], asked: str, got: str | None
) -> None:
    shown = await world.login(**fields)  # type: ignore[arg-type]
    if got is None:
        assert await error_of(world.issue(shown, scope=asked)) == "invalid_scope"
    else:
        issued = await world.issue(shown, scope=asked)
        assert issued.scope == got
        assert world.tokens.verify(issued.access_token, "").admin == ("agp:admin" in got)


async def test_without_scopes_an_administrator_gets_no_administrators_token(world: World) -> None:
    assert not (await world.verified(await world.login(admin=True))).admin


async def test_wrong_credentials_have_one_answer(world: World) -> None:
    shown = await world.login()
    foreign = await world.login("globex.bot", "globex/*")
    await world.client("acme.cert", certificates=[THUMBPRINT])
    wrong = [
        (Credentials("no-bot", secret=shown.secret), "acme"),
        (Credentials("acme.bot", secret=foreign.secret), "acme"),
        (Credentials("acme.bot", secret="agps_" + "A" * 64), "acme"),
        (shown, "globex"),
        (shown, "nowhere"),
        (foreign, "acme"),
        (Credentials("acme.bot"), "acme"),
        (Credentials("no-bot"), "acme"),
        (Credentials("acme.cert", thumbprint=OTHER_THUMBPRINT), "acme"),
        (Credentials("acme.cert"), "acme"),
        (Credentials("acme.bot", assertion="a.b.c"), "acme"),
        (Credentials("no-bot", assertion="a.b.c"), "acme"),
        (Credentials("", secret=shown.secret), "acme"),
        (Credentials("x\0", secret=shown.secret), "acme"),
        (Credentials("\u00e9" * 300, secret=shown.secret), "acme"),
    ]
    answers = set()
    for credentials, tenant in wrong:
        with pytest.raises(OAuthError) as caught:
            await world.issue(credentials, tenant)
        answers.add((caught.value.error, caught.value.detail))
    assert len(answers) == 1
    assert (await world.verified(shown)).client == "acme.bot"
    assert (await world.issue(Credentials("acme.cert", thumbprint=THUMBPRINT))).access_token


@pytest.mark.parametrize("kind", ["secret", "assertion", "certificate", "refresh token"])
async def test_refusals_ask_the_database_as_often_for_known_clients_as_for_others(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    await world.issue(await world.login())
    asked = 0
    read = store.read

    async def counted(work: Any) -> Any:
        nonlocal asked
        asked += 1
        return await read(work)

    monkeypatch.setattr(store, "read", counted)
    counts = []
    for name in ("acme.bot", "acme.nobody"):
        asked = 0
        if kind == "refresh token":
            await error_of(world.refresh("agpr_" + "A" * 43, Credentials(name)))
        else:
            await error_of(world.issue(Credentials(name, **{} if kind == "certificate" else {kind: "x"})))
        counts.append(asked)
    assert counts == [1, 1]


async def test_a_certificate_proves_the_client_and_binds_the_token(world: World) -> None:
    await world.client(certificates=[THUMBPRINT])
    verified = await world.verified(Credentials("acme.bot", thumbprint=THUMBPRINT))
    assert verified.credential == f"cert:{THUMBPRINT}"
    assert verified.thumbprint == THUMBPRINT


@pytest.mark.parametrize("name", ["resource", "audience"])
async def test_tokens_are_for_this_gateway_only(world: World, name: str) -> None:
    shown = await world.login()
    assert await error_of(world.issue(shown, **{name: "https://other.example"})) == "invalid_target"
    assert (await world.issue(shown, **{name: BASE})).access_token


async def test_other_grant_types_are_refused(world: World) -> None:
    shown = await world.login()
    for kind in ("password", "", "authorization_code"):
        assert await error_of(world.issue(shown, grant_type=kind)) == "unsupported_grant_type"


async def test_a_suspended_tenant_gets_no_tokens_and_its_tokens_are_worth_nothing(world: World) -> None:
    shown = await world.login()
    text = (await world.issue(shown)).access_token
    await world.control.tenants.put(OPERATOR, Tenant(name="acme", suspended=True))
    await world.tokens._verifier._following.settled()
    with pytest.raises(Refused, match="suspended"):
        world.tokens.verify(text, "")
    assert await error_of(world.issue(shown)) == "invalid_client"
    await world.control.tenants.put(OPERATOR, Tenant(name="acme"))
    await world.tokens._verifier._following.settled()
    assert world.tokens.verify(text, "").client == "acme.bot"


async def test_a_token_fits_into_the_first_frame_of_a_connection(world: World) -> None:
    agent = "/".join(["acme", "b" * 63, "c" * 63, "d" * 63])
    shown = with_certificate(await world.login(f"acme.{'a' * 63}", agent))
    asked = " ".join(f"agp:publish:{'a' * 60}/{'b' * 60}/{'c' * 20}{number}" for number in range(10, 18))
    issued = await world.issue(shown, scope=f"{asked} offline_access")
    assert len(issued.access_token) <= jose.TOKEN_LIMIT_BYTES
    assert await error_of(world.issue(shown, scope=f"{asked} {asked}")) == "invalid_scope"
    with pytest.raises(Refused):
        await world.client(scopes=asked.split(" ") * 2)


async def test_every_issue_is_audited_without_the_token(world: World) -> None:
    shown = await world.login()
    issued = await world.issue(shown, scope=OFFLINE)
    events = (await world.control.audit.events(OPERATOR, "acme")).items
    found = [event for event in events if event.action == "token.issue"]
    assert len(found) == 1
    assert found[0].detail["jti"] == jose.parse(issued.access_token).claims["jti"]
    text = repr(events)
    assert issued.access_token not in text
    assert issued.refresh_token not in text


# ---- private_key_jwt


def assertion(key: jose.Key, clock: Clock, id_: str = "acme.bot", **claims: object) -> Credentials:
    full = {
        "iss": id_,
        "sub": id_,
        "aud": f"{BASE}/t/acme/oauth2/token",
        "exp": clock.now + 60,
        "jti": f"{clock.now}",
        **claims,
    }
    full = {name: value for name, value in full.items() if value is not None}
    return Credentials(id_, assertion=signed(key, full, kid=key.thumbprint()))


async def test_an_assertion_proves_the_client_once(world: World, clock: Clock, store: Store) -> None:
    key = jwk.OKPKey.generate_key("Ed25519")
    await world.client(jwks={"keys": [key.as_dict(private=False)]})
    shown = assertion(key, clock)
    assert (await world.verified(shown)).credential == f"key:{key.thumbprint()}"
    assert await error_of(world.issue(shown)) == "invalid_client"
    # Nor at another gateway on the same database, or after a restart.
    other = World(Control(SETTINGS, store, clock))
    await other.load()
    assert await error_of(other.issue(shown)) == "invalid_client"
    await other.close()
    for audience in (f"{BASE}/t/acme", ["x", f"{BASE}/t/acme"]):
        assert (
            await world.verified(assertion(key, clock, jti=str(audience), aud=audience))
        ).client == "acme.bot"


async def test_of_many_uses_at_once_one_counts(world: World, clock: Clock) -> None:
    key = jwk.OKPKey.generate_key("Ed25519")
    await world.client(jwks={"keys": [key.as_dict(private=False)]})
    shown = assertion(key, clock)
    answers = await asyncio.gather(*(world.issue(shown) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(answer, Issued) for answer in answers) == 1
    assert sum(isinstance(answer, OAuthError) for answer in answers) == 9


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": BASE},
        {"aud": f"{BASE}/t/globex"},
        {"aud": None},
        {"iss": "other"},
        {"sub": "other"},
        {"exp": None},
        {"exp": 0},
        {"exp": 1_800_000_000 + 3631},
        {"exp": "soon"},
        {"nbf": 1_800_000_000 + 3600},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 300},
    ],
)
async def test_a_wrong_assertion_is_refused(world: World, clock: Clock, claims: dict[str, object]) -> None:
    key = jwk.OKPKey.generate_key("Ed25519")
    await world.client(jwks={"keys": [key.as_dict(private=False)]})
    assert await error_of(world.issue(assertion(key, clock, **claims))) == "invalid_client"
    assert await world.issue(assertion(key, clock))


async def test_assertions_of_other_keys_are_refused(world: World, clock: Clock) -> None:
    key, stranger = jwk.OKPKey.generate_key("Ed25519"), jwk.OKPKey.generate_key("Ed25519")
    await world.client(jwks={"keys": [key.as_dict(private=False)]})
    forged = assertion(stranger, clock)
    full = jose.parse(forged.assertion).claims
    known = Credentials("acme.bot", assertion=signed(stranger, full, kid=key.thumbprint()))
    for shown in (forged, known):
        assert await error_of(world.issue(shown)) == "invalid_client"
    assert await world.issue(assertion(key, clock))


async def test_used_assertions_are_forgotten_when_they_have_expired(
    world: World, clock: Clock, store: Store
) -> None:
    key = jwk.OKPKey.generate_key("Ed25519")
    await world.client(jwks={"keys": [key.as_dict(private=False)]})
    await world.issue(assertion(key, clock))

    async def count() -> int:
        query = select(func.count()).select_from(revocation)
        return await store.read(lambda connection: connection.execute(query).scalar_one())

    assert await count() == 1
    clock.advance(89)
    await world.control.tick(clock.now)
    assert await count() == 1
    clock.advance(30)
    await world.control.tick(clock.now)
    assert await count() == 0


# ---- refresh


async def test_a_refresh_token_is_used_once_and_replaced(world: World, clock: Clock) -> None:
    shown = await world.login()
    first = await world.issue(shown, scope=OFFLINE)
    clock.advance(500)
    second = await world.refresh(first.refresh_token, shown)
    assert second.refresh_token not in ("", first.refresh_token)
    assert second.scope == OFFLINE
    verified = world.tokens.verify(second.access_token, "")
    assert verified.family == world.tokens.verify(first.access_token, "").family
    assert verified.credential.startswith("secret:")
    third = await world.refresh(second.refresh_token, Credentials("acme.bot"), scope="agp:publish:acme/a/*")
    assert third.scope == "agp:publish:acme/a/*"
    fourth = await world.refresh(third.refresh_token, shown)
    assert fourth.scope == OFFLINE


async def test_reuse_ends_the_family_and_is_audited(world: World, clock: Clock, store: Store) -> None:
    shown = await world.login()
    first = await world.issue(shown, scope=OFFLINE)
    other = await world.issue(shown, scope=OFFLINE)
    second = await world.refresh(first.refresh_token, shown)
    clock.advance(1)
    assert await error_of(world.refresh(first.refresh_token, shown)) == "invalid_grant"
    for token in (first, second):
        with pytest.raises(Refused, match="revoked"):
            world.tokens.verify(token.access_token, "")
    assert await error_of(world.refresh(second.refresh_token, shown)) == "invalid_grant"
    assert world.tokens.verify(other.access_token, "").client == "acme.bot"
    assert await world.refresh(other.refresh_token, shown)
    events = (await world.control.audit.events(OPERATOR, "acme")).items
    assert [event.object for event in events if event.action == "token.reuse"] == ["acme.bot"]


async def test_the_same_certificate_may_repeat_a_refresh_within_the_grace(world: World, clock: Clock) -> None:
    shown = with_certificate(await world.login())
    first = await world.issue(shown, scope=OFFLINE)
    second = await world.refresh(first.refresh_token, shown)
    clock.advance(GRACE_S)
    again = await world.refresh(first.refresh_token, shown)
    assert again.refresh_token != second.refresh_token
    for token in (second, again):
        assert world.tokens.verify(token.access_token, THUMBPRINT).client == "acme.bot"
    clock.advance(0.1)
    assert await error_of(world.refresh(first.refresh_token, shown)) == "invalid_grant"
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(again.access_token, THUMBPRINT)


@pytest.mark.parametrize("thumbprint", ["", OTHER_THUMBPRINT])
async def test_no_other_certificate_may_repeat_it(world: World, thumbprint: str) -> None:
    shown = with_certificate(await world.login())
    first = await world.issue(shown, scope=OFFLINE)
    await world.refresh(first.refresh_token, shown)
    assert (
        await error_of(world.refresh(first.refresh_token, with_certificate(shown, thumbprint)))
        == "invalid_grant"
    )
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(first.access_token, THUMBPRINT)


async def test_of_refreshes_at_once_without_certificate_one_counts_and_the_family_ends(world: World) -> None:
    shown = await world.login()
    first = await world.issue(shown, scope=OFFLINE)
    answers = await asyncio.gather(
        *(world.refresh(first.refresh_token, shown) for _ in range(5)), return_exceptions=True
    )
    good = [answer for answer in answers if isinstance(answer, Issued)]
    assert len(good) == 1
    assert {type(answer) for answer in answers} == {Issued, OAuthError}
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(good[0].access_token, "")


async def test_a_bound_refresh_token_needs_its_certificate_or_the_clients_credentials(world: World) -> None:
    shown = with_certificate(await world.login())
    token = (await world.issue(shown, scope=OFFLINE)).refresh_token
    for other in ("", OTHER_THUMBPRINT):
        stolen = Credentials("acme.bot", thumbprint=other)
        assert await error_of(world.refresh(token, stolen)) == "invalid_grant"
    token = (await world.refresh(token, Credentials("acme.bot", thumbprint=THUMBPRINT))).refresh_token
    renewed = await world.refresh(token, with_certificate(shown, OTHER_THUMBPRINT))
    assert world.tokens.verify(renewed.access_token, OTHER_THUMBPRINT).client == "acme.bot"


async def test_refresh_tokens_of_others_are_refused(world: World, clock: Clock) -> None:
    shown = await world.login()
    other, foreign = await world.login("acme.other"), await world.login("globex.bot", "globex/*")
    issued = await world.issue(shown, scope=OFFLINE)
    token = issued.refresh_token
    assert await error_of(world.refresh(token, other)) == "invalid_grant"
    assert await error_of(world.refresh(token, Credentials("acme.other"))) == "invalid_grant"
    assert await error_of(world.refresh(token, foreign, "globex")) == "invalid_grant"
    assert await error_of(world.refresh(token, Credentials("acme.bot"), "globex")) == "invalid_grant"
    assert await error_of(world.refresh("agpr_" + "A" * 43, shown)) == "invalid_grant"
    assert await error_of(world.refresh(issued.access_token, shown)) == "invalid_grant"
    assert await error_of(world.refresh("", shown)) == "invalid_request"
    assert (
        await error_of(world.refresh(token, Credentials("acme.bot", secret=other.secret))) == "invalid_client"
    )
    assert await error_of(world.refresh(token, shown, scope="agp:subscribe:*")) == "invalid_scope"
    clock.advance(SETTINGS.refresh_token_life_s - 1)
    token = (await world.refresh(token, shown)).refresh_token
    clock.advance(SETTINGS.refresh_token_life_s)
    assert await error_of(world.refresh(token, shown)) == "invalid_grant"


async def test_what_ends_the_credential_ends_the_refresh_tokens(
    world: World, store: Store, clock: Clock
) -> None:
    one, two = await world.login(), await world.secret()
    first, second = await world.issue(one, scope=OFFLINE), await world.issue(two, scope=OFFLINE)
    id_ = world.tokens.verify(first.access_token, "").credential.removeprefix("secret:")
    await world.control.clients.revoke_secret(OPERATOR, "acme.bot", id_)
    assert await error_of(world.refresh(first.refresh_token, two)) == "invalid_grant"
    second = await world.refresh(second.refresh_token, two)
    await world.client(disabled=True)
    await world.client(disabled=False)
    assert await error_of(world.refresh(second.refresh_token, two)) == "invalid_grant"


async def test_when_a_secret_expires_its_refresh_tokens_do(world: World, clock: Clock) -> None:
    await world.client()
    made = await world.control.clients.add_secret(OPERATOR, "acme.bot", expires=clock.now + 100)
    shown = Credentials("acme.bot", secret=made.secret)
    token = (await world.issue(shown, scope=OFFLINE)).refresh_token
    clock.advance(99)
    token = (await world.refresh(token, Credentials("acme.bot"))).refresh_token
    clock.advance(1)
    assert await error_of(world.refresh(token, Credentials("acme.bot"))) == "invalid_client"
    assert await error_of(world.refresh(token, await world.secret())) == "invalid_client"


async def test_only_hashes_of_refresh_tokens_are_kept_and_old_ones_deleted(
    world: World, store: Store, clock: Clock
) -> None:
    shown = await world.login()
    token = (await world.issue(shown, scope=OFFLINE)).refresh_token
    rows = await store.read(lambda connection: connection.execute(select(refresh_token)).all())
    assert len(rows) == 1
    assert token not in repr(rows)
    assert len(rows[0].hash) == 32
    clock.advance(SETTINGS.refresh_token_life_s)
    await world.control.tick(clock.now)
    assert await store.read(lambda connection: connection.execute(select(refresh_token)).all()) == []


# ---- exchange


async def test_an_exchanged_token_speaks_as_the_actor_with_the_rights_of_both(
    world: World, clock: Clock
) -> None:
    subject = await world.login("acme.user", "acme/prod/user")
    actor = await world.login("acme.tool", "acme/prod/tool", may_exchange=True)
    token = (
        await world.issue(subject, scope="agp:publish:acme/prod/* agp:register:acme/prod/user")
    ).access_token
    clock.advance(100)
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    issued = await world.issue(actor, **form)
    assert issued.issued_token_type == ACCESS_TOKEN
    assert issued.expires_in == SETTINGS.access_token_life_s - 100
    claims = jose.parse(issued.access_token).claims
    assert claims["sub"] == "acme/prod/user"
    assert claims["act"] == {"sub": "acme/prod/tool", "client_id": "acme.tool"}
    verified = world.tokens.verify(issued.access_token, "")
    assert (str(verified.pattern), verified.client) == ("acme/prod/tool", "acme.tool")
    assert verified.scopes.permits("publish", parse("acme/prod/x"))
    assert not verified.scopes.permits("publish", parse("acme/test/x"))
    assert not verified.scopes.permits("subscribe", parse("acme/prod/x"))
    assert verified.scopes.permits("register", parse("acme/prod/tool/1"))
    assert not verified.scopes.permits("register", parse("acme/prod/user/1"))
    narrow = await world.issue(actor, **form, scope="agp:publish:acme/prod/x")
    assert narrow.scope == "agp:publish:acme/prod/x"
    assert await error_of(world.issue(actor, **form, scope="agp:subscribe:*")) == "invalid_scope"


async def test_who_may_not_exchange_and_what_may_not_be_exchanged(world: World, clock: Clock) -> None:
    subject = await world.login("acme.user", "acme/prod/user", admin=True)
    actor = await world.login("acme.tool", "acme/prod/tool", may_exchange=True, admin=True)
    foreign = await world.login("globex.bot", "globex/*")
    token = (await world.issue(subject, scope="agp:admin agp:publish:*")).access_token
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    assert await error_of(world.issue(subject, **form)) == "unauthorized_client"
    issued = await world.issue(actor, **form)
    assert not world.tokens.verify(issued.access_token, "").admin
    assert await error_of(world.issue(actor, **form, scope="agp:admin")) == "invalid_scope"
    wrong = (await world.issue(foreign, "globex")).access_token
    for change in (
        {"subject_token": wrong},
        {"subject_token": "x"},
        {"subject_token": ""},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x"},
    ):
        assert await error_of(world.issue(actor, **{**form, **change})) == "invalid_request"


async def test_a_chain_of_actors_is_bounded_and_each_stands_in_it(world: World) -> None:
    text = (await world.issue(await world.login("acme.user", "acme/prod/user"))).access_token
    for number in range(5):
        actor = await world.login(f"acme.tool{number}", f"acme/prod/tool{number}", may_exchange=True)
        form = {"grant_type": EXCHANGE, "subject_token": text, "subject_token_type": ACCESS_TOKEN}
        if number == 4:
            assert await error_of(world.issue(actor, **form)) == "invalid_request"
        else:
            text = (await world.issue(actor, **form)).access_token
    act = jose.parse(text).claims["act"]
    assert (act["sub"], act["act"]["sub"]) == ("acme/prod/tool3", "acme/prod/tool2")


@pytest.mark.parametrize("ends", ["token", "secret", "client"])
async def test_what_revokes_the_subjects_token_revokes_what_it_was_exchanged_for(
    world: World, ends: str
) -> None:
    subject = await world.login("acme.user", "acme/prod/user")
    text = own = (await world.issue(subject)).access_token
    other = (await world.issue(await world.login("acme.else", "acme/prod/else"))).access_token
    secret = world.tokens.verify(text, "").credential.removeprefix("secret:")
    exchanged = []
    for number in range(2):
        actor = await world.login(f"acme.tool{number}", f"acme/prod/tool{number}", may_exchange=True)
        form = {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN}
        text = (await world.issue(actor, **form, subject_token=text)).access_token
        exchanged.append(world.tokens.verify(text, ""))
    form["subject_token"] = other
    stays = world.tokens.verify((await world.issue(actor, **form)).access_token, "")
    assert not any(map(world.tokens.is_revoked, exchanged))  # control
    if ends == "token":
        await world.tokens.revoke("acme", (await world.issue(subject)).access_token, subject)
        assert not any(map(world.tokens.is_revoked, exchanged))  # that was another one
        await world.tokens.revoke("acme", own, subject)
    elif ends == "secret":
        await world.control.clients.revoke_secret(OPERATOR, "acme.user", secret)
    else:
        await world.control.clients.delete(OPERATOR, "acme.user")
    assert all(map(world.tokens.is_revoked, exchanged))
    assert not world.tokens.is_revoked(stays)
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(text, "")


# ---- introspection and revocation


async def test_introspection_tells_clients_of_the_tenant_only(world: World, clock: Clock) -> None:
    shown, foreign = await world.login(), await world.login("globex.bot", "globex/*")
    issued = await world.issue(with_certificate(shown), scope=OFFLINE)
    reader = await world.login("acme.reader")
    told = await world.tokens.introspect("acme", issued.access_token, reader)
    assert told["active"] is True
    assert (told["client_id"], told["sub"], told["scope"]) == ("acme.bot", "acme/prod/*", OFFLINE)
    assert told["cnf"] == {"x5t#S256": THUMBPRINT}
    assert "cred" not in told
    inactive = {"active": False}
    assert await world.tokens.introspect("globex", issued.access_token, foreign) == inactive
    assert await world.tokens.introspect("acme", "nonsense", reader) == inactive
    assert await world.tokens.introspect("acme", issued.refresh_token, reader) == inactive
    assert (await world.tokens.introspect("acme", issued.refresh_token, shown))["active"] is True
    assert await error_of(world.tokens.introspect("acme", issued.access_token, foreign)) == "invalid_client"
    assert (
        await error_of(world.tokens.introspect("acme", issued.access_token, Credentials("acme.bot")))
        == "invalid_client"
    )
    clock.advance(700)
    assert await world.tokens.introspect("acme", issued.access_token, reader) == inactive


async def test_a_client_revokes_its_own_tokens(world: World) -> None:
    shown, other = await world.login(), await world.login("acme.other")
    foreign = await world.login("globex.bot", "globex/*")
    issued = await world.issue(shown, scope=OFFLINE)
    second = await world.issue(shown, scope=OFFLINE)
    revoke = world.tokens.revoke
    for token in (issued.access_token, issued.refresh_token):
        assert await error_of(revoke("acme", token, other)) == "unauthorized_client"
        await revoke("globex", token, foreign)
    await revoke("acme", "nonsense", shown)
    await revoke("acme", "agpr_nonsense", shown)
    assert world.tokens.verify(issued.access_token, "")
    await revoke("acme", issued.access_token, Credentials("acme.bot"))
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(issued.access_token, "")
    assert world.tokens.verify(second.access_token, "")
    await revoke("acme", second.refresh_token, shown)
    with pytest.raises(Refused, match="revoked"):
        world.tokens.verify(second.access_token, "")
    assert await error_of(world.refresh(second.refresh_token, shown)) == "invalid_grant"


async def test_revocations_reach_other_gateways_and_outlive_a_restart(
    world: World, store: Store, clock: Clock
) -> None:
    other = World(Control(SETTINGS, store, clock))
    await other.load()
    token = await world.verified(await world.login())
    await world.client(disabled=True)
    assert other.tokens.is_revoked(token)
    again = World(Control(SETTINGS, store, clock))
    await again.load()
    assert again.tokens.is_revoked(token)
    clock.advance(10_000)
    await again.control.tick(clock.now)
    assert again.tokens.is_revoked(token)  # a disabled client stays so
    await other.close()
    await again.close()


async def test_metadata_names_the_endpoints_and_does_not_tell_who_exists(world: World) -> None:
    told = world.tokens.metadata("acme")
    assert told["issuer"] == f"{BASE}/t/acme"
    assert told["token_endpoint"] == f"{BASE}/t/acme/oauth2/token"
    assert "none" not in told["token_endpoint_auth_methods_supported"]
    assert "none" not in told["token_endpoint_auth_signing_alg_values_supported"]
    unknown = world.tokens.metadata("nowhere")
    assert str(unknown).replace("nowhere", "acme") == str(told)


async def test_an_operator_is_an_administrator_of_the_operators_tenant(world: World) -> None:
    await world.control.tenants.put(OPERATOR, Tenant(name="agpd"))
    with pytest.raises(Refused) as caught:
        await world.control.clients.put(
            admin_of("acme"), (await world.client("agpd.op", "agpd/*", admin=True))
        )
    assert caught.value.code is Code.NOT_FOUND
