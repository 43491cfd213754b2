"""Who makes a call: certificates, tokens and secrets of a real control plane, on both kinds of listener."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scenarios.control_world import OPERATOR, ControlWorld, control_world

from agpd.app import memory_gateway
from agpd.control.tokens import Credentials
from agpd.errors import AgpdError, Code
from agpd.gateway.principal import PLAINTEXT, Principal
from agpd.names import parse_pattern
from agpd.transport.callers import PENDING_LIMIT, Callers
from agpd.transport.pki import Pair

ADDRESS = "192.0.2.1"
PER_SECOND = 20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Metadata:
    given: list[str]

    def all(self, key: str) -> list[str]:
        assert key == "authorization"
        return self.given


@dataclass
class Call:
    """What a call says of itself."""

    metadata: Metadata = field(default_factory=lambda: Metadata([]))
    certificate: bytes | None = None
    address: str = ADDRESS


def call(*headers: str, pair: Pair | None = None, address: str = ADDRESS) -> Call:
    der = None if pair is None else ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
    return Call(Metadata(list(headers)), der, address)


def basic(shown: Credentials) -> str:
    return f"Basic {base64.b64encode(f'{shown.client_id}:{shown.secret}'.encode()).decode()}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlWorld]:
    async with control_world(tmp_path) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        yield world


@pytest.fixture
def callers(world: ControlWorld) -> Callers:
    return Callers(world.gateway.hub, world.gateway._identify, PER_SECOND, Clock())


async def code(callers: Callers, asking: Call) -> Code:
    with pytest.raises(AgpdError) as caught:
        await callers.authenticate(asking)
    return caught.value.code


def verdict(world: ControlWorld, principal: Principal) -> Code | None:
    """What the periodic check of links says of it."""
    return world.gateway.hub.tokens.verdict(principal)


async def test_a_certificate_alone(world: ControlWorld, callers: Callers) -> None:
    pair = world.issue("acme/prod/*")
    principal = await callers.authenticate(call(pair=pair))
    assert (str(principal.speaks_as), principal.access) == ("acme/prod/*", None)
    assert principal.key_fingerprint
    assert principal.thumbprint


async def test_a_token_alone_is_who_it_was_issued_for(world: ControlWorld, callers: Callers) -> None:
    shown = await world.client("acme.bot", "acme", "acme/dev/*")
    token = await world.token("acme", shown, "agp:register:acme/dev/* agp:publish:acme/dev/*")
    principal = await callers.authenticate(call(f"Bearer {token}"))
    assert principal.pattern == principal.speaks_as == parse_pattern("acme/dev/*")
    assert principal.access is not None
    assert principal.access.scopes.permits_pattern("publish", parse_pattern("acme/dev/*"))
    assert not principal.access.scopes.permits_pattern("observe", parse_pattern("acme/dev/*"))
    assert (principal.key_fingerprint, principal.thumbprint) == (b"", "")
    assert verdict(world, principal) is None
    await world.control.tokens.revoke("acme", token, shown)
    assert verdict(world, principal) is Code.TOKEN_REVOKED
    assert await code(callers, call(f"Bearer {token}")) is Code.INVALID_TOKEN


async def test_a_token_narrows_the_certificate_beside_it(world: ControlWorld, callers: Callers) -> None:
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/dev/*"))
    pair = world.issue("acme/*")
    principal = await callers.authenticate(call(f"Bearer {token}", pair=pair))
    assert (str(principal.pattern), str(principal.speaks_as)) == ("acme/*", "acme/dev/*")
    assert principal.key_fingerprint
    assert await code(callers, call(f"Bearer {token}", pair=world.issue("globex/*"))) is Code.INVALID_TOKEN


async def test_a_bound_token_needs_its_certificate(world: ControlWorld, callers: Callers) -> None:
    own, other = world.issue("acme/*"), world.issue("acme/*")
    token = await world.bound_token("acme", await world.client("acme.bot", "acme", "acme/*"), own)
    assert (await callers.authenticate(call(f"Bearer {token}", pair=own))).access is not None
    assert await code(callers, call(f"Bearer {token}", pair=other)) is Code.INVALID_TOKEN
    assert await code(callers, call(f"Bearer {token}")) is Code.INVALID_TOKEN


async def test_a_secret_is_access_for_as_long_as_it_is_good(world: ControlWorld, callers: Callers) -> None:
    shown = await world.client("acme.bot", "acme", "acme/dev/*")
    other = await world.client("acme.other", "acme", "acme/dev/*")
    principal = await callers.authenticate(call(basic(shown)))
    neighbour = await callers.authenticate(call(basic(other)))
    assert (principal.label, str(principal.speaks_as)) == ("client acme.bot", "acme/dev/*")
    assert world.gateway.hub.tokens.seconds_left(principal) == 0
    assert verdict(world, principal) is None
    (secret,) = (await world.control.clients.get(OPERATOR, "acme.bot")).secrets
    await world.control.clients.revoke_secret(OPERATOR, "acme.bot", secret.id)
    assert verdict(world, principal) is Code.TOKEN_REVOKED
    assert verdict(world, neighbour) is None
    assert await code(callers, call(basic(shown))) is Code.INVALID_TOKEN


async def test_a_secret_narrows_the_certificate_beside_it(world: ControlWorld, callers: Callers) -> None:
    shown = await world.client("acme.bot", "acme", "acme/dev/*")
    principal = await callers.authenticate(call(basic(shown), pair=world.issue("acme/*")))
    assert (str(principal.pattern), str(principal.speaks_as)) == ("acme/*", "acme/dev/*")
    assert await code(callers, call(basic(shown), pair=world.issue("globex/*"))) is Code.INVALID_TOKEN


async def test_whoever_shows_nothing_is_told_what_to_show(world: ControlWorld, callers: Callers) -> None:
    with pytest.raises(AgpdError, match=r"client certificate, or .* `Bearer") as caught:
        await callers.authenticate(call())
    assert caught.value.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "headers",
    [
        ["Bearer"],
        ["Bearer nonsense"],
        ["Basic nonsense"],
        ["Basic YWNtZS5ib3Q6YQ=="],
        ["Digest abc"],
        [""],
        ["Bearer " + "x" * 5000],
        ["Bearer x", "Bearer x"],
    ],
)
async def test_what_is_no_credential(callers: Callers, headers: list[str]) -> None:
    assert await code(callers, call(*headers)) is Code.INVALID_TOKEN


async def test_two_good_tokens_are_one_too_many(world: ControlWorld, callers: Callers) -> None:
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/*"))
    await callers.authenticate(call(f"Bearer {token}"))  # control
    assert await code(callers, call(f"Bearer {token}", f"Bearer {token}")) is Code.INVALID_TOKEN


async def test_a_certificate_that_is_no_longer_good(world: ControlWorld, callers: Callers) -> None:
    assert world.authority is not None
    pair = world.issue("acme/*")
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/*"))
    await callers.authenticate(call(pair=pair))  # control
    world.authority.revoke(pair.serial, world.gateway._wall_clock())
    world.gateway.reload()
    assert await code(callers, call(pair=pair)) is Code.CERTIFICATE_REVOKED
    assert await code(callers, call(f"Bearer {token}", pair=pair)) is Code.CERTIFICATE_REVOKED
    asking = call()
    asking.certificate = b"no certificate"
    assert await code(callers, asking) is Code.UNAUTHENTICATED


async def test_a_suspended_tenant(world: ControlWorld, callers: Callers) -> None:
    pair = world.issue("acme/*")
    await world.tenant("acme", suspended=True)
    await world.control.policies.settled()
    assert await code(callers, call(pair=pair)) is Code.TENANT_SUSPENDED
    await callers.authenticate(call(pair=world.issue("globex/*")))


async def test_an_address_that_fails_too_often_has_to_wait_and_no_other(
    world: ControlWorld,
) -> None:
    clock = Clock()
    callers = Callers(world.gateway.hub, world.gateway._identify, PER_SECOND, clock)
    good = call(pair=world.issue("acme/*"))
    codes = [await code(callers, call("Bearer x")) for _ in range(50)]
    assert codes == [Code.INVALID_TOKEN] * 40 + [Code.TOO_MANY_REQUESTS] * 10
    assert await code(callers, good) is Code.TOO_MANY_REQUESTS
    good.address = "192.0.2.2"
    await callers.authenticate(good)
    good.address = ADDRESS
    clock.now += 1.0
    await callers.authenticate(good)


async def test_secrets_that_one_address_has_verified_at_once_are_bounded(
    world: ControlWorld, callers: Callers
) -> None:
    shown = await world.client("acme.bot", "acme", "acme/*")
    tries = [
        asyncio.ensure_future(callers.authenticate(call(basic(shown)))) for _ in range(PENDING_LIMIT + 1)
    ]
    elsewhere = asyncio.ensure_future(callers.authenticate(call(basic(shown), address="192.0.2.2")))
    outcomes: list[Any] = await asyncio.gather(*tries, elsewhere, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, AgpdError)]
    assert [each.code for each in refused] == [Code.TOO_MANY_REQUESTS]
    assert not isinstance(outcomes[-1], AgpdError)
    await callers.authenticate(call(basic(shown)))


async def test_failures_are_logged_without_what_was_shown(
    callers: Callers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agpd.transport.callers")
    await code(callers, call("Bearer very.secret.token"))
    (record,) = (one for one in caplog.records if one.name == "agpd.transport.callers")
    assert record.getMessage() == "authentication failed"
    assert record.fields["code"] is Code.INVALID_TOKEN  # type: ignore[attr-defined]
    assert "secret" not in repr(vars(record))


async def test_plaintext_with_a_control_plane(tmp_path: Path) -> None:
    async with control_world(tmp_path, plaintext=True) as world:
        await world.tenant("acme")
        callers = Callers(world.gateway.hub, None, PER_SECOND, Clock())
        assert await callers.authenticate(call()) is PLAINTEXT
        shown = await world.client("acme.bot", "acme", "acme/dev/*")
        for header in (basic(shown), f"Bearer {await world.token('acme', shown)}"):
            assert str((await callers.authenticate(call(header))).speaks_as) == "acme/dev/*"
        assert await code(callers, call("Bearer x")) is Code.INVALID_TOKEN


async def test_plaintext_without_control_plane_does_not_look_at_credentials() -> None:
    async with memory_gateway() as gateway:
        callers = Callers(gateway.hub, None, PER_SECOND, Clock())
        assert await callers.authenticate(call("Bearer x")) is PLAINTEXT


async def test_tls_without_control_plane_takes_certificates_alone(world: ControlWorld) -> None:
    pair = world.issue("acme/*")
    async with memory_gateway() as gateway:
        callers = Callers(gateway.hub, world.gateway._identify, PER_SECOND, Clock())
        assert str((await callers.authenticate(call(pair=pair))).speaks_as) == "acme/*"
        for asking in (
            call("Bearer x"),
            call("Bearer x", pair=pair),
            call("Basic YTpi"),
            call("Basic YTpi", pair=pair),
        ):
            with pytest.raises(AgpdError, match=r"control\.enabled = true") as caught:
                await callers.authenticate(asking)
            assert caught.value.code is Code.INVALID_TOKEN
