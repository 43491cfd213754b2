"""Tokens, quotas and routes of a real control plane on real connections over TLS."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from control_world import OPERATOR, ControlWorld, control_world
from peer import Ended, Peer, Peers, code_in

from agpd.control.resources import Grant, Quotas, Route
from agpd.errors import Code
from agpd.transport.identity import thumbprint_of
from agpd.wire import frames
from agpd.wire.frames import Kind

LIMIT_S = 5.0  # in which a revocation takes effect


class Wire:
    """Connections with certificates of a world."""

    def __init__(self, world: ControlWorld, peers: Peers) -> None:
        self.world, self.peers = world, peers

    async def connect(self, pair: Any, token: str = "") -> Peer:
        """A connection on which the hello has been said, and not answered yet."""
        peer = await self.peers.connect(self.world.context(pair))
        peer.send(frames.encode(Kind.HELLO, frames.Hello([1], "raw peer", 1, token)))
        return peer

    async def greet(self, pair: Any, token: str = "") -> Peer:
        peer = await self.connect(pair, token)
        await peer.expect(Kind.WELCOME)
        return peer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlWorld]:
    async with control_world(tmp_path) as world:
        for name in ("acme", "globex"):
            await world.tenant(name)
        yield world


@pytest.fixture
async def wire(world: ControlWorld) -> AsyncIterator[Wire]:
    async with Peers(world.gateway.address) as peers:
        yield Wire(world, peers)


async def settled(world: ControlWorld) -> None:
    """Every change so far is in force."""
    assert world.gateway.plane is not None
    await world.gateway.plane.joint.settled()


async def bound_token(world: ControlWorld, pair: Any, tenant: str = "acme", agent: str = "acme/*") -> str:
    """A token that is bound to this certificate, by a client that shows it."""
    der = await asyncio.to_thread(_der, pair)
    id_ = f"{tenant}.{time.monotonic_ns()}"
    shown = await world.client(id_, tenant, agent)
    return await world.token(tenant, replace(shown, thumbprint=thumbprint_of(der)))


def _der(pair: Any) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificates(pair.certificate.read_bytes())[0].public_bytes(Encoding.DER)


async def test_a_token_is_good_on_its_certificate_alone(world: ControlWorld, wire: Wire) -> None:
    own, other, foreign = (world.issue(pattern) for pattern in ("acme/*", "acme/*", "globex/*"))
    token = await bound_token(world, own, agent="acme/dev/*")
    welcomed = await (await wire.connect(own, token)).expect(Kind.WELCOME)
    said = frames.decode(welcomed.body, frames.Welcome)
    assert said.may_speak_as == "acme/dev/*"
    assert 590 < said.token_expires_s <= 600
    for thief in (other, foreign):
        assert await (await wire.connect(thief, token)).ended() is Code.INVALID_TOKEN
    unbound = await world.token("acme", await world.client("acme.loose", "acme", "acme/*"))
    assert await (await wire.connect(foreign, unbound)).ended() is Code.INVALID_TOKEN
    await (await wire.connect(other, unbound)).expect(Kind.WELCOME)


async def test_revoking_a_secret_cuts_its_connections_and_no_other(world: ControlWorld, wire: Wire) -> None:
    pair = world.issue("acme/*")
    shown, others = (
        await world.client("acme.a", "acme", "acme/*"),
        await world.client("acme.b", "acme", "acme/*"),
    )
    victim = await wire.greet(pair, await world.token("acme", shown))
    neighbour = await wire.greet(pair, await world.token("acme", others))
    bare = await wire.greet(pair)
    secret = (await world.control.clients.get(OPERATOR, "acme.a")).secrets[0].id
    began = time.monotonic()
    await world.control.clients.revoke_secret(OPERATOR, "acme.a", secret)
    assert await victim.ended() is Code.TOKEN_REVOKED
    assert time.monotonic() - began < LIMIT_S  # the promise itself, with a factor of four to spare
    await neighbour.ping()
    await bare.ping()


async def test_renewal_in_the_stream(world: ControlWorld, wire: Wire) -> None:
    pair = world.issue("acme/*")
    shown = await world.client("acme.a", "acme", "acme/*")
    peer = await wire.greet(pair, await world.token("acme", shown))
    await peer.join("acme/dev/worker")
    narrow = await world.token("acme", shown, "agp:register:acme/dev/* agp:publish:acme/dev/clerk")
    answer = await peer.ask(Kind.AUTHENTICATE, frames.Token(narrow))
    assert frames.decode(answer.body, frames.Seconds).seconds > 590
    await peer.open("acme/dev/clerk")
    with pytest.raises(AssertionError, match="scopes of the token"):
        await peer.open("acme/dev/chief")
    with pytest.raises(AssertionError, match=str(int(Code.INVALID_TOKEN))):
        await peer.ask(Kind.AUTHENTICATE, frames.Token(narrow[:-2]))
    await peer.ping()


async def test_a_token_where_it_is_required(tmp_path: Path) -> None:
    async with control_world(tmp_path, require_token=True) as world, Peers(world.gateway.address) as peers:
        await world.tenant("acme")
        wire, pair = Wire(world, peers), world.issue("acme/*")
        bare = await wire.greet(pair)
        with pytest.raises(AssertionError, match="access token"):
            await bare.join("acme/dev/worker")
        token = await world.token("acme", await world.client("acme.a", "acme", "acme/*"))
        await (await wire.greet(pair, token)).join("acme/dev/worker")


async def test_quotas_of_a_tenant_hold_at_once(world: ControlWorld, wire: Wire) -> None:
    pair, other = world.issue("acme/*"), world.issue("globex/*")
    await wire.greet(pair)
    await world.tenant("acme", quotas=Quotas(connections=1))
    await settled(world)
    assert await (await wire.connect(pair)).ended() is Code.QUOTA_EXCEEDED
    await wire.greet(other)


async def test_a_standing_route_and_a_denial_hold_at_once(world: ControlWorld, wire: Wire) -> None:
    pair = world.issue("acme/*")
    sender, desk = await wire.greet(pair), await wire.greet(pair)
    await sender.join("acme/dev/worker")
    await desk.join("acme/ops/desk")
    route = Route(tenant="acme", pattern="acme/dev/*", via="acme/ops/desk")
    await world.control.routes.put(OPERATOR, route)
    await settled(world)
    to = await sender.open("acme/dev/nobody")
    sender.publish(to, b"lost and found", receipt=True)
    await sender.expect(Kind.RECEIPT)
    assert (await desk.expect(Kind.PUBLISH)).destination == desk.me
    grant = Grant(tenant="acme", subject="acme/*", verb="publish", object="acme/dev/*", effect="deny")
    await world.control.grants.put(OPERATOR, grant)
    await world.control.policies.settled()
    # Without a token the certificate asks for both; `request` is still allowed, so the handle stays.
    sender.publish(to, b"denied", 2, receipt=True)
    assert code_in(await sender.expect(Kind.REFUSED))[0] is Code.NOT_PERMITTED


async def test_an_expired_token_ends_the_connection(tmp_path: Path) -> None:
    ahead = 0.0
    async with (
        control_world(tmp_path, clock=lambda: time.time() + ahead) as world,
        Peers(world.gateway.address) as peers,
    ):
        await world.tenant("acme")
        wire, pair = Wire(world, peers), world.issue("acme/*")
        shown = await world.client("acme.a", "acme", "acme/*")
        first = await world.token("acme", shown)
        peer, renewed = await wire.greet(pair, first), await wire.greet(pair, first)
        ahead = 500.0
        await renewed.ask(Kind.AUTHENTICATE, frames.Token(await world.token("acme", shown)))
        ahead = 604.0
        assert await peer.ended() is Code.TOKEN_EXPIRED
        assert await (await wire.connect(pair, first)).ended() is Code.INVALID_TOKEN
        await renewed.ping()


async def test_suspending_a_tenant_cuts_its_connections(world: ControlWorld, wire: Wire) -> None:
    pair = world.issue("acme/*")
    shown = await world.client("acme.a", "acme", "acme/*")
    token = await world.token("acme", shown)
    peer, other = await wire.greet(pair, token), await wire.greet(world.issue("globex/*"))
    await world.tenant("acme", suspended=True)
    assert await peer.ended() is Code.TENANT_SUSPENDED
    assert await (await wire.connect(pair)).ended() is Code.TENANT_SUSPENDED
    await other.ping()
    with pytest.raises(Ended):
        await (await wire.connect(pair, token)).expect(Kind.WELCOME)
