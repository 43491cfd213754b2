"""Where a gateway serves gRPC: the server of `agpd.transport.grpc` behind a listener of its own.

Importing this needs what `agpd[grpc]` installs; `agpd.app` does so only when `listen.grpc` is set.
"""

import time
from collections.abc import Callable

from agpd.config import Config, split_address
from agpd.errors import Code, Fatal
from agpd.gateway.hub import Hub
from agpd.transport import front
from agpd.transport.callers import Identify
from agpd.transport.dialects import Dialects
from agpd.transport.grpc import Connection, Server, Service
from agpd.transport.identity import LEEWAY_S
from agpd.transport.listener import Listener
from agpd.transport.services import data_plane
from agpd.transport.sockets import bind
from agpd.transport.tls import Certificates, passport_of


class GrpcFront:
    """Make it, `add` services, also those that `carry` messages, `listen`; `drain` it, then `close` it.

    `others` counts the gateway's links, of whatever transport. `wall_clock` returns Unix seconds.
    """

    def __init__(
        self, config: Config, others: Callable[[], int], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.server = Server(config, others=others)
        self.address: tuple[str, int] | None = None  # host and real port, once it listens
        self.dialects: Dialects | None = None  # once it serves the data plane
        self._config = config
        self._wall_clock = wall_clock
        self._listener: Listener | None = None
        self._certificates: Certificates | None = None

    @property
    def listener(self) -> Listener:
        """The accept path, with its counters. Only after `listen`."""
        assert self._listener is not None, "does not listen"
        return self._listener

    def add(self, path: str, service: Service) -> None:
        """Serve `/package.Service/Method`."""
        self.server.add(path, service)

    def carry(self, hub: Hub, identify: Identify | None) -> None:
        """Serve the data plane. `identify` tells whom a client certificate (DER) stands for; None: plaintext."""
        self.dialects, services = data_plane(self._config, hub, identify)
        for path, service in services.items():
            self.add(path, service)

    def listen(self, certificates: Certificates | None) -> None:
        """Listen as configured; None: in plaintext. Raises `BindError`."""
        sock = bind(*split_address(self._config.listen.grpc, "listen.grpc"))
        self.address = sock.getsockname()[:2]
        self._certificates = certificates
        self._listener = front.listener(
            self._config,
            sock,
            self.server.protocol,
            trust=None if certificates is None else certificates.grpc,
            accepting=lambda: self.server.accepting,
        )
        self._listener.start()

    def review(self) -> int:
        """End the connections whose certificate holds no longer: revoked, or expired. Returns how many."""
        ended = 0
        for connection in list(self.server.connections):
            code = self._verdict(connection)
            if code is not None:
                connection.end(Fatal(code))
                ended += 1
        return ended

    def drain(self) -> None:
        """Accept nobody any more, and ask clients to go elsewhere. Calls go on."""
        if self._listener is not None:
            self._listener.close()
        self.server.drain()

    async def close(self, grace_s: float) -> None:
        """Wait for calls, up to `grace_s`; end those that are left, and close everything."""
        self.drain()
        if self._listener is not None:
            await self._listener.wait_closed()
        await self.server.close(grace_s)

    def _verdict(self, connection: Connection) -> Code | None:
        if connection.certificate is None or self._certificates is None:
            return None
        if connection.passport is None:
            connection.passport = passport_of(connection.certificate)
        if self._certificates.is_revoked(connection.passport):
            return Code.CERTIFICATE_REVOKED
        expired = self._wall_clock() > connection.passport.not_after + LEEWAY_S
        return Code.CERTIFICATE_EXPIRED if expired else None
