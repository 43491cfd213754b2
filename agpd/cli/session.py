"""Access tokens for a context: kept in a file of mode 0600 until shortly before their end, then renewed.

A refresh token can be used once, so whoever uses it holds the context's lock.
"""

import base64
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import msgspec

from agpd.cli.contexts import Context, Contexts
from agpd.cli.lazy import Failure

if TYPE_CHECKING:
    import httpx2

LEFT_S = 30.0
"""A token with less than this left is renewed."""
ASSERTION_LIFE_S = 60
ADMIN, OFFLINE = "agp:admin", "offline_access"


class Declined(Failure):
    """What the token endpoint refused. `error` as RFC 6749 names it."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


class Token(msgspec.Struct, kw_only=True):
    """An answer of the token endpoint. `ends` is in Unix seconds."""

    access_token: str
    expires_in: float = 0.0
    refresh_token: str = ""
    scope: str = ""
    ends: float = 0.0

    def __repr__(self) -> str:
        return f"Token(scope={self.scope!r}, ends={self.ends})"


class Session:
    """Gets tokens for one context. `clock` returns Unix seconds."""

    def __init__(
        self, name: str, contexts: Contexts, http: "httpx2.Client", clock: Callable[[], float]
    ) -> None:
        self._name = name
        self._contexts = contexts
        self._http = http
        self._clock = clock

    def token(self) -> str:
        """One that holds; empty: the context has no client. Raises `Failure`, and the HTTP client's errors."""
        kept = self._kept()
        return kept.access_token if kept is not None else self.renew()

    def renew(self, scope: str = "", *, refused: str = "") -> str:
        """A new one; empty: the context has no client. With a narrower `scope` it is not kept.

        One that another process has got meanwhile will do, unless it is the one that was `refused`.
        """
        from agpd.transport.pem import locked

        if not self._contexts.load(self._name).client:
            return ""
        with locked(self._contexts.path(self._name).parent, f"{self._name}.lock"):
            kept = None if scope else self._kept()
            if kept is not None and kept.access_token != refused:
                return kept.access_token
            context = self._contexts.load(self._name)  # its refresh token may be a new one
            token = (grant if scope or context.refresh_token else whole)(
                self._http, context, self._clock(), scope
            )
            if token.refresh_token:
                self._contexts.save(
                    self._name, msgspec.structs.replace(context, refresh_token=token.refresh_token)
                )
            if not scope:
                self.keep(token)
            return token.access_token

    def revoke(self, text: str) -> None:
        """RFC 7009. Raises `Failure`, and the HTTP client's errors."""
        context = self._contexts.load(self._name)
        form = {"token": text, "client_id": context.client}
        answer = self._http.post(f"{context.token_issuer}/oauth2/revoke", data=form)
        if not answer.is_success:
            raise refusal(answer, context)

    def keep(self, token: Token) -> None:
        """For the commands to come."""
        from agpd.transport.pem import write_atomically

        kept = Token(access_token=token.access_token, scope=token.scope, ends=token.ends)
        write_atomically(self._contexts.cache(self._name), msgspec.json.encode(kept), 0o600)

    def forget(self) -> None:
        """Keep no token, and no refresh token."""
        context = self._contexts.load(self._name)
        self._contexts.cache(self._name).unlink(missing_ok=True)
        self._contexts.save(self._name, msgspec.structs.replace(context, refresh_token=""))

    def _kept(self) -> Token | None:
        try:
            token = msgspec.json.decode(self._contexts.cache(self._name).read_bytes(), type=Token)
        except (OSError, msgspec.DecodeError):
            return None
        return token if token.ends - LEFT_S > self._clock() else None


def whole(http: "httpx2.Client", context: Context, now: float, flags: str = "", secret: str = "") -> Token:
    """A token with all that the client may have: what it gets by itself, `agp:admin` if it may, and these flags.

    Raises as `grant`.
    """
    token = grant(http, context, now, secret=secret)
    wanted = [word for word in token.scope.split() if word != ADMIN]
    for more in ([ADMIN, *flags.split()], flags.split()):
        if set(token.scope.split()) == {*wanted, *more}:
            return token
        try:
            return grant(http, context, now, " ".join([*wanted, *more]), secret)
        except Declined as declined:
            if declined.error != "invalid_scope":
                raise
    return token


def grant(http: "httpx2.Client", context: Context, now: float, scope: str = "", secret: str = "") -> Token:
    """A token by the best that the context has: `secret`, its refresh token, a key, a secret's file, its certificate.

    Raises `Failure` for a refusal, and the HTTP client's errors.
    """
    form, headers = _form(context, now, secret)
    if scope:
        form["scope"] = scope
    answer = http.post(f"{context.token_issuer}/oauth2/token", data=form, headers=headers)
    if not answer.is_success:
        raise refusal(answer, context)
    try:
        token = msgspec.json.decode(answer.content, type=Token)
    except msgspec.DecodeError as error:
        raise Failure(f"{answer.url} answered something that is no token: {error}") from error
    token.ends = now + token.expires_in
    return token


def _form(context: Context, now: float, secret: str) -> tuple[dict[str, str], dict[str, str]]:
    form = {"grant_type": "client_credentials", "client_id": context.client}
    if secret:
        return _with_secret(context, secret)
    if context.refresh_token:
        return form | {"grant_type": "refresh_token", "refresh_token": context.refresh_token}, {}
    if context.private_key:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return form | {"client_assertion_type": kind, "client_assertion": _assertion(context, now)}, {}
    if context.secret_file:
        return _with_secret(context, _read(context.secret_file))
    if context.certificate:
        return form, {}
    raise Failure(f"not logged in: {login(context)}")


def login(context: Context) -> str:
    """The command that logs in with this context."""
    tenant, client = context.tenant or "ORG", context.client or "ID"
    return f"agpctl login --server {context.server} --tenant {tenant} --client {client}"


def _with_secret(context: Context, secret: str) -> tuple[dict[str, str], dict[str, str]]:
    pair = f"{quote_plus(context.client)}:{quote_plus(secret)}"
    basic = base64.b64encode(pair.encode()).decode()
    return {"grant_type": "client_credentials"}, {"Authorization": f"Basic {basic}"}


def _assertion(context: Context, now: float) -> str:
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey

    text = _read(context.private_key)
    for kind in (OKPKey, ECKey):
        try:
            key: Any = kind.import_key(text)
        except (ValueError, TypeError, JoseError):
            continue
        algorithm = "ES256" if kind is ECKey else "Ed25519"
        claims = {
            "iss": context.client,
            "sub": context.client,
            "aud": context.token_issuer,
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFE_S,
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode({"alg": algorithm}, claims, key, algorithms=[algorithm])
    raise Failure(f"{context.private_key} holds no Ed25519 or P-256 key in PEM form")


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"cannot read {path}: {reason}; log in again") from error


def refusal(answer: "httpx2.Response", context: Context) -> Declined:
    """What the token endpoint says, and the way out."""
    try:
        problem = msgspec.json.decode(answer.content)
        error, text = str(problem["error"]), str(problem.get("error_description", ""))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return Declined(
            "", f"{answer.url} answered {answer.status_code}: is {context.token_issuer} an issuer of agpd?"
        )
    if error in ("invalid_client", "invalid_grant"):
        why = f"{context.token_issuer} does not accept the client {context.client}"
        return Declined(error, f"{why} ({text or error}): {login(context)}")
    return Declined(error, f"{context.token_issuer}: {error}{f', {text}' if text else ''}")
