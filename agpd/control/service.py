"""The control plane as one object: its services over one store. REST, gRPC and the gateway itself use it."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from agpd.config import Control as Settings
from agpd.config import Grant as OperatorGrant
from agpd.control.audit import Audit
from agpd.control.clients import Clients
from agpd.control.discovery import Discovery
from agpd.control.grants import Grants
from agpd.control.issuers import Issuers
from agpd.control.keys import Keys
from agpd.control.policies import Policies
from agpd.control.policy import Policy
from agpd.control.registry import Registry
from agpd.control.revocations import Revocations
from agpd.control.routes import Routes
from agpd.control.sealing import Sealer
from agpd.control.secrets import Secrets
from agpd.control.store import Store
from agpd.control.tenants import Namespaces, Tenants, Types
from agpd.control.tokens import Tokens
from agpd.control.transfer import Transfer
from agpd.control.watching import Feed
from agpd.errors import Refused


class Timed(Protocol):
    """A service that has something to do as time goes by."""

    async def tick(self, now: float) -> None:
        """Do it; called about once a second. `now` in Unix seconds."""


class Control:
    """An open control plane. Make it with `open`, `close` it. `clock` returns Unix seconds."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Callable[[], float],
        operator_grants: Sequence[OperatorGrant] = (),
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.audit = Audit(store, settings.page_limit)
        self.tenants = Tenants(store, settings.page_limit)
        self.namespaces = Namespaces(store, settings.page_limit)
        self.types = Types(store, settings.page_limit)
        self.timed: list[Timed] = [self.types]  # services that have something to do as time goes by
        self.policies = Policies(store, operator_grants)
        self.grants = Grants(store, self.policies, settings.page_limit)
        self.routes = Routes(store, settings.page_limit)
        self._feed = Feed(store, lambda: self.policy, settings.watchers)
        self.discovery = Discovery(store, self._feed, lambda: self.policy, settings.page_limit)
        self.registry = Registry(
            store,
            self._feed,
            lambda: self.policy,
            instance_life=settings.instance_life_s,
            clock=clock,
            chance=secrets.randbits,
        )
        self.timed.append(self.registry)
        # Without a setting, whoever listens says where. Tokens name it as issuer and audience.
        self.public_url = settings.public_url.rstrip("/") or "https://127.0.0.1:7421"
        self._hasher = Secrets(store.sealer)
        self._revocations = Revocations(store)
        self.clients = Clients(settings, store, store.sealer, self._hasher, clock)
        self.keys = Keys(settings, store, store.sealer, clock)
        self.issuers = Issuers(settings, store, lambda: self.public_url, clock)
        self.tokens = Tokens(
            settings,
            store,
            self.keys,
            self._revocations,
            self._hasher,
            self.issuers,
            lambda: self.public_url,
            clock,
        )
        self.timed += [self.keys, self.tokens, self.issuers]
        self.transfer = Transfer(store, self)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        operator_grants: Sequence[OperatorGrant] = (),
    ) -> Self:
        """Open or make the database, and the key beside it. Raises `ConfigError`.

        `operator_grants` are those of the configuration.
        """
        sealer = Sealer.open(state_directory(settings) / "control.key")
        store = await Store.open(database_url(settings), clock, sealer=sealer)
        control = cls(settings, store, clock, operator_grants)
        try:
            await control.policies.open()
            await control.keys.load()
            await control.tokens.load()
            await control.issuers.load()
        except BaseException:
            await control.close()
            raise
        return control

    @property
    def policy(self) -> Policy:
        """What is in force now."""
        return self.policies.current

    def on_policy(self, callback: Callable[[], None]) -> None:
        """Call it each time that `policy` is another one."""
        self.policies.listen(callback)

    async def tick(self, now: float) -> None:
        """Do what time asks for, about once a second; `now` in Unix seconds.

        A service that fails holds up no other; its error is raised then, such as `Refused(UNAVAILABLE)`.
        """
        outcomes = await asyncio.gather(*(timed.tick(now) for timed in self.timed), return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if errors:
            raise min(errors, key=lambda error: isinstance(error, Refused))  # what is no outage comes first

    async def ping(self) -> None:
        """Does the database answer? Raises `Refused(UNAVAILABLE)`."""
        await self.store.ping()

    async def close(self) -> None:
        """Finish what was asked for, then close the database."""
        for service in (self.issuers, self.tokens, self.keys):
            await service.close()
        self._hasher.close()
        await self._feed.close()
        await self.policies.close()
        await self.store.close()


def state_directory(settings: Settings) -> Path:
    """Where the control plane keeps its files."""
    if settings.state_directory:
        return Path(settings.state_directory)
    if state := os.environ.get("AGPD_STATE_DIR"):
        return Path(state)
    import platformdirs

    return platformdirs.user_state_path("agpd")


def database_url(settings: Settings) -> str:
    """`control.database`, or the SQLite file in the state directory."""
    return settings.database or f"sqlite:///{state_directory(settings) / 'control.db'}"
