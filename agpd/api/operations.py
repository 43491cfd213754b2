"""What REST offers, as one table: the router, the OpenAPI document and the tests all read it.

An operation is a method and a path, what it reads, what it answers, and the service it asks.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agpd.control.caller import Caller, Role
from agpd.control.resources import (
    Agent,
    AgentEvent,
    AgentType,
    AuditCheck,
    AuditEvent,
    Client,
    Grant,
    Instance,
    Issuer,
    Namespace,
    Page,
    Query,
    Resource,
    Route,
    Secret,
    ShortText,
    SigningKey,
    Tenant,
    Verb,
    Verdict,
)
from agpd.control.service import Control
from agpd.errors import Code, Refused

Limit = Annotated[
    int, Meta(ge=0, le=10_000_000, description="Most items wanted; 0: as many as there are in a page.")
]
After = Annotated[str, Meta(max_length=1024, description="The `next` of the page before.")]
Organization = Annotated[
    str, Meta(max_length=255, description="Of this tenant; empty: all that you may see.")
]


SEGMENT = "[a-z0-9][a-z0-9_-]{0,62}"
ID = "[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,254}"
IDS = frozenset({"client", "grant", "route", "issuer", "secret"})
"""Parameters of paths that are an `ID`; all others are a `SEGMENT` of a name."""


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """An operation without query parameters."""


class Paging(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list."""

    after: After = ""
    limit: Limit = 0


class Finding(Paging, kw_only=True, forbid_unknown_fields=True):
    """What to find; all that is given must hold."""

    organization: ShortText = ""
    namespace: ShortText = ""
    type: ShortText = ""
    label: Annotated[
        list[str], Meta(max_length=64, description="`key=value`; repeatable, all must hold.")
    ] = []
    capability: Annotated[list[str], Meta(max_length=64, description="Repeatable, all must hold.")] = []
    live: Annotated[bool, Meta(description="Only agents of which an instance runs.")] = False
    text: Annotated[str, Meta(max_length=255, description="Words to search for.")] = ""


