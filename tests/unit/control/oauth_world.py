"""A control plane with organizations and clients, for tests of tokens."""

from collections.abc import Callable

import msgspec
from joserfc import jws

from agpd.config import Control as Settings
from agpd.control import jose
from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Client, Tenant
from agpd.control.service import Control
from agpd.control.store import Store
from agpd.control.tokens import Credentials, Issued, Verified
from agpd.names import parse_pattern

BASE = "https://gateway.example:7421"
OPERATOR = Caller(OPERATOR_TENANT, parse_pattern(f"{OPERATOR_TENANT}/*"), Role.OPERATOR, "operator")
SETTINGS = Settings(enabled=True, public_url=BASE)
THUMBPRINT = jose.thumbprint(b"certificate")
OTHER_THUMBPRINT = jose.thumbprint(b"another certificate")


def admin_of(tenant: str) -> Caller:
    return Caller(tenant, parse_pattern(f"{tenant}/*"), Role.ADMIN, f"admin of {tenant}")


class World:
    """Make it with `open`; `acme` and `globex` are there."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.tokens = control.tokens

    @classmethod
    async def open(cls, store: Store, clock: Callable[[], float], settings: Settings = SETTINGS) -> "World":
        world = cls(Control(settings, store, clock))
        await world.load()
        for name in ("acme", "globex"):
            await world.control.tenants.put(OPERATOR, Tenant(name=name), create=True)
        return world

    async def load(self) -> None:
        await self.control.keys.load()
        await self.tokens.load()
        await self.control.issuers.load()

    async def close(self) -> None:
        """All but the store, which the fixture closes."""
        for service in (self.control.issuers, self.tokens, self.control.keys):
            await service.close()
        self.control._hasher.close()

    async def client(self, id_: str = "acme.bot", agent: str = "acme/prod/*", **fields: object) -> Client:
        tenant = agent.partition("/")[0]
        client = msgspec.convert({"id": id_, "tenant": tenant, "agent": agent, **fields}, Client)
        return await self.control.clients.put(OPERATOR, client)

    async def login(self, id_: str = "acme.bot", agent: str = "acme/prod/*", **fields: object) -> Credentials:
        """A client with a secret."""
        await self.client(id_, agent, **fields)
        return await self.secret(id_)

    async def secret(self, id_: str = "acme.bot") -> Credentials:
        made = await self.control.clients.add_secret(OPERATOR, id_)
        return Credentials(id_, secret=made.secret)

    async def issue(self, shown: Credentials, tenant: str = "acme", **form: str) -> Issued:
        return await self.tokens.issue(tenant, {"grant_type": "client_credentials", **form}, shown)

    async def refresh(self, token: str, shown: Credentials, tenant: str = "acme", **form: str) -> Issued:
        form = {"grant_type": "refresh_token", "refresh_token": token, **form}
        return await self.tokens.issue(tenant, form, shown)

    async def verified(self, shown: Credentials, **form: str) -> Verified:
        return self.tokens.verify((await self.issue(shown, **form)).access_token, shown.thumbprint)


def with_certificate(shown: Credentials, thumbprint: str = THUMBPRINT) -> Credentials:
    return Credentials(shown.client_id, shown.secret, shown.assertion, thumbprint)


def signed(key: jose.Key, claims: dict[str, object], algorithm: str = "Ed25519", **header: object) -> str:
    """A token with this header, which need not be one that agpd makes."""
    full = {"alg": algorithm, **header}
    return jws.serialize_compact(full, msgspec.json.encode(claims), key, algorithms=[algorithm])
