import base64
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from conftest import Clock
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk
from oauth_world import OPERATOR, THUMBPRINT, World, admin_of
from sqlalchemy import select

from agpd.control import jose
from agpd.control.caller import Caller, Role
from agpd.control.clients import LIVE_SECRETS
from agpd.control.model import client_secret
from agpd.control.resources import Client
from agpd.control.store import Store
from agpd.control.tokens import Credentials
from agpd.errors import Code, Refused
from agpd.names import parse_pattern


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    yield world
    await world.close()


async def refused(answer: Awaitable[object]) -> Code:
    with pytest.raises(Refused) as caught:
        await answer
    return caught.value.code


async def test_a_client_is_kept_as_it_was_put(world: World, clock: Clock) -> None:
    key = jwk.OKPKey.generate_key("Ed25519")
    made = await world.client(
        title="the bot",
        scopes=["agp:publish:acme/*"],
        certificates=[THUMBPRINT],
        jwks={"keys": [key.as_dict(private=True)]},
    )
    kept = await world.control.clients.get(OPERATOR, "acme.bot")
    assert made == kept
    assert kept.created == clock.now
    assert kept.jwks is not None
    public = key.as_dict(private=False)
    assert kept.jwks["keys"] == [{**public, "kid": key.thumbprint(), "alg": "Ed25519", "use": "sig"}]
    assert "d" not in kept.jwks["keys"][0]


