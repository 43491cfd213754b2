"""`agpd.control.v1` over gRPC: the services of the control plane, for the SDK and other languages.

The methods come from the proto file; `METHODS` says what each asks. Only here is generated code seen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from agpd._proto import control_pb2 as pb
from agpd.api.callers import Callers, Session, log_denial
from agpd.api.messages import to_message, to_struct
from agpd.api.streams import Stream
from agpd.control import jose
from agpd.control.resources import (
    Agent,
    AgentType,
    Client,
    Grant,
    Issuer,
    Namespace,
    Query,
    Resource,
    Route,
    Tenant,
    Verb,
)
from agpd.control.service import Control
from agpd.control.tokens import Credentials, Tokens
from agpd.errors import AgpdError, Code, Refused
from agpd.transport.grpc import Call, Service
from agpd.transport.rpc import Room, server_streaming, unary
from agpd.wire.grpc import Failed, Status

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024


class CanQuestion(Resource, kw_only=True, forbid_unknown_fields=True):
    """`verb` is one of those of grants."""

    subject: str
    verb: Verb
    object: str


class ControlServices:
    """The services, for a `Server` of gRPC. `closing` tells whether the gateway ends: then streams end too."""

    def __init__(self, control: Control, callers: Callers, closing: Callable[[], bool]) -> None:
        self._control = control
        self._callers = callers
        self._closing = closing
        self._room = Room()
        self.services: dict[str, Service] = {}
        for service in pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                self.services[f"/{service.full_name}/{method.name}"] = self._service(name, method)

    async def close(self) -> None:
        """End the calls that are under way."""
        await self._room.close()

    def _service(self, name: str, method: Any) -> Service:
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        limit = self._control.settings.request_limit_bytes
        if method.server_streaming:
            stream = self._streaming(name, request, answer)
            return server_streaming(stream, self._room, request_limit_bytes=limit)
        make = self._unary if name in METHODS else self._token
        return unary(make(name, request, answer), self._room, request_limit_bytes=limit)

    def _unary(self, name: str, kind: type[Any], answer: type[Any]) -> Callable[..., Awaitable[bytes]]:
        method = METHODS[name]

        async def serve(request: bytes, call: Call) -> bytes:
            session = self._authenticate(call)
            try:
                result = await method(Asked(self._control, session, _parse(kind, request)))
            except AgpdError as error:
                log_denial(session.caller, name, error)
                raise
            return _answer(answer() if result is None else to_message(result, answer))

        return serve

    def _token(self, name: str, kind: type[Any], answer: type[Any]) -> Callable[..., Awaitable[bytes]]:
        method = TOKENS[name]

        async def serve(request: bytes, call: Call) -> bytes:
            asked = _parse(kind, request)
            shown = Credentials(
                client_id=asked.client_id,
                secret=asked.client_secret,
                thumbprint=jose.thumbprint(call.certificate) if call.certificate else "",
            )
            with self._callers.attempt(call.address):
                return _answer(to_message(await method(self._control.tokens, asked, shown), answer))

        return serve

    def _streaming(
        self, name: str, kind: type[Any], answer: type[Any]
    ) -> Callable[..., AsyncIterator[bytes]]:
        method = STREAMS[name]

        async def serve(request: bytes, call: Call) -> AsyncIterator[bytes]:
            session = self._authenticate(call)
            try:
                source = method(Asked(self._control, session, _parse(kind, request)))
                async with Stream(source, lambda: self._may_go_on(session)) as stream:
                    call.begin()
                    async for item in stream:
                        if item is not None:
                            yield _answer(to_message(item, answer))
            except AgpdError as error:
                log_denial(session.caller, name, error)
                raise

        return serve

    def _may_go_on(self, session: Session) -> bool:
        return not self._closing() and self._callers.still_good(session, self._control.clock())

    def _authenticate(self, call: Call) -> Session:
        given = call.metadata.all("authorization")
        if len(given) > 1:
            raise Refused(Code.INVALID_TOKEN, "more than one authorization in the metadata")
        return self._callers.authenticate(call.certificate, given[0] if given else None, call.address)


def _parse(kind: type[Any], request: bytes) -> Any:
    try:
        return kind.FromString(request)
    except DecodeError as error:
        raise Refused(Code.INVALID_REQUEST, f"it is no {kind.__name__}") from error


def _answer(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    if len(data) > ANSWER_LIMIT_BYTES:
        raise Failed(Status.RESOURCE_EXHAUSTED, f"the answer has {len(data)} bytes; ask for less at once")
    return data


class Asked(NamedTuple):
    """A call as a method sees it."""

    control: Control
    session: Session
    request: Any


OfTokens = Callable[[Tokens, Any, Credentials], Awaitable[Any]]
Unary = Callable[[Asked], Awaitable[Any]]
Streaming = Callable[[Asked], AsyncIterator[Any]]


# ---- the methods


def _kind(service: str, struct: type[Any]) -> dict[str, Unary]:
    """Put, get, delete and list of a kind of resource."""

    def of(asked: Asked) -> Any:
        return getattr(asked.control, service.lower())

    async def put(asked: Asked) -> Any:
        resource = to_struct(asked.request.resource, struct)
        return await of(asked).put(asked.session.caller, resource, create=asked.request.create)

    async def get(asked: Asked) -> Any:
        return await of(asked).get(asked.session.caller, asked.request.key)

    async def delete(asked: Asked) -> None:
        await of(asked).delete(asked.session.caller, asked.request.key)

    async def list_(asked: Asked) -> Any:
        request = asked.request
        return await of(asked).list(
            asked.session.caller, request.scope, after=request.after, limit=request.limit
        )

    return {
        f"{service}/Put": put,
        f"{service}/Get": get,
        f"{service}/Delete": delete,
        f"{service}/List": list_,
    }


async def _register(asked: Asked) -> Any:
    agent = to_struct(asked.request.agent, Agent)
    return await asked.control.registry.register(asked.session.caller, agent, create=asked.request.create)


async def _deregister(asked: Asked) -> None:
    request = asked.request
    await asked.control.registry.deregister(asked.session.caller, request.type, request.identity)


async def _start(asked: Asked) -> Any:
    request = asked.request
    return await asked.control.registry.start(
        asked.session.caller, request.type, request.identity, request.instance
    )


async def _heartbeat(asked: Asked) -> Any:
    return await asked.control.registry.heartbeat(asked.session.caller, asked.request.instance)


async def _stop(asked: Asked) -> None:
    await asked.control.registry.stop(asked.session.caller, asked.request.instance)


async def _find(asked: Asked) -> Any:
    request = asked.request
    query = to_struct(request.query, Query)
    return await asked.control.discovery.find(
        asked.session.caller, query, after=request.after, limit=request.limit
    )


async def _agent(asked: Asked) -> Any:
    request = asked.request
    return await asked.control.discovery.get(asked.session.caller, request.type, request.identity)


def _watch(asked: Asked) -> AsyncIterator[Any]:
    return asked.control.discovery.watch(asked.session.caller, to_struct(asked.request, Query))


async def _add_secret(asked: Asked) -> Any:
    request = asked.request
    return await asked.control.clients.add_secret(
        asked.session.caller, request.client, expires=request.expires
    )


async def _revoke_secret(asked: Asked) -> None:
    request = asked.request
    await asked.control.clients.revoke_secret(asked.session.caller, request.client, request.secret)


async def _can(asked: Asked) -> Any:
    question = to_struct(asked.request, CanQuestion)
    return await asked.control.grants.can(
        asked.session.caller, question.subject, question.verb, question.object
    )


async def _rotate(asked: Asked) -> Any:
    return await asked.control.keys.rotate(asked.session.caller, asked.request.tenant)


async def _events(asked: Asked) -> AsyncIterator[Any]:
    after = asked.request.after
    while True:
        page = await asked.control.audit.events(asked.session.caller, asked.request.tenant, after, 0)
        for event in page.items:
            yield event
        if not page.next:
            return
        after = page.next


async def _verify(asked: Asked) -> Any:
    return await asked.control.audit.verify(asked.session.caller)


async def _issue(tokens: Tokens, request: Any, shown: Credentials) -> Any:
    form = {"grant_type": "client_credentials", "scope": request.scope}
    issued = await tokens.issue(request.tenant, form, shown)
    return {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
        "refresh_token": issued.refresh_token,
    }


async def _introspect(tokens: Tokens, request: Any, shown: Credentials) -> Any:
    claims = await tokens.introspect(request.tenant, request.token, shown)
    return {"active": claims["active"], "claims": claims}


async def _revoke(tokens: Tokens, request: Any, shown: Credentials) -> Any:
    await tokens.revoke(request.tenant, request.token, shown)
    return {}


TOKENS: dict[str, OfTokens] = {
    "Tokens/Issue": _issue,
    "Tokens/Introspect": _introspect,
    "Tokens/Revoke": _revoke,
}
STREAMS: dict[str, Streaming] = {"Discovery/Watch": _watch, "Audit/Events": _events}
METHODS: dict[str, Unary] = {
    "Registry/Register": _register,
    "Registry/Deregister": _deregister,
    "Registry/Start": _start,
    "Registry/Heartbeat": _heartbeat,
    "Registry/Stop": _stop,
    "Discovery/Find": _find,
    "Discovery/Get": _agent,
    **_kind("Tenants", Tenant),
    **_kind("Namespaces", Namespace),
    **_kind("Types", AgentType),
    **_kind("Clients", Client),
    **_kind("Grants", Grant),
    **_kind("Routes", Route),
    **_kind("Issuers", Issuer),
    "Clients/AddSecret": _add_secret,
    "Clients/RevokeSecret": _revoke_secret,
    "Grants/Can": _can,
    "Keys/Get": _kind("Keys", Resource)["Keys/Get"],
    "Keys/List": _kind("Keys", Resource)["Keys/List"],
    "Keys/Rotate": _rotate,
    "Audit/Verify": _verify,
}
