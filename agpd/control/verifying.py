"""Is this access token good? In memory, without waiting: the data plane asks while a connection is opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import select

from agpd.control import jose, scopes
from agpd.control.following import Following
from agpd.control.keys import LEEWAY_S, Keys
from agpd.control.model import tenant
from agpd.control.resources import AuditEvent
from agpd.control.revocations import Revocations
from agpd.control.scopes import Scopes
from agpd.control.store import Store
from agpd.errors import Refused
from agpd.names import Pattern, parse_pattern


class Source(NamedTuple):
    """A token that another one was made from, by an exchange. `issued` in Unix seconds."""

    client: str
    credential: str
    token_id: str
    issued: float


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that is good. `pattern` are the names that its holder may speak as. Times are Unix seconds.

    `sources` are the tokens that it was exchanged for: what revokes one of them revokes it too.
    """

    organization: str
    pattern: Pattern
    client: str
    credential: str
    token_id: str
    scopes: Scopes
    issued: float
    expires: float
    admin: bool
    subject: str = ""
    family: str = ""
    thumbprint: str = ""  # of the certificate that it is bound to; empty: of none
    sources: tuple[Source, ...] = ()

    @property
    def chain(self) -> tuple[Source, ...]:
        """Itself, and its sources."""
        return (Source(self.client, self.credential, self.token_id, self.issued), *self.sources)


class Foreign(Protocol):
    """Judges tokens of other issuers."""

    def verify(self, token: jose.Parsed, now: float) -> Verified: ...


class Verifier:
    """Verifies tokens of this gateway, and of the issuers that its tenants have named.

    `public_url` returns the base of the issuers, `https://host:port`; a tenant's issuer is `<base>/t/<tenant>`.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        revocations: Revocations,
        foreign: Foreign,
        public_url: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._keys = keys
        self._revocations = revocations
        self._foreign = foreign
        self._public_url = public_url
        self._clock = clock
        self._suspended: frozenset[str] = frozenset()
        self._following = Following(self.load)
        store.listen(self._hear)

    async def load(self) -> None:
        """Read which tenants are suspended."""
        query = select(tenant.c.name).where(tenant.c.suspended.is_(True))
        self._suspended = frozenset(await self._store.read(lambda c: c.execute(query).scalars().all()))

    async def close(self) -> None:
        """Stop following the database."""
        await self._following.close()

    def issuer(self, organization: str) -> str:
        """The issuer of a tenant's tokens."""
        return f"{self._public_url()}/t/{organization}"

    def verify(self, text: str, thumbprint: str) -> Verified:
        """Judge a token shown on a connection whose certificate has this `x5t#S256` (empty: it has none).

        Raises `Refused(INVALID_TOKEN)`.
        """
        verified = self.judge(text)
        if verified.thumbprint and verified.thumbprint != thumbprint:
            raise jose.refused("it is bound to another certificate than that of this connection")
        return verified

    def judge(self, text: str) -> Verified:
        """The same, whoever shows it."""
        token = jose.parse(text)
        now = self._clock()
        verified = self._own(token, now) if self._is_own(token) else self._foreign.verify(token, now)
        if verified.organization in self._suspended:
            raise jose.refused(f"organization {verified.organization} is suspended")
        if self.is_revoked(verified):
            raise jose.refused("it has been revoked")
        return verified

    def is_revoked(self, token: Verified) -> bool:
        """Has the token been revoked, or what it was issued for, or was made from?"""
        holds = self._revocations.holds
        return (
            any(self.has_ended(one.client, one.credential, one.issued) for one in token.chain)
            or any(holds("token", one.token_id, one.issued) for one in token.chain)
            or (bool(token.family) and holds("family", token.family, token.issued))
        )

    def has_ended(self, client: str, credential: str, issued: float) -> bool:
        """Are tokens revoked that this client got then for this credential?"""
        holds = self._revocations.holds
        return holds("client", client, issued) or holds("credential", f"{client}/{credential}", issued)

    def _is_own(self, token: jose.Parsed) -> bool:
        issuer = token.claims.get("iss")
        return isinstance(issuer, str) and issuer.startswith(f"{self._public_url()}/")

    def _own(self, token: jose.Parsed, now: float) -> Verified:
        held = self._keys.find(token.key_id, now)
        if held is None:
            raise jose.refused("it is not signed with a key of this gateway, or with one that was replaced")
        if token.header.get("typ") not in ("at+jwt", "application/at+jwt"):
            raise jose.refused("it is no access token (typ at+jwt)")
        jose.check_signature(token, held.info.algorithm, held.key)
        claims = token.claims
        organization = held.info.tenant
        if claims.get("iss") != self.issuer(organization):
            raise jose.refused("its issuer is not that of its key")
        if not is_for(claims, self._public_url()):
            raise jose.refused(f"it is not for {self._public_url()}")
        issued, expires = check_times(claims, now)
        return _verified(organization, claims, issued, expires)

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        if any(event.action.startswith("tenant.") for event in events):
            self._following.mark()


def is_for(claims: dict[str, Any], audience: str) -> bool:
    """Is `aud` this, or a list with it?"""
    named = claims.get("aud")
    return audience in (named if isinstance(named, list) else [named])


def check_times(claims: dict[str, Any], now: float) -> tuple[float, float]:
    """`iat` and `exp`, of a token that holds now. Raises `Refused(INVALID_TOKEN)`."""
    issued, expires = jose.number(claims, "iat"), jose.number(claims, "exp")
    if issued is None or expires is None:
        raise jose.refused("it has no iat or no exp")
    if now >= expires + LEEWAY_S:
        raise jose.refused("it has expired")
    if max(issued, jose.number(claims, "nbf") or 0.0) > now + LEEWAY_S:
        raise jose.refused("it holds only later; compare the clocks")
    return issued, expires


def bound_to(claims: dict[str, Any]) -> str:
    """The thumbprint in `cnf`; empty without `cnf`. Raises `Refused(INVALID_TOKEN)` for any other binding."""
    if "cnf" not in claims:
        return ""
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or confirmation.keys() != {"x5t#S256"}:
        raise jose.refused("it is bound to something else than a certificate")
    return jose.text(confirmation, "x5t#S256")


def _verified(organization: str, claims: dict[str, Any], issued: float, expires: float) -> Verified:
    """Raises `Refused(INVALID_TOKEN)`."""
    subject = jose.text(claims, "sub")
    actor = claims.get("act")
    speaker = jose.text(actor, "sub") if isinstance(actor, dict) else subject
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise jose.refused("its scope is no text")
    try:
        pattern, granted = parse_pattern(speaker), scopes.parse(scope)
    except Refused as error:
        raise jose.refused(error.detail) from None
    if pattern.prefix[:1] != (organization,):
        raise jose.refused("its subject lies outside of the organization")
    return Verified(
        organization=organization,
        pattern=pattern,
        client=jose.text(claims, "client_id"),
        credential=jose.text(claims, "cred"),
        token_id=jose.text(claims, "jti"),
        scopes=granted,
        issued=issued,
        expires=expires,
        admin=granted.admin,
        subject=subject,
        family=str(claims.get("fam", "")),
        thumbprint=bound_to(claims),
        sources=tuple(Source(*one) for one in claims.get("src", ())),
    )