class Watching(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to watch."""

    organization: ShortText = ""
    namespace: ShortText = ""
    type: ShortText = ""
    label: Annotated[
        list[str], Meta(max_length=64, description="`key=value`; repeatable, all must hold.")
    ] = []
    capability: Annotated[list[str], Meta(max_length=64, description="Repeatable, all must hold.")] = []
    live: Annotated[bool, Meta(description="Only agents of which an instance runs.")] = False
    text: Annotated[str, Meta(max_length=255, description="Words to search for.")] = ""


class AuditPart(Paging, kw_only=True, forbid_unknown_fields=True):
    """Which part of the audit log."""

    tenant: Organization = ""


class Whole(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to export."""

    tenant: Organization = ""
    secrets: Annotated[
        bool, Meta(description="With hashed secrets and sealed keys, to move a gateway; for operators.")
    ] = False


class NewSecret(Resource, kw_only=True, forbid_unknown_fields=True):
    """`expires` in Unix seconds; 0: never."""

    expires: Annotated[float, Meta(ge=0, le=2**53)] = 0.0


class Question(Resource, kw_only=True, forbid_unknown_fields=True):
    """May `subject` do `verb` to `object`? Both are names."""

    subject: ShortText
    verb: Verb
    object: ShortText


class WhoAmI(Resource, kw_only=True, forbid_unknown_fields=True):
    """How the gateway sees the caller. `pattern` are the names that it may speak as."""

    organization: str
    pattern: str
    role: str
    label: str
    client: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it was understood: parameters of the path, of the query, and the body."""

    path: dict[str, str]
    query: Any
    body: Any


Call = Callable[[Control, Caller, Ask], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table. `answer` None: no body.

    `names` maps fields of the body to what the path says of them, `below` what the body's name lies directly below.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    call: Call
    answer: Any = None
    status: int = 200
    query: type[Any] = NoQuery
    body: type[Any] | None = None
    body_optional: bool = False
    names: dict[str, str] = field(default_factory=dict)
    below: str = ""
    stream: Callable[[Control, Caller, Ask], AsyncIterator[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource with the five operations. `key` is a template of the service's key, `scope` of the list's."""

    service: str
    struct: type[Any]
    plural: str
    path: str
    parameter: str
    key: str
    scope: str
    names: dict[str, str]
    owner: str = ""  # template of the tenant that the resource must be of


TENANT, SPACE = "/v1/tenants/{tenant}", "/v1/tenants/{tenant}/namespaces/{namespace}"
KINDS = (
    Kind("tenants", Tenant, "Tenants", "/v1/tenants", "tenant", "{tenant}", "", {"name": "{tenant}"}),
    Kind(
        "namespaces",
        Namespace,
        "Namespaces",
        f"{TENANT}/namespaces",
        "namespace",
        "{tenant}/{namespace}",
        "{tenant}",
        {"name": "{tenant}/{namespace}"},
    ),
    Kind(
        "types",
        AgentType,
        "AgentTypes",
        f"{SPACE}/types",
        "type",
        "{tenant}/{namespace}/{type}",
        "{tenant}/{namespace}",
        {"name": "{tenant}/{namespace}/{type}"},
    ),
    *(
        Kind(
            plural.lower(),
            struct,
            plural,
            f"{TENANT}/{plural.lower()}",
            plural.lower()[:-1],
            f"{{{plural.lower()[:-1]}}}",
            "{tenant}",
            {"tenant": "{tenant}", "id": f"{{{plural.lower()[:-1]}}}"},
            owner="{tenant}",
        )
        for struct, plural in ((Client, "Clients"), (Grant, "Grants"), (Route, "Routes"), (Issuer, "Issuers"))
    ),
)


def _operations_of(kind: Kind) -> list[Operation]:
    """List, create, get, put, delete. What is of another tenant than the path says is not there."""
    one = kind.struct.__name__
    item = f"{kind.path}/{{{kind.parameter}}}"

    def service(control: Control) -> Any:
        return getattr(control, kind.service)

    async def owned(control: Control, caller: Caller, ask: Ask) -> Any:
        key = kind.key.format_map(ask.path)
        found = await service(control).get(caller, key)
        if kind.owner and found.tenant != ask.path["tenant"]:
            raise Refused(Code.NOT_FOUND, key)
        return found

    async def list_(control: Control, caller: Caller, ask: Ask) -> Any:
        scope = kind.scope.format_map(ask.path)
        return await service(control).list(caller, scope, after=ask.query.after, limit=ask.query.limit)

    async def create(control: Control, caller: Caller, ask: Ask) -> Any:
        return await service(control).put(caller, ask.body, create=True)

    async def put(control: Control, caller: Caller, ask: Ask) -> Any:
        return await service(control).put(caller, ask.body)

    async def delete(control: Control, caller: Caller, ask: Ask) -> None:
        if kind.owner:
            await owned(control, caller, ask)
        await service(control).delete(caller, kind.key.format_map(ask.path))

    # Of a new one the last segment, or the id, is not in the path.
    above = {name: text for name, text in kind.names.items() if f"{{{kind.parameter}}}" not in text}
    page = Page[kind.struct]  # type: ignore[name-defined]
    return [
        Operation(
            "GET",
            kind.path,
            f"list{kind.plural}",
            kind.plural,
            f"List {kind.plural}",
            list_,
            page,
            query=Paging,
        ),
        Operation(
            "POST",
            kind.path,
            f"create{one}",
            kind.plural,
            f"Create: {one}",
            create,
            kind.struct,
            201,
            body=kind.struct,
            names=above,
            below="" if kind.owner else kind.scope,
        ),
        Operation("GET", item, f"get{one}", kind.plural, f"Get: {one}", owned, kind.struct),
        Operation(
            "PUT",
            item,
            f"put{one}",
            kind.plural,
            f"Create or replace: {one}",
            put,
            kind.struct,
            body=kind.struct,
            names=kind.names,
        ),
        Operation("DELETE", item, f"delete{one}", kind.plural, f"Delete: {one}", delete, None, 204),
    ]


def _query_of(found: Any) -> Query:
    """Raises `Refused(INVALID_REQUEST)` for a label that is not `key=value`."""
    labels: dict[str, str] = {}
    for text in found.label:
        key, equals, value = text.partition("=")
        if not equals or not key or key in labels:
            raise Refused(Code.INVALID_REQUEST, f"label {text!r}: write key=value, each key once")
        labels[key] = value
    return Query(
        organization=found.organization,
        namespace=found.namespace,
        type=found.type,
        labels=labels,
        capabilities=found.capability,
        live=found.live,
        text=found.text,
    )


def _type_of(ask: Ask) -> str:
    return "{organization}/{namespace}/{type}".format_map(ask.path)


def _instance_of(ask: Ask) -> str:
    return "{organization}/{namespace}/{type}/{instance}".format_map(ask.path)


async def _find(control: Control, caller: Caller, ask: Ask) -> Any:
    query = _query_of(ask.query)
    return await control.discovery.find(caller, query, after=ask.query.after, limit=ask.query.limit)


def _watch(control: Control, caller: Caller, ask: Ask) -> AsyncIterator[AgentEvent]:
    return control.discovery.watch(caller, _query_of(ask.query))


async def _not_called(control: Control, caller: Caller, ask: Ask) -> Any:
    raise AssertionError("a stream")


async def _register(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.registry.register(caller, ask.body, create=not ask.path)


async def _agent(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.discovery.get(caller, _type_of(ask), ask.path["identity"])


async def _deregister(control: Control, caller: Caller, ask: Ask) -> None:
    await control.registry.deregister(caller, _type_of(ask), ask.path["identity"])


async def _start(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.registry.start(caller, _type_of(ask), ask.path["identity"], _instance_of(ask))


async def _stop(control: Control, caller: Caller, ask: Ask) -> None:
    await control.registry.stop(caller, _instance_of(ask))


async def _client(control: Control, caller: Caller, ask: Ask) -> Client:
    """The client of the path. Raises `Refused(NOT_FOUND)` if it is another tenant's."""
    client = await control.clients.get(caller, ask.path["client"])
    if client.tenant != ask.path["tenant"]:
        raise Refused(Code.NOT_FOUND, ask.path["client"])
    return client


async def _secrets(control: Control, caller: Caller, ask: Ask) -> Page[Secret]:
    return Page(items=(await _client(control, caller, ask)).secrets)


async def _add_secret(control: Control, caller: Caller, ask: Ask) -> Any:
    client = await _client(control, caller, ask)
    return await control.clients.add_secret(caller, client.id, expires=(ask.body or NewSecret()).expires)


async def _revoke_secret(control: Control, caller: Caller, ask: Ask) -> None:
    client = await _client(control, caller, ask)
    await control.clients.revoke_secret(caller, client.id, ask.path["secret"])


async def _keys(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.keys.list(caller, ask.path["tenant"], after=ask.query.after, limit=ask.query.limit)


async def _rotate(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.keys.rotate(caller, ask.path["tenant"])


async def _can(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.grants.can(caller, ask.body.subject, ask.body.verb, ask.body.object)


async def _audit(control: Control, caller: Caller, ask: Ask) -> Any:
    tenant = ask.query.tenant or ("" if caller.role is Role.OPERATOR else caller.organization)
    return await control.audit.events(caller, tenant, ask.query.after, ask.query.limit)


async def _verify(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.audit.verify(caller)


async def _export(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.transfer.export(caller, ask.query.tenant, secrets=ask.query.secrets)


async def _import(control: Control, caller: Caller, ask: Ask) -> Any:
    return await control.transfer.load(caller, ask.body)


async def _whoami(control: Control, caller: Caller, ask: Ask) -> WhoAmI:
    return WhoAmI(
        organization=caller.organization,
        pattern=str(caller.pattern),
        role=caller.role.value,
        label=caller.label,
        client=caller.client,
    )


AGENT = "/v1/agents/{organization}/{namespace}/{type}/{identity}"
AGENT_NAMES = {"type": "{organization}/{namespace}/{type}", "identity": "{identity}"}
INSTANCE = f"{AGENT}/instances/{{instance}}"
SECRETS = f"{TENANT}/clients/{{client}}/secrets"

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    *(operation for kind in KINDS for operation in _operations_of(kind)),
    Operation("GET", SECRETS, "listSecrets", "Clients", "List the secrets of a client, without what is secret",
              _secrets, Page[Secret]),
    Operation("POST", SECRETS, "addSecret", "Clients", "Make a secret; it is shown in this answer only",
              _add_secret, Secret, 201, body=NewSecret, body_optional=True),
    Operation("DELETE", f"{SECRETS}/{{secret}}", "revokeSecret", "Clients", "Revoke a secret and its tokens",
              _revoke_secret, None, 204),
    Operation("GET", f"{TENANT}/keys", "listKeys", "Keys", "List the signing keys", _keys, Page[SigningKey],
              query=Paging),
    Operation("POST", f"{TENANT}/keys/rotate", "rotateKeys", "Keys", "Sign with a new key from now on", _rotate,
              SigningKey),
    Operation("GET", "/v1/agents", "findAgents", "Agents", "Find agents", _find, Page[Agent], query=Finding),
    Operation("POST", "/v1/agents", "registerAgent", "Agents", "Register an agent", _register, Agent, 201, body=Agent),
    Operation("GET", "/v1/agents/watch", "watchAgents", "Agents", "Watch agents, as server-sent events", _not_called,
              AgentEvent, query=Watching, stream=_watch),
    Operation("GET", AGENT, "getAgent", "Agents", "Get an agent", _agent, Agent),
    Operation("PUT", AGENT, "putAgent", "Agents", "Register an agent, or replace its registration", _register, Agent,
              body=Agent, names=AGENT_NAMES),
    Operation("DELETE", AGENT, "deregisterAgent", "Agents", "Deregister an agent", _deregister, None, 204),
    Operation("PUT", INSTANCE, "startInstance", "Agents", "Start an instance, or say that it still runs", _start,
              Instance),
    Operation("DELETE", INSTANCE, "stopInstance", "Agents", "Stop an instance", _stop, None, 204),
    Operation("POST", "/v1/can", "can", "Grants", "Ask for a verdict and its reasons", _can, Verdict, body=Question),
    Operation("GET", "/v1/audit", "listAudit", "Audit", "List what was done", _audit, Page[AuditEvent],
              query=AuditPart),
    Operation("GET", "/v1/audit/verify", "verifyAudit", "Audit", "Check the chain of the audit log", _verify,
              AuditCheck),
    Operation("GET", "/v1/export", "export", "Transfer", "Export resources as one document", _export, dict[str, Any],
              query=Whole),
    Operation("POST", "/v1/import", "import", "Transfer", "Import what was exported", _import, dict[str, int],
              body=dict[str, Any]),
    Operation("GET", "/v1/whoami", "whoami", "Callers", "Ask as whom the gateway sees you", _whoami, WhoAmI),
)
# fmt: on
