"""A gateway with its control plane on the running loop, the certificates for it, and clients of REST and gRPC."""

import dataclasses
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
import httpx2

from agpd.app import Gateway
from agpd.config import Config, Control, Listen, Tls
from agpd.control import jose
from agpd.control.caller import OPERATOR_TENANT, Caller, Role
from agpd.control.resources import Client, Tenant
from agpd.control.tokens import Credentials
from agpd.names import Pattern, parse_pattern
from agpd.transport.pki import Authority, Pair

OPERATOR = Caller(OPERATOR_TENANT, Pattern(()), Role.OPERATOR, "test")


class ControlWorld:
    """The gateway, and whoever asks it."""

    def __init__(self, gateway: Gateway, directory: Path, authority: Authority | None) -> None:
        self.gateway = gateway
        self.directory = directory
        self.authority = authority
        self._numbers = iter(range(10_000))

    @property
    def control(self) -> Any:
        assert self.gateway.plane is not None
        return self.gateway.plane.control

    @property
    def url(self) -> str:
        assert self.gateway.plane is not None
        assert self.gateway.plane.http is not None
        scheme = "http" if self.authority is None else "https"
        return f"{scheme}://127.0.0.1:{self.gateway.plane.http[1]}"

    def issue(self, pattern: str) -> Pair:
        """A client certificate for these names."""
        assert self.authority is not None
        directory = self.directory / f"pair{next(self._numbers)}"
        return self.authority.issue_agent(parse_pattern(pattern), directory, time.time(), 3600.0)

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """TLS of a client with this certificate, or without one."""
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def http(self, pair: Pair | None = None, token: str = "") -> httpx2.AsyncClient:
        """A client of REST."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        verify = True if self.authority is None else self.context(pair)
        return httpx2.AsyncClient(base_url=self.url, verify=verify, headers=headers, timeout=20)

    @property
    def grpc_address(self) -> str:
        """Where it serves gRPC."""
        assert self.gateway.grpc is not None
        assert self.gateway.grpc.address is not None
        return f"127.0.0.1:{self.gateway.grpc.address[1]}"

    def channel(self, pair: Pair | None) -> grpc.aio.Channel:
        """A channel of gRPC, with this certificate or without one."""
        ca = (self.directory / "ca.pem").read_bytes()
        own = () if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(self.grpc_address, grpc.ssl_channel_credentials(ca, *own), options)

    async def tenant(self, name: str, **fields: Any) -> None:
        """Make or replace a tenant."""
        await self.control.tenants.put(OPERATOR, Tenant(name=name, **fields))

    async def client(self, id_: str, tenant: str, agent: str, **fields: Any) -> Credentials:
        """Make a client with a secret."""
        await self.control.clients.put(OPERATOR, Client(id=id_, tenant=tenant, agent=agent, **fields))
        secret = await self.control.clients.add_secret(OPERATOR, id_)
        return Credentials(client_id=id_, secret=secret.secret)

    async def token(self, tenant: str, shown: Credentials, scope: str = "") -> str:
        """A fresh token."""
        form = {"grant_type": "client_credentials", "scope": scope}
        issued = await self.control.tokens.issue(tenant, form, shown)
        return str(issued.access_token)

    async def bound_token(self, tenant: str, shown: Credentials, pair: Pair, scope: str = "") -> str:
        """A fresh token that is bound to this certificate."""
        der = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
        return await self.token(tenant, dataclasses.replace(shown, thumbprint=jose.thumbprint(der)), scope)


@asynccontextmanager
async def control_world(
    directory: Path,
    *,
    clock: Callable[[], float] = time.time,
    plaintext: bool = False,
    workers: int = 1,
    **settings: Any,
) -> AsyncIterator[ControlWorld]:
    """A gateway with these settings of `control`, on free ports of loopback."""
    listen = Listen(
        native="127.0.0.1:0", http="127.0.0.1:0", grpc="127.0.0.1:0", plaintext=plaintext, workers=workers
    )
    control = Control(enabled=True, state_directory=str(directory / "state"), **settings)
    authority, tls, pki = None, Tls(), directory / "pki"
    if not plaintext:
        authority = Authority.create(pki, "world", time.time())
        pair = authority.issue_gateway(["localhost", "127.0.0.1"], pki / "gateway", time.time())
        tls = Tls(
            certificate=str(pair.certificate),
            key=str(pair.key),
            ca=str(pki / "ca.pem"),
            crl=str(pki / "crl.pem"),
            accept_any_name=True,
        )
    async with Gateway(Config(listen=listen, tls=tls, control=control), clock) as gateway:
        await gateway.open()
        gateway.start()
        await gateway.ready()
        yield ControlWorld(gateway, pki, authority)
