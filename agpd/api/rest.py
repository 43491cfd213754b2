"""REST: a request becomes a call of a service, its result or refusal an answer. `operations` says which."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agpd.api.callers import Callers, Session, log_denial
from agpd.api.operations import ID, IDS, OPERATIONS, SEGMENT, Ask, Operation
from agpd.api.problems import problem
from agpd.api.server import CERTIFICATE
from agpd.api.streams import CHECK_S, Stream
from agpd.control.service import Control
from agpd.control.strict_json import loads
from agpd.errors import AgpdError, Code, Refused

KEEP_ALIVE_S = 15.0
DEPTH = 32
_SEGMENT, _ID = re.compile(rf"{SEGMENT}\Z", re.ASCII), re.compile(rf"{ID}\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


class Rest:
    """The operations over the services. `closing` tells whether the gateway ends: then streams end too."""

    def __init__(self, control: Control, callers: Callers, closing: Callable[[], bool]) -> None:
        self._control = control
        self._callers = callers
        self._closing = closing

    def routes(self) -> list[Route]:
        """One route for each path."""
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        return [self._route(path, operations) for path, operations in by_path.items()]

    def _route(self, path: str, operations: dict[str, Operation]) -> Route:
        async def endpoint(request: Request) -> Response:
            operation = operations["GET" if request.method == "HEAD" else request.method]
            session = authenticate(self._callers, request)
            ask = await self._read(operation, request)
            try:
                if operation.stream is not None:
                    return await self._stream(operation, session, ask)
                return answer(operation, await operation.call(self._control, session.caller, ask))
            except AgpdError as error:
                log_denial(session.caller, operation.name, error)
                raise

        return Route(path, endpoint, methods=list(operations))

    async def _read(self, operation: Operation, request: Request) -> Ask:
        path = {name: str(value) for name, value in request.path_params.items()}
        check_path(path)
        query = read_query(operation.query, request.query_params.multi_items())
        body = None
        if operation.body is not None:
            data = await read_body(request, self._control.settings.request_limit_bytes)
            if data or not operation.body_optional:
                body = decode(data, operation.body, request.headers.get("content-type", ""))
                check_names(operation, path, body)
        return Ask(path, query, body)

    async def _stream(self, operation: Operation, session: Session, ask: Ask) -> Response:
        assert operation.stream is not None
        control, callers = self._control, self._callers
        events = operation.stream(control, session.caller, ask)
        stream = Stream(events, lambda: not self._closing() and callers.still_good(session, control.clock()))
        await stream.__aenter__()
        return EventsResponse(stream)


def authenticate(callers: Callers, request: Request) -> Session:
    """Who asks. Raises `AgpdError`."""
    certificate = request.scope.get("extensions", {}).get(CERTIFICATE)
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise Refused(Code.INVALID_TOKEN, "more than one Authorization header")
    address = request.client.host if request.client else ""
    return callers.authenticate(certificate, given[0] if given else None, address)


def answer(operation: Operation, result: Any) -> Response:
    """The result as JSON, or 204."""
    if operation.answer is None:
        return Response(status_code=operation.status)
    return Response(msgspec.json.encode(result), operation.status, media_type="application/json")


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises `Refused(INVALID_REQUEST)` if it is longer than `limit` bytes."""
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            if len(data) > limit:
                raise Refused(Code.INVALID_REQUEST, f"the body is longer than {limit} bytes")
    except ClientDisconnect:  # nobody reads the answer
        raise Refused(Code.INVALID_REQUEST, "the connection ended within the body") from None
    return bytes(data)


def decode(data: bytes, kind: Any, content_type: str) -> Any:
    """The body as a `kind`. Raises `Refused(INVALID_REQUEST)` that says which field is wrong."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(Code.INVALID_REQUEST, "the body must be JSON: send content-type: application/json")
    value = loads(data, limit=len(data), depth=DEPTH)
    check_texts(value)
    return convert(value, kind)


def convert(value: Any, kind: Any) -> Any:
    """`value` of dicts and lists as a `kind`. Raises `Refused(INVALID_REQUEST)`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID_REQUEST, str(error)) from error


def check_path(path: dict[str, str]) -> None:
    """The parameters of the path follow their grammar. Raises `Refused(INVALID_NAME)`."""
    for name, text in path.items():
        if not (_ID if name in IDS else _SEGMENT).match(text):
            raise Refused(Code.INVALID_NAME, f"{name} {text!r} in the path")


def check_texts(value: Any) -> None:
    """No text holds the character NUL, which PostgreSQL cannot keep. Raises `Refused(INVALID_REQUEST)`."""
    if isinstance(value, str):
        if "\0" in value:
            raise Refused(Code.INVALID_REQUEST, "a text with the character NUL")
    elif isinstance(value, dict):
        for key, one in value.items():
            check_texts(key)
            check_texts(one)
    elif isinstance(value, list):
        for one in value:
            check_texts(one)


def check_names(operation: Operation, path: dict[str, str], body: Any) -> None:
    """What both the path and the body say must agree; an id may be left out of the body."""
    for name, template in operation.names.items():
        said, wanted = getattr(body, name), template.format_map(path)
        if name == "id" and not said:
            body.id = wanted
        elif said != wanted:
            raise Refused(Code.INVALID_REQUEST, f"{name} is {said!r} in the body and {wanted!r} in the path")
    if operation.below and (scope := operation.below.format_map(path)) != body.name.rpartition("/")[0]:
        raise Refused(Code.INVALID_REQUEST, f"the name {body.name!r} does not lie directly below {scope}")


def read_query(kind: type[Any], items: list[tuple[str, str]]) -> Any:
    """The parameters of a query as a `kind`. Raises `Refused(INVALID_REQUEST)`."""
    samples = {
        field.name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }
    given: dict[str, list[str]] = {}
    for name, text in items:
        check_texts([name, text])
        given.setdefault(name, []).append(text)
    for name in given:
        if name not in samples:
            known = ", ".join(samples) or "none"
            raise Refused(Code.INVALID_REQUEST, f"unknown parameter {name!r}; there are: {known}")
    return convert({name: _parameter(name, texts, samples[name]) for name, texts in given.items()}, kind)


def _parameter(name: str, texts: list[str], sample: Any) -> Any:
    """A parameter that is of the type of `sample`."""
    if isinstance(sample, list):
        return texts
    if len(texts) > 1:
        raise Refused(Code.INVALID_REQUEST, f"parameter {name!r} is there more than once")
    text = texts[0]
    if isinstance(sample, bool):
        return {"true": True, "false": False}.get(text, text)
    return int(text) if isinstance(sample, int) and _NUMBER.match(text) else text


class EventsResponse(StreamingResponse):
    """Events of an entered stream as text/event-stream. The stream is left whenever and however the answer ends."""

    def __init__(self, stream: Stream[Any]) -> None:
        super().__init__(_server_sent(stream), media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.__aexit__()


async def _server_sent(stream: Stream[Any]) -> AsyncIterator[bytes]:
    """A comment each `KEEP_ALIVE_S`; a refusal is the last event, `error`."""
    quiet = 0.0
    yield b": watching\n\n"
    try:
        async for item in stream:
            quiet = quiet + CHECK_S if item is None else 0.0
            if item is not None:
                yield b"event: %s\ndata: %s\n\n" % (item.kind.encode(), msgspec.json.encode(item))
            elif quiet >= KEEP_ALIVE_S:
                quiet = 0.0
                yield b": still here\n\n"
    except AgpdError as error:
        yield b"event: error\ndata: %s\n\n" % msgspec.json.encode(problem(error))
