"""Every operation of REST for every role: who gets what. An operation without a row fails.

Whoever shows no credentials, or some that are not accepted any more, gets 401 everywhere, so the table has only those
who are let in.
"""

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2
import pytest
from scenarios.control_world import OPERATOR, ControlWorld, control_world

from agpd.api.openapi import document
from agpd.control.caller import OPERATOR_TENANT
from agpd.control.resources import Agent, AgentType, Client, Grant, Issuer, Namespace, Route

OUTSIDE = ("anonymous", "suspended", "revoked", "disabled", "stolen", "no token")
INSIDE = ("foreign", "agent", "other", "admin", "operator")
"""An administrator of another tenant, an agent, an agent of another type, an administrator, an operator."""

TENANT = {"tenant": "acme"}
SPACE = TENANT | {"namespace": "prod"}
TYPE = SPACE | {"type": "writer"}
AGENT = {"organization": "acme", "namespace": "prod", "type": "writer", "identity": "eu-1"}
INSTANCE = AGENT | {"instance": "1"}
ISSUER = {
    "tenant": "acme",
    "issuer": "https://idp.example/acme",
    "jwks_uri": "https://idp.example/acme/certs",
    "audience": "https://gateway.example/t/acme",
    "subject": "acme/prod/{azp}",
}
GRANT = {"tenant": "acme", "subject": "globex/*", "verb": "publish", "object": "acme/prod/writer"}
ROUTE = {"tenant": "acme", "pattern": "acme/prod/*", "via": "acme/prod/writer"}
WRITER = {"type": "acme/prod/writer", "identity": "eu-1"}


class Row(NamedTuple):
    """What the roles of `INSIDE` get, in their order; with which path, query and body."""

    verdicts: tuple[int, int, int, int, int]
    path: Mapping[str, str] = MappingProxyType({})
    body: Any = None
    query: str = ""


