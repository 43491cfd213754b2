"""What a control plane begins with: one operator, and for development a tenant to work in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agpd.config import Control as Settings
from agpd.control import seed
from agpd.control.caller import Caller
from agpd.control.client_auth import Credentials
from agpd.control.resources import Client, Tenant
from agpd.control.service import Control
from agpd.errors import Code, ConfigError, Refused


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    found = await Control.open(Settings(state_directory=str(tmp_path / "state")))
    yield found
    await found.close()


async def accepts(control: Control, tenant: str, client: str, secret: str) -> bool:
    form = {"grant_type": "client_credentials"}
    try:
        await control.tokens.issue(tenant, form, Credentials(client, secret))
    except Refused:
        return False
    return True


async def test_the_first_operator(control: Control, operator: Caller) -> None:
    secret = await seed.first_operator(control, "agpd.operator", reset=False)
    made = await control.clients.get(operator, "agpd.operator")
    assert (made.tenant, made.agent, made.admin, len(made.secrets)) == ("agpd", "agpd/*", True, 1)
    assert await accepts(control, "agpd", "agpd.operator", secret.secret)
    with pytest.raises(
        ConfigError, match=r"an operator already, agpd.operator: .*--reset --client agpd.operator"
    ):
        await seed.first_operator(control, "agpd.second", reset=False)


async def test_a_reset_revokes_the_old_secrets(control: Control, operator: Caller) -> None:
    old = await seed.first_operator(control, "agpd.operator", reset=False)
    client = await control.clients.get(operator, "agpd.operator")
    client.disabled = True
    await control.clients.put(operator, client)
    new = await seed.first_operator(control, "agpd.operator", reset=True)
    assert await accepts(control, "agpd", "agpd.operator", new.secret)
    assert not await accepts(control, "agpd", "agpd.operator", old.secret)


async def test_an_id_of_another_tenant_is_left_alone(control: Control, operator: Caller) -> None:
    await control.tenants.put(operator, Tenant(name="acme"))
    await control.clients.put(operator, Client(id="acme.taken", tenant="acme", agent="acme/*"))
    with pytest.raises(Refused, match=r"client acme\.taken of acme: choose another id") as caught:
        await seed.first_operator(control, "acme.taken", reset=True)
    assert caught.value.code is Code.ALREADY_EXISTS


async def test_development_is_made_once(control: Control, operator: Caller) -> None:
    made = await seed.development(control, lambda _: False)
    assert list(made) == ["agpd.dev", "acme.admin"]
    assert await accepts(control, "acme", "acme.admin", made["acme.admin"])
    assert await accepts(control, "agpd", "agpd.dev", made["agpd.dev"])
    assert [one.name for one in (await control.namespaces.list(operator, "acme")).items] == ["acme/demo"]
    before = (await control.audit.events(operator)).items[-1].sequence
    assert await seed.development(control, lambda _: True) == {}
    assert (await control.audit.events(operator)).items[-1].sequence == before


async def test_a_lost_secret_is_replaced(control: Control) -> None:
    first = await seed.development(control, lambda _: False)
    second = await seed.development(control, lambda client: client == "agpd.dev")
    assert list(second) == ["acme.admin"]
    assert not await accepts(control, "acme", "acme.admin", first["acme.admin"])
    assert await accepts(control, "acme", "acme.admin", second["acme.admin"])
