"""gRPC on the gateway's accept path: the table of services, the connections, and the work of each turn.

Nothing here waits. What one read brings is handed to receivers at once, all whole messages of a call together, and what
they write goes out in one write at the end of the turn. A service that waits is made with `agpd.transport.rpc`.

The work that connections cause in one turn of the loop is bounded (`WORK_PER_TURN`); the rest has its turn later, in
order, and its connection is not read until then.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from agpd.config import Config
from agpd.errors import Code, Fatal
from agpd.gateway.budget import outbox_budget_bytes
from agpd.transport.call import Call, Receiver, Service
from agpd.transport.grpc_connection import LINGER_S, Connection
from agpd.wire import http2
from agpd.wire.grpc import Failed, Status

__all__ = ["Call", "Connection", "Receiver", "Server", "Service"]

WORK_PER_TURN = 4096  # units of `agpd.wire.http2`: about 5 ms
QUIET_ROUND_S = 0.02
MEMORY_PART = 4  # of outbox.budget_bytes, for messages of clients that are not whole or not handed over


class Server:
    """The table of services, and the connections. `protocol` is for a `Listener`."""

    def __init__(
        self,
        config: Config,
        services: Mapping[str, Service] | None = None,
        *,
        others: Callable[[], int] = int,
    ) -> None:
        """`others` counts links: together with the connections without calls `limits.connections` bounds them."""
        grpc = config.grpc
        self.loop = asyncio.get_running_loop()
        self._marked: list[Connection] = []
        self.limits = http2.Limits(
            header_bytes=grpc.header_limit_bytes,
            streams=grpc.streams_per_connection,
            stream_window_bytes=grpc.stream_window_bytes,
            connection_window_bytes=grpc.connection_window_bytes,
        )
        self.message_limit_bytes = grpc.message_limit_bytes
        self.connection_memory_bytes = grpc.connection_memory_bytes
        self.memory_bytes = outbox_budget_bytes(config) // MEMORY_PART
        self.kept_bytes = 0  # of messages that were not handed over, on all connections
        self.keepalive_interval_s = grpc.keepalive_interval_ms / 1000
        self.keepalive_timeout_s = grpc.keepalive_timeout_ms / 1000
        self.idle_timeout_s = grpc.idle_timeout_ms / 1000
        self.frame_timeout_s = config.limits.frame_timeout_ms / 1000
        self.hello_s = config.limits.hello_timeout_ms / 1000
        self.connections: dict[Connection, None] = {}
        self.idle = 0  # connections without calls
        self.calls = self.failed = 0  # counters: calls begun, connections that broke the rules
        self.draining = False
        self._limit = min(grpc.connections, config.limits.connections)
        self._all_limit = config.limits.connections
        self._others = others
        self._services: dict[str, Service] = dict(services or {})
        self._work = WORK_PER_TURN
        self._waiting: deque[Connection] = deque()
        self._counting = False

    def add(self, path: str, service: Service) -> None:
        """Serve `/package.Service/Method`. Each path once."""
        assert path not in self._services, path
        self._services[path] = service

    @property
    def paths(self) -> list[str]:
        """All that is served."""
        return sorted(self._services)

    @property
    def accepting(self) -> bool:
        """Is there room for one more connection?"""
        if self.draining or len(self.connections) >= self._limit:
            return False
        return self.idle + self._others() < self._all_limit

    def protocol(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def service(self, path: str) -> Service:
        """Who serves it. Raises `Failed(UNIMPLEMENTED)`."""
        found = self._services.get(path)
        if found is None:
            raise Failed(Status.UNIMPLEMENTED, f"{path[:200]} is not served here")
        return found

    def drain(self) -> None:
        """Take no more connections, and ask clients to go elsewhere; calls go on."""
        if self.draining:
            return
        self.draining = True
        for connection in list(self.connections):
            connection.leave(final=False)

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for calls to end, end those that do not with UNAVAILABLE, and close everything."""
        self.drain()
        deadline = self.loop.time() + grace_s
        while self._calls() and self.loop.time() < deadline:  # noqa: ASYNC110  (calls announce their end to nobody)
            await asyncio.sleep(QUIET_ROUND_S)
        for connection in list(self.connections):
            connection.end(Fatal(Code.SHUTTING_DOWN))
        deadline = self.loop.time() + LINGER_S
        while self.connections and self.loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(QUIET_ROUND_S)
        for connection in list(self.connections):
            connection.transport.abort()
        while self.connections:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _calls(self) -> int:
        return sum(len(connection.calls) for connection in self.connections)

    # ---- of connections

    def admit(self, connection: Connection) -> bool:
        """Count it in. False if there is no room."""
        if not self.accepting:
            return False
        self.connections[connection] = None
        self.idle += 1
        return True

    def discharge(self, connection: Connection) -> None:
        """It has ended."""
        if connection in self.connections:
            del self.connections[connection]
            self.idle -= 1

    def mark(self, connection: Connection) -> None:
        """Flush it after what is due in this turn already: the links have flushed by then, and all is one write."""
        if not self._marked:
            self.loop.call_soon(self._flush)
        self._marked.append(connection)

    def _flush(self) -> None:
        marked, self._marked = self._marked, []
        for connection in marked:
            connection.flush()

    def work_left(self) -> int:
        """Units of work that this turn of the loop has left."""
        if not self._counting:
            self._counting = True
            self.loop.call_soon(self._next_turn)
        return self._work

    def spend(self, units: int) -> None:
        """So much was done."""
        self._work = max(0, self._work - units)

    def go_on_with(self, connection: Connection) -> None:
        """It has more than this turn had."""
        self._waiting.append(connection)

    def _next_turn(self) -> None:
        self._counting, self._work = False, WORK_PER_TURN
        for _ in range(len(self._waiting)):
            if self._work <= 0:
                break
            self._waiting.popleft().work()
        if self._waiting and not self._counting:
            self.work_left()
