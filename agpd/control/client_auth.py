"""How a client proves to the OAuth 2.0 endpoints who it is.

`client_secret_basic`, `private_key_jwt` (RFC 7523) and `tls_client_auth` (RFC 8705; by the certificate's thumbprint).
Whoever fails gets one answer, whatever was wrong.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select

from agpd.control import jose
from agpd.control.clients import allowed_scopes, pattern_of
from agpd.control.model import client, client_secret, tenant
from agpd.control.oauth_error import OAuthError, invalid_client
from agpd.control.resources import AuditEvent, Client
from agpd.control.revocations import use_up, used_before
from agpd.control.scopes import Scopes
from agpd.control.secrets import Secrets, Stored
from agpd.control.store import Store
from agpd.errors import Refused
from agpd.names import Pattern

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE_S = 3600.0  # what authlib makes
LEEWAY_S = 30.0
ID_LIMIT = 255
CACHED = 10_000
_FIELDS = (
    "id",
    "tenant",
    "agent",
    "title",
    "admin",
    "disabled",
    "may_exchange",
    "scopes",
    "jwks",
    "certificates",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a request. `thumbprint` (`x5t#S256`) is of the certificate that the connection showed."""

    client_id: str = ""
    secret: str = field(default="", repr=False)
    assertion: str = field(default="", repr=False)
    thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A client as it is kept in memory."""

    row: tuple[Any, ...]
    client: Client
    pattern: Pattern
    allowed: Scopes
    secrets: tuple[Stored, ...]
    keys: Mapping[str, tuple[str, jose.Key]] = field(repr=False)  # kid -> algorithm, key

    def expiry(self, credential: str) -> float:
        """When this credential ends, in Unix seconds; only secrets have an end."""
        ends = [one.expires for one in self.secrets if f"secret:{one.id}" == credential and one.expires]
        return min(ends, default=float("inf"))

    def key(self, key_id: str) -> tuple[str, jose.Key] | None:
        """The algorithm and key with this id; the only one there is, for an assertion without `kid`."""
        if not key_id and len(self.keys) == 1:
            return next(iter(self.keys.values()))
        return self.keys.get(key_id)


@dataclass(frozen=True, slots=True)
class Proved:
    """A client that proved who it is, and by which credential. `assertion` may be used once, until then."""

    record: Record
    credential: str
    assertion: tuple[str, float] | None = None

    def confirm(self, connection: Connection, now: float) -> None:
        """In the transaction of what follows: does all that was seen before still hold? Uses up the assertion.

        Raises `OAuthError`.
        """
        if (refusal := confirm_each(connection, [self], now)[0]) is not None:
            raise refusal


def confirm_each(connection: Connection, every: Sequence[Proved], now: float) -> list[OAuthError | None]:
    """As `Proved.confirm` for many at once: what to raise for each, if anything. `now` in Unix seconds."""
    used = used_before(connection, [one.assertion[0] for one in every if one.assertion is not None])
    current = _current(connection, {one.record.client.id for one in every})
    secrets = _live_secrets(connection, {one.credential.removeprefix("secret:") for one in every}, now)
    outcomes: list[OAuthError | None] = []
    for one in every:
        id_ = one.record.client.id
        kind, _, value = one.credential.partition(":")
        if current.get(id_) != one.record.row or (kind == "secret" and secrets.get(value) != id_):
            outcomes.append(invalid_client())
        elif one.assertion is not None and one.assertion[0] in used:
            again = "this client assertion was used before; make a new one for each request"
            outcomes.append(OAuthError("invalid_client", again))
        else:
            outcomes.append(None)
            if one.assertion is not None:
                used.add(one.assertion[0])
    good = [
        one.assertion
        for one, outcome in zip(every, outcomes, strict=True)
        if outcome is None and one.assertion
    ]
    use_up(connection, good)
    return outcomes


def _current(connection: Connection, ids: Set[str]) -> dict[str, tuple[Any, ...]]:
    """The rows of these clients, as far as their tenants are not suspended."""
    joined = client.join(tenant, tenant.c.name == client.c.tenant)
    query = select(*(client.c[name] for name in _FIELDS)).select_from(joined)
    rows = connection.execute(query.where(client.c.id.in_(ids), tenant.c.suspended.is_(False)))
    return {row.id: tuple(row) for row in rows}


def _live_secrets(connection: Connection, ids: Set[str], now: float) -> dict[str, str]:
    """Which client each of these secrets belongs to, as far as they have not expired."""
    live = or_(client_secret.c.expires == 0, client_secret.c.expires > now)
    query = select(client_secret.c.id, client_secret.c.client).where(client_secret.c.id.in_(ids), live)
    return {row.id: row.client for row in connection.execute(query)}


class ClientAuth:
    """Proves clients. What it reads of them is kept in memory until an event says that it has changed."""

    def __init__(self, store: Store, hasher: Secrets, clock: Callable[[], float]) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._changes = 0
        store.listen(self._hear)

    async def authenticate(self, organization: str, shown: Credentials, audiences: frozenset[str]) -> Proved:
        """The client of this organization whose credentials these are. `audiences`: what an assertion may be for.

        Raises `OAuthError`, `Refused(TOO_MANY_REQUESTS)`.
        """
        known = shown.client_id in self._records
        record = await self.record(shown.client_id)
        if record is not None and (record.client.tenant != organization or record.client.disabled):
            record = None
        try:
            return await self._prove(record, shown, audiences)
        except OAuthError:
            # Whoever fails waits for the database once, so the time does not tell which clients there are.
            if known:
                await self._store.read(lambda connection: _read(connection, ""))
            raise

    async def _prove(self, record: Record | None, shown: Credentials, audiences: frozenset[str]) -> Proved:
        if shown.secret:
            return await self._by_secret(record, shown)
        if shown.assertion:
            return self._by_assertion(record, shown, audiences)
        if record is not None and shown.thumbprint in record.client.certificates:
            return Proved(record, f"cert:{shown.thumbprint}")
        raise invalid_client()

    async def record(self, id_: str) -> Record | None:
        """The client with this id; None if there is none."""
        if (record := self._records.get(id_)) is not None:
            return record
        if not id_ or len(id_) > ID_LIMIT or not id_.isascii() or "\0" in id_:
            return None
        changes = self._changes
        record = await self._store.read(lambda connection: _read(connection, id_))
        if record is not None and changes == self._changes:
            self._records[id_] = record
            if len(self._records) > CACHED:
                del self._records[next(iter(self._records))]
        return record

    async def _by_secret(self, record: Record | None, shown: Credentials) -> Proved:
        stored = record.secrets if record is not None else ()
        id_ = await self._hasher.verify(shown.client_id, shown.secret, stored, self._clock())
        if record is None or id_ is None:
            raise invalid_client()
        return Proved(record, f"secret:{id_}")

    def _by_assertion(self, record: Record | None, shown: Credentials, audiences: frozenset[str]) -> Proved:
        try:
            token = jose.parse(shown.assertion)
            if record is None or (found := record.key(token.key_id)) is None:
                raise invalid_client()
            jose.check_signature(token, *found)
        except Refused:
            raise invalid_client() from None
        try:
            until = self._check_claims(record, token.claims, audiences)
        except Refused as error:
            raise OAuthError("invalid_client", f"client assertion: {error.detail}") from None
        used = hashlib.sha256(f"{record.client.id}\n{token.claims['jti']}".encode()).hexdigest()
        return Proved(record, f"key:{found[1].thumbprint()}", (used, until))

    def _check_claims(self, record: Record, claims: dict[str, Any], audiences: frozenset[str]) -> float:
        """Until when it can be replayed (Unix seconds). Raises `Refused(INVALID_TOKEN)`."""
        now = self._clock()
        if not claims.get("iss") == claims.get("sub") == record.client.id:
            raise jose.refused("its iss and sub must be the client id")
        named = claims.get("aud")
        if not audiences.intersection(named if isinstance(named, list) else [named]):
            raise jose.refused(f"its aud must be {' or '.join(sorted(audiences))}")
        expires = jose.number(claims, "exp")
        if expires is None or now >= expires + LEEWAY_S:
            raise jose.refused("it has no exp, or has expired")
        if expires > now + ASSERTION_LIFE_S + LEEWAY_S:
            raise jose.refused(f"its exp is more than {ASSERTION_LIFE_S:.0f} seconds ahead")
        if (jose.number(claims, "nbf") or 0.0) > now + LEEWAY_S:
            raise jose.refused("it holds only later")
        if len(jose.text(claims, "jti")) > ID_LIMIT:
            raise jose.refused("its jti is too long")
        return expires + LEEWAY_S

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            if event.action.startswith(("client.", "secret.")):
                self._changes += 1
                self._records.pop(event.object, None)


def _read(connection: Connection, id_: str) -> Record | None:
    row = connection.execute(select(*(client.c[name] for name in _FIELDS)).where(client.c.id == id_)).first()
    if row is None:
        return None
    secrets = connection.execute(select(client_secret).where(client_secret.c.client == id_)).all()
    found = Client(**dict(zip(_FIELDS, row, strict=True)))
    keys = (found.jwks or {}).get("keys", ())
    return Record(
        row=tuple(row),
        client=found,
        pattern=pattern_of(found),
        allowed=allowed_scopes(found),
        secrets=tuple(Stored(one.id, one.hash, one.created, one.expires) for one in secrets),
        keys={key["kid"]: jose.import_public(key) for key in keys},
    )
