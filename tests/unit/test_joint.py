"""agpd/joint.py: what the control plane keeps takes effect in the hub, at the start and after each change."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agpd.app import Gateway, memory_gateway
from agpd.config import Control as Settings
from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Client, Grant, Quotas, Route, Tenant
from agpd.control.service import Control
from agpd.control.tokens import Credentials
from agpd.errors import Code, Refused
from agpd.gateway.principal import PLAINTEXT
from agpd.gateway.quotas import UNLIMITED
from agpd.joint import Joint
from agpd.names import Pattern, parse, parse_pattern

OPERATOR = Caller(OPERATOR_TENANT, Pattern(()), Role.OPERATOR, "test")
WRITER, CLERK = parse("acme/dev/writer/1"), parse("acme/dev/clerk/1")


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    control = await Control.open(Settings(state_directory=str(tmp_path), require_token=True))
    await control.tenants.put(OPERATOR, Tenant(name="acme", quotas=Quotas(agents=1)))
    yield control
    await control.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with memory_gateway() as gateway:
        yield gateway


@pytest.fixture
async def joint(control: Control, gateway: Gateway) -> AsyncIterator[Joint]:
    joint = Joint(control, gateway.hub, time.time)
    await joint.open()
    yield joint
    await joint.close()


async def test_tokens(control: Control, gateway: Gateway, joint: Joint) -> None:
    await control.clients.put(OPERATOR, Client(id="acme.a", tenant="acme", agent="acme/dev/*"))
    secret = await control.clients.add_secret(OPERATOR, "acme.a")
    shown = Credentials(client_id="acme.a", secret=secret.secret)
    issued = await control.tokens.issue("acme", {"grant_type": "client_credentials"}, shown)
    principal = gateway.hub.tokens.authenticate(str(issued.access_token), PLAINTEXT)
    assert principal.speaks_as == parse_pattern("acme/dev/*")
    assert gateway.hub.tokens.verdict(principal) is None
    await control.clients.revoke_secret(OPERATOR, "acme.a", secret.id)
    assert gateway.hub.tokens.verdict(principal) is Code.TOKEN_REVOKED
    with pytest.raises(Refused):
        gateway.hub.tokens.authenticate(str(issued.access_token), PLAINTEXT)
    assert gateway.hub.admission.require_token


async def test_policy(control: Control, gateway: Gateway, joint: Joint) -> None:
    assert gateway.hub.admission.allows("publish", WRITER, CLERK)
    denied = Grant(tenant="acme", subject="acme/*", verb="publish", object="acme/*", effect="deny")
    await control.grants.put(OPERATOR, denied)
    await control.policies.settled()
    assert not gateway.hub.admission.allows("publish", WRITER, CLERK)


async def test_quotas_and_routes(control: Control, gateway: Gateway, joint: Joint) -> None:
    hub = gateway.hub
    with pytest.raises(Refused):
        hub.quotas.check_agents("acme", 1)
    every = Quotas(agents=2, connections=3, subscriptions=4, messages_per_second=5, bytes_per_second=6)
    await control.tenants.put(OPERATOR, Tenant(name="acme", quotas=every))
    route = Route(tenant="acme", pattern="acme/dev/*", via="acme/ops/desk")
    await control.routes.put(OPERATOR, route)
    await joint.settled()
    allowance = hub.quotas.of("acme")
    assert allowance == (3, 2, 4, 5, 6)
    assert hub.router.standing("acme") == {("acme", "dev"): parse("acme/ops/desk")}
    await control.routes.delete(OPERATOR, (await control.routes.list(OPERATOR, "acme")).items[0].id)
    await control.tenants.delete(OPERATOR, "acme")
    await joint.settled()
    assert hub.quotas.of("acme") == UNLIMITED
    assert hub.router.standing("acme") == {}


async def test_a_change_that_comes_while_the_database_is_away_is_taken_later(
    control: Control, gateway: Gateway, joint: Joint, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = control.store.read

    async def away(work: Any) -> Any:
        monkeypatch.setattr(control.store, "read", read)
        raise Refused(Code.UNAVAILABLE)

    monkeypatch.setattr("agpd.control.following.RETRY_S", 0.0)
    await control.tenants.put(OPERATOR, Tenant(name="acme", quotas=Quotas(agents=7)))
    monkeypatch.setattr(control.store, "read", away)
    await joint.settled()
    assert gateway.hub.quotas.of("acme").agents == 7
