"""Identity providers outside, whose tokens tenants accept: the service, and their keys in memory.

Verifying never waits: keys are fetched when an issuer is configured, each hour, and when a token names a key that is
not known; that token is refused meanwhile. A fetch that fails leaves the keys as they are.
"""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from agpd.config import Control as Settings
from agpd.control import claims, jose
from agpd.control.caller import Caller, missing
from agpd.control.checks import changes, check_own_id, check_texts, fresh_id, page_of, page_size
from agpd.control.clients import MARGIN_S
from agpd.control.fetching import FetchFailed, Keys, check_uri, fetch_keys
from agpd.control.following import Following
from agpd.control.model import issuer as table
from agpd.control.model import tenant
from agpd.control.resources import AuditEvent, Issuer, Page
from agpd.control.revocations import Revocation, revoke
from agpd.control.store import Notes, Store
from agpd.control.verifying import Verified, bound_to, check_times, is_for
from agpd.errors import Code, Refused

REFETCH_S = 30.0
REFRESH_S = 3600.0
FOREIGN_LIFE_S = 30 * 86_400.0
"""Revocations for issuers are kept for so long: their tokens may live longer than ours."""
ISSUERS_LIMIT = 100  # of one tenant: each token of another issuer is held against all of them
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trusted:
    """An issuer in memory. `asked` is when its keys were last asked for (Unix seconds)."""

    info: Issuer
    keys: Keys = field(default_factory=dict, repr=False)
    asked: float = 0.0


