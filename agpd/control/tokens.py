"""Access and refresh tokens: issue, verify, introspect, revoke (RFC 6749, 9068, 8693, 7662, 7009, 8414)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agpd.config import Control as Settings
from agpd.control import jose, refresh
from agpd.control.client_auth import ClientAuth, Credentials, Proved
from agpd.control.clients import MARGIN_S
from agpd.control.issuing import GRANT_TYPES, Issued, Issuing
from agpd.control.keys import Keys
from agpd.control.oauth_error import OAuthError
from agpd.control.resources import VERBS
from agpd.control.revocations import Revocation, Revocations, revoke
from agpd.control.secrets import Secrets
from agpd.control.standing import Standing
from agpd.control.store import Notes, Store
from agpd.control.verifying import Foreign, Verified, Verifier
from agpd.errors import Refused

__all__ = ["Credentials", "Issued", "Tokens", "Verified"]

SHOWN = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "org", "ns", "cnf", "act")


class Tokens:
    """The tokens of all tenants. `public_url` returns the base of the issuers, `https://host:port`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        keys: Keys,
        revocations: Revocations,
        hasher: Secrets,
        foreign: Foreign,
        public_url: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._revocations = revocations
        self._clock = clock
        self._clients = ClientAuth(store, hasher, clock)
        self._verifier = Verifier(store, keys, revocations, foreign, public_url, clock)
        self._issuing = Issuing(settings, store, keys, self._clients, self._verifier, public_url, clock)

    async def load(self) -> None:
        """Read what is kept in memory."""
        await self._revocations.load()
        await self._verifier.load()

    async def close(self) -> None:
        """Stop following the database."""
        await self._verifier.close()

    # ---- in memory, for the data plane too

    def verify(self, text: str, thumbprint: str) -> Verified:
        """Judge a token shown on a connection whose certificate has this `x5t#S256` (empty: it has none).

        Raises `Refused(INVALID_TOKEN)`.
        """
        return self._verifier.verify(text, thumbprint)

    def is_revoked(self, access: Verified | Standing) -> bool:
        """Has it been revoked since, or what it was issued for?"""
        return access.ended if isinstance(access, Standing) else self._verifier.is_revoked(access)

    # ---- on a connection

    async def enter(self, client: str, secret: str) -> Standing:
        """What a client may do that has shown its secret on a connection: as a token for everything it may have.

        Raises `OAuthError`, `Refused(TOO_MANY_REQUESTS)`, `Refused(UNAVAILABLE)`.
        """
        return await self._issuing.enter(client.partition(".")[0], Credentials(client, secret=secret))

    # ---- the endpoints

    async def issue(self, tenant: str, form: Mapping[str, str], shown: Credentials) -> Issued:
        """Answer a request to the token endpoint of a tenant; `form` has its parameters.

        Raises `OAuthError`, `Refused(TOO_MANY_REQUESTS)`, `Refused(UNAVAILABLE)`.
        """
        return await self._issuing.issue(tenant, form, shown)

    async def introspect(self, tenant: str, token: str, shown: Credentials) -> dict[str, Any]:
        """What a token means, for clients of the same tenant (RFC 7662); `{"active": False}` for what is not theirs.

        Raises as `issue`.
        """
        proved = await self._issuing.prove(tenant, shown)
        await self._confirm(proved)
        if token.startswith(refresh.PREFIX):
            return await self._introspect_refresh(proved, token)
        try:
            verified = self._verifier.judge(token)
        except Refused:
            return {"active": False}
        if verified.organization != tenant:
            return {"active": False}
        claims = jose.parse(token).claims
        known = {name: claims[name] for name in SHOWN if name in claims}
        return {"active": True, **known, "token_type": "Bearer", "agent": str(verified.pattern)}

    async def revoke(self, tenant: str, token: str, shown: Credentials) -> None:
        """End a token of the client that asks (RFC 7009); a refresh token with its whole family.

        Whoever has the token may do so without more than its `client_id`. Nothing happens for a token that is not
        good, or of another tenant. Raises as `issue`.
        """
        if shown.secret or shown.assertion:
            await self._confirm(await self._issuing.prove(tenant, shown))
        if token.startswith(refresh.PREFIX):
            kept = await self._store.read(partial(refresh.find, text=token))
            record = await self._clients.record(kept.client) if kept is not None else None
            if kept is not None and record is not None and record.client.tenant == tenant:
                _check_owner(kept.client, shown)
                await self._issuing.end_family(tenant, kept, "token.revoke")
            return
        try:
            verified = self._verifier.judge(token)
        except Refused:
            return
        if verified.organization == tenant:
            _check_owner(verified.client, shown)
            await self._revoke_one(verified)

    def metadata(self, tenant: str) -> dict[str, Any]:
        """The metadata of a tenant's issuer (RFC 8414). The same for tenants that do not exist."""
        issuer = self._verifier.issuer(tenant)
        methods = ["client_secret_basic", "private_key_jwt", "tls_client_auth"]
        algorithms = list(jose.KEY_TYPES)
        return {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth2/token",
            "introspection_endpoint": f"{issuer}/oauth2/introspect",
            "revocation_endpoint": f"{issuer}/oauth2/revoke",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": list(GRANT_TYPES),
            "scopes_supported": [*(f"agp:{verb}:*" for verb in VERBS), "agp:admin", "offline_access"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": [*methods, "none"],
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "tls_client_certificate_bound_access_tokens": True,
        }

    async def tick(self, now: float) -> None:
        """Delete what has ended: revocations, used assertions, refresh tokens."""
        await self._revocations.tick(now)

    # ---- inside

    async def _confirm(self, proved: Proved) -> None:
        if proved.assertion is None:
            await self._store.read(lambda connection: proved.confirm(connection, self._clock()))
        else:
            await self._store.write(lambda connection, notes: proved.confirm(connection, notes.now))

    async def _introspect_refresh(self, proved: Proved, token: str) -> dict[str, Any]:
        kept = await self._store.read(partial(refresh.find, text=token))
        client = proved.record.client.id
        if kept is None or kept.client != client or kept.used or kept.expires <= self._clock():
            return {"active": False}
        return {"active": True, "client_id": client, "scope": kept.scope, "exp": int(kept.expires)}

    async def _revoke_one(self, token: Verified) -> None:
        def work(connection: Connection, notes: Notes) -> None:
            end = Revocation("token", token.token_id, notes.now, token.expires + MARGIN_S)
            detail = {"jti": token.token_id, **revoke(connection, [end])}
            notes.add(token.client, token.organization, "token.revoke", token.client, detail)

        await self._store.write(work)


def answer(issued: Issued) -> dict[str, Any]:
    """As the token endpoint writes it (RFC 6749 section 5.1)."""
    fields = {name: value for name, value in asdict(issued).items() if value != ""}
    return {"token_type": "Bearer", **fields, "scope": issued.scope}


def _check_owner(client: str, shown: Credentials) -> None:
    if client != shown.client_id:
        raise OAuthError("unauthorized_client", "the token was issued to another client")