@pytest.mark.parametrize(
    "fields",
    [
        {"id_": "Bot"},
        {"id_": ""},
        {"id_": "a" * 64},
        {"id_": "a\n"},
        {"agent": "acme"},
        {"agent": "*"},
        {"scopes": ["agp:fly:acme/*"]},
        {"scopes": ["agp:admin"]},
        {"certificates": ["short"]},
        {"certificates": [THUMBPRINT] * 17},
        {"jwks": {}},
        {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
        {"jwks": {"keys": [{"kty": "OKP", "crv": "X25519", "x": "A" * 43}]}},
        {"jwks": {"keys": ["x"]}},
        {"jwks": {"keys": [{}]}},
        {"title": "\0"},
    ],
)
async def test_what_is_no_client_is_refused(world: World, fields: dict[str, object]) -> None:
    code = await refused(world.client(**fields))  # type: ignore[arg-type]
    assert code in (Code.INVALID_REQUEST, Code.INVALID_NAME, Code.NOT_FOUND)


@pytest.mark.parametrize(
    "id_",
    [
        "", "bot", "acme", "acme.", "acme.Bot", "acme.a.b", "acme.a/b", "acme.a\n", f"acme.{'a' * 64}", "acme-bot",
        "globex.bot", "c-0123456789abcdef",
    ],
)  # fmt: skip
async def test_an_id_begins_with_the_tenant(world: World, id_: str) -> None:
    with pytest.raises(Refused, match=r"write acme\.<label>") as caught:
        await world.client(id_)
    assert caught.value.code is Code.INVALID_REQUEST
    assert (await world.client(f"acme.{'a' * 63}")).id


async def test_making_a_client_does_not_tell_what_others_have(world: World) -> None:
    await world.client("acme.there")
    said = []
    for id_ in ("acme.there", "acme.free"):
        with pytest.raises(Refused) as caught:
            await world.control.clients.put(
                admin_of("globex"), Client(id=id_, tenant="globex", agent="globex/*"), create=True
            )
        said.append((caught.value.code, caught.value.detail.replace(id_, "ID")))
    assert said[0] == said[1]


async def test_an_agent_outside_of_the_tenant_is_refused(world: World) -> None:
    client = Client(id="acme.x", tenant="acme", agent="globex/prod/*")
    assert await refused(world.control.clients.put(OPERATOR, client)) is Code.INVALID_REQUEST


@pytest.mark.parametrize(("bits", "good"), [(1024, False), (2040, False), (2048, True), (4104, False)])
async def test_rsa_keys_have_2048_to_4096_bits(world: World, bits: int, good: bool) -> None:
    whole = rsa.generate_private_key(65537, bits).public_key().public_numbers().n if good else (1 << bits) - 1
    key = {"kty": "RSA", "e": "AQAB", "n": number_text(whole)}
    if good:
        assert (await world.client(jwks={"keys": [key]})).jwks is not None
    else:
        assert await refused(world.client(jwks={"keys": [key]})) is Code.INVALID_REQUEST


def number_text(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_ids_are_unique_and_foreign_clients_are_as_if_missing(world: World) -> None:
    await world.client()
    clients = world.control.clients
    taken = Client(id="acme.bot", tenant="globex", agent="globex/*")
    for caller in (admin_of("globex"), OPERATOR):
        assert await refused(clients.put(caller, taken)) is Code.INVALID_REQUEST
    own = Client(id="acme.bot", tenant="acme", agent="acme/*")
    assert await refused(clients.put(admin_of("acme"), own, create=True)) is Code.ALREADY_EXISTS
    foreign = admin_of("globex")
    calls: list[Callable[[str], Awaitable[object]]] = [
        lambda id_: clients.get(foreign, id_),
        lambda id_: clients.delete(foreign, id_),
        lambda id_: clients.add_secret(foreign, id_),
        lambda id_: clients.revoke_secret(foreign, id_, "x"),
    ]
    for call in calls:
        texts = []
        for id_ in ("acme.bot", "acme.no-bot"):
            with pytest.raises(Refused) as caught:
                await call(id_)
            texts.append((caught.value.code, caught.value.detail.replace(id_, "ID")))
        assert texts[0] == texts[1]
        assert texts[0][0] is Code.NOT_FOUND
    assert await refused(clients.list(foreign, "acme")) is Code.NOT_FOUND


async def test_agents_see_only_themselves(world: World) -> None:
    await world.client()
    await world.client("acme.other")
    agent = Caller("acme", parse_pattern("acme/prod/*"), Role.AGENT, "acme.bot", "acme.bot")
    clients = world.control.clients
    assert (await clients.get(agent, "acme.bot")).id == "acme.bot"
    assert await refused(clients.get(agent, "acme.other")) is Code.NOT_PERMITTED
    assert await refused(clients.list(agent, "acme")) is Code.NOT_PERMITTED
    assert await refused(clients.add_secret(agent, "acme.bot")) is Code.NOT_PERMITTED
    assert await refused(clients.delete(agent, "acme.bot")) is Code.NOT_PERMITTED


async def test_lists_are_paged_by_id(world: World) -> None:
    for name in ("acme.c", "acme.a", "acme.b"):
        await world.client(name)
    await world.client("globex.a", "globex/*")
    first = await world.control.clients.list(admin_of("acme"), "acme", limit=2)
    assert [client.id for client in first.items] == ["acme.a", "acme.b"]
    rest = await world.control.clients.list(admin_of("acme"), "acme", after=first.next)
    assert [client.id for client in rest.items] == ["acme.c"]
    assert rest.next == ""


async def test_two_secrets_are_live_at_once_and_no_third(world: World, clock: Clock) -> None:
    one, two = await world.login(), await world.secret()
    for shown in (one, two):
        assert (await world.verified(shown)).client == "acme.bot"
    assert await refused(world.secret()) is Code.CONFLICT
    kept = await world.control.clients.get(OPERATOR, "acme.bot")
    assert len(kept.secrets) == LIVE_SECRETS
    assert [secret.secret for secret in kept.secrets] == ["", ""]


async def test_an_expired_secret_makes_room(world: World, clock: Clock) -> None:
    clients = world.control.clients
    await world.login()
    await clients.add_secret(OPERATOR, "acme.bot", expires=clock.now + 10)
    assert await refused(world.secret()) is Code.CONFLICT
    clock.advance(10)
    await world.secret()
    assert len((await clients.get(OPERATOR, "acme.bot")).secrets) == 2
    assert await refused(clients.add_secret(OPERATOR, "acme.bot", expires=clock.now)) is Code.INVALID_REQUEST


async def test_secrets_are_kept_as_hashes_and_in_no_audit_event(world: World, store: Store) -> None:
    shown = await world.login()
    rows = await store.read(lambda connection: connection.execute(select(client_secret)).all())
    assert rows[0].hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await world.issue(shown)
    events = repr(await world.control.audit.events(OPERATOR, "acme"))
    assert "secret.create" in events
    assert "token.issue" in events
    assert shown.secret not in events
    assert rows[0].hash not in events
    assert shown.secret not in repr(shown)


async def change(world: World, **fields: object) -> None:
    await world.client(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"disabled": True},
        {"agent": "acme/prod/writer"},
        {"scopes": ["agp:publish:acme/*"]},
        {"admin": False},
        {"may_exchange": False},
    ],
)
async def test_what_makes_a_client_narrower_revokes_its_tokens(
    world: World, fields: dict[str, object]
) -> None:
    shown = await world.login(admin=True, may_exchange=True)
    other = await world.verified(await world.login("acme.other"))
    token = await world.verified(shown)
    await change(world, **{"admin": True, "may_exchange": True, **fields})
    assert world.tokens.is_revoked(token)
    assert not world.tokens.is_revoked(other)


