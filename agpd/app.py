"""The composition root: a configuration becomes a running gateway. The only place that knows all parts."""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from agpd.config import Config, ConfigError, Listen, split_address
from agpd.control.policy import Policy, operator_statements
from agpd.errors import Code, Fatal, missing_package
from agpd.gateway.admission import Admission
from agpd.gateway.budget import outbox_budget_bytes
from agpd.gateway.hub import Hub
from agpd.gateway.lifecycle import ROUND_S, Deadlines, Lifecycle
from agpd.gateway.link import Link
from agpd.gateway.outbox import Clock, OutboxLimits
from agpd.gateway.principal import Principal
from agpd.hotpath import Turn
from agpd.routing.router import Router
from agpd.telemetry.logs import event
from agpd.transport import front
from agpd.transport.identity import LEEWAY_S, principal_of
from agpd.transport.listener import Listener
from agpd.transport.memory import pipe
from agpd.transport.native import NativeProtocol
from agpd.transport.sockets import bind
from agpd.transport.tls import TlsConfigError
from agpd.transport.workers.pool import Pool

if TYPE_CHECKING:
    from agpd.plane import Plane
    from agpd.transport.grpc_front import GrpcFront

CRL_ALARM = 0.25  # of its life left
QUIET_ROUND_S = 0.05
GRPC_GRACE_S = 2.0  # for calls that are under way when all links have gone
LATE_S = 0.2  # a round that is later than this was not ours to begin

_log = logging.getLogger("agpd.gateway")


