"""The REST API of a context's gateway, for the commands: requests, pages, streams, errors in one line."""

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from agpd.cli.contexts import Context, Contexts, current
from agpd.cli.lazy import Failure
from agpd.cli.session import Session, login
from agpd.config import is_loopback

TIMEOUT_S = 30.0
NO_CONTEXT = (
    "no context is selected: `agpctl login --server https://HOST:7421 --tenant ORG --client ID` makes one, "
    "`agpd dev` too; `agpctl context ls` shows what there is"
)
Parameters = list[tuple[str, str | int | float | bool | None]]


class Rejected(Failure):
    """An error that the gateway answered: HTTP status and the name of its code."""

    def __init__(self, status: int, name: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.name = name


class Server:
    """The REST API of one gateway, as whoever the context says. A context manager.

    Every method raises `Rejected` for what the gateway refuses, and `Failure` if it cannot be asked.
    """

    def __init__(self, name: str, context: Context, http: httpx2.Client, session: Session) -> None:
        self.name = name
        self.context = context
        self._http = http
        self.session = session
        self.given_tenant = ""  # what --tenant says

    @classmethod
    def open(
        cls, name: str, context: Context, contexts: Contexts, *, timeout_s: float = TIMEOUT_S
    ) -> "Server":
        """For this context. Raises `Failure` for one that names no server."""
        if not context.server:
            raise Failure(
                f"the context {name} has no server: agpctl context add {name} --server https://HOST:7421"
            )
        http = client(context, timeout_s)
        return cls(name, context, http, Session(name, contexts, http, time.time))

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    @property
    def tenant(self) -> str:
        """That of the context. Raises `Failure` if it has none."""
        if not self.context.tenant:
            raise Failure(f"the context {self.name} has no tenant: add --tenant ORG")
        return self.context.tenant

    def tenant_of(self, id_: str) -> str:
        """The tenant of a resource with this id: what --tenant says, else what stands before the dot, else `tenant`."""
        return self.given_tenant or id_.rpartition(".")[0] or self.tenant

    def token(self, scope: str = "") -> str:
        """An access token, with these scopes or with all; empty: the certificate says who we are."""
        with self._explained():
            return self.session.renew(scope) if scope else self.session.token()

    def revoke(self, token: str) -> None:
        """Make a token, and what was made from it, worthless (RFC 7009)."""
        with self._explained():
            self.session.revoke(token)

    def get(self, path: str, query: Parameters | None = None) -> Any:
        """The decoded answer."""
        return self.send("GET", path, query=query)

    def pages(self, path: str, query: Parameters | None = None) -> Iterator[dict[str, Any]]:
        """The items of a list, of all its pages."""
        after = ""
        while True:
            page = self.get(path, [*(query or []), *([("after", after)] if after else [])])
            yield from page["items"]
            if not (after := page.get("next", "")):
                return

    def send(self, method: str, path: str, body: Any = None, *, query: Parameters | None = None) -> Any:
        """The decoded answer; None: it is empty."""
        content = None if body is None else msgspec.json.encode(body)
        with self._explained():
            token = self.session.token()
            answer = self._ask(method, path, content, query, token)
            if answer.status_code == 401 and token:
                answer = self._ask(method, path, content, query, self.session.renew(refused=token))
        if answer.is_success:
            return msgspec.json.decode(answer.content) if answer.content else None
        raise self._rejected(answer)

    def events(
        self, path: str, query: Parameters | None, ready: Callable[[], None]
    ) -> Iterator[dict[str, Any]]:
        """What a stream of server-sent events tells, until the gateway ends it; `ready` is called once it is open."""
        headers = _headers(self.session.token()) | {"Accept": "text/event-stream"}
        # Keep-alive comments come more often than this.
        how = httpx2.Timeout(TIMEOUT_S, read=4 * TIMEOUT_S)
        with (
            self._explained(),
            self._http.stream("GET", path, params=query, headers=headers, timeout=how) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise self._rejected(answer)
            ready()
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield msgspec.json.decode(line.removeprefix("data:"))

    def _ask(
        self, method: str, path: str, content: bytes | None, query: Parameters | None, token: str
    ) -> httpx2.Response:
        headers = _headers(token) | ({} if content is None else {"Content-Type": "application/json"})
        return self._http.request(method, path, content=content, params=query, headers=headers)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise unreachable(self.context, error) from error

    def _rejected(self, answer: httpx2.Response) -> Failure:
        if answer.status_code == 401:
            return Rejected(
                401, "UNAUTHENTICATED", f"not logged in at {self.context.server}: {login(self.context)}"
            )
        try:
            problem = msgspec.json.decode(answer.content)
            name, text = str(problem["name"]), str(problem["message"])
            remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return Rejected(
                answer.status_code,
                "",
                f"{answer.url} answered {answer.status_code} {answer.reason_phrase}: is this an agpd?",
            )
        return Rejected(answer.status_code, name, f"{name}: {text}{'' if remedy in text else remedy}")


def connected(wanted: str = "", *, tenant: str = "", timeout_s: float = TIMEOUT_S) -> Server:
    """The server of the context that is wanted, or else in force. Raises `Failure`, `ConfigError`."""
    found = current(os.environ, wanted)
    if found is None:
        raise Failure(NO_CONTEXT)
    name, context = found
    context = msgspec.structs.replace(context, tenant=tenant) if tenant else context
    opened = Server.open(name, context, Contexts.of(os.environ), timeout_s=timeout_s)
    opened.given_tenant = tenant
    return opened


def client(context: Context, timeout_s: float = TIMEOUT_S) -> httpx2.Client:
    """An HTTP client that trusts and shows what the context says. Raises `Failure`."""
    for address in filter(None, (context.server, context.issuer)):
        url = httpx2.URL(address)
        if url.scheme not in ("http", "https") or not url.host:
            raise Failure(f"{address!r} is no address of a server: write https://HOST:7421")
        if url.scheme == "http" and not is_loopback(url.host):
            raise Failure(f"{address} would show tokens to everybody on the way: use https://")
    verify = trust(context) if context.server.startswith("https:") else True
    return httpx2.Client(
        base_url=context.server, verify=verify, timeout=timeout_s, trust_env=False, follow_redirects=False
    )


def trust(context: Context) -> ssl.SSLContext:
    """TLS 1.3 with the context's authority and, if it has one, its certificate. Raises `Failure`."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    file = context.ca
    try:
        if context.ca:
            tls.load_verify_locations(context.ca)
        else:
            tls.load_default_certs()
        file = context.certificate
        if context.certificate:
            tls.load_cert_chain(context.certificate, context.key or None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise Failure(f"cannot use {file}: {reason}") from error
    return tls


def unreachable(context: Context, error: Exception) -> Failure:
    """Why the gateway cannot be asked, and the way out."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            checked = context.ca or "the authorities of this machine"
            return Failure(
                f"the certificate of {context.server} is not trusted: {cause.verify_message} (checked with {checked}); "
                "name the gateway's authority with --ca"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.TimeoutException):
        return Failure(f"{context.server} does not answer in time: look at the gateway's log")
    return Failure(
        f"cannot reach {context.server}: {error}; start a gateway with `agpd serve` (control.enabled) or `agpd dev`, "
        "or choose another with `agpctl context select`"
    )


def absolute(path: str) -> str:
    """A file's path that holds in other directories too; empty stays empty."""
    return str(Path(path).expanduser().absolute()) if path else ""


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
