"""The keys that a tenant's tokens are signed with.

Each tenant has one active key and one pending; retired ones are still accepted until the last token that they signed
has ended. A key is published in the JWKS from the rotation before the one that makes it active, so whoever fetches the
JWKS now and then knows it before it signs. Keys are made at the first need.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from agpd.config import Control as Settings
from agpd.control import jose
from agpd.control.caller import Caller, missing
from agpd.control.checks import page_of, page_size
from agpd.control.following import Following
from agpd.control.model import signing_key
from agpd.control.resources import AuditEvent, Page, SigningKey
from agpd.control.sealing import Sealer
from agpd.control.store import Notes, Store
from agpd.errors import Refused

LEEWAY_S = 30.0
CACHE_S = 300
"""How long others may keep the JWKS."""
PURPOSE = "signing key"
ITSELF = "gateway"


@dataclass(slots=True)
class Held:
    """A key in memory. `private` is unsealed when it signs for the first time."""

    info: SigningKey
    public: dict[str, Any]
    key: jose.Key = field(repr=False)
    sealed: bytes = field(repr=False)
    private: jose.Key | None = field(default=None, repr=False)


class Keys:
    """The signing keys of all tenants."""

    def __init__(self, settings: Settings, store: Store, sealer: Sealer, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._keys: dict[str, Held] = {}
        self._tenants: dict[str, list[Held]] = {}
        self._version = 0
        self._due = 0.0  # when the next key must be rotated or removed
        self._changed: set[str] = set()
        self._following = Following(self._reload)
        store.listen(self._hear)

    async def load(self) -> None:
        """Read all keys. Raises `ConfigError` when they were sealed with another key than this gateway's."""
        rows = await self._store.read(lambda c: c.execute(select(signing_key)).all())
        tenants: dict[str, list[Row[Any]]] = {}
        for row in rows:
            tenants.setdefault(row.tenant, []).append(row)
        for tenant, own in tenants.items():
            self._hold(tenant, own)
        for held in self._keys.values():
            if held.info.state == "active":
                self._private(held)
                break

    async def close(self) -> None:
        """Stop following the database."""
        await self._following.close()

    # ---- for tokens

    def find(self, key_id: str, now: float) -> Held | None:
        """The key with this id, if tokens that it signed are accepted."""
        held = self._keys.get(key_id)
        if held is None or (held.info.state == "retired" and now >= held.info.until):
            return None
        return held

    def jwks(self, tenant: str, now: float) -> dict[str, Any]:
        """The public keys of a tenant (RFC 7517). No keys for a tenant that never had a token, or is unknown."""
        held = self._tenants.get(tenant, ())
        return {"keys": [one.public for one in held if self.find(one.info.id, now) is not None]}

    async def sign(self, tenant: str, claims: dict[str, Any]) -> str:
        """An access token (RFC 9068) of this tenant, signed with its active key."""
        held = self._active(tenant)
        if held is None:
            await self._rotate(tenant, ITSELF, first=True)
            held = self._active(tenant)
            assert held is not None, "a rotation leaves an active key"
        header = {"typ": "at+jwt", "kid": held.info.id}
        return jose.sign(header, claims, held.info.algorithm, self._private(held))

    # ---- the service

    async def rotate(self, caller: Caller, tenant: str) -> SigningKey:
        """Sign with the pending key from now on, and publish a new pending one. Returns the key that signs."""
        caller.check_admin(tenant, f"organization {tenant}")
        await self._rotate(tenant, caller.label)
        held = self._active(tenant)
        assert held is not None, "a rotation leaves an active key"
        return held.info

    async def get(self, caller: Caller, key: str) -> SigningKey:
        """One key, by its id. Raises `Refused(NOT_FOUND)`."""
        held = self._keys.get(key)
        if held is None or not caller.belongs_to(held.info.tenant):
            raise missing(f"signing key {key}")
        return held.info

    async def list(self, caller: Caller, scope: str, *, after: str = "", limit: int = 0) -> Page[SigningKey]:
        """The keys of a tenant, sorted by id."""
        caller.check_member(scope, f"organization {scope}")
        size = page_size(limit, self._settings.page_limit, after)
        own = sorted((held.info for held in self._tenants.get(scope, ())), key=lambda key: key.id)
        return page_of([key for key in own if key.id > after][: size + 1], size, lambda key: key.id)

    async def tick(self, now: float) -> None:
        """Rotate what has signed for long enough, and remove what signs and proves nothing any more."""
        if now < self._due:
            return
        for tenant, held in list(self._tenants.items()):
            if _due(held) <= now:
                await self._tidy(tenant, now)
        self._due = min(map(_due, self._tenants.values()), default=math.inf)

    # ---- inside

    @property
    def overlap_s(self) -> float:
        """How long a retired key is accepted: tokens that it signed last, and caches of the JWKS, end in between."""
        return self._settings.access_token_life_s + LEEWAY_S + CACHE_S

    def _active(self, tenant: str) -> Held | None:
        return next((held for held in self._tenants.get(tenant, ()) if held.info.state == "active"), None)

    def _private(self, held: Held) -> jose.Key:
        if held.private is None:
            data = self._sealer.unseal(held.sealed, PURPOSE)
            held.private = jose.import_private(msgspec.json.decode(data))
        return held.private

    async def _rotate(self, tenant: str, actor: str, *, first: bool = False) -> None:
        """`first`: only if there is no active key."""
        made = [self._make(tenant) for _ in range(2)]

        def work(connection: Connection, notes: Notes) -> Sequence[Row[Any]]:
            rows = _rows(connection, tenant)
            if not (first and any(row.state == "active" for row in rows)):
                self._replace(connection, notes, rows, made, actor)
            return _rows(connection, tenant)

        self._hold(tenant, await self._store.write(work))

    async def _tidy(self, tenant: str, now: float) -> None:
        made = [self._make(tenant) for _ in range(2)]

        def work(connection: Connection, notes: Notes) -> Sequence[Row[Any]]:
            rows = _rows(connection, tenant)
            if any(row.state == "active" and row.until <= now for row in rows):
                self._replace(connection, notes, rows, made, ITSELF)
            for row in rows:
                if row.state == "retired" and row.until <= now:
                    connection.execute(delete(signing_key).where(signing_key.c.id == row.id))
                    notes.add(ITSELF, tenant, "key.remove", row.id)
            return _rows(connection, tenant)

        self._hold(tenant, await self._store.write(work))

    def _replace(
        self,
        connection: Connection,
        notes: Notes,
        rows: Sequence[Row[Any]],
        made: Sequence[dict[str, Any]],
        actor: str,
    ) -> None:
        """Active to retired, pending (or else a new one) to active, and a new pending one."""
        now = notes.now
        for row in rows:
            if row.state == "active":
                _set(connection, row.id, "retired", now + self.overlap_s)
        pending = [row.id for row in rows if row.state == "pending"]
        if not pending:
            pending = [made[0]["id"]]
            connection.execute(insert(signing_key), {**made[0], "created": now})
        _set(connection, pending[0], "active", now + self._settings.signing_key_life_s)
        connection.execute(insert(signing_key), {**made[1], "created": now})
        notes.add(actor, made[1]["tenant"], "key.rotate", pending[0], {"pending": made[1]["id"]})

    def _make(self, tenant: str) -> dict[str, Any]:
        """A row with a new pending key."""
        algorithm = self._settings.signing_algorithm
        key = jose.generate(algorithm)
        id_ = key.thumbprint()
        private = msgspec.json.encode(key.as_dict(private=True))
        return {
            "id": id_,
            "tenant": tenant,
            "algorithm": algorithm,
            "state": "pending",
            "public": jose.public_jwk(key, kid=id_, alg=algorithm, use="sig"),
            "private": self._sealer.seal(private, PURPOSE),
            "until": 0.0,
        }

    def _hold(self, tenant: str, rows: Sequence[Row[Any]]) -> None:
        """Keep these of the tenant, and no others."""
        self._version += 1
        before = {held.info.id: held for held in self._tenants.pop(tenant, ())}
        held = [self._held(row, before.get(row.id)) for row in rows]
        for id_ in before:
            del self._keys[id_]
        if held:
            self._tenants[tenant] = held
            self._due = min(self._due, _due(held))
            self._keys |= {one.info.id: one for one in held}

    def _held(self, row: Row[Any], before: Held | None) -> Held:
        info = SigningKey(
            id=row.id,
            tenant=row.tenant,
            algorithm=row.algorithm,
            state=row.state,
            created=row.created,
            until=row.until,
        )
        if before is not None:
            before.info = info
            return before
        _, key = jose.import_public(row.public)
        return Held(info, row.public, key, row.private)

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        changed = {event.tenant for event in events if event.action.startswith("key.")}
        changed |= {event.object for event in events if event.action == "tenant.delete"}
        if changed:
            self._changed |= changed
            self._following.mark()

    async def _reload(self) -> None:
        while self._changed:
            tenant, version = self._changed.pop(), self._version
            try:
                rows = await self._store.read(partial(_rows, tenant=tenant))
            except Refused:
                self._changed.add(tenant)
                raise
            if self._version == version:
                self._hold(tenant, rows)
            else:  # what was read may be older than what is held by now
                self._changed.add(tenant)


def _due(held: Sequence[Held]) -> float:
    """When the next of these must be rotated or removed (Unix seconds)."""
    return min((one.info.until for one in held if one.info.state != "pending"), default=math.inf)


def _rows(connection: Connection, tenant: str) -> Sequence[Row[Any]]:
    query = select(signing_key).where(signing_key.c.tenant == tenant)
    return connection.execute(query.order_by(signing_key.c.created, signing_key.c.id)).all()


def _set(connection: Connection, id_: str, state: str, until: float) -> None:
    connection.execute(update(signing_key).where(signing_key.c.id == id_).values(state=state, until=until))
