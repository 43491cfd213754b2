"""The grant types of the token endpoint: client credentials, refresh, and exchange (RFC 6749, 8693).

Each proves the client, decides on scopes, signs, and writes what must be written in one transaction that looks again
at everything that was decided on.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agpd.config import Control as Settings
from agpd.control import jose, refresh, scopes
from agpd.control.client_auth import ClientAuth, Credentials, Proved, confirm_each
from agpd.control.clients import MARGIN_S
from agpd.control.keys import Keys
from agpd.control.oauth_error import OAuthError, invalid_client
from agpd.control.refresh import Kept
from agpd.control.scopes import Scopes
from agpd.control.standing import Standing, Standings
from agpd.control.store import Notes, Store
from agpd.control.verifying import Source, Verifier
from agpd.errors import Refused

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
JWT = "urn:ietf:params:oauth:token-type:jwt"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANT_TYPES = ("client_credentials", "refresh_token", EXCHANGE)
ACTORS = 4
"""So many may act for one another in a chain."""


@dataclass(frozen=True, slots=True)
class Issued:
    """The answer of the token endpoint. `expires_in` in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str = field(default="", repr=False)
    issued_token_type: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A token that is about to be signed. `subject`, `actors` and `sources` are set by an exchange."""

    proved: Proved
    granted: Scopes
    thumbprint: str
    family: str = ""
    subject: str = ""
    actors: Mapping[str, Any] | None = None
    not_after: float = float("inf")
    sources: tuple[Source, ...] = ()


class Issuing:
    """Issues tokens. `public_url` and `clock` as `Verifier` has them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        keys: Keys,
        clients: ClientAuth,
        verifier: Verifier,
        public_url: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._clients = clients
        self._verifier = verifier
        self._public_url = public_url
        self._clock = clock
        self._standings = Standings(store)

    async def issue(self, tenant: str, form: Mapping[str, str], shown: Credentials) -> Issued:
        """Answer a request to the token endpoint of this tenant.

        Raises `OAuthError`, `Refused(TOO_MANY_REQUESTS)`, `Refused(UNAVAILABLE)`.
        """
        for name in ("resource", "audience"):
            if form.get(name, self._public_url()) != self._public_url():
                raise OAuthError("invalid_target", f"{name}: tokens are for {self._public_url()} only")
        kind = form.get("grant_type", "")
        if kind == "client_credentials":
            return await self._credentials(tenant, form, shown)
        if kind == "refresh_token":
            return await self._refresh(tenant, form, shown)
        if kind == EXCHANGE:
            return await self._exchange(tenant, form, shown)
        raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(GRANT_TYPES)}")

    async def prove(self, tenant: str, shown: Credentials) -> Proved:
        """The client of the tenant that asks. Raises `OAuthError`, `Refused(TOO_MANY_REQUESTS)`."""
        issuer = self._verifier.issuer(tenant)
        return await self._clients.authenticate(tenant, shown, frozenset({issuer, f"{issuer}/oauth2/token"}))

    async def enter(self, tenant: str, shown: Credentials) -> Standing:
        """What the client of the tenant may do with its secret on a connection. Raises as `issue`."""
        proved = await self.prove(tenant, shown)
        client = proved.record.client
        standing = Standing(
            tenant,
            proved.record.pattern,
            client.id,
            proved.credential,
            _granted(proved, ""),
            self._clock(),
            proved.record.expiry(proved.credential),
        )
        self._standings.add(standing)
        await self._store.write_each(_enter_each, proved)
        if standing.ended:
            raise invalid_client()
        return standing

    async def _credentials(self, tenant: str, form: Mapping[str, str], shown: Credentials) -> Issued:
        proved = await self.prove(tenant, shown)
        granted = _granted(proved, form.get("scope", ""))
        if not granted.offline:
            return await self._finish(Draft(proved, granted, shown.thumbprint), "client_credentials")
        family, text = os.urandom(16).hex(), refresh.make()
        kept = self._kept(proved, family, str(granted), shown.thumbprint)

        def write(connection: Connection, notes: Notes) -> None:
            refresh.keep(connection, text, kept)

        draft = Draft(proved, granted, shown.thumbprint, family)
        return await self._finish(draft, "client_credentials", write, text)

    async def _refresh(self, tenant: str, form: Mapping[str, str], shown: Credentials) -> Issued:
        old = _required(form, "refresh_token")
        kept = await self._store.read(partial(refresh.find, text=old))
        proved = await self._prove_refresh(tenant, kept, shown)
        if kept is None or kept.client != proved.record.client.id:
            raise refresh.unknown()
        whole = scopes.parse(kept.scope).intersection(proved.record.allowed)
        granted = _narrowed(whole, form["scope"]) if form.get("scope") else whole
        text = refresh.make()
        follower = self._kept(proved, kept.family, kept.scope, shown.thumbprint)

        def write(connection: Connection, notes: Notes) -> None:
            refresh.use(connection, old, shown.thumbprint, notes.now)
            refresh.keep(connection, text, follower)

        try:
            draft = Draft(proved, granted, shown.thumbprint, kept.family)
            return await self._finish(draft, "refresh_token", write, text)
        except refresh.Reused:
            await self.end_family(tenant, kept, "token.reuse")
            raise refresh.unknown() from None

    async def _prove_refresh(self, tenant: str, kept: Kept | None, shown: Credentials) -> Proved:
        """By the client's credentials, or by the token itself and the certificate that it is bound to, if any."""
        if shown.secret or shown.assertion:
            proved = await self.prove(tenant, shown)
            # What revokes the credential of the login revokes the family.
            return Proved(proved.record, kept.credential if kept else "", proved.assertion)
        if kept is None:
            raise refresh.unknown()
        record = await self._clients.record(shown.client_id)
        if record is None or record.client.tenant != tenant or record.client.disabled:
            raise refresh.unknown()
        if kept.thumbprint not in ("", shown.thumbprint):
            raise refresh.unknown()
        return Proved(record, kept.credential)

    async def end_family(self, tenant: str, kept: Kept, action: str) -> None:
        """End all refresh tokens of the family of this one, and the access tokens that came with them."""
        await self._store.write(
            lambda connection, notes: refresh.end_family(
                connection, notes, tenant, kept, action, self._settings.access_token_life_s + MARGIN_S
            )
        )

    async def _exchange(self, tenant: str, form: Mapping[str, str], shown: Credentials) -> Issued:
        proved = await self.prove(tenant, shown)
        client = proved.record.client
        if not client.may_exchange:
            raise OAuthError(
                "unauthorized_client", f"client {client.id} may not exchange tokens (`may_exchange`)"
            )
        _check_exchange(form)
        try:
            subject = self._verifier.judge(form["subject_token"])
        except Refused as error:
            raise OAuthError("invalid_request", f"subject_token: {error.detail}") from None
        if subject.organization != tenant:
            raise OAuthError("invalid_request", "subject_token: it is not of this organization")
        own = Scopes(proved.record.allowed.patterns)
        # Under its own name it may always speak: that right is not the subject's to give.
        both = own.intersection(subject.scopes).without("register").union(own.of_verb("register"))
        granted = _narrowed(both, form["scope"]) if form.get("scope") else both
        draft = Draft(
            proved,
            granted,
            shown.thumbprint,
            subject.family,
            subject.subject,
            _actors(proved, jose.parse(form["subject_token"]).claims),
            subject.expires,
            subject.chain,
        )
        return await self._finish(draft, "token-exchange")

    async def _finish(
        self,
        draft: Draft,
        grant_type: str,
        write: Callable[[Connection, Notes], None] | None = None,
        refresh_token: str = "",
    ) -> Issued:
        """Sign, confirm and write down."""
        client = draft.proved.record.client
        claims = self._claims(draft)
        detail = {"jti": claims["jti"], "grant_type": grant_type, "scope": claims["scope"]}
        if draft.subject:
            detail["subject"] = draft.subject
        text = await self._keys.sign(client.tenant, claims)
        if len(text) > jose.TOKEN_LIMIT_BYTES or len(claims["scope"]) > scopes.TEXT_LIMIT:
            raise OAuthError("invalid_scope", "the token would be too long; ask for fewer scopes")

        if write is None:
            await self._store.write_each(_note_each, (draft.proved, detail))
        else:
            await self._store.write(partial(_note, write=write, proved=draft.proved, detail=detail))
        exchanged = ACCESS_TOKEN if draft.actors is not None else ""
        return Issued(text, claims["exp"] - claims["nbf"], claims["scope"], refresh_token, exchanged)

    def _claims(self, draft: Draft) -> dict[str, Any]:
        """RFC 9068, and of our own: `org`, `ns`, `cred` (what it was issued for), `fam` (of refresh tokens), `src`."""
        record, exact = draft.proved.record, self._clock()
        now = int(exact)
        # What was revoked in this very second is told from what is issued after it by the fraction.
        recent = self._verifier.has_ended(record.client.id, draft.proved.credential, now)
        claims: dict[str, Any] = {
            "iss": self._verifier.issuer(record.client.tenant),
            "sub": draft.subject or str(record.pattern),
            "aud": self._public_url(),
            "iat": exact if recent else now,
            "nbf": now,
            "exp": int(min(now + self._settings.access_token_life_s, draft.not_after)),
            "jti": os.urandom(16).hex(),
            "client_id": record.client.id,
            "scope": str(draft.granted),
            "org": record.client.tenant,
            "cred": draft.proved.credential,
        }
        optional = {
            "ns": "".join(record.pattern.prefix[1:2]),
            "fam": draft.family,
            "act": draft.actors,
            "src": draft.sources,
            "cnf": {"x5t#S256": draft.thumbprint} if draft.thumbprint else None,
        }
        return claims | {name: value for name, value in optional.items() if value}

    def _kept(self, proved: Proved, family: str, scope: str, thumbprint: str) -> Kept:
        expires = self._clock() + self._settings.refresh_token_life_s
        return Kept(family, proved.record.client.id, proved.credential, scope, thumbprint, expires, 0.0)