class Gateway:
    """A gateway on the running loop. Make it, `open` its control plane if it has one, `start` it, `stop` it.

    `grpc`: where it serves gRPC, once it is opened or started, and if `listen.grpc` is set.
    Without `start` it listens nowhere and serves what is attached in memory. `wall_clock` returns Unix seconds;
    certificates are judged by it.
    """

    def __init__(self, config: Config, wall_clock: Callable[[], float] = time.time) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.certificates = front.certificates(config, wall_clock)
        self.hub = _hub(config, loop, self._ended)
        self.plane: Plane | None = None
        self.grpc: GrpcFront | None = None
        self._lifecycle = Lifecycle(self.hub, Deadlines.of(config), outbox_budget_bytes(config))
        self._listener: Listener | None = None
        self._pool: Pool | None = None
        self._address = ("", 0)
        self._loop = loop
        self._wall_clock = wall_clock
        self._steps: asyncio.TimerHandle | None = None
        self._step_after(ROUND_S)
        self._reload_due = loop.time() + config.tls.reload_check_s
        self._alarmed = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on; the port is the real one where 0 was asked for."""
        return self._address

    @property
    def listener(self) -> Listener:
        """The accept path, with its counters. Only after `start`, and not with workers: each has its own."""
        assert self._listener is not None, "not started, or with workers"
        return self._listener

    async def open(self) -> None:
        """Open the control plane if `control.enabled` says so; it listens over HTTP now. Raises `ConfigError`."""
        plane = plane_class() if self.config.control.enabled else None
        self._make_grpc()
        if plane is None:
            return
        identify = None if self.certificates is None else self._identify
        self.plane = await plane.open(
            self.config, self.hub, self.certificates, identify, self._wall_clock, self.grpc
        )

    def start(self, sock: socket.socket | None = None) -> None:
        """Listen as configured, or without workers on this socket. Raises `BindError`.

        With workers nobody is served before they are `ready`.
        """
        self._make_grpc()
        if self.grpc is not None:
            self.grpc.listen(self.certificates)
        if self.config.listen.workers > 1:
            assert sock is None, "workers bind their own"
            self._pool = Pool(self.config, self._protocol, self._accepting)
            self._address = self._pool.address
            self._pool.start()
        else:
            sock = sock or bind(*split_address(self.config.listen.native))
            self._address = sock.getsockname()[:2]
            self._listener = front.listener(
                self.config, sock, self._protocol, trust=self.certificates, accepting=self._accepting
            )
            self._listener.start()
        if self.certificates is None:
            event(_log, logging.WARNING, "plaintext: anyone who reaches this address may use any name")

    def _make_grpc(self) -> None:
        """The server of gRPC with the services of the data plane, if it is to be. Raises `ConfigError`."""
        if self.grpc is None and self.config.listen.grpc:
            self.grpc = grpc_class()(self.config, lambda: len(self.hub.links), self._wall_clock)
            self.grpc.carry(self.hub, None if self.certificates is None else self._identify)

    async def ready(self) -> None:
        """Wait until clients are served. Raises `WorkerError`."""
        if self._pool is not None:
            await self._pool.ready()

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Connect a client's protocol to this gateway through memory, as whoever it says it is."""
        pipe(NativeProtocol(self.hub, None), protocol)

    def reload(self) -> None:
        """Read certificates and revocations again, and cut whoever has been revoked. Bad files change nothing."""
        if self.certificates is None:
            return
        try:
            self.certificates.reload()
        except TlsConfigError as error:
            event(_log, logging.ERROR, "certificates not reloaded", problem=str(error))
            return
        # Whoever has been revoked is refused from now on, whatever the workers still trust: see `_identify`.
        revoked = [link for link in self.hub.links if self.certificates.is_revoked(link.principal)]
        for link in revoked:
            self.hub.end(link, Code.CERTIFICATE_REVOKED)
        cut = len(revoked) + (0 if self.grpc is None else self.grpc.review())

        def reloaded(failed: int) -> None:
            if failed:  # each has logged why
                event(_log, logging.ERROR, "certificates not reloaded by all workers", failed=failed)
            else:
                event(_log, logging.INFO, "certificates reloaded", cut=cut)

        if self._pool is None:
            reloaded(0)
        else:
            self._pool.reload(reloaded)

    async def stop(self, drain_s: float | None = None) -> None:
        """Accept nobody, ask everybody to leave, and wait up to `drain_s` (default: as configured) for it.

        Then what was accepted is delivered, as far as receivers take it in the linger time, and all is closed. The
        control plane goes last: agents that leave deregister their instances.
        """
        try:
            if self.grpc is not None:
                self.grpc.drain()
            if self.plane is not None:
                self.plane.drain()
            await self._stop_links(drain_s)
        finally:
            if self.grpc is not None:
                await self.grpc.close(GRPC_GRACE_S)
                self.grpc = None
            if self.plane is not None:
                await self.plane.close()
                self.plane = None

    async def _stop_links(self, drain_s: float | None) -> None:
        deadline = self._loop.time() + (
            self.config.limits.drain_timeout_ms / 1000 if drain_s is None else drain_s
        )
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        if self._pool is not None:
            await self._pool.stop()
        self.hub.drain()
        await self._until(lambda: not self.hub.links, deadline)
        for link in list(self.hub.links):
            link.hold()
        linger = self.config.limits.linger_timeout_ms / 1000
        await self._until(self._delivered, self._loop.time() + (linger if self.hub.links else 0))
        for link in list(self.hub.links):
            self.hub.end(link, Code.SHUTTING_DOWN)
        await self._until(lambda: not self.hub.lingering, self._loop.time() + linger)
        for link in list(self.hub.lingering):
            link.carrier.abort()
        if self._pool is not None:
            await self._pool.end()
        if self._steps is not None:
            self._steps.cancel()
            self._steps = None
        ended = {f"ended_{code.name.lower()}": count for code, count in self.hub.ended.items()}
        event(_log, logging.INFO, "stopped", **self.hub.statistics(), **ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop(drain_s=0)

    async def _until(self, done: Callable[[], bool], deadline: float) -> None:
        # What is waited for lies in C buffers and other parts; nothing announces it.
        while not done() and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(QUIET_ROUND_S)

    def _delivered(self) -> bool:
        return all(not link.queued and not link.carrier.get_write_buffer_size() for link in self.hub.links)

    def _accepting(self) -> bool:
        held = len(self.hub.links) + (0 if self.grpc is None else self.grpc.server.idle)
        return not self.hub.draining and held < self.config.limits.connections

    def _protocol(self) -> NativeProtocol:
        return NativeProtocol(self.hub, None if self.certificates is None else self._identify)

    def _identify(self, der: bytes) -> Principal:
        assert self.certificates is not None
        principal = principal_of(der, self.certificates.profile)
        # The handshake may have begun with the revocations of before a reload.
        if self.certificates.is_revoked(principal):
            raise Fatal(Code.CERTIFICATE_REVOKED)
        return principal

    def _step_after(self, seconds: float) -> None:
        self._step_due = self._loop.time() + seconds
        self._steps = self._loop.call_at(self._step_due, self._step)

    def _step(self) -> None:
        """A part of the periodic check of all links, and of what else has to be looked at."""
        now = self._loop.time()
        late, pause_s = now - self._step_due, ROUND_S
        try:
            if late > LATE_S:  # stopped by a signal, or starved
                self._lifecycle.forgive(late)
            links, pause_s = self._lifecycle.step()
        finally:
            self._step_after(pause_s)  # also after a fault: it must not end the checks of all others for ever
        self._end_expired(links, self._wall_clock())
        if self.certificates is not None and now >= self._reload_due:
            self._reload_due = now + self.config.tls.reload_check_s
            if self.certificates.changed():
                self.reload()
            if self.grpc is not None:
                self.grpc.review()
            self._warn_of_revocations(self.certificates.crl_life_left())

    def _end_expired(self, links: list[Link], now: float) -> None:
        """A certificate holds as long as it says, for connections that stand too."""
        for link in links:
            if now > link.principal.not_after + LEEWAY_S:
                self.hub.end(link, Code.CERTIFICATE_EXPIRED)

    def _warn_of_revocations(self, life_left: float | None) -> None:
        short = life_left is not None and life_left < CRL_ALARM
        if short and not self._alarmed:
            event(
                _log, logging.WARNING, "revocation list ends soon; then nobody is let in", life_left=life_left
            )
        self._alarmed = short

    def _ended(self, link: Link, code: Code, detail: str) -> None:
        level = logging.INFO if code in (Code.GOODBYE, Code.SHUTTING_DOWN) else logging.WARNING
        event(
            _log,
            level,
            "connection ended",
            code=code.name,
            peer=link.peer,
            principal=link.principal.label,
            detail=detail,
            messages_in=link.messages_in,
            bytes_in=link.bytes_in,
            bytes_out=link.bytes_out,
            dropped=link.dropped,
        )


def plane_class() -> "type[Plane]":
    """`agpd.plane.Plane`. Raises `ConfigError` that says what to install."""
    try:
        from agpd.plane import Plane
    except ModuleNotFoundError as error:
        if not (package := missing_package(error)):
            raise
        raise ConfigError(
            f"control.enabled needs the package {package}: install what belongs to it with "
            "`pip install 'agpd[server]'`"
        ) from error
    return Plane


def grpc_class() -> "type[GrpcFront]":
    """`agpd.transport.grpc_front.GrpcFront`. Raises `ConfigError` that says what to install."""
    try:
        from agpd.transport.grpc_front import GrpcFront
    except ModuleNotFoundError as error:
        if not (package := missing_package(error)):
            raise
        raise ConfigError(
            f"listen.grpc needs the package {package}: install what belongs to it with `pip install 'agpd[grpc]'`, "
            "or set listen.grpc = ''"
        ) from error
    return GrpcFront


def memory_gateway(config: Config | None = None) -> Gateway:
    """A gateway for agents of this process, on the running loop: no socket, no TLS, the same routing core."""
    return Gateway(config or Config(listen=Listen(plaintext=True)))


def _hub(config: Config, loop: asyncio.AbstractEventLoop, on_end: Callable[[Link, Code, str], None]) -> Hub:
    admission = Admission(Policy.compiled(operator_statements(config.grants)), config.limits)
    chance = random.random  # which instance gets a message is no secret

    def choose(n: int) -> int:
        return int(chance() * n)

    router = Router(_number, choose, admission)
    outbox = config.outbox
    return Hub(
        router,
        admission,
        Turn(loop.call_soon),
        Clock(time.monotonic, loop.call_later),
        OutboxLimits(outbox.mark_bytes, outbox.limit_bytes, outbox.stall_budget_ms / 1000),
        identity=f"agpd-{secrets.token_hex(8)}",
        on_end=on_end,
    )


def _number() -> int:
    """A number for a handle, never 0. Unpredictable, so that it does not tell how many others were made."""
    return secrets.randbelow(2**32 - 1) + 1
