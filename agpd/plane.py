"""The control plane beside the data plane: services, the listener for HTTP, and what has to be done each second.

Its services of gRPC are added to the gateway's server.

Importing this needs what `agpd[server]` installs; `agpd.app` does so only when `control.enabled` is set.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Self

from agpd.api.callers import Callers, Identify
from agpd.api.control_grpc import ControlServices
from agpd.api.http import application
from agpd.api.oauth import routes as oauth_routes
from agpd.api.rest import Rest
from agpd.api.server import Server
from agpd.config import Config, split_address
from agpd.control.service import Control
from agpd.errors import Refused
from agpd.gateway.hub import Hub
from agpd.joint import Joint
from agpd.telemetry.logs import event
from agpd.transport import front
from agpd.transport.grpc_front import GrpcFront
from agpd.transport.listener import Listener
from agpd.transport.sockets import bind
from agpd.transport.tls import Certificates

TICK_S = 1.0
GRACE_S = 2.0
_log = logging.getLogger("agpd.control")


class Plane:
    """A running control plane. Make it with `open`; `drain` it, then `close` it.

    `http` is the address it listens at, host and real port; None if it does not listen.
    """

    def __init__(self, config: Config, control: Control, hub: Hub, identify: Identify | None) -> None:
        self.config = config
        self.control = control
        self.http: tuple[str, int] | None = None
        self._draining = False
        self.joint = Joint(control, hub, control.clock)
        callers = Callers(control, identify, time.monotonic)
        rest = Rest(control, callers, self._closing)
        routes = [*oauth_routes(control), *rest.routes()]
        self._http = Server(application(routes, self._problem, control.clock))
        self._listener: Listener | None = None
        self._grpc = ControlServices(control, callers, self._closing)
        self._ticks: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        config: Config,
        hub: Hub,
        certificates: Certificates | None,
        identify: Identify | None,
        clock: Callable[[], float],
        grpc: GrpcFront | None,
    ) -> Self:
        """Open the database, tell the hub what holds, and listen. `clock`: Unix seconds.

        `identify` and `certificates` are None for plaintext, `grpc` if nothing is served over gRPC.

        Raises `ConfigError`.
        """
        plane = cls(config, await Control.open(config.control, clock, config.grants), hub, identify)
        try:
            await plane.joint.open()
            plane._listen(certificates)
            if grpc is not None:
                for path, service in plane._grpc.services.items():
                    grpc.add(path, service)
        except BaseException:
            await plane.close()
            raise
        plane._ticks = asyncio.create_task(plane._tick())
        return plane

    def drain(self) -> None:
        """Say that the gateway ends: it is not ready any more, and streams end."""
        self._draining = True

    async def close(self) -> None:
        """Finish what was asked for, as far as it takes no longer than `GRACE_S`, and close everything."""
        self.drain()
        if self._ticks is not None:
            self._ticks.cancel()
            await asyncio.wait((self._ticks,))
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        await asyncio.gather(self._http.close(GRACE_S), self._grpc.close())
        await self.joint.close()
        await self.control.close()

    def _listen(self, certificates: Certificates | None) -> None:
        listen = self.config.listen
        if listen.http:
            sock = bind(*split_address(listen.http, "listen.http"))
            self.http = sock.getsockname()[:2]
            if not self.config.control.public_url:
                self.control.public_url = url_of(*self.http, tls=certificates is not None)
            self._listener = front.listener(
                self.config,
                sock,
                self._http.protocol,
                trust=None if certificates is None else certificates.optional,
                accepting=lambda: self._http.accepting,
            )
            self._listener.start()

    def _closing(self) -> bool:
        return self._draining

    async def _problem(self) -> str:
        if self._draining:
            return "draining"
        try:
            await self.control.ping()
        except Refused as refused:
            return refused.detail or refused.code.name
        return ""

    async def _tick(self) -> None:
        """Let the services do what time asks for. A fault, or a database that is away, ends only this round."""
        loop = asyncio.get_running_loop()
        while True:
            round_ = asyncio.ensure_future(self.control.tick(self.control.clock()))
            try:
                await asyncio.wait((round_,))
            finally:
                round_.cancel()  # when everything ends
            error = round_.exception()
            if isinstance(error, Refused):
                event(_log, logging.WARNING, "the control plane could not do its rounds", problem=str(error))
            elif error is not None:
                loop.call_exception_handler(
                    {"message": "a round of the control plane failed", "exception": error}
                )
            await asyncio.sleep(TICK_S)


def url_of(host: str, port: int, *, tls: bool) -> str:
    """How clients reach an address that is listened at; every interface is this machine's name."""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = socket.gethostname()
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
