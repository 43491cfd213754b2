"""Who asks: a client certificate, an access token, or both, become a `Caller`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agpd.api.problems import status_of
from agpd.control import jose
from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.service import Control
from agpd.control.verifying import Verified
from agpd.errors import AgpdError, Code, Refused
from agpd.gateway.authorization import Bearer, parse
from agpd.gateway.principal import Principal
from agpd.gateway.rates import Rates, source_of
from agpd.telemetry.logs import event

Identify = Callable[[bytes], Principal]
NO_CREDENTIALS = "show an access token (Authorization: Bearer ...) or a client certificate"
LOOK_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Session:
    """An authenticated caller, and what it stands on: a token, a certificate (DER), or both.

    `looked` is when the certificate was last looked at (monotonic seconds).
    """

    caller: Caller
    token: Verified | None
    certificate: bytes | None = None
    looked: float = 0.0


class Callers:
    """Authenticates, and counts who asks too often.

    `identify` tells whom a client certificate (DER) stands for, or raises `Fatal`; None: there are no certificates.
    `clock` returns monotonic seconds.
    """

    def __init__(self, control: Control, identify: Identify | None, clock: Callable[[], float]) -> None:
        settings = control.settings
        self._control = control
        self._identify = identify
        self._clock = clock
        self._failures = Rates(
            settings.unauthenticated_per_second, 2 * settings.unauthenticated_per_second, clock
        )
        self._requests = Rates(settings.requests_per_second, 2 * settings.requests_per_second, clock)

    def authenticate(self, certificate: bytes | None, authorization: str | None, address: str) -> Session:
        """Who it is. `certificate` is DER, `authorization` the header, `address` the IP address of the peer.

        Raises `AgpdError`: INVALID_TOKEN, UNAUTHENTICATED, CERTIFICATE_REVOKED and so on; TOO_MANY_REQUESTS for an
        address with too many failures, and for a caller with too many requests.
        """
        with self.attempt(address):
            session = self._session(certificate, authorization)
            caller = session.caller
            self._check_tenant(caller)
        self._requests.take(caller.client or caller.label, f"too many requests of {caller.label}")
        return session

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """An authentication inside; what it raises as such a failure is counted. Raises `TooMany` beforehand."""
        source = source_of(address)
        self._failures.check(source, f"too many failed authentications from {address}")
        try:
            yield
        except AgpdError as error:
            if status_of(error) == 401:
                self._failures.note(source)
                log_failure(address, error)
            raise

    def still_good(self, session: Session, now: float) -> bool:
        """May an answer that goes on for long go on? `now` in Unix seconds.

        Not once the token has ended or was revoked, or the tenant is suspended; and not for longer than `LOOK_S` once
        the certificate has ended or was revoked.
        """
        token = session.token
        if token is not None and (now >= token.expires or self._control.tokens.is_revoked(token)):
            return False
        try:
            self._check_tenant(session.caller)
            self._look_again(session)
        except AgpdError:
            return False
        return True

    def _look_again(self, session: Session) -> None:
        if session.certificate is None or self._identify is None:
            return
        if self._clock() - session.looked >= LOOK_S:
            session.looked = self._clock()
            self._identify(session.certificate)

    def _check_tenant(self, caller: Caller) -> None:
        if caller.role is not Role.OPERATOR and self._control.policy.is_suspended(caller.organization):
            raise Refused(Code.TENANT_SUSPENDED, caller.organization)

    def _session(self, certificate: bytes | None, authorization: str | None) -> Session:
        principal = None
        if certificate is not None and self._identify is not None:
            principal = self._identify(certificate)
        if authorization is not None:
            return self._by_token(authorization, principal, certificate)
        if principal is None:
            raise Refused(Code.INVALID_TOKEN, NO_CREDENTIALS)
        return Session(caller_of(principal), None, certificate, self._clock())

    def _by_token(
        self, authorization: str, principal: Principal | None, certificate: bytes | None
    ) -> Session:
        shown = parse(authorization)
        if not isinstance(shown, Bearer):
            raise Refused(Code.INVALID_TOKEN, NO_CREDENTIALS)
        token = self._control.tokens.verify(shown.token, jose.thumbprint(certificate) if certificate else "")
        if principal is not None and principal.pattern.prefix[:1] not in ((), (token.organization,)):
            raise Refused(Code.INVALID_TOKEN, "the token and the certificate are of different organizations")
        role = Role.AGENT
        if token.admin:
            role = Role.OPERATOR if token.organization == OPERATOR_TENANT else Role.ADMIN
        caller = Caller(token.organization, token.pattern, role, token.client, token.client, token.scopes)
        return Session(caller, token, certificate, self._clock())


def caller_of(principal: Principal) -> Caller:
    """Who shows only a certificate. One for every name, which is for development, is an operator's."""
    if not principal.pattern.prefix:
        return Caller(OPERATOR_TENANT, principal.pattern, Role.OPERATOR, principal.label)
    return Caller(principal.pattern.prefix[0], principal.pattern, Role.AGENT, principal.label)


def log_failure(address: str, error: AgpdError, **claimed: str) -> None:
    """Log a failed authentication, and who it claimed to be of.

    Whoever fails too often is not asked any more, so it fills no disk.
    """
    said = {"address": address, "code": error.code, "reason": error.detail}
    event(_log, logging.INFO, "authentication failed", **said, **claimed)


def log_denial(caller: Caller, operation: str, error: AgpdError) -> None:
    """Log that a caller asked for what it may not do. Other refusals are between it and its client."""
    if error.code is Code.NOT_PERMITTED:
        who = {"caller": caller.label, "organization": caller.organization}
        event(_log, logging.INFO, "not permitted", **who, operation=operation, reason=error.detail)
