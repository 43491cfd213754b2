"""What a new control plane begins with: its first operator, and for development a tenant to work in.

Both act as whoever can run `agpd` on the gateway's machine, which no service asks for a credential.
"""

from collections.abc import Callable
from typing import NamedTuple

from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Client, Namespace, Secret, Tenant
from agpd.control.service import Control
from agpd.errors import Code, ConfigError, Refused
from agpd.names import Pattern

PAGE = 500


class Development(NamedTuple):
    """A client that `agpd dev` makes: an administrator of its tenant."""

    id: str
    tenant: str


DEVELOPMENT = (Development("agpd.dev", OPERATOR_TENANT), Development("acme.admin", "acme"))
NAMESPACE = "acme/demo"


async def first_operator(control: Control, client: str, *, reset: bool) -> Secret:
    """Make the tenant of the operators and a client that administers it; its new secret.

    If there is an operator already, only with `reset`: then `client` gets a new secret, and its others are revoked.
    Raises `ConfigError`, and `Refused` for a client of another tenant.
    """
    me = _local("bootstrap")
    await _ensure_tenant(control, me, Tenant(name=OPERATOR_TENANT, title="Operators"))
    there = [each for each in await _clients(control, me) if each.admin and not each.disabled]
    if there and not reset:
        raise ConfigError(
            f"there is an operator already, {there[0].id}: log in with `agpctl login`, "
            f"or make a new secret with --reset --client {there[0].id}"
        )
    return await _administrator(control, me, Development(client, OPERATOR_TENANT))


async def development(control: Control, has_secret: Callable[[str], bool]) -> dict[str, str]:
    """Make what `agpd dev` offers, as far as it is not there. Returns new secrets by the id of the client.

    `has_secret` says of which client the secret is known; others get a new one.
    """
    me = _local("dev")
    made = {}
    for one in DEVELOPMENT:
        await _ensure_tenant(control, me, Tenant(name=one.tenant))
        there = await _client(control, me, one.id)
        if there is None or not there.secrets or not has_secret(one.id):
            made[one.id] = (await _administrator(control, me, one)).secret
    await _ensure_namespace(control, me)
    return made


def _local(label: str) -> Caller:
    return Caller(OPERATOR_TENANT, Pattern(()), Role.OPERATOR, f"agpd {label}")


async def _administrator(control: Control, me: Caller, one: Development) -> Secret:
    """A client that administers the tenant, with one new secret and no other."""
    there = await _client(control, me, one.id)
    if there is None:
        there = Client(id=one.id, tenant=one.tenant, agent=f"{one.tenant}/*", admin=True)
        await control.clients.put(me, there, create=True)
    elif there.tenant != one.tenant:
        raise Refused(Code.ALREADY_EXISTS, f"client {one.id} of {there.tenant}: choose another id")
    else:
        there.admin, there.disabled = True, False
        await control.clients.put(me, there)
    for secret in there.secrets:
        await control.clients.revoke_secret(me, one.id, secret.id)
    return await control.clients.add_secret(me, one.id)


async def _client(control: Control, me: Caller, id_: str) -> Client | None:
    try:
        return await control.clients.get(me, id_)
    except Refused as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None


async def _clients(control: Control, me: Caller) -> list[Client]:
    found: list[Client] = []
    page = await control.clients.list(me, OPERATOR_TENANT, limit=PAGE)
    found += page.items
    while page.next:
        page = await control.clients.list(me, OPERATOR_TENANT, after=page.next, limit=PAGE)
        found += page.items
    return found


async def _ensure_tenant(control: Control, me: Caller, tenant: Tenant) -> None:
    try:
        await control.tenants.put(me, tenant, create=True)
    except Refused as error:
        if error.code is not Code.ALREADY_EXISTS:
            raise


async def _ensure_namespace(control: Control, me: Caller) -> None:
    try:
        await control.namespaces.put(me, Namespace(name=NAMESPACE), create=True)
    except Refused as error:
        if error.code is not Code.ALREADY_EXISTS:
            raise