class Issuers:
    """The issuers of all tenants. `public_url` as `Verifier` has it; `context` is for TLS to them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        public_url: Callable[[], str],
        clock: Callable[[], float],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._public_url = public_url
        self._clock = clock
        self._context = context
        self._trusted: dict[str, Trusted] = {}
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._following = Following(self.load)
        store.listen(self._hear)

    async def load(self) -> None:
        """Read what is configured; the keys of what is new are fetched in the background."""
        rows = await self._store.read(lambda c: c.execute(select(table)).all())
        before = self._trusted
        self._trusted = {}
        for row in rows:
            info = _resource(row)
            held = before.get(info.id)
            same = held is not None and _source(held.info) == _source(info)
            self._trusted[info.id] = Trusted(info, held.keys, held.asked) if held and same else Trusted(info)
            if not same:
                self._fetch(self._trusted[info.id])

    async def settled(self) -> None:
        """Wait for the fetches that are under way."""
        await self._following.settled()
        await asyncio.gather(*self._fetches.values())

    async def close(self) -> None:
        """Stop."""
        await self._following.close()
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)

    async def tick(self, now: float) -> None:
        """Fetch again what is older than an hour, or was never had."""
        for trusted in self._trusted.values():
            if now - trusted.asked >= (REFRESH_S if trusted.keys else REFETCH_S):
                self._fetch(trusted)

    # ---- for tokens

    def verify(self, token: jose.Parsed, now: float) -> Verified:
        """Judge a token of another issuer. Raises `Refused(INVALID_TOKEN)`."""
        trusted = self._issuer_of(token)
        info = trusted.info
        if str(token.header.get("typ", "")).lower() not in TYPES:
            raise jose.refused("it is no access token")
        if token.header["alg"] not in info.algorithms:
            raise jose.refused(f"its algorithm is not allowed for {info.issuer}")
        algorithm, key = self._key(trusted, token, now)
        # A JWKS need not say which of its two paddings an RSA key is for.
        same_family = {algorithm, token.header["alg"]} == {"RS256", "PS256"}
        jose.check_signature(token, token.header["alg"] if same_family else algorithm, key)
        issued, expires = check_times(token.claims, now)
        pattern = claims.pattern_of(info, token.claims)
        jti = token.claims.get("jti")
        return Verified(
            organization=info.tenant,
            pattern=pattern,
            client=f"{info.id}:{pattern}"[:255],
            credential=f"issuer:{info.id}",
            token_id=jti if isinstance(jti, str) else hashlib.sha256(token.text.encode()).hexdigest(),
            scopes=claims.scopes_of(info, token.claims),
            issued=issued,
            expires=expires,
            admin=False,
            subject=str(pattern),
            family=f"issuer:{info.id}",
            thumbprint=bound_to(token.claims),
        )

    def _issuer_of(self, token: jose.Parsed) -> Trusted:
        named = token.claims.get("iss")
        issuers = [one for one in self._trusted.values() if one.info.issuer == named]
        if not issuers:
            raise jose.refused("its issuer is not known here")
        fitting = [one for one in issuers if is_for(token.claims, one.info.audience)]
        if not fitting:
            raise jose.refused("its audience is not the one configured for its issuer")
        # The issuer of an organization here is an audience that no other organization can claim.
        fitting = [one for one in fitting if one.info.audience == self._own(one.info.tenant)] or fitting
        if len({one.info.tenant for one in fitting}) > 1:
            raise jose.refused(
                "its audiences mean more than one organization; let its issuer put only the one of yours into `aud`"
            )
        return fitting[0]

    def _key(self, trusted: Trusted, token: jose.Parsed, now: float) -> tuple[str, jose.Key]:
        if not token.key_id and len(trusted.keys) == 1:
            return next(iter(trusted.keys.values()))
        if (found := trusted.keys.get(token.key_id)) is not None:
            return found
        if now - trusted.asked >= REFETCH_S:
            self._fetch(trusted)
        raise jose.refused(
            "its key is not known; the issuer's keys are being fetched, so try again in some seconds"
        )

    # ---- the service

    async def put(self, caller: Caller, resource: Issuer, *, create: bool = False) -> Issuer:
        """Create or replace; an empty id is made. Tokens that were accepted before are no more, after a change.

        An id is `<tenant>.<label>` or one that was made here. Raises `Refused`: INVALID_REQUEST, NOT_PERMITTED,
        QUOTA_EXCEEDED, ALREADY_EXISTS; CONFLICT when the tenant has another with the same issuer and audience.
        """
        caller.check_admin(resource.tenant, f"tenant {resource.tenant}")
        if resource.internal:
            caller.check_operator("let the gateway fetch keys from private addresses (`internal`)")
        self._check(resource)
        own = self._own(resource.tenant)
        if resource.audience != own:  # two organizations with one audience end each other's tokens
            caller.check_operator(f"configure another audience than the organization's own, {own}")
        wanted = resource if resource.id else msgspec.structs.replace(resource, id=fresh_id("i"))

        def work(connection: Connection, notes: Notes) -> Issuer:
            row = connection.execute(select(table).where(table.c.id == wanted.id)).first()
            if row is not None and (create or row.tenant != wanted.tenant):
                raise Refused(Code.ALREADY_EXISTS, f"issuer {wanted.id}")
            _check_unique(connection, wanted)
            values = msgspec.structs.asdict(wanted)
            if row is None:
                _check_tenant(connection, wanted.tenant)
                _check_room(connection, wanted.tenant)
                connection.execute(insert(table), values)
                notes.add(caller.label, wanted.tenant, "issuer.create", wanted.id, values)
            elif detail := changes(_resource(row), wanted):
                connection.execute(update(table).where(table.c.id == wanted.id).values(**values))
                detail |= revoke(connection, [_ended(wanted.id, notes.now)])
                notes.add(caller.label, wanted.tenant, "issuer.update", wanted.id, detail)
            return wanted

        return await self._store.write(work)

    async def get(self, caller: Caller, key: str) -> Issuer:
        """One issuer, by its id. Raises `Refused(NOT_FOUND)`."""
        return await self._store.read(lambda connection: _resource(_row(connection, caller, key)))

    async def delete(self, caller: Caller, key: str) -> None:
        """Accept its tokens no more."""

        def work(connection: Connection, notes: Notes) -> None:
            row = _row(connection, caller, key)
            caller.check_admin(row.tenant, f"issuer {key}")
            connection.execute(delete(table).where(table.c.id == key))
            notes.add(
                caller.label, row.tenant, "issuer.delete", key, revoke(connection, [_ended(key, notes.now)])
            )

        await self._store.write(work)

    async def list(self, caller: Caller, scope: str, *, after: str = "", limit: int = 0) -> Page[Issuer]:
        """The issuers of a tenant, sorted by id."""
        caller.check_member(scope, f"tenant {scope}")
        size = page_size(limit, self._settings.page_limit, after)

        def work(connection: Connection) -> Page[Issuer]:
            query = select(table).where(table.c.tenant == scope, table.c.id > after)
            rows = connection.execute(query.order_by(table.c.id).limit(size + 1)).all()
            return page_of([_resource(row) for row in rows], size, lambda issuer: issuer.id)

        return await self._store.read(work)

    # ---- inside

    def _check(self, issuer: Issuer) -> None:
        check_texts(issuer)
        check_own_id(issuer.id, issuer.tenant, "i")
        check_uri(issuer.jwks_uri, issuer.internal)
        if not issuer.issuer or not issuer.audience:
            raise Refused(Code.INVALID_REQUEST, "issuer and audience must not be empty")
        if f"{issuer.issuer}/".startswith(f"{self._public_url()}/"):
            raise Refused(Code.INVALID_REQUEST, "this gateway's own tokens need no configuration")
        own = self._own(issuer.tenant)
        if issuer.audience.startswith(self._own("")) and issuer.audience != own:
            raise Refused(Code.INVALID_REQUEST, f"audience is another organization's; yours is {own}")
        if not issuer.algorithms or not jose.KEY_TYPES.keys() >= set(issuer.algorithms):
            raise Refused(Code.INVALID_REQUEST, f"algorithms: some of {', '.join(jose.KEY_TYPES)}")
        claims.check_mapping(issuer)

    def _own(self, tenant: str) -> str:
        """The issuer of the tenant's tokens here."""
        return f"{self._public_url()}/t/{tenant}"

    def _fetch(self, trusted: Trusted) -> None:
        """In the background, one at a time for each issuer."""
        id_ = trusted.info.id
        trusted.asked = self._clock()
        if id_ in self._fetches:
            return
        task = asyncio.get_running_loop().create_task(self._fetch_one(trusted))
        self._fetches[id_] = task
        task.add_done_callback(lambda _: self._fetches.pop(id_, None))

    async def _fetch_one(self, trusted: Trusted) -> None:
        info = trusted.info
        try:
            keys = await fetch_keys(info.jwks_uri, info.internal, self._context)
        except FetchFailed as error:
            _log.warning("keys of issuer %s cannot be fetched: %s", info.id, error)
            return
        current = self._trusted.get(info.id)
        if current is not None and _source(current.info) == _source(info):
            current.keys = keys

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        if any(event.action.startswith("issuer.") for event in events):
            self._following.mark()