def _note_each(
    connection: Connection, notes: Notes, items: Sequence[tuple[Proved, dict[str, Any]]]
) -> Sequence[OAuthError | None]:
    """Confirm the clients, and note what was issued to those that still are."""
    outcomes = confirm_each(connection, [proved for proved, _ in items], notes.now)
    for (proved, detail), refusal in zip(items, outcomes, strict=True):
        if refusal is None:
            client = proved.record.client
            notes.add(client.id, client.tenant, "token.issue", client.id, detail)
    return outcomes


def _enter_each(connection: Connection, notes: Notes, items: Sequence[Proved]) -> Sequence[OAuthError | None]:
    """Confirm the clients, and note who has come in on a connection."""
    outcomes = confirm_each(connection, items, notes.now)
    for proved, refusal in zip(items, outcomes, strict=True):
        if refusal is None:
            client = proved.record.client
            notes.add(
                client.id, client.tenant, "connection.begin", client.id, {"credential": proved.credential}
            )
    return outcomes


def _note(
    connection: Connection,
    notes: Notes,
    write: Callable[[Connection, Notes], None],
    proved: Proved,
    detail: dict[str, Any],
) -> None:
    """The same for one, with what else must be written."""
    write(connection, notes)
    if (refusal := _note_each(connection, notes, [(proved, detail)])[0]) is not None:
        raise refusal


