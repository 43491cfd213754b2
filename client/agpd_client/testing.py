"""A gateway in the process of the test, and a pytest fixture: `pytest_plugins = ["agpd_client.testing"]`."""

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agpd.app import memory_gateway
from agpd_client.gateway import Gateway, assemble
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import AnyProtocol, Carrier

if TYPE_CHECKING:
    from agpd.app import Gateway as Server
    from agpd.config import Config


class MemoryGateway:
    """The routing core of the real gateway, on the running loop, without a socket.

    Made empty; it starts with the first connection, or `async with`, and ends with `close`. `config`: limits, grants.
    """

    def __init__(self, config: "Config | None" = None) -> None:
        self._config = config
        self._server: Server | None = None
        self._users = 0

    @property
    def server(self) -> "Server":
        """The gateway itself, started if it is not yet."""
        if self._server is None:
            self._server = memory_gateway(self._config)
        return self._server

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Connect a client's protocol."""
        self.server.attach(protocol)

    def connect(self, **options: Any) -> Gateway:
        """As `agpd_client.connect` without a URL, to this gateway."""
        return assemble(_Memory(self), **options)

    def enter(self) -> None:
        """One connection more."""
        self._users += 1

    async def leave(self) -> None:
        """One connection less; after the last one nothing is left running."""
        self._users -= 1
        if not self._users:
            await self.close()

    async def close(self) -> None:
        """End all connections."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(drain_s=0)

    async def __aenter__(self) -> "MemoryGateway":
        self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()


class _Memory(Carrier):
    """Connects to a `MemoryGateway`."""

    def __init__(self, gateway: MemoryGateway) -> None:
        super().__init__(Address("local", "memory", 0))
        self._gateway = gateway
        self._entered = False

    async def connect(
        self, make_protocol: Callable[[], AnyProtocol], timeout: float, token: str = ""
    ) -> AnyProtocol:
        if not self._entered:
            self._entered = True
            self._gateway.enter()
        protocol = make_protocol()
        self._gateway.attach(protocol)
        return protocol

    async def release(self) -> None:
        if self._entered:
            self._entered = False
            await self._gateway.leave()


if "pytest" in sys.modules:  # loaded as a plugin, or by a test
    import pytest

    @pytest.fixture
    def agp_gateway() -> MemoryGateway:
        """A gateway in memory: `async with agp_gateway.connect() as gateway`. It ends with its last connection."""
        return MemoryGateway()
