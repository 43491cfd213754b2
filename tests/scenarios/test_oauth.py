"""The OAuth 2.0 endpoints over HTTPS: with authlib as a client of others, and by hand."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk, jwt
from scenarios.control_world import OPERATOR, ControlWorld, control_world

from agpd.control import jose
from agpd.control.resources import Client
from agpd.control.tokens import Credentials
from agpd.errors import Refused
from agpd.transport.pki import Pair

FORM = {"content-type": "application/x-www-form-urlencoded"}
JWT_BEARER = b"urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
ASKED = {"grant_type": "client_credentials"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlWorld]:
    async with control_world(tmp_path, unauthenticated_per_second=1000) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        yield world


@pytest.fixture
async def bot(world: ControlWorld) -> Credentials:
    return await world.client("acme.bot", "acme", "acme/prod/*")


def authlib(
    world: ControlWorld, shown: Credentials, pair: Pair | None = None, **more: Any
) -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        client_id=shown.client_id,
        client_secret=shown.secret,
        token_endpoint=endpoint(world),
        verify=world.context(pair),
        **more,
    )


def endpoint(world: ControlWorld, name: str = "token", tenant: str = "acme") -> str:
    return f"{world.url}/t/{tenant}/oauth2/{name}"


def basic(shown: Credentials) -> dict[str, str]:
    pair = base64.b64encode(f"{shown.client_id}:{shown.secret}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


def thumbprint(pair: Pair) -> str:
    return jose.thumbprint(ssl.PEM_cert_to_DER_cert(pair.certificate.read_text()))


# ---- authlib


async def test_authlib_gets_a_token_that_the_published_keys_verify(
    world: ControlWorld, bot: Credentials
) -> None:
    async with authlib(world, bot) as client:
        token = await client.fetch_token(endpoint(world), scope="agp:publish:acme/*", **ASKED)
    async with world.http() as http:
        metadata = (await http.get("/.well-known/oauth-authorization-server/t/acme")).json()
        keys = await http.get(metadata["jwks_uri"])
    assert token["token_type"] == "Bearer"
    assert token["scope"] == "agp:publish:acme/*"
    assert "max-age=300" in keys.headers["cache-control"]
    read = jwt.decode(token["access_token"], jwk.KeySet.import_key_set(keys.json()), algorithms=["Ed25519"])
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": metadata["issuer"]},
        aud={"essential": True, "value": world.url},
        exp={"essential": True},
    )
    registry.validate(read.claims)
    assert metadata["token_endpoint"] == endpoint(world)
    async with world.http(token=token["access_token"]) as http:
        assert (await http.get("/v1/whoami")).status_code == 200


async def test_authlib_refreshes_introspects_and_revokes(world: ControlWorld, bot: Credentials) -> None:
    async with authlib(world, bot) as client:
        token = await client.fetch_token(endpoint(world), scope="agp:publish:* offline_access", **ASKED)
        old = token["refresh_token"]
        fresh = await client.refresh_token(endpoint(world), old)
        assert fresh["refresh_token"] != old
        told = await client.introspect_token(endpoint(world, "introspect"), fresh["access_token"])
        assert told.json()["active"] is True
        assert told.json()["client_id"] == "acme.bot"
        answer = await client.revoke_token(endpoint(world, "revoke"), fresh["refresh_token"], "refresh_token")
        assert answer.status_code == 200
        told = await client.introspect_token(endpoint(world, "introspect"), fresh["access_token"])
        assert told.json() == {"active": False}
        with pytest.raises(OAuthError) as caught:
            await client.refresh_token(endpoint(world), fresh["refresh_token"])
        assert caught.value.error == "invalid_grant"


async def test_authlib_proves_itself_with_a_private_key(world: ControlWorld) -> None:
    key = jwk.RSAKey.generate_key(2048)
    keys = {"keys": [{**key.as_dict(private=False), "kid": "one"}]}
    await world.control.clients.put(
        OPERATOR, Client(id="acme.key", tenant="acme", agent="acme/prod/*", jwks=keys)
    )
    pem = key.as_pem(private=True)
    client = AsyncOAuth2Client(
        client_id="acme.key",
        client_secret=pem,
        token_endpoint=endpoint(world),
        token_endpoint_auth_method="private_key_jwt",
        verify=world.context(),
    )
    client.register_client_auth_method(PrivateKeyJWT(endpoint(world), alg="RS256", headers={"kid": "one"}))
    async with client:
        for _ in range(2):
            token = await client.fetch_token(endpoint(world), **ASKED)
            verified = world.control.tokens.verify(token["access_token"], "")
            assert verified.credential == f"key:{key.thumbprint()}"


async def test_a_certificate_proves_the_client_and_binds_its_tokens(world: ControlWorld) -> None:
    pair, thief = world.issue("acme/prod/*"), world.issue("acme/prod/*")
    client = Client(id="acme.cert", tenant="acme", agent="acme/prod/*", certificates=[thumbprint(pair)])
    await world.control.clients.put(OPERATOR, client)
    form = {**ASKED, "client_id": "acme.cert"}
    async with world.http(pair) as http, world.http(thief) as other, world.http() as bare:
        answer = await http.post(endpoint(world), data=form)
        assert answer.status_code == 200
        for wrong in (other, bare):
            assert (await wrong.post(endpoint(world), data=form)).json()["error"] == "invalid_client"
    token = answer.json()["access_token"]
    assert jose.parse(token).claims["cnf"] == {"x5t#S256": thumbprint(pair)}
    for shown, status in ((pair, 200), (thief, 401), (None, 401)):
        async with world.http(shown, token) as http:
            assert (await http.get("/v1/whoami")).status_code == status


async def test_authlib_is_told_what_was_wrong(world: ControlWorld, bot: Credentials) -> None:
    cases = [
        (Credentials("acme.bot", secret="agps_" + "A" * 64), {}, "invalid_client"),
        (Credentials("nobody", secret=bot.secret), {}, "invalid_client"),
        (bot, {"scope": "agp:admin"}, "invalid_scope"),
        (bot, {"scope": "nonsense"}, "invalid_scope"),
        (bot, {"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        (bot, {"resource": "https://elsewhere.example"}, "invalid_target"),
    ]
    for shown, form, error in cases:
        async with authlib(world, shown) as client:
            with pytest.raises(OAuthError) as caught:
                await client.fetch_token(endpoint(world), **{**ASKED, **form})
            assert caught.value.error == error


# ---- by hand


async def test_tokens_are_kept_by_nobody_on_the_way_and_browsers_get_nothing(
    world: ControlWorld, bot: Credentials
) -> None:
    async with world.http() as http:
        good = await http.post(
            endpoint(world), data=ASKED, headers={**basic(bot), "origin": "https://evil.example"}
        )
        bad = await http.post(endpoint(world), data=ASKED, headers=basic(Credentials("x", secret="y")))
        preflight = await http.options(endpoint(world), headers={"origin": "https://evil.example"})
    assert (good.status_code, bad.status_code) == (200, 401)
    for answer in (good, bad):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        assert answer.headers["content-type"] == "application/json"
    assert bad.headers["www-authenticate"].startswith("Basic ")
    assert bad.json().keys() == {"error", "error_description"}
    assert preflight.status_code == 405
    for answer in (good, bad, preflight):
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", {}),
        (b"grant_type=client_credentials&scope=agp%3Apublish%3A*&scope=x", {}),
        (b'{"grant_type": "client_credentials"}', {"content-type": "application/json"}),
        (b"grant_type=client_credentials", {"content-type": "multipart/form-data; boundary=x"}),
        (b"grant_type=client_credentials", {"content-type": "text/plain"}),
        (b"grant_type=client_credentials&x=" + b"a" * 20_000, {}),
        (b"&".join(b"a%d=1" % number for number in range(40)), {}),
        (b"grant_type=client_credentials&scope=%ff", {}),
        (b"grant_type=client_credentials&scope=\xff", {}),
        (b"grant_type=client_credentials&client_secret=x", {}),
        (b"grant_type=client_credentials&client_id=somebody-else", {}),
        (b"grant_type=client_credentials&client_assertion=x", {}),
        (b"grant_type=client_credentials&client_assertion=a.b.c&client_assertion_type=" + JWT_BEARER, {}),
        (b"", {}),
    ],
)  # fmt: skip
async def test_a_wrong_form_is_refused(
    world: ControlWorld, bot: Credentials, body: bytes, headers: dict[str, str]
) -> None:
    async with world.http() as http:
        right = await http.post(
            endpoint(world), content=b"grant_type=client_credentials", headers={**FORM, **basic(bot)}
        )
        wrong = await http.post(endpoint(world), content=body, headers={**FORM, **basic(bot), **headers})
    assert right.status_code == 200
    assert wrong.status_code == 400
    assert wrong.json()["error"] in ("invalid_request", "unsupported_grant_type")


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic Og==",
        "Basic YTo=",
        "Basic OmE=",
        "Bearer x",
        "",
        "Basic YTol/w==",
        "Basic 4\u00e9",
    ],
)
async def test_a_wrong_authorization_is_refused(world: ControlWorld, bot: Credentials, header: str) -> None:
    async with world.http() as http:
        answer = await http.post(
            endpoint(world), data=ASKED, headers={"authorization": header.encode("latin-1")}
        )
        twice = [("authorization", value) for value in basic(bot).values()] * 2
        doubled = await http.post(endpoint(world), data=ASKED, headers=twice)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert doubled.status_code == 400


async def test_parameters_do_not_come_in_the_url(world: ControlWorld, bot: Credentials) -> None:
    async with world.http() as http:
        answer = await http.post(f"{endpoint(world)}?scope=agp:admin", data=ASKED, headers=basic(bot))
        read = await http.get(f"{endpoint(world)}?grant_type=client_credentials", headers=basic(bot))
    assert (answer.status_code, read.status_code) == (400, 405)


async def test_unknown_organizations_look_like_known_ones(world: ControlWorld, bot: Credentials) -> None:
    async with world.http() as http:
        answers = []
        for tenant in ("globex", "nowhere"):
            told = await http.post(endpoint(world, tenant=tenant), data=ASKED, headers=basic(bot))
            keys = await http.get(f"/t/{tenant}/.well-known/jwks.json")
            metadata = await http.get(f"/t/{tenant}/.well-known/oauth-authorization-server")
            texts = (told.text, keys.text, metadata.text.replace(tenant, "TENANT"))
            answers.append((texts, told.status_code, keys.status_code, metadata.status_code))
    assert answers[0] == answers[1]


async def test_hostile_texts_break_nothing(world: ControlWorld, bot: Credentials) -> None:
    texts = [
        "'",
        '"',
        "' OR 1=1 --",
        "\0",
        "\r\nX: y",
        "\u2028",
        "\N{GRINNING FACE}",
        "../..",
        "%00",
        "{{7*7}}",
        "a" * 5000,
        "\x1b[31m",
    ]
    async with world.http() as http:
        for text in texts:
            for name in ("grant_type", "scope", "client_id", "refresh_token", "resource", "token"):
                for kind in ("token", "introspect", "revoke"):
                    answer = await http.post(
                        endpoint(world, kind), data={**ASKED, name: text}, headers=basic(bot)
                    )
                    assert answer.status_code in (200, 400, 401), (text, name, kind)
                    assert answer.headers["content-type"] == "application/json"
                    if answer.status_code != 200:
                        description = answer.json()["error_description"]
                        assert all(" " <= c <= "~" and c not in '"\\' for c in description)
        assert (await http.post(endpoint(world), data=ASKED, headers=basic(bot))).status_code == 200


async def test_failed_logins_of_one_address_are_bounded_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agpd.api")
    async with control_world(tmp_path, unauthenticated_per_second=1) as world:
        await world.tenant("acme")
        async with world.http() as http:
            wrong = basic(Credentials("nobody", secret="x"))
            answers = [await http.post(endpoint(world), data=ASKED, headers=wrong) for _ in range(10)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    failures = [one for one in caplog.records if one.getMessage() == "authentication failed"]
    assert len(failures) == statuses.count(401)
    said = failures[0].fields  # type: ignore[attr-defined]
    assert (said["address"], said["tenant"], said["client"]) == ("127.0.0.1", "acme", "nobody")


async def test_only_so_much_may_be_revoked_without_credentials(tmp_path: Path) -> None:
    async with control_world(tmp_path, unauthenticated_per_second=1) as world:
        await world.tenant("acme")
        bot = await world.client("acme.bot", "acme", "acme/*")
        form = {"token": "agpr_x", "client_id": "acme.bot"}
        async with world.http() as http:
            where = endpoint(world, "revoke")
            proved = [await http.post(where, data=form, headers=basic(bot)) for _ in range(5)]
            anybody = [await http.post(where, data=form) for _ in range(5)]
    assert {answer.status_code for answer in proved} == {200}
    assert (anybody[0].status_code, anybody[-1].status_code) == (200, 429)


async def test_rotating_keys_under_load_refuses_no_token(world: ControlWorld, bot: Credentials) -> None:
    done = asyncio.Event()
    refused: list[Any] = []
    issued = 0

    async def use(http: httpx2.AsyncClient) -> None:
        nonlocal issued
        while not done.is_set():
            answer = await http.post(endpoint(world), data=ASKED, headers=basic(bot))
            token = answer.json().get("access_token", "")
            shown = await http.get("/v1/whoami", headers={"authorization": f"Bearer {token}"})
            issued += 1
            if (answer.status_code, shown.status_code) != (200, 200):
                refused.append((answer.text, shown.text))

    async with world.http() as one, world.http() as two:
        users = [asyncio.create_task(use(http)) for http in (one, two, one)]
        for _ in range(100):
            await world.control.keys.rotate(OPERATOR, "acme")
        done.set()
        await asyncio.gather(*users)
    assert refused == []
    assert issued > 20
    forged = jose.generate("Ed25519")
    with pytest.raises(Refused):
        world.control.tokens.verify(jose.sign({"kid": "x", "typ": "at+jwt"}, {}, "Ed25519", forged), "")