def _granted(proved: Proved, asked: str) -> Scopes:
    """What a client gets that asks for these scopes; all but the flags, if it asks for nothing in particular."""
    allowed = proved.record.allowed
    if asked:
        return _narrowed(allowed, asked)
    return Scopes(allowed.patterns, scopes.ADMIN in proved.record.client.scopes)


def _narrowed(allowed: Scopes, asked: str) -> Scopes:
    """What is asked for, as far as it is allowed. Raises `OAuthError` if nothing of one of the scopes is."""
    if len(asked) > scopes.TEXT_LIMIT:
        raise OAuthError(
            "invalid_scope", f"at most {scopes.TEXT_LIMIT} characters of scopes fit into a token"
        )
    granted = Scopes()
    for text in asked.split(" "):
        try:
            part = scopes.parse(text).intersection(allowed)
        except Refused as error:
            raise OAuthError("invalid_scope", error.detail) from None
        if not part:
            raise OAuthError("invalid_scope", f"scope {text[:80]!a} is not allowed to this client")
        granted = granted.union(part)
    return granted


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def _check_exchange(form: Mapping[str, str]) -> None:
    _required(form, "subject_token")
    if _required(form, "subject_token_type") not in (ACCESS_TOKEN, JWT):
        raise OAuthError("invalid_request", f"subject_token_type must be {ACCESS_TOKEN}")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise OAuthError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}")
    if "actor_token" in form:
        raise OAuthError("invalid_request", "actor_token: the client that asks is the actor")


def _actors(proved: Proved, claims: Mapping[str, Any]) -> dict[str, Any]:
    """The `act` claim: this client, for whoever acted for the subject before."""
    before = claims.get("act")
    depth, inner = 1, before
    while isinstance(inner, dict):
        depth, inner = depth + 1, inner.get("act")
    if depth > ACTORS:
        raise OAuthError("invalid_request", f"subject_token: more than {ACTORS} act for one another")
    own = {"sub": str(proved.record.pattern), "client_id": proved.record.client.id}
    return own | ({"act": before} if isinstance(before, dict) else {})