ROWS: dict[str, Row] = {}
ROWS = {
    "listTenants": Row((200, 200, 200, 200, 200)),
    "createTenant": Row((404, 404, 404, 404, 201), {}, {"name": "new{n}"}),
    "getTenant": Row((404, 200, 200, 200, 200), TENANT),
    "putTenant": Row((404, 403, 403, 200, 200), TENANT, {"name": "acme", "title": "{n}"}),
    "deleteTenant": Row((404, 403, 403, 403, 409), TENANT),
    "listNamespaces": Row((404, 200, 200, 200, 200), TENANT),
    "createNamespace": Row((404, 403, 403, 201, 201), TENANT, {"name": "acme/new{n}"}),
    "getNamespace": Row((404, 200, 200, 200, 200), SPACE),
    "putNamespace": Row((404, 403, 403, 200, 200), SPACE, {"name": "acme/prod", "title": "{n}"}),
    "deleteNamespace": Row((404, 403, 403, 409, 409), SPACE),
    "listAgentTypes": Row((404, 200, 200, 200, 200), SPACE),
    "createAgentType": Row((404, 403, 403, 201, 201), SPACE, {"name": "acme/prod/new{n}"}),
    "getAgentType": Row((404, 200, 200, 200, 200), TYPE),
    "putAgentType": Row((404, 403, 403, 200, 200), TYPE, {"name": "acme/prod/writer"}),
    "deleteAgentType": Row((404, 403, 403, 409, 409), TYPE),
    "listClients": Row((404, 403, 403, 200, 200), TENANT),
    "createClient": Row(
        (404, 403, 403, 201, 201), TENANT, {"id": "acme.new{n}", "tenant": "acme", "agent": "acme/prod/*"}
    ),
    "getClient": Row((404, 403, 403, 200, 200), TENANT | {"client": "acme.bot"}),
    "putClient": Row(
        (404, 403, 403, 200, 200),
        TENANT | {"client": "acme.bot"},
        {"id": "acme.bot", "tenant": "acme", "agent": "acme/prod/*"},
    ),
    "deleteClient": Row((404, 403, 403, 204, 204), TENANT | {"client": "acme.bot"}),
    "listSecrets": Row((404, 403, 403, 200, 200), TENANT | {"client": "acme.bot"}),
    "addSecret": Row((404, 403, 403, 201, 201), TENANT | {"client": "acme.bot"}),
    "revokeSecret": Row((404, 403, 403, 204, 204), TENANT | {"client": "acme.bot", "secret": "{secret}"}),
    "listKeys": Row((404, 200, 200, 200, 200), TENANT),
    "rotateKeys": Row((404, 403, 403, 200, 200), TENANT),
    "listGrants": Row((404, 200, 200, 200, 200), TENANT),
    "createGrant": Row((404, 403, 403, 201, 201), TENANT, GRANT),
    "getGrant": Row((404, 200, 200, 200, 200), TENANT | {"grant": "acme.g"}),
    "putGrant": Row((404, 403, 403, 200, 200), TENANT | {"grant": "acme.g"}, GRANT),
    "deleteGrant": Row((404, 403, 403, 204, 204), TENANT | {"grant": "acme.g"}),
    "listRoutes": Row((404, 200, 200, 200, 200), TENANT),
    "createRoute": Row((404, 403, 403, 201, 201), TENANT, ROUTE | {"pattern": "acme/new{n}/*"}),
    "getRoute": Row((404, 200, 200, 200, 200), TENANT | {"route": "acme.r"}),
    "putRoute": Row((404, 403, 403, 200, 200), TENANT | {"route": "acme.r"}, ROUTE),
    "deleteRoute": Row((404, 403, 403, 204, 204), TENANT | {"route": "acme.r"}),
    "listIssuers": Row((404, 200, 200, 200, 200), TENANT),
    "createIssuer": Row((404, 403, 403, 201, 201), TENANT, ISSUER | {"issuer": "https://idp.example/{n}"}),
    "getIssuer": Row((404, 200, 200, 200, 200), TENANT | {"issuer": "acme.idp"}),
    "putIssuer": Row((404, 403, 403, 200, 200), TENANT | {"issuer": "acme.idp"}, ISSUER),
    "deleteIssuer": Row((404, 403, 403, 204, 204), TENANT | {"issuer": "acme.idp"}),
    "findAgents": Row((200, 200, 200, 200, 200), query="organization=acme"),
    "registerAgent": Row((404, 201, 403, 201, 201), {}, WRITER | {"identity": "new{n}"}),
    "watchAgents": Row((200, 200, 200, 200, 200)),
    "getAgent": Row((404, 200, 200, 200, 200), AGENT),
    "putAgent": Row((404, 200, 403, 200, 200), AGENT, WRITER),
    "deregisterAgent": Row((404, 204, 403, 204, 204), AGENT),
    "startInstance": Row((404, 200, 403, 200, 200), INSTANCE),
    "stopInstance": Row((404, 204, 403, 204, 204), INSTANCE),
    "can": Row(
        (403, 200, 200, 200, 200),
        {},
        {"subject": "acme/prod/writer/1", "verb": "publish", "object": "acme/prod/reader"},
    ),
    "listAudit": Row((404, 403, 403, 200, 200), query="tenant=acme"),
    "verifyAudit": Row((403, 403, 403, 403, 200)),
    "export": Row((404, 403, 403, 200, 200), query="tenant=acme"),
    "import": Row((404, 403, 403, 200, 200), {}, {"namespaces": [{"name": "acme/prod"}]}),
    "whoami": Row((200, 200, 200, 200, 200)),
}


