"""The OAuth 2.0 endpoints of each tenant: token, introspect, revoke, metadata, JWKS (RFC 6749, 7662, 7009, 8414, 7517).

Forms only, every parameter once; errors as RFC 6749 section 5.2 has them. There are no CORS headers: browsers have no
business here.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agpd.api.callers import log_failure
from agpd.control import jose
from agpd.control.client_auth import ASSERTION_TYPE, Credentials
from agpd.control.keys import CACHE_S
from agpd.control.oauth_error import OAuthError
from agpd.control.service import Control
from agpd.control.tokens import answer
from agpd.errors import CATALOGUE, Refused
from agpd.gateway import authorization
from agpd.gateway.rates import Rates, source_of

CERTIFICATE = "agpd.certificate"
FORM_LIMIT_BYTES = 16 * 1024
FIELDS_LIMIT = 32
STATUS = {"invalid_client": 401, "temporarily_unavailable": 429}
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff"}
CACHED = {"Cache-Control": f"public, max-age={CACHE_S}", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[str, dict[str, str], Credentials], Awaitable[Any]]


def routes(control: Control, clock: Callable[[], float] = time.monotonic) -> list[Route]:
    """The routes below `/t/{tenant}`. The certificate is in the scope's extensions, as `agpd.certificate` (DER).

    `clock` returns monotonic seconds.
    """
    tokens, keys = control.tokens, control.keys
    per_second = control.settings.unauthenticated_per_second
    failures = Rates(per_second, 2 * per_second, clock)

    async def token(tenant: str, form: dict[str, str], shown: Credentials) -> Any:
        return answer(await tokens.issue(tenant, form, shown))

    async def introspect(tenant: str, form: dict[str, str], shown: Credentials) -> Any:
        return await tokens.introspect(tenant, _token(form), shown)

    async def revoke(tenant: str, form: dict[str, str], shown: Credentials) -> Any:
        await tokens.revoke(tenant, _token(form), shown)
        return {}

    async def metadata(request: Request) -> Response:
        return _json(tokens.metadata(request.path_params["tenant"]), CACHED)

    async def jwks(request: Request) -> Response:
        return _json(keys.jwks(request.path_params["tenant"], control.clock()), CACHED)

    known = "/.well-known/oauth-authorization-server"
    return [
        Route("/t/{tenant}/oauth2/token", _endpoint(token, failures), methods=["POST"]),
        Route("/t/{tenant}/oauth2/introspect", _endpoint(introspect, failures), methods=["POST"]),
        Route("/t/{tenant}/oauth2/revoke", _endpoint(revoke, failures, anybody=True), methods=["POST"]),
        Route(f"/t/{{tenant}}{known}", metadata, methods=["GET"]),
        Route(f"{known}/t/{{tenant}}", metadata, methods=["GET"]),
        Route("/t/{tenant}/.well-known/jwks.json", jwks, methods=["GET"]),
    ]


def _endpoint(
    handler: Handler, failures: Rates, *, anybody: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """`failures` counts the wrong credentials of each address; and with `anybody` requests without any."""

    async def endpoint(request: Request) -> Response:
        address = request.client.host if request.client else ""
        source, tenant, shown = source_of(address), request.path_params["tenant"], Credentials()
        try:
            failures.check(source, f"too many failed authentications from {address}")
            form = await _form(request)
            shown = _credentials(request, form)
            if anybody and not (shown.secret or shown.assertion or shown.thumbprint):
                failures.note(source)
            return _json(await handler(tenant, form, shown), NO_STORE)
        except OAuthError as error:
            if error.error in ("invalid_client", "invalid_grant"):
                failures.note(source)
                log_failure(address, error, tenant=tenant, client=shown.client_id)
            return _refusal(error.error, error.detail, STATUS.get(error.error, 400))
        except Refused as error:
            status = CATALOGUE[error.code].http
            name = "temporarily_unavailable" if status in (429, 503) else "invalid_request"
            return _refusal(name, error.detail, status)

    return endpoint


def _json(value: Any, headers: dict[str, str], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _refusal(error: str, detail: str, status: int) -> Response:
    headers = dict(NO_STORE)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="agpd"'
    if status in (429, 503):
        headers["Retry-After"] = "1"
    # RFC 6749 section 5.2 allows these characters only.
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in detail)
    return _json({"error": error, "error_description": text}, headers, status)


async def _form(request: Request) -> dict[str, str]:
    """The parameters, each of which came once. Empty ones count as absent. Raises `OAuthError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "send application/x-www-form-urlencoded")
    if request.url.query:
        raise OAuthError("invalid_request", "parameters belong into the body, not into the URL")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > FORM_LIMIT_BYTES:
                raise OAuthError("invalid_request", f"the form is longer than {FORM_LIMIT_BYTES} bytes")
    except ClientDisconnect:
        raise OAuthError("invalid_request", "the connection ended within the form") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT
        )
    except ValueError:
        raise OAuthError("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is there twice")
    return {name: value for name, value in form.items() if value}


def _credentials(request: Request, form: dict[str, str]) -> Credentials:
    """What the client proves itself with: one method at most, beside a certificate. Raises `OAuthError`."""
    der = request.scope.get("extensions", {}).get(CERTIFICATE)
    shown = jose.thumbprint(der) if der else ""
    client_id, header = form.get("client_id", ""), request.headers.getlist("authorization")
    if "client_secret" in form:
        raise OAuthError(
            "invalid_request", "send the secret with HTTP Basic (client_secret_basic), not in the form"
        )
    assertion = form.get("client_assertion", "")
    if assertion and form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
    if len(header) + bool(assertion) > 1:
        raise OAuthError("invalid_request", "authenticate in one way only")
    if header:
        user, secret = _basic(header[0])
        if client_id not in ("", user):
            raise OAuthError("invalid_request", "client_id is not that of the Authorization header")
        return Credentials(user, secret=secret, thumbprint=shown)
    if assertion and not client_id:
        client_id = _subject(assertion)
    return Credentials(client_id, assertion=assertion, thumbprint=shown)


def _basic(header: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic. Raises `OAuthError`."""
    shown = authorization.parse(header)
    if not isinstance(shown, authorization.Basic):
        raise OAuthError("invalid_client", "the Authorization header is no HTTP Basic with id and secret")
    return shown.client, shown.secret


def _subject(assertion: str) -> str:
    """Whom an assertion claims to be of; it proves that with its signature later."""
    try:
        return jose.text(jose.parse(assertion).claims, "sub")
    except Refused as error:
        raise OAuthError("invalid_client", f"client assertion: {error.detail}") from None


def _token(form: dict[str, str]) -> str:
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    return form["token"]
