"""Clients: the credentials that tokens are issued for, and the service that keeps them.

Whatever makes a client narrower, or takes a credential away, revokes the tokens that were issued before.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from agpd.config import Control as Settings
from agpd.control import jose, scopes, secrets
from agpd.control.caller import Caller, missing
from agpd.control.checks import changes, check_given_id, check_texts, page_of, page_size
from agpd.control.model import client as table
from agpd.control.model import client_secret, refresh_token, tenant
from agpd.control.resources import Client, Page, Secret
from agpd.control.revocations import FOREVER, Revocation, revoke
from agpd.control.sealing import Sealer
from agpd.control.secrets import Secrets
from agpd.control.store import Notes, Store
from agpd.errors import Code, Refused
from agpd.names import Pattern, parse_pattern

LIVE_SECRETS = 2
KEYS = 8
CERTIFICATES = 16
MARGIN_S = 60.0
"""Revocations are kept for so much longer than the longest token."""

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)


class Clients:
    """The clients of all tenants. Their keys are ids of the form `<tenant>.<label>`."""

    def __init__(
        self, settings: Settings, store: Store, sealer: Sealer, hasher: Secrets, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._store = store
        self._sealer = sealer
        self._hasher = hasher
        self._clock = clock

    async def put(self, caller: Caller, resource: Client, *, create: bool = False) -> Client:
        """Create or replace. `secrets` and `created` of `resource` are not looked at.

        Raises `Refused`: INVALID_REQUEST, INVALID_NAME, NOT_PERMITTED; ALREADY_EXISTS.
        """
        caller.check_admin(resource.tenant, f"tenant {resource.tenant}")
        checked = _checked(resource)

        def work(connection: Connection, notes: Notes) -> Client:
            row = connection.execute(select(table).where(table.c.id == checked.id)).first()
            if row is None:
                return _create(connection, notes, caller, checked)
            if create:
                raise Refused(Code.ALREADY_EXISTS, f"client {checked.id}")
            before = _resource(connection, row)
            return self._replace(connection, notes, caller, before, checked)

        return await self._store.write(work)

    async def get(self, caller: Caller, key: str) -> Client:
        """One client with its secrets' ids. For administrators, and for the client itself."""

        def work(connection: Connection) -> Client:
            return _resource(connection, _row(connection, caller, key))

        found = await self._store.read(work)
        if caller.client != key:
            caller.check_admin(found.tenant, f"client {key}")
        return found

    async def delete(self, caller: Caller, key: str) -> None:
        """Delete a client with all its credentials; its tokens are worth nothing from now on."""

        def work(connection: Connection, notes: Notes) -> None:
            row = _row(connection, caller, key)
            caller.check_admin(row.tenant, f"client {key}")
            ended = revoke(connection, [self._ended("client", key, notes.now)])
            connection.execute(delete(table).where(table.c.id == key))
            notes.add(caller.label, row.tenant, "client.delete", key, ended)

        await self._store.write(work)

    async def list(self, caller: Caller, scope: str, *, after: str = "", limit: int = 0) -> Page[Client]:
        """The clients of a tenant, sorted by id."""
        caller.check_admin(scope, f"tenant {scope}")
        size = page_size(limit, self._settings.page_limit, after)

        def work(connection: Connection) -> Page[Client]:
            query = select(table).where(table.c.tenant == scope, table.c.id > after)
            rows = connection.execute(query.order_by(table.c.id).limit(size + 1)).all()
            return page_of([_resource(connection, row) for row in rows], size, lambda client: client.id)

        return await self._store.read(work)

    async def add_secret(self, caller: Caller, key: str, *, expires: float = 0.0) -> Secret:
        """A new secret: the only time that it is shown. `expires` in Unix seconds; 0: never.

        Raises `Refused(CONFLICT)` when there are two already that have not expired.
        """
        if expires and not self._clock() < expires < FOREVER:
            raise Refused(
                Code.INVALID_REQUEST, "`expires` is not in the future; give Unix seconds, or 0 for never"
            )
        id_, text = secrets.make(self._sealer)
        row = {"id": id_, "client": key, "hash": await self._hasher.hash(text), "expires": expires}

        def work(connection: Connection, notes: Notes) -> Secret:
            owner = _row(connection, caller, key)
            caller.check_admin(owner.tenant, f"client {key}")
            _check_room(connection, key, notes.now)
            connection.execute(insert(client_secret), {**row, "created": notes.now})
            notes.add(caller.label, owner.tenant, "secret.create", key, {"secret": id_, "expires": expires})
            return Secret(id=id_, created=notes.now, expires=expires, secret=text)

        return await self._store.write(work)

    async def revoke_secret(self, caller: Caller, key: str, secret_id: str) -> None:
        """Take a secret away, with the tokens that were issued for it."""

        def work(connection: Connection, notes: Notes) -> None:
            owner = _row(connection, caller, key)
            caller.check_admin(owner.tenant, f"client {key}")
            which = (client_secret.c.client == key, client_secret.c.id == secret_id)
            if connection.execute(select(client_secret.c.id).where(*which)).first() is None:
                raise missing(f"secret {secret_id} of client {key}")
            connection.execute(delete(client_secret).where(*which))
            detail = self._take_credentials(connection, key, [f"secret:{secret_id}"], notes.now)
            notes.add(caller.label, owner.tenant, "secret.revoke", key, {"secret": secret_id, **detail})

        await self._store.write(work)
        self._hasher.forget(secret_id)

    def _replace(
        self, connection: Connection, notes: Notes, caller: Caller, before: Client, after: Client
    ) -> Client:
        after = msgspec.structs.replace(after, created=before.created, secrets=before.secrets)
        if not (detail := changes(before, after)):
            return after
        connection.execute(update(table).where(table.c.id == after.id).values(**_columns(after)))
        revocations = []
        if after.disabled:
            revocations.append(Revocation("client", after.id, FOREVER, FOREVER))
        elif before.disabled or _is_narrower(before, after):
            revocations.append(self._ended("client", after.id, notes.now))
        if after.disabled and not before.disabled:
            connection.execute(delete(refresh_token).where(refresh_token.c.client == after.id))
        gone = sorted(_credentials(before) - _credentials(after))
        detail |= self._take_credentials(connection, after.id, gone, notes.now, revocations)
        notes.add(caller.label, after.tenant, "client.update", after.id, detail)
        return after

    def _take_credentials(
        self,
        connection: Connection,
        client: str,
        credentials: Sequence[str],
        now: float,
        revocations: Sequence[Revocation] = (),
    ) -> dict[str, Any]:
        """Revoke what was issued for these credentials, and the revocations given. Returns the audit detail."""
        which = (refresh_token.c.client == client, refresh_token.c.credential.in_(credentials))
        connection.execute(delete(refresh_token).where(*which))
        every = [self._ended("credential", f"{client}/{credential}", now) for credential in credentials]
        every += revocations
        return revoke(connection, every) if every else {}

    def _ended(self, kind: str, value: str, now: float) -> Revocation:
        return Revocation(kind, value, now, now + self._settings.access_token_life_s + MARGIN_S)


