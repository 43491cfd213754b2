import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from conftest import Clock
from joserfc import jwk, jws
from oauth_world import OPERATOR, SETTINGS, World, admin_of
from sqlalchemy import select

from agpd.control.keys import CACHE_S, LEEWAY_S
from agpd.control.model import signing_key
from agpd.control.sealing import Sealer
from agpd.control.service import Control
from agpd.control.store import Store
from agpd.errors import Code, ConfigError, Refused

OVERLAP_S = SETTINGS.access_token_life_s + LEEWAY_S + CACHE_S


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    yield world
    await world.close()


def states(world: World, tenant: str = "acme") -> list[str]:
    return sorted(held.info.state for held in world.control.keys._tenants.get(tenant, ()))


async def test_keys_are_made_at_the_first_need(world: World, clock: Clock) -> None:
    keys = world.control.keys
    assert keys.jwks("acme", clock.now) == keys.jwks("nobody", clock.now) == {"keys": []}
    await asyncio.gather(*(keys.sign("acme", {}) for _ in range(5)))
    assert states(world) == ["active", "pending"]
    assert keys.jwks("globex", clock.now) == {"keys": []}


async def test_the_jwks_verifies_what_is_signed(world: World, clock: Clock) -> None:
    text = await world.control.keys.sign("acme", {"a": 1})
    published = jwk.KeySet.import_key_set(world.control.keys.jwks("acme", clock.now))
    token = jws.deserialize_compact(text, published, algorithms=["Ed25519"])
    assert json.loads(token.payload) == {"a": 1}
    assert token.headers()["typ"] == "at+jwt"
    for key in world.control.keys.jwks("acme", clock.now)["keys"]:
        assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
        assert key["alg"] == "Ed25519"


async def test_es256_is_offered(store: Store, clock: Clock) -> None:
    settings = msgspec.structs.replace(SETTINGS, signing_algorithm="ES256")
    world = await World.open(store, clock, settings)
    shown = await world.login()
    assert (await world.verified(shown)).client == "acme.bot"
    key = world.control.keys.jwks("acme", clock.now)["keys"][0]
    assert (key["alg"], key["crv"]) == ("ES256", "P-256")
    await world.close()


async def test_rotation_signs_with_the_key_that_was_published_before(world: World, clock: Clock) -> None:
    keys = world.control.keys
    await keys.sign("acme", {})
    pending = next(held.info.id for held in keys._tenants["acme"] if held.info.state == "pending")
    active = await keys.rotate(admin_of("acme"), "acme")
    assert (active.id, active.state, active.until) == (
        pending,
        "active",
        clock.now + SETTINGS.signing_key_life_s,
    )
    assert states(world) == ["active", "pending", "retired"]


async def test_an_old_key_is_accepted_for_the_overlap_and_then_removed(world: World, clock: Clock) -> None:
    shown = await world.login()
    text = (await world.issue(shown)).access_token
    old = jws.extract_compact(text.encode()).headers()["kid"]
    await world.control.keys.rotate(OPERATOR, "acme")
    assert world.tokens.verify(text, "").client == "acme.bot"
    clock.advance(OVERLAP_S - 1)
    assert world.control.keys.find(old, clock.now) is not None
    assert len(world.control.keys.jwks("acme", clock.now)["keys"]) == 3
    clock.advance(1)
    assert world.control.keys.find(old, clock.now) is None
    assert len(world.control.keys.jwks("acme", clock.now)["keys"]) == 2
    with pytest.raises(Refused, match="replaced"):
        world.tokens.verify(text, "")
    await world.control.tick(clock.now)
    assert states(world) == ["active", "pending"]


async def test_keys_rotate_by_themselves(world: World, clock: Clock) -> None:
    await world.control.keys.sign("acme", {})
    first = world.control.keys._active("acme")
    assert first is not None
    id_ = first.info.id
    clock.advance(SETTINGS.signing_key_life_s - 1)
    await world.control.tick(clock.now)
    assert world.control.keys._active("acme") is first
    clock.advance(1)
    await world.control.tick(clock.now)
    second = world.control.keys._active("acme")
    assert second is not None
    assert second.info.id != id_
    assert states(world) == ["active", "pending", "retired"]


async def test_private_parts_are_sealed_and_never_printed(world: World, store: Store) -> None:
    await world.control.keys.sign("acme", {})
    rows = await store.read(lambda connection: connection.execute(select(signing_key)).all())
    held = world.control.keys._active("acme")
    assert held is not None
    assert held.private is not None
    secret = held.private.as_dict(private=True)["d"]
    assert isinstance(secret, str)
    for row in rows:
        assert secret.encode() not in row.private
        assert "d" not in row.public
    assert secret not in repr(held)
    assert secret not in repr((await world.control.keys.list(OPERATOR, "acme")).items)
    events = await world.control.audit.events(OPERATOR, "acme")
    assert secret not in repr(events)


async def test_another_control_key_is_noticed_at_the_start(world: World, store: Store, clock: Clock) -> None:
    await world.control.keys.sign("acme", {})
    store.sealer = Sealer(b"x" * 32)
    again = Control(SETTINGS, store, clock)
    with pytest.raises(ConfigError, match=r"control\.key"):
        await again.keys.load()
    again._hasher.close()


async def test_a_second_gateway_signs_and_verifies_with_the_same_keys(
    world: World, store: Store, clock: Clock
) -> None:
    text = await world.control.keys.sign("acme", {})
    other = World(Control(SETTINGS, store, clock))
    await other.load()
    kid = jws.extract_compact(text.encode()).headers()["kid"]
    assert other.control.keys.find(kid, clock.now) is not None
    active = await world.control.keys.rotate(OPERATOR, "acme")
    await other.control.keys._following.settled()
    assert (await other.control.keys.get(OPERATOR, active.id)).state == "active"
    await other.close()


async def test_only_administrators_of_the_tenant_rotate(world: World) -> None:
    keys = world.control.keys
    await keys.sign("acme", {})
    with pytest.raises(Refused) as foreign:
        await keys.rotate(admin_of("globex"), "acme")
    with pytest.raises(Refused) as missing:
        await keys.rotate(admin_of("globex"), "nowhere")
    assert foreign.value.code is missing.value.code is Code.NOT_FOUND
    id_ = keys._tenants["acme"][0].info.id
    with pytest.raises(Refused) as foreign:
        await keys.get(admin_of("globex"), id_)
    assert foreign.value.code is Code.NOT_FOUND
    with pytest.raises(Refused):
        await keys.list(admin_of("globex"), "acme")
    page = await keys.list(admin_of("acme"), "acme", limit=1)
    rest = await keys.list(admin_of("acme"), "acme", after=page.next)
    assert len(page.items) == len(rest.items) == 1
    assert rest.next == ""
