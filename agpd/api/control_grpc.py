"""`agpd.control.v1` over gRPC: the services of the control plane, for the SDK and other languages.

The methods come from the proto file; `METHODS` says what each asks. Only here is generated code seen.
"""

import os

# Before grpc is imported: with its support for fork, channels and servers that are closed leak.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc
import grpc.aio
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
from agpd.errors import CATALOGUE, AgpdError, Code, ConfigError, Refused

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
CALLS = 1000
KEEP_ALIVE_MS = 30_000
LEAST_PING_MS = 10_000


class Files(NamedTuple):
    """PEM: the gateway's key and certificate chain, and the authorities of clients."""

    key: bytes
    chain: bytes
    authorities: bytes


class CanQuestion(Resource, kw_only=True, forbid_unknown_fields=True):
    """`verb` is one of those of grants."""

    subject: str
    verb: Verb
    object: str


class ControlServer:
    """The gRPC server. `closing` tells whether the gateway ends: then streams end too."""

    def __init__(self, control: Control, callers: Callers, closing: Callable[[], bool]) -> None:
        self._control = control
        self._callers = callers
        self._closing = closing
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", control.settings.request_limit_bytes),
                ("grpc.max_send_message_length", ANSWER_LIMIT_BYTES),
                ("grpc.max_concurrent_streams", CALLS),
                ("grpc.keepalive_time_ms", KEEP_ALIVE_MS),
                ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_MS),
            ],
        )
        for service in pb.DESCRIPTOR.services_by_name.values():
            handlers = {method.name: self._handler(service.name, method) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))

    async def start(self, address: str, files: Callable[[], Files] | None) -> int:
        """Listen at `host:port`, with client certificates required; returns the port. Raises `ConfigError`.

        Each handshake uses what `files` returns then, called in a thread of grpc. None: without TLS.
        """
        try:
            if files is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(files))
        except RuntimeError as error:
            raise ConfigError(
                f"listen.grpc = {address!r} cannot be listened on: is something else there?"
            ) from error
        await self._server.start()
        return int(port)

    async def close(self, grace_s: float) -> None:
        """Accept no more calls, and end those that are not done in this time."""
        await self._server.stop(grace_s)

    def _handler(self, service: str, method: Any) -> Any:
        name = f"{service}/{method.name}"
        answer = GetMessageClass(method.output_type)
        codecs = (GetMessageClass(method.input_type).FromString, answer.SerializeToString)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(name, answer), *codecs)
        serve = self._unary(name, answer) if name in METHODS else self._token(TOKENS[name], answer)
        return grpc.unary_unary_rpc_method_handler(serve, *codecs)

    def _unary(self, name: str, answer: type[Any]) -> Any:
        call = METHODS[name]

        async def serve(request: Any, context: Any) -> Any:
            session = None
            try:
                session = self._authenticate(context)
                result = await call(Asked(self._control, session, request))
                return answer() if result is None else to_message(result, answer)
            except AgpdError as error:
                if session is not None:
                    log_denial(session.caller, name, error)
                await abort(context, error)

        return serve

    def _token(self, call: "OfTokens", answer: type[Any]) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            certificate = certificate_of(context)
            shown = Credentials(
                client_id=request.client_id,
                secret=request.client_secret,
                thumbprint=jose.thumbprint(certificate) if certificate else "",
            )
            try:
                with self._callers.attempt(address_of(context.peer())):
                    return to_message(await call(self._control.tokens, request, shown), answer)
            except AgpdError as error:
                await abort(context, error)

        return serve

    def _streaming(self, name: str, answer: type[Any]) -> Any:
        call = STREAMS[name]

        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            session = None
            try:
                session = self._authenticate(context)
                source = call(Asked(self._control, session, request))
                async with Stream(source, lambda: self._may_go_on(session)) as stream:
                    await context.send_initial_metadata(())
                    async for item in stream:
                        if item is not None:
                            yield to_message(item, answer)
            except AgpdError as error:
                if session is not None:
                    log_denial(session.caller, name, error)
                await abort(context, error)

        return serve

    def _may_go_on(self, session: Session) -> bool:
        return not self._closing() and self._callers.still_good(session, self._control.clock())

    def _authenticate(self, context: Any) -> Session:
        given = [value for key, value in context.invocation_metadata() if key == "authorization"]
        if len(given) > 1:
            raise Refused(Code.INVALID_TOKEN, "more than one authorization in the metadata")
        return self._callers.authenticate(
            certificate_of(context), given[0] if given else None, address_of(context.peer())
        )


class Asked(NamedTuple):
    """A call as a method sees it."""

    control: Control
    session: Session
    request: Any


OfTokens = Callable[[Tokens, Any, Credentials], Awaitable[Any]]
Unary = Callable[[Asked], Awaitable[Any]]
Streaming = Callable[[Asked], AsyncIterator[Any]]


async def abort(context: Any, error: AgpdError) -> None:
    """End the call with the status of the catalogue; the code goes into the trailing metadata."""
    entry = CATALOGUE[error.code]
    trailing = (("agpd-code", str(int(error.code))), ("agpd-code-name", error.code.name))
    await context.abort(grpc.StatusCode[entry.grpc], str(error), trailing)


def certificate_of(context: Any) -> bytes | None:
    """The client certificate (DER) of the connection."""
    found = context.auth_context().get("x509_pem_cert")
    return ssl.PEM_cert_to_DER_cert(found[0].decode()) if found else None


def address_of(peer: str) -> str:
    """The IP address in what grpc calls a peer, such as `ipv4:127.0.0.1:5` or `ipv6:%5B::1%5D:5`."""
    _, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]")


def _credentials(files: Callable[[], Files]) -> Any:
    def configuration() -> Any:
        key, chain, authorities = files()
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)

    return grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=True
    )


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
