"""Access by a client's secret: as wide as a token's; it holds as long as the secret does, not for minutes."""

from collections.abc import AsyncIterator, Awaitable

import msgspec
import pytest
from conftest import Clock
from oauth_world import OPERATOR, SETTINGS, World, admin_of

from agpd.control.resources import Tenant
from agpd.control.service import Control
from agpd.control.standing import Standing
from agpd.control.store import Store
from agpd.control.tokens import Credentials
from agpd.errors import Code, Refused
from agpd.names import parse, parse_pattern

DAYS_S = 30 * 86_400.0


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    world = await World.open(store, clock)
    yield world
    await world.close()


async def entered(world: World, shown: Credentials) -> Standing:
    return await world.tokens.enter(shown.client_id, shown.secret)


async def refused(answer: Awaitable[object]) -> Code:
    with pytest.raises(Refused) as caught:
        await answer
    return caught.value.code


async def test_it_permits_what_a_token_would(world: World, clock: Clock) -> None:
    access = await entered(
        world, await world.login(scopes=["agp:publish:acme/prod/*", "agp:register:acme/*"])
    )
    assert (access.organization, access.pattern) == ("acme", parse_pattern("acme/prod/*"))
    assert (access.issued, access.expires) == (clock.now, float("inf"))
    assert access.scopes.permits("publish", parse("acme/prod/writer"))
    assert not access.scopes.permits("publish", parse("acme/test/writer"))
    assert not access.scopes.permits("subscribe", parse("acme/prod/writer"))


async def test_who_it_is_not(world: World) -> None:
    shown, other = await world.login(), await world.login("acme.other")
    for client, secret in (
        ("acme.bot", other.secret),
        ("acme.bot", "nonsense"),
        ("acme.nobody", shown.secret),
        ("globex.bot", shown.secret),
        ("", shown.secret),
    ):
        assert await refused(world.tokens.enter(client, secret)) is Code.INVALID_TOKEN
    await world.client(disabled=True)
    assert await refused(entered(world, shown)) is Code.INVALID_TOKEN
    await world.control.tenants.put(OPERATOR, Tenant(name="acme", suspended=True))
    assert await refused(entered(world, other)) is Code.INVALID_TOKEN


async def test_it_holds_for_weeks(world: World, clock: Clock) -> None:
    access = await entered(world, await world.login())
    for _ in range(30):
        clock.advance(86_400.0)
        await world.control.tick(clock.now)
    assert not world.tokens.is_revoked(access)


async def test_it_ends_with_its_secret_and_with_no_other(world: World) -> None:
    one, two = await world.login(), await world.secret()
    first, second = await entered(world, one), await entered(world, two)
    await world.control.clients.revoke_secret(
        admin_of("acme"), "acme.bot", first.credential.removeprefix("secret:")
    )
    assert (world.tokens.is_revoked(first), world.tokens.is_revoked(second)) == (True, False)


async def test_the_end_of_a_secret_is_its_own(world: World, clock: Clock) -> None:
    await world.client()
    until = clock.now + 1000.0
    secret = await world.control.clients.add_secret(OPERATOR, "acme.bot", expires=until)
    assert (await world.tokens.enter("acme.bot", secret.secret)).expires == until


@pytest.mark.parametrize(
    "fields", [{"disabled": True}, {"agent": "acme/prod/writer"}, {"scopes": ["agp:publish:*"]}]
)
async def test_it_ends_when_the_client_may_do_less(world: World, fields: dict[str, object]) -> None:
    access = await entered(world, await world.login())
    other = await entered(world, await world.login("acme.other"))
    await world.client(**fields)  # type: ignore[arg-type]
    assert (world.tokens.is_revoked(access), world.tokens.is_revoked(other)) == (True, False)


async def test_it_ends_when_the_client_is_deleted(world: World) -> None:
    access = await entered(world, await world.login())
    await world.control.clients.delete(OPERATOR, "acme.bot")
    assert world.tokens.is_revoked(access)


async def test_it_stays_ended_when_the_revocation_is_forgotten(world: World, clock: Clock) -> None:
    access = await entered(world, await world.login())
    clock.advance(1.0)
    await world.client(agent="acme/prod/writer")
    clock.advance(DAYS_S)
    await world.control.tick(clock.now)
    assert world.tokens.is_revoked(access)


async def test_what_is_revoked_before_ends_nothing_that_comes_after(world: World, clock: Clock) -> None:
    shown = await world.login()
    await world.client(disabled=True)
    clock.advance(1.0)
    await world.client()
    clock.advance(1.0)
    assert not world.tokens.is_revoked(await entered(world, shown))


async def test_what_is_heard_late_ends_only_what_was_there_then(
    world: World, store: Store, clock: Clock
) -> None:
    """As another gateway hears of a revocation: a second after its commit."""
    heard = []
    store.listen(heard.extend)
    shown = await world.login()
    before = await entered(world, shown)
    clock.advance(1.0)
    await world.client(disabled=True)
    clock.advance(1.0)
    await world.client()
    clock.advance(1.0)
    after = await entered(world, shown)
    for access in (before, after):
        access.ended = False
    late = [event for event in heard if event.detail.get("revokes") and event.action == "client.update"]
    detail = {"revokes": [["client", "acme.bot", clock.now - 2.0, clock.now + 1000.0]]}
    world.tokens._issuing._standings._hear([msgspec.structs.replace(late[0], detail=detail)])
    assert (world.tokens.is_revoked(before), world.tokens.is_revoked(after)) == (True, False)


async def test_it_ends_at_other_gateways_too(world: World, store: Store, clock: Clock) -> None:
    other = World(Control(SETTINGS, store, clock))
    await other.load()
    shown = await world.login()
    access = await entered(other, shown)
    await world.client(disabled=True)
    assert other.tokens.is_revoked(access)
    await other.close()


async def test_it_is_noted_in_the_audit_log(world: World) -> None:
    access = await entered(world, await world.login())
    page = await world.control.audit.events(OPERATOR, "acme", 0, 100)
    (event,) = (one for one in page.items if one.action == "connection.begin")
    assert (event.actor, event.object, event.detail) == (
        "acme.bot",
        "acme.bot",
        {"credential": access.credential},
    )


async def test_what_nobody_holds_is_forgotten(world: World) -> None:
    kept, gone, last = [await world.login(f"acme.{name}") for name in ("kept", "gone", "last")]
    access = await entered(world, kept)
    await entered(world, gone)
    standings = world.tokens._issuing._standings
    standings._prune_at = len(standings._of)
    await entered(world, last)
    assert set(standings._of) == {"acme.kept", "acme.last"}
    await world.client("acme.kept", disabled=True)
    assert world.tokens.is_revoked(access)
