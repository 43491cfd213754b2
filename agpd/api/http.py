"""The HTTP application: OAuth 2.0, REST, health, and how every answer looks, errors included."""

from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agpd.api.openapi import document
from agpd.api.problems import headers_of, problem, status_of
from agpd.errors import AgpdError, Code, Refused

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
Ready = Callable[[], Awaitable[str]]


def application(routes: Sequence[BaseRoute], ready: Ready, clock: Callable[[], float]) -> ASGIApp:
    """The whole application.

    `routes` are those of REST and OAuth 2.0. `ready` returns why the gateway is not ready, or an empty text. `clock`
    returns Unix seconds.
    """
    description = document()

    async def openapi(request: Request) -> Response:
        return JSONResponse(description)

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def is_ready(request: Request) -> Response:
        problem = await ready()
        if problem:
            return JSONResponse({"status": problem}, 503)
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/livez", live),
            Route("/readyz", is_ready),
            Route("/v1/openapi.json", openapi),
            *routes,
        ],
        exception_handlers={AgpdError: refused, HTTPException: unknown, Exception: failed},
    )
    app.router.redirect_slashes = False
    return Answers(app, clock)


async def refused(request: Request, error: Exception) -> Response:
    """A refusal of the catalogue."""
    assert isinstance(error, AgpdError)
    return JSONResponse(problem(error), status_of(error), headers_of(error))


async def unknown(request: Request, error: Exception) -> Response:
    """A path or method that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        told = Refused(Code.NOT_FOUND, f"no such path: {request.url.path}")
    else:
        allowed = (error.headers or {}).get("Allow", "")
        told = Refused(Code.INVALID_REQUEST, f"{request.method} is not offered here; there is {allowed}")
    return JSONResponse(problem(told), error.status_code, error.headers)


async def failed(request: Request, error: Exception) -> Response:
    """A fault of ours. It goes on to the server, which logs it."""
    return JSONResponse(problem(AgpdError(Code.INTERNAL)), 500)


class Answers:
    """Gives every answer its date and the headers that keep browsers and caches from doing what nobody wants."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = formatdate(self._clock(), usegmt=True)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
