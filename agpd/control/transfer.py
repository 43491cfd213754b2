"""Export of what tenants have as one document, and import of it, in one transaction.

A document holds what administrators have written. Instances are not in it: agents start theirs anew; nor is the audit
log, which the import writes on with. The times of an agent or client are those of the import.
"""

import functools
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Row, Table, select

from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.keys import PURPOSE
from agpd.control.model import agent, client, client_secret, revocation, signing_key
from agpd.control.resources import (
    Agent,
    AgentType,
    Client,
    Grant,
    Issuer,
    Namespace,
    Page,
    Resource,
    Route,
    ShortText,
    Tenant,
)
from agpd.control.revocations import Revocation, revoke
from agpd.control.rows import agents_numbered
from agpd.control.store import Notes, Store
from agpd.errors import Code, ConfigError, Refused

AGENTS_AT_ONCE = 200
# As `secrets` makes them: others could cost any amount of memory and time to check.
_HASH = re.compile(r"\$argon2id\$v=19\$m=\d{1,5},t=\d,p=\d\$[A-Za-z0-9+/=$]+\Z")

Kind = TypeVar("Kind")


class HashedSecret(Resource, kw_only=True, forbid_unknown_fields=True):
    """A secret of a client as it is kept: `hash` of argon2id. Only whoever has the `control.key` can use it."""

    id: ShortText
    client: ShortText
    hash: ShortText
    created: float
    expires: float


class SealedKey(Resource, kw_only=True, forbid_unknown_fields=True):
    """A signing key as it is kept: `private` is sealed with the `control.key`."""

    id: ShortText
    tenant: ShortText
    algorithm: ShortText
    state: ShortText
    public: dict[str, Any]
    private: bytes
    created: float
    until: float


class Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is exported, in the order in which it is imported. The last three are for operators who move a gateway."""

    tenants: list[Tenant] = []
    namespaces: list[Namespace] = []
    types: list[AgentType] = []
    clients: list[Client] = []
    agents: list[Agent] = []
    grants: list[Grant] = []
    routes: list[Route] = []
    issuers: list[Issuer] = []
    secrets: list[HashedSecret] = []
    keys: list[SealedKey] = []
    revocations: list[Revocation] = []


class Service(Protocol[Kind]):
    """A service of which everything can be listed and written."""

    async def put(self, caller: Caller, resource: Any, /) -> Any: ...

    async def list(self, caller: Caller, scope: str, /, *, after: str) -> Page[Kind]: ...


class Registry(Protocol):
    """Where agents are registered."""

    async def register(self, caller: Caller, resource: Agent, /) -> Agent: ...


class Services(Protocol):
    """What an import writes through, so that it may do what its caller may do, and nothing else: `Control`."""

    @property
    def tenants(self) -> Service[Tenant]: ...
    @property
    def namespaces(self) -> Service[Namespace]: ...
    @property
    def types(self) -> Service[AgentType]: ...
    @property
    def clients(self) -> Service[Client]: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def grants(self) -> Service[Grant]: ...
    @property
    def routes(self) -> Service[Route]: ...
    @property
    def issuers(self) -> Service[Issuer]: ...


_SCOPED = ("namespaces", "types", "clients", "grants", "routes", "issuers")


class Transfer:
    """Methods raise `Refused`: NOT_FOUND, NOT_PERMITTED, INVALID_REQUEST, and what the services raise."""

    def __init__(self, store: Store, services: Services) -> None:
        self._store = store
        self._services = services

    async def export(self, caller: Caller, tenant: str = "", *, secrets: bool = False) -> dict[str, Any]:
        """A `Document` of a tenant for its administrators; empty: of the caller's, for operators of all.

        All of it is of one moment. `secrets`, for operators: with hashes of secrets, sealed keys and revocations.
        """
        if secrets:
            caller.check_operator("export secrets")
        if not tenant and caller.role is not Role.OPERATOR:
            tenant = caller.organization
        async with self._store.moment():
            document = await self._read(caller, tenant)
            if secrets:
                names = [item.name for item in document.tenants]
                await self._store.read(lambda connection: _read_secrets(connection, document, names))
        found: dict[str, Any] = msgspec.to_builtins(document)
        return {kind: items for kind, items in found.items() if items}

    async def load(self, caller: Caller, document: dict[str, Any]) -> dict[str, int]:
        """Create or replace all that is in it: everything, or nothing. How many of each kind there were."""
        given = _parse(document)
        hidden = [*given.secrets, *given.keys, *given.revocations]
        if hidden:
            caller.check_operator("import secrets")
            self._check_keys(given)
        calls = list(self._calls(caller, given))
        if hidden:
            calls.append(
                lambda: self._store.write(lambda c, notes: self._write_secrets(c, notes, caller, given))
            )
        await self._store.change_together(calls)
        return {kind: len(items) for kind, items in msgspec.structs.asdict(given).items() if items}

    async def _read(self, caller: Caller, tenant: str) -> Document:
        document = Document(tenants=await self._tenants(caller, tenant))
        for name in [item.name for item in document.tenants]:
            caller.check_admin(name, f"tenant {name}")
            for kind in _SCOPED:
                getattr(document, kind).extend(await _all(getattr(self._services, kind), caller, name))
            document.agents += await self._agents(name)
        for item in document.clients:
            item.secrets = []
        return document

    async def _tenants(self, caller: Caller, tenant: str) -> list[Tenant]:
        found = await _all(self._services.tenants, caller, "")
        chosen = [item for item in found if tenant in ("", item.name)]
        if not chosen:
            raise Refused(Code.NOT_FOUND, f"tenant {tenant}")
        return chosen

    async def _agents(self, organization: str) -> list[Agent]:
        found: list[Agent] = []
        number = -1
        while part := await self._store.read(functools.partial(_agents_after, organization, number)):
            number = part[-1][0]
            found += [item for _, item in part]
        return found

    def _calls(self, caller: Caller, document: Document) -> Iterator[Callable[[], Awaitable[Any]]]:
        services = self._services
        for kind in ("tenants", "namespaces", "types", "clients"):
            for item in getattr(document, kind):
                yield functools.partial(getattr(services, kind).put, caller, item)
        for registered in document.agents:
            yield functools.partial(services.registry.register, caller, registered)
        for kind in ("grants", "routes", "issuers"):
            for item in getattr(document, kind):
                yield functools.partial(getattr(services, kind).put, caller, item)

    def _check_keys(self, given: Document) -> None:
        for key in given.keys:
            try:
                self._store.sealer.unseal(key.private, PURPOSE)
            except ConfigError:
                raise Refused(
                    Code.INVALID_REQUEST,
                    f"signing key {key.id} has another control.key: copy that one first, or leave out keys",
                ) from None

    def _write_secrets(self, connection: Connection, notes: Notes, caller: Caller, given: Document) -> None:
        """Those that are there already stay as they are; of revocations the one that reaches further."""
        tenants = {row.id: row.tenant for row in connection.execute(select(client.c.id, client.c.tenant))}
        _insert_missing(connection, client_secret, given.secrets)
        _insert_missing(connection, signing_key, given.keys)
        for secret in given.secrets:
            notes.add(
                caller.label,
                tenants.get(secret.client, ""),
                "secret.import",
                secret.client,
                {"id": secret.id},
            )
        for key in given.keys:
            notes.add(caller.label, key.tenant, "key.import", key.id)
        held = {row[:2]: row.before for row in connection.execute(select(revocation))}
        further = [one for one in given.revocations if one.before > held.get(one[:2], -math.inf)]
        if further:
            detail = revoke(connection, further)
            notes.add(caller.label, OPERATOR_TENANT, "revocation.import", "", detail)


async def _all(service: Service[Kind], caller: Caller, scope: str) -> list[Kind]:
    page = await service.list(caller, scope, after="")
    items = page.items
    while page.next:
        page = await service.list(caller, scope, after=page.next)
        items += page.items
    return items


def _agents_after(organization: str, number: int, connection: Connection) -> Sequence[tuple[int, Agent]]:
    query = select(agent.c.id).where(agent.c.organization == organization, agent.c.id > number)
    numbers = connection.scalars(query.order_by(agent.c.id).limit(AGENTS_AT_ONCE)).all()
    found = agents_numbered(connection, numbers)
    return [(one.id, msgspec.structs.replace(one.agent, instances=[])) for one in found]


def _read_secrets(connection: Connection, document: Document, tenants: Sequence[str]) -> None:
    clients = {item.id for item in document.clients}
    rows = connection.execute(select(client_secret).order_by(client_secret.c.id))
    document.secrets = [HashedSecret(**_values(row)) for row in rows if row.client in clients]
    rows = connection.execute(select(signing_key).where(signing_key.c.tenant.in_(tenants)))
    document.keys = [SealedKey(**_values(row)) for row in rows]
    document.revocations = [Revocation(**_values(row)) for row in connection.execute(select(revocation))]


def _values(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _insert_missing(connection: Connection, table: Table, items: Sequence[msgspec.Struct]) -> None:
    columns = list(table.primary_key.columns)
    there = {tuple(row) for row in connection.execute(select(*columns))}
    rows = [msgspec.structs.asdict(item) for item in items]
    new = [row for row in rows if tuple(row[column.name] for column in columns) not in there]
    if new:
        connection.execute(table.insert(), new)


def _parse(document: dict[str, Any]) -> Document:
    try:
        given = msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID_REQUEST, f"this is no export: {error}") from None
    for secret in given.secrets:
        if not _HASH.match(secret.hash):
            raise Refused(Code.INVALID_REQUEST, f"secret {secret.id}: the hash is none of ours")
    return given