def pattern_of(client: Client) -> Pattern:
    """The names that its tokens may speak as."""
    return parse_pattern(client.agent)


def allowed_scopes(client: Client) -> scopes.Scopes:
    """What it may ask for. `offline_access` always."""
    own = scopes.parse_each(client.scopes) if client.scopes else scopes.everything(pattern_of(client))
    return scopes.Scopes(own.patterns, client.admin, True)


def _is_narrower(before: Client, after: Client) -> bool:
    """Would tokens of before permit what those of after do not?"""
    wide, own = pattern_of(before).prefix, pattern_of(after).prefix
    if before.may_exchange and not after.may_exchange:
        return True
    return wide[: len(own)] != own or not allowed_scopes(after).covers(allowed_scopes(before))


def _credentials(client: Client) -> set[str]:
    """The credentials that stand in the client itself; secrets are apart."""
    keys = (client.jwks or {}).get("keys", ())
    return {f"key:{jose.import_public(key)[1].thumbprint()}" for key in keys} | {
        f"cert:{thumbprint}" for thumbprint in client.certificates
    }


def _checked(client: Client) -> Client:
    """As it is stored. Raises `Refused`."""
    check_texts(client)
    check_given_id(client.id, client.tenant)
    if pattern_of(client).prefix[:1] != (client.tenant,):
        raise Refused(Code.INVALID_REQUEST, f"agent {client.agent} does not lie in {client.tenant}")
    asked = scopes.parse(" ".join(client.scopes))
    if asked.admin and not client.admin:
        raise Refused(Code.INVALID_REQUEST, "the scope agp:admin needs `admin`: true")
    if len(client.certificates) > CERTIFICATES or not all(map(_THUMBPRINT.match, client.certificates)):
        raise Refused(
            Code.INVALID_REQUEST,
            f"certificates: at most {CERTIFICATES} thumbprints x5t#S256, which are 43 characters of base64url",
        )
    return msgspec.structs.replace(
        client, agent=str(pattern_of(client)), jwks=_checked_keys(client.jwks), secrets=[], created=0.0
    )


