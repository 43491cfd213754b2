"""What an operator does before agents come: a tenant, a client with its secret, an access token. Over REST."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gateways
import httpx2
from gateways import Agpd
from scenarios.process import World


@dataclass(frozen=True)
class Secret:
    """What a client shows."""

    client: str
    secret: str


class Office:
    """The control plane of a gateway, as its operator."""

    def __init__(self, gateway: Agpd, world: World) -> None:
        self.gateway, self.world = gateway, world
        context = world.context(world.issue("*", "operator"))
        self._http = httpx2.Client(base_url=gateway.http, verify=context)

    def tenant(self, name: str) -> None:
        """Make a tenant."""
        self._post("/v1/tenants", {"name": name})

    def client(self, id_: str, tenant: str, agent: str) -> Secret:
        """Make a client that may speak as these agents, with a secret."""
        self._post(f"/v1/tenants/{tenant}/clients", {"id": id_, "tenant": tenant, "agent": agent})
        made = self._post(f"/v1/tenants/{tenant}/clients/{id_}/secrets", {})
        return Secret(id_, made["secret"])

    def token(self, tenant: str, shown: Secret) -> str:
        """An access token."""
        form = {"grant_type": "client_credentials"}
        url = f"/t/{tenant}/oauth2/token"
        # Without a certificate: with one, the token would be bound to it.
        with httpx2.Client(base_url=self.gateway.http, verify=self.world.context(None)) as http:
            said = http.post(url, data=form, auth=(shown.client, shown.secret))
        assert said.status_code == 200, said.text
        return str(said.json()["access_token"])

    def _post(self, path: str, body: dict[str, str]) -> Any:
        said = self._http.post(path, json=body)
        assert said.status_code in (200, 201), said.text
        return said.json()

    def close(self) -> None:
        self._http.close()


@contextmanager
def open_office(directory: Path) -> Iterator[Office]:
    """A gateway over TLS with its control plane, and its operator."""
    world = World(directory / "pki")
    control = {"enabled": True, "state_directory": str(directory / "state")}
    with gateways.agpd(directory, world, tls={"accept_any_name": True}, control=control) as running:
        office = Office(running, world)
        try:
            yield office
        finally:
            office.close()