def operations() -> dict[str, tuple[str, str]]:
    """Operation -> method and path, as the OpenAPI document has them."""
    return {
        said["operationId"]: (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method, said in methods.items()
    }


async def restore(world: ControlWorld) -> None:
    """Everything that a row may ask for, as it was."""
    control = world.control
    await control.namespaces.put(OPERATOR, Namespace(name="acme/prod"))
    await control.types.put(OPERATOR, AgentType(name="acme/prod/writer"))
    await control.clients.put(OPERATOR, Client(id="acme.bot", tenant="acme", agent="acme/prod/*"))
    await control.grants.put(OPERATOR, Grant(id="acme.g", **GRANT))
    await control.routes.put(OPERATOR, Route(id="acme.r", **ROUTE))
    await control.issuers.put(OPERATOR, Issuer(id="acme.idp", **ISSUER))
    await control.registry.register(OPERATOR, Agent(**WRITER))
    await control.registry.start(OPERATOR, "acme/prod/writer", "eu-1", "acme/prod/writer/1")


async def fresh_secret(world: ControlWorld) -> str:
    """The id of the only secret of the client."""
    clients = world.control.clients
    for secret in (await clients.get(OPERATOR, "acme.bot")).secrets:
        await clients.revoke_secret(OPERATOR, "acme.bot", secret.id)
    return str((await clients.add_secret(OPERATOR, "acme.bot")).id)


class Roles:
    """A client of REST for each role."""

    def __init__(self, world: ControlWorld) -> None:
        self.world = world
        self.clients: dict[str, httpx2.AsyncClient] = {}

    async def open(self) -> None:
        world, admin = self.world, {"admin": True}
        for tenant in ("acme", "globex", "shut", OPERATOR_TENANT):
            await world.tenant(tenant)
        await restore(world)
        for role, tenant, agent, scope, more in (
            ("foreign", "globex", "globex/*", "agp:admin", admin),
            ("agent", "acme", "acme/prod/writer", "", {}),
            ("other", "acme", "acme/prod/reader", "", {}),
            ("admin", "acme", "acme/*", "agp:admin", admin),
            ("operator", OPERATOR_TENANT, f"{OPERATOR_TENANT}/*", "agp:admin", admin),
            ("suspended", "shut", "shut/*", "agp:admin", admin),
            ("revoked", "acme", "acme/*", "agp:admin", admin),
            ("disabled", "acme", "acme/*", "agp:admin", admin),
        ):
            shown = await world.client(f"{tenant}.{role}", tenant, agent, **more)
            self.clients[role] = world.http(token=await world.token(tenant, shown, scope))
        await self._spoil()

    async def _spoil(self) -> None:
        world = self.world
        for role in ("suspended", "revoked", "disabled"):  # control: they were good
            assert (await self.clients[role].get("/v1/whoami")).status_code == 200
        await world.tenant("shut", suspended=True)
        (secret,) = (await world.control.clients.get(OPERATOR, "acme.revoked")).secrets
        await world.control.clients.revoke_secret(OPERATOR, "acme.revoked", secret.id)
        await world.control.clients.put(
            OPERATOR, Client(id="acme.disabled", tenant="acme", agent="acme/*", admin=True, disabled=True)
        )
        mine, thiefs = world.issue("acme/prod/*"), world.issue("acme/prod/*")
        shown = await world.client("acme.victim", "acme", "acme/prod/*")
        bound = await world.bound_token("acme", shown, mine)
        async with world.http(mine, bound) as victim:
            assert (await victim.get("/v1/whoami")).status_code == 200
        self.clients["stolen"] = world.http(thiefs, bound)
        self.clients["no token"] = world.http(token="nonsense")
        self.clients["anonymous"] = world.http()

    async def close(self) -> None:
        for client in self.clients.values():
            await client.aclose()


@pytest.fixture
async def roles(tmp_path: Path) -> AsyncIterator[Roles]:
    async with control_world(
        tmp_path, unauthenticated_per_second=100_000, public_url="https://gateway.example"
    ) as world:
        roles = Roles(world)
        await roles.open()
        yield roles
        await roles.close()


def filled(value: Any, n: str) -> Any:
    """With a number in place of `{n}`."""
    if isinstance(value, dict):
        return {key: filled(one, n) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, n) for one in value]
    return value.replace("{n}", n) if isinstance(value, str) else value


async def verdict(roles: Roles, role: str, operation: str, row: Row) -> int:
    """The status that the role gets."""
    secret = "none"
    if role in INSIDE:
        await restore(roles.world)
        secret = await fresh_secret(roles.world) if row.path.get("client") else "none"
    method, path = operations()[operation]
    url = path.format_map({name: text.replace("{secret}", secret) for name, text in row.path.items()})
    n = f"{role}{time.monotonic_ns()}"
    more = {"json": filled(row.body, n)} if row.body is not None else {}
    async with roles.clients[role].stream(method, f"{url}?{row.query}", **more) as response:
        return int(response.status_code)


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert ROWS.keys() == operations().keys()


async def test_every_role_gets_what_the_table_says(roles: Roles) -> None:
    found = {
        operation: tuple([await verdict(roles, role, operation, row) for role in INSIDE])
        for operation, row in ROWS.items()
    }
    wrong = {name: (found[name], row.verdicts) for name, row in ROWS.items() if found[name] != row.verdicts}
    assert wrong == {}


async def test_nobody_outside_gets_anything(roles: Roles) -> None:
    found = {
        (operation, role): await verdict(roles, role, operation, row)
        for operation, row in ROWS.items()
        for role in OUTSIDE
    }
    assert {key: status for key, status in found.items() if status != 401} == {}