def _checked_keys(jwks: dict[str, Any] | None) -> dict[str, Any] | None:
    """Only public parts, each key with its algorithm and an id."""
    if jwks is None:
        return None
    keys = jwks.get("keys")
    if not isinstance(keys, list) or len(keys) > KEYS:
        raise Refused(Code.INVALID_REQUEST, f'jwks: write {{"keys": [...]}} with at most {KEYS} public keys')
    checked = []
    for given in keys:
        algorithm, key = jose.import_public(given)
        kid = given.get("kid", key.thumbprint())
        if not isinstance(kid, str) or len(kid) > 255:
            raise Refused(Code.INVALID_REQUEST, "jwks: a `kid` is a text of at most 255 characters")
        checked.append(jose.public_jwk(key, kid=kid, alg=algorithm, use="sig"))
    return {"keys": checked}


def _create(connection: Connection, notes: Notes, caller: Caller, client: Client) -> Client:
    owner = select(tenant.c.name).where(tenant.c.name == client.tenant)
    if connection.execute(owner).first() is None:
        raise missing(f"tenant {client.tenant}")
    client = msgspec.structs.replace(client, created=notes.now)
    connection.execute(insert(table), {"id": client.id, "created": client.created, **_columns(client)})
    detail = msgspec.to_builtins(client)
    del detail["secrets"]
    notes.add(caller.label, client.tenant, "client.create", client.id, detail)
    return client


def _columns(client: Client) -> dict[str, Any]:
    names = (
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
    return {name: getattr(client, name) for name in names}


def _row(connection: Connection, caller: Caller, key: str) -> Row[Any]:
    """Raises `Refused(NOT_FOUND)`, for clients of other tenants too."""
    row = connection.execute(select(table).where(table.c.id == key)).first()
    if row is None or not caller.belongs_to(row.tenant):
        raise missing(f"client {key}")
    return row


def _resource(connection: Connection, row: Row[Any]) -> Client:
    query = select(client_secret).where(client_secret.c.client == row.id)
    rows = connection.execute(query.order_by(client_secret.c.created, client_secret.c.id)).all()
    kept = [Secret(id=one.id, created=one.created, expires=one.expires) for one in rows]
    fields = {name: getattr(row, name) for name in table.c.keys()}  # noqa: SIM118
    return Client(**fields, secrets=kept)


def _check_room(connection: Connection, client: str, now: float) -> None:
    """Room for one more secret, once those that have expired are gone."""
    ended = (client_secret.c.client == client, client_secret.c.expires != 0, client_secret.c.expires <= now)
    live = (
        client_secret.c.client == client,
        or_(client_secret.c.expires == 0, client_secret.c.expires > now),
    )
    count = connection.execute(select(func.count()).select_from(client_secret).where(*live)).scalar_one()
    if count >= LIVE_SECRETS:
        raise Refused(Code.CONFLICT, f"client {client} has {count} secrets; revoke one first")
    connection.execute(delete(client_secret).where(*ended))
