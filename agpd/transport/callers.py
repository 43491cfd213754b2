"""Who makes a call: the certificate of its connection, what the call's metadata shows, or both.

The native protocol over TCP has a certificate and shows its token in HELLO. In gRPC a call may come without a
certificate, or with one that speaks for a proxy, and shows who it is in `authorization`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from agpd.errors import CATALOGUE, AgpdError, Code, Fatal, Refused
from agpd.gateway.authorization import Basic, Bearer, parse
from agpd.gateway.hub import Hub
from agpd.gateway.principal import PLAINTEXT, Principal
from agpd.gateway.rates import Rates, TooMany, source_of
from agpd.gateway.tokens import NO_TOKENS
from agpd.telemetry.logs import event

# Secrets of one address that are verified at once; it costs a look into the database if they are wrong.
PENDING_LIMIT = 64
HEADER_LIMIT = 4096
NO_CREDENTIALS = (
    "show a client certificate, or in the metadata `authorization` either `Bearer <access token>` or "
    "`Basic <base64 of client id:secret>`"
)
_log = logging.getLogger(__name__)

Identify = Callable[[bytes], Principal]


class Headers(Protocol):
    """The metadata of a call."""

    def all(self, key: str) -> Sequence[str]: ...


class Asking(Protocol):
    """The part of a call that says who it is. `address` is the IP address, `certificate` DER or None."""

    @property
    def metadata(self) -> Headers: ...
    @property
    def address(self) -> str: ...
    @property
    def certificate(self) -> bytes | None: ...


class Callers:
    """Authenticates calls, and counts the addresses that fail.

    `identify` tells whom a client certificate (DER) stands for, or raises `Fatal`; None: the listener is plaintext, and
    whoever shows nothing may speak as anybody. An address may fail `failures_per_second` times on average. `clock`
    returns monotonic seconds.
    """

    def __init__(
        self, hub: Hub, identify: Identify | None, failures_per_second: float, clock: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._identify = identify
        self._failures = Rates(failures_per_second, 2 * failures_per_second, clock)
        self._pending: Counter[str] = Counter()

    async def authenticate(self, call: Asking) -> Principal:
        """Who makes the call. It waits only for a client's secret to be verified.

        A token or secret narrows the certificate beside it; without a certificate it says alone who this is.
        Raises `AgpdError`: UNAUTHENTICATED, INVALID_TOKEN, CERTIFICATE_REVOKED, TENANT_SUSPENDED; TOO_MANY_REQUESTS
        for an address that failed too often; UNAVAILABLE.
        """
        with self._attempt(call.address):
            principal = await self._principal(call)
            organization = principal.organization
            if organization and self._hub.admission.policy.is_suspended(organization):
                raise Fatal(Code.TENANT_SUSPENDED)
            return principal

    async def _principal(self, call: Asking) -> Principal:
        certified = self._certified(call.certificate)
        shown = _shown(call.metadata)
        if shown is None or (self._identify is None and self._hub.tokens is NO_TOKENS):
            if certified is None and self._identify is not None:
                raise Fatal(Code.UNAUTHENTICATED, NO_CREDENTIALS)
            return certified or PLAINTEXT
        if isinstance(shown, Basic):
            with self._verification(call.address):
                return await self._hub.tokens.client(shown.client, shown.secret, certified)
        if certified is None:
            return self._hub.tokens.holder(shown.token)
        return self._hub.tokens.authenticate(shown.token, certified)

    def _certified(self, certificate: bytes | None) -> Principal | None:
        if certificate is None or self._identify is None:
            return None
        return self._identify(certificate)

    @contextmanager
    def _attempt(self, address: str) -> Iterator[None]:
        """What is raised inside as a failed authentication is counted and logged. Raises `TooMany` beforehand."""
        source = source_of(address)
        self._failures.check(source, f"too many failed authentications from {address}")
        try:
            yield
        except AgpdError as error:
            if CATALOGUE[error.code].grpc == "UNAUTHENTICATED":
                self._failures.note(source)
                said = {"address": address, "code": error.code, "reason": error.detail}
                event(_log, logging.INFO, "authentication failed", **said)
            raise

    @contextmanager
    def _verification(self, address: str) -> Iterator[None]:
        """A secret is verified inside. Raises `TooMany`."""
        source = source_of(address)
        if self._pending[source] >= PENDING_LIMIT:
            raise TooMany(1.0, f"too many secrets from {address} are being verified at once")
        self._pending[source] += 1
        try:
            yield
        finally:
            self._pending[source] -= 1
            if not self._pending[source]:
                del self._pending[source]


def _shown(metadata: Headers) -> Bearer | Basic | None:
    given = metadata.all("authorization")
    if not given:
        return None
    if len(given) > 1:
        raise Refused(Code.INVALID_TOKEN, "more than one authorization in the metadata")
    shown = parse(given[0]) if len(given[0]) <= HEADER_LIMIT else None
    if shown is None:
        raise Refused(Code.INVALID_TOKEN, NO_CREDENTIALS)
    return shown