@pytest.mark.parametrize("fields", [{"title": "new"}, {"agent": "acme/*"}, {"may_exchange": True}])
async def test_other_changes_leave_tokens_alone(world: World, fields: dict[str, object]) -> None:
    token = await world.verified(await world.login())
    await change(world, **fields)
    assert not world.tokens.is_revoked(token)


async def test_a_disabled_client_gets_no_token_and_an_enabled_one_new_ones(
    world: World, clock: Clock
) -> None:
    shown = await world.login()
    old = await world.verified(shown)
    await world.client(disabled=True)
    assert await refused(world.issue(shown)) is Code.INVALID_TOKEN
    clock.advance(1)
    await world.client(disabled=False)
    clock.advance(1)
    assert not world.tokens.is_revoked(await world.verified(shown))
    assert world.tokens.is_revoked(old)


async def test_what_is_issued_in_the_second_of_a_revocation_but_after_it_is_good(
    world: World, clock: Clock
) -> None:
    shown = await world.login(admin=True)
    clock.advance(0.25)
    before = await world.verified(shown)
    clock.advance(0.25)
    await change(world, admin=False)
    clock.advance(0.25)
    after = await world.issue(shown)
    token = world.tokens.verify(after.access_token, "")
    assert after.expires_in == world.control.settings.access_token_life_s
    assert (world.tokens.is_revoked(before), world.tokens.is_revoked(token)) == (True, False)
    clock.advance(0.125)
    await change(world, disabled=True)
    await change(world, disabled=False)
    assert world.tokens.is_revoked(token)


async def test_revoking_a_secret_revokes_its_tokens_only(world: World) -> None:
    one, two = await world.login(), await world.secret()
    first, second = await world.verified(one), await world.verified(two)
    id_ = first.credential.removeprefix("secret:")
    await world.control.clients.revoke_secret(admin_of("acme"), "acme.bot", id_)
    assert world.tokens.is_revoked(first)
    assert not world.tokens.is_revoked(second)
    assert await refused(world.issue(one)) is Code.INVALID_TOKEN
    assert (await world.verified(two)).client == "acme.bot"
    again = world.control.clients.revoke_secret(admin_of("acme"), "acme.bot", id_)
    assert await refused(again) is Code.NOT_FOUND


async def test_removing_a_key_or_a_certificate_revokes_its_tokens(world: World) -> None:
    await world.client(certificates=[THUMBPRINT, jose.thumbprint(b"second")])

    first = await world.verified(Credentials("acme.bot", thumbprint=THUMBPRINT))
    second = await world.verified(Credentials("acme.bot", thumbprint=jose.thumbprint(b"second")))
    await world.client(certificates=[jose.thumbprint(b"second")])
    assert world.tokens.is_revoked(first)
    assert not world.tokens.is_revoked(second)


async def test_deleting_a_client_ends_its_tokens_and_a_new_one_of_that_id_begins_afresh(
    world: World, clock: Clock, store: Store
) -> None:
    shown = await world.login()
    issued = await world.issue(shown, scope="offline_access agp:publish:*")
    token = world.tokens.verify(issued.access_token, "")
    await world.control.clients.delete(admin_of("acme"), "acme.bot")
    assert world.tokens.is_revoked(token)
    assert await refused(world.issue(shown)) is Code.INVALID_TOKEN
    assert await refused(world.refresh(issued.refresh_token, shown)) is not None
    assert await store.read(lambda connection: connection.execute(select(client_secret)).all()) == []
    clock.advance(1)
    assert not world.tokens.is_revoked(await world.verified(await world.login()))
    assert await refused(world.issue(shown)) is Code.INVALID_TOKEN