def _source(issuer: Issuer) -> tuple[str, bool]:
    return issuer.jwks_uri, issuer.internal


def _ended(id_: str, now: float) -> Revocation:
    return Revocation("family", f"issuer:{id_}", now, now + FOREIGN_LIFE_S + MARGIN_S)


def _resource(row: Row[Any]) -> Issuer:
    return Issuer(**row._mapping)


def _row(connection: Connection, caller: Caller, key: str) -> Row[Any]:
    """Raises `Refused(NOT_FOUND)`, for issuers of other tenants too."""
    row = connection.execute(select(table).where(table.c.id == key)).first()
    if row is None or not caller.belongs_to(row.tenant):
        raise missing(f"issuer {key}")
    return row


def _check_unique(connection: Connection, wanted: Issuer) -> None:
    """Among those of the tenant: what others have configured is not told. `verify` refuses tokens of both."""
    same = (table.c.issuer == wanted.issuer, table.c.audience == wanted.audience)
    others = (table.c.tenant == wanted.tenant, table.c.id != wanted.id)
    if (found := connection.execute(select(table.c.id).where(*same, *others)).scalar()) is not None:
        raise Refused(Code.CONFLICT, f"issuer {found} has this issuer and audience; change that one")


def _check_tenant(connection: Connection, name: str) -> None:
    if connection.execute(select(tenant.c.name).where(tenant.c.name == name)).first() is None:
        raise missing(f"tenant {name}")


def _check_room(connection: Connection, name: str) -> None:
    count = select(func.count()).select_from(table).where(table.c.tenant == name)
    if connection.execute(count).scalar_one() >= ISSUERS_LIMIT:
        raise Refused(Code.QUOTA_EXCEEDED, f"{name} has {ISSUERS_LIMIT} issuers, which is the limit")
