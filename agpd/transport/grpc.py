"""gRPC on the gateway's accept path: the protocol of one connection, its calls, and the table of services.

Nothing here waits. What one read brings is handed to receivers at once, all whole messages of a call together, and what
they write goes out in one write at the end of the turn. A service that waits is made with `agpd.transport.rpc`.

The work that connections cause in one turn of the loop is bounded (`WORK_PER_TURN`); the rest has its turn later, in
order, and its connection is not read until then.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from agpd.config import Config
from agpd.errors import AgpdError, Code, Fatal
from agpd.telemetry.logs import event
from agpd.transport.native import peer_text
from agpd.transport.tls import Passport
from agpd.wire import grpc as wire
from agpd.wire import http2
from agpd.wire.grpc import Failed, Metadata, Pairs, Splitter, Status, status_of
from agpd.wire.http2 import Error, Stream

ALPN = "h2"
# The socket's own buffer. What it does not take waits in the queues of the calls, where receivers hear of it.
SOCKET_HIGH_BYTES = 128 * 1024
SOCKET_LOW_BYTES = 32 * 1024
FLUSH_BYTES = 128 * 1024
CALL_HIGH_BYTES = 256 * 1024
CALL_LOW_BYTES = 64 * 1024
ANSWERS_LIMIT_BYTES = 256 * 1024  # beside what the socket may hold; a peer that asks and asks does not read
WORK_PER_TURN = 4096  # units of `agpd.wire.http2`: about 5 ms
WORK_PER_READ = 2048  # of them for one connection
PINGS = 16
QUIET_ROUND_S = 0.02
LINGER_S = 2.0
LATE_S = 0.2

_log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who takes what comes on a call. `lost` is the last thing that it hears, once, whatever the reason."""

    def messages(self, messages: list[bytes]) -> None: ...
    def half_closed(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def lost(self, detail: str) -> None: ...


Service = Callable[["Call"], Receiver]
"""Called when the head of a request is in. May raise `AgpdError` or `Failed`, which end the call."""


class Call:
    """One call. It has the parts of `asyncio.Transport` that links use.

    `metadata` is the client's. `certificate` is that of the connection (DER), if one was shown. `deadline_s` counts
    from now; a call that goes on for longer is ended here. After `finish` or `abort` writing does nothing.
    """

    __slots__ = (
        "_begun",
        "_connection",
        "_ending",
        "_half_closed",
        "_high",
        "_low",
        "_over",
        "_paused",
        "_receiver",
        "_splitter",
        "_stream",
        "_stuck",
        "_timer",
        "deadline_s",
        "metadata",
        "path",
    )

    def __init__(self, connection: "Connection", stream: Stream, head: wire.Head, message_limit: int) -> None:
        self.path = head.path
        self.metadata: Metadata = head.metadata
        self.deadline_s = head.deadline_s
        self._connection = connection
        self._stream = stream
        self._splitter = Splitter(message_limit)
        self._receiver: Receiver | None = None
        self._begun = False
        self._ending = False  # finished or aborted by us
        self._over = False  # and gone from the connection
        self._paused = False
        self._half_closed = False  # and the receiver has not heard of it
        self._stuck = False  # the receiver was told to pause
        self._high, self._low = CALL_HIGH_BYTES, CALL_LOW_BYTES
        self._timer: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> str:
        """Such as `127.0.0.1:50412`."""
        return self._connection.peer

    @property
    def address(self) -> str:
        """The IP address alone."""
        return self._connection.address

    @property
    def certificate(self) -> bytes | None:
        """DER of the client's certificate; None: it has shown none."""
        return self._connection.certificate

    @property
    def secure(self) -> bool:
        """Is it over TLS?"""
        return self._connection.secure

    @property
    def unread_bytes(self) -> int:
        """What has come and was not handed over: an unfinished message, and what waits while reading is paused."""
        stream = self._stream
        return len(stream.held) + sum(map(len, stream.parts)) + self._splitter.open_bytes

    # ---- out

    def begin(self, metadata: Pairs = ()) -> None:
        """Send the head of the answer, once. Raises `ValueError` for metadata that cannot travel."""
        if not self._begun and not self._ending:
            headers = wire.head(metadata)
            self._begun = True
            self._connection.http2.headers(self._stream, headers)
            self._connection.mark()

    def send(self, message: bytes) -> None:
        """Queue one message."""
        self.write(wire.prefixed(message))

    def write(self, data: bytes) -> None:
        """Queue messages that have their prefixes, any number of them."""
        if self._ending or self._stream.gone:
            return
        if not self._begun:
            self.begin()
        connection, stream = self._connection, self._stream
        connection.http2.write(stream, data)
        connection.mark()
        if stream.queued > self._high and not self._stuck:
            connection.press(self)

    def finish(self, status: Status = Status.OK, detail: str = "", trailing: Pairs = ()) -> None:
        """End the answer after what was written. Raises `ValueError` for metadata that cannot travel."""
        if not self._ending:
            trailers = wire.trailers(status, detail, trailing)
            self._end_with(trailers if self._begun else [*wire.head(), *trailers])

    def fail(self, error: Exception) -> None:
        """End the call with the status of an `AgpdError` or `Failed`; what is queued is dropped."""
        if self._ending:
            return
        self._connection.http2.drop(self._stream)
        if isinstance(error, AgpdError):
            self.finish(*status_of(error))
        else:
            assert isinstance(error, Failed)
            trailers = wire.trailers(error.status, error.detail)
            self._end_with(trailers if self._begun else [*wire.head(http=error.http), *trailers])

    def abort(self) -> None:
        """End the call at once, as CANCELLED for the client. What is queued is dropped."""
        self._ending = True
        if not self._over:
            self._connection.http2.reset(self._stream, Error.CANCEL)
            self._connection.mark()
            self._connection.forget(self, "")

    def close(self) -> None:
        """As `finish`."""
        self.finish()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for windows of HTTP/2, or for the socket."""
        return self._stream.queued

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """Above `high` bytes the receiver is told to pause, at `low` to resume."""
        self._high, self._low = high, low

    def ping(self, answered: Callable[[], None]) -> None:
        """Ask the other end of the connection whether it lives."""
        self._connection.ping(answered)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As a transport; only `peername` is known."""
        return self.peer if name == "peername" else default

    def _end_with(self, headers: http2.Headers) -> None:
        self._ending = True
        self._connection.kept_bytes -= self._splitter.open_bytes
        self._splitter.discard()
        self._connection.http2.finish(self._stream, headers)
        self._connection.mark()

    # ---- in

    def limit_messages(self, size: int) -> None:
        """Messages of the client above so many bytes end the call; for a service, when it is called."""
        self._splitter.limit = min(size, self._splitter.limit)

    def pause_reading(self) -> None:
        """Hand over no more messages; the client may send as much as the window of the stream has left."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on, from the next turn on."""
        if self._paused:
            self._paused = False
            self._connection.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._paused and not self._over:
            self._connection.deliver(self)

    def _deliver(self, http: http2.Connection) -> None:
        """Hand over what has come."""
        stream, splitter = self._stream, self._splitter
        if self._paused and not self._ending:
            http.hold(stream)
            return
        receiver = self._receiver
        assert receiver is not None
        if stream.parts or stream.held:
            kept = splitter.open_bytes
            messages = splitter.feed(http.take(stream))
            self._connection.count(self, splitter.open_bytes - kept)
            if messages and not self._ending:
                receiver.messages(messages)
        if self._half_closed:
            if self._paused and not self._ending:
                return  # it has just been
            self._half_closed = False
            splitter.end()
            if splitter.failure is None:
                receiver.half_closed()
        if splitter.failure is not None:
            self.fail(splitter.failure)

    def _expired(self) -> None:
        self.fail(Failed(Status.DEADLINE_EXCEEDED, "the deadline of the call has passed"))


class Nobody:
    """The receiver of a call that has ended before it had one."""

    def messages(self, messages: list[bytes]) -> None:
        """Nothing."""

    def half_closed(self) -> None:
        """Nothing."""

    def pause_writing(self) -> None:
        """Nothing."""

    def resume_writing(self) -> None:
        """Nothing."""

    def lost(self, detail: str) -> None:
        """Nothing."""


class Connection(asyncio.Protocol):
    """One connection of HTTP/2."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.loop = server.loop
        self.http2 = http2.Connection(server.limits, server.loop.time)
        self.peer = self.address = ""
        self.certificate: bytes | None = None
        self.passport: Passport | None = None  # of the certificate, for whoever looks at it again and again
        self.secure = False
        self.calls: dict[Call, None] = {}
        self.transport: asyncio.Transport
        self._writable = True
        self._closing = False
        self._marked = False
        self._queued_for_work = False
        self._stuck: dict[Call, None] = {}
        self.kept_bytes = 0  # of unfinished messages
        self._pings: dict[bytes, list[Callable[[], None]]] = {}
        self._ping_number = 0
        self._heard_at = self._served_at = self._drained_at = server.loop.time()
        self._probe: bytes | None = None
        self._probed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._look_due = 0.0

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SOCKET_HIGH_BYTES, low=SOCKET_LOW_BYTES)
        name = transport.get_extra_info("peername")
        self.peer = peer_text(name)
        self.address = str(name[0]) if isinstance(name, tuple) else self.peer
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if tls is not None:
            self.secure = True
            self.certificate = tls.getpeercert(binary_form=True)
            if tls.selected_alpn_protocol() != ALPN:
                self._closing = True
                self.transport.close()
                return
        if not self.server.admit(self):
            self._closing = True
            self.transport.abort()
            return
        self._look_again_after(self.server.hello_s, self._too_slow)
        self.mark()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._heard_at = self.loop.time()
        if self._queued_for_work:
            self.http2.receive(data, 0)
        else:
            self.work(data)

    def pause_writing(self) -> None:
        self._writable = False
        self._drained_at = self.loop.time()

    def resume_writing(self) -> None:
        self._writable = True
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        detail = str(exc) if exc else "the connection has ended"
        for call in list(self.calls):
            self.forget(call, detail)
        self._pings.clear()
        self.server.discharge(self)

    # ---- in

    def work(self, data: bytes = b"") -> None:
        """Take these bytes, and what is kept of earlier ones, as far as this turn has work left."""
        server = self.server
        if self._closing:
            return
        found = self.http2.receive(data, min(server.work_left(), WORK_PER_READ))
        server.spend(self.http2.work)
        for each in found:
            self._take(each)
        if self.http2.behind:
            if not self._queued_for_work:
                self._queued_for_work = True
                self.transport.pause_reading()
            server.go_on_with(self)
        elif self._queued_for_work:
            self._queued_for_work = False
            if not self._closing:
                self.transport.resume_reading()
        self.mark()

    def _take(self, each: http2.Event) -> None:
        if isinstance(each, http2.Data):
            self.deliver(each.stream.owner)
        elif isinstance(each, http2.Request):
            self._begin(each)
        elif isinstance(each, http2.HalfClosed):
            call = each.stream.owner
            call._half_closed = True
            self.deliver(call)
        elif isinstance(each, http2.Reset):
            call = each.stream.owner
            if call is not None:
                self.forget(call, each.detail)
        elif isinstance(each, http2.Pong):
            self._answered(each.payload)
        elif isinstance(each, http2.Leaving):
            if each.code:
                event(
                    _log,
                    logging.INFO,
                    "client of gRPC leaves",
                    peer=self.peer,
                    code=each.code,
                    said=each.detail,
                )
        else:
            event(
                _log,
                logging.INFO,
                "connection of gRPC failed",
                peer=self.peer,
                code=each.code,
                detail=each.detail,
            )
            self.server.failed += 1
            self.close(f"error {each.code} of HTTP/2: {each.detail}")

    def _begin(self, request: http2.Request) -> None:
        """A new call: its service, or the reason why there is none."""
        server, stream = self.server, request.stream
        self._served_at = self.loop.time()
        try:
            head, failure = wire.head_of(request.headers), None
        except Failed as failed:
            head, failure = wire.Head("", Metadata([]), None), failed
        call = Call(self, stream, head, server.message_limit_bytes)
        stream.owner = call
        call._receiver = Nobody()
        if not self.calls:
            server.idle -= 1
        self.calls[call] = None
        server.calls += 1
        if head.deadline_s is not None:
            call._timer = self.loop.call_later(head.deadline_s, call._expired)
        try:
            if failure is not None:
                raise failure
            if request.oversize:
                raise Failed(Status.RESOURCE_EXHAUSTED, "the metadata is too long")
            receiver = server.service(head.path)(call)
        except (AgpdError, Failed) as error:
            call.fail(error)
        except Exception:
            _log.exception("fault while beginning %s for %s", head.path, self.peer)
            call.fail(Fatal(Code.INTERNAL))
        else:
            call._receiver = receiver
            if call._stuck:
                receiver.pause_writing()

    def deliver(self, call: Call) -> None:
        """Hand what has come to the call's receiver. A fault of ours costs this call, not the others."""
        try:
            call._deliver(self.http2)
        except (AgpdError, Failed) as error:
            call.fail(error)
        except Exception:
            _log.exception("fault while handling %s of %s", call.path, self.peer)
            call.fail(Fatal(Code.INTERNAL))
        self.mark()

    def count(self, call: Call, more: int) -> None:
        """So many bytes more of an unfinished message are kept. Raises `Failed` if that is too much in all."""
        self.kept_bytes += more
        if self.kept_bytes > self.server.memory_limit_bytes:
            raise Failed(Status.RESOURCE_EXHAUSTED, "too much of unfinished messages on this connection")

    def forget(self, call: Call, detail: str) -> None:
        """The call is over; its receiver hears of it in the next turn."""
        if call._over:
            return
        call._over = call._ending = True
        if call._timer is not None:
            call._timer.cancel()
            call._timer = None
        self.kept_bytes -= call._splitter.open_bytes
        call._splitter.discard()
        del self.calls[call]
        if not self.calls:
            self.server.idle += 1
        self._stuck.pop(call, None)
        self._served_at = self.loop.time()
        self.loop.call_soon(self._tell, call, detail)

    def _tell(self, call: Call, detail: str) -> None:
        receiver, call._receiver = call._receiver, Nobody()
        assert receiver is not None
        try:
            receiver.lost(detail)
        except Exception:
            _log.exception("fault at the end of %s of %s", call.path, self.peer)

    # ---- out

    def mark(self) -> None:
        """There is something to send at the end of this turn."""
        if not self._marked:
            self._marked = True
            self.server.mark(self)

    def flush(self) -> None:
        """Send what there is, as long as the socket takes it."""
        self._marked = False
        http, transport = self.http2, self.transport
        if transport.is_closing():
            return
        while self._writable:
            data = http.data_to_send(FLUSH_BYTES)
            if not data:
                break
            transport.write(data)
        else:
            self._flush_answers()
        if http.finished:
            finished, http.finished = http.finished, []
            for stream in finished:
                self.forget(stream.owner, "")
        for call in list(self._stuck):
            if call._stream.queued <= call._low and call in self._stuck:
                del self._stuck[call]
                call._stuck = False
                assert call._receiver is not None
                call._receiver.resume_writing()
        if self._closing and not transport.is_closing():
            transport.close()
            self._look_again_after(LINGER_S, transport.abort)

    def _flush_answers(self) -> None:
        """The socket takes no more. Answers go into its buffer all the same, but only so many of them."""
        data = self.http2.data_to_send(0)
        if data:
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > SOCKET_HIGH_BYTES + FLUSH_BYTES + ANSWERS_LIMIT_BYTES:
                self._cut("does not read what it asks for")

    def press(self, call: Call) -> None:
        """More waits on the call than its mark allows: send what can be sent now, or tell its receiver."""
        self.flush()
        if call._stream.queued > call._high and not call._stuck and not call._over:
            call._stuck = True
            self._stuck[call] = None
            assert call._receiver is not None
            call._receiver.pause_writing()

    # ---- the connection's life

    def ping(self, answered: Callable[[], None]) -> bytes:
        """Ask whether the other end lives. Many questions at once share a PING."""
        if len(self._pings) >= PINGS:
            payload = next(reversed(self._pings))
        else:
            self._ping_number += 1
            payload = self._ping_number.to_bytes(8, "big")
            self.http2.ping(payload)
            self.mark()
        self._pings.setdefault(payload, []).append(answered)
        return payload

    def _answered(self, payload: bytes) -> None:
        if payload == self._probe:
            self._probe = None
        for answered in self._pings.pop(payload, ()):
            answered()

    def _too_slow(self) -> None:
        """The time for the preface is over; from here on the connection is looked at now and then."""
        self._timer = None
        if not self.http2.settled:
            self._cut("no preface of HTTP/2")
        else:
            self._look()

    def _look(self) -> None:
        """Ping a silent peer, cut one that does not answer or does not read, and close what nobody uses."""
        server, now = self.server, self.loop.time()
        if now - self._look_due > LATE_S:  # we were stopped, or starved: its answer may lie in the socket
            self._probed_at = self._drained_at = now
        silent_s, interval_s = now - self._heard_at, server.keepalive_interval_s
        if self._probe is not None and self._heard_at >= self._probed_at:
            self._probe = None  # it lives, whatever it says
        if self._probe is not None and now - self._probed_at >= server.keepalive_timeout_s:
            self._cut("a ping was not answered")
            return
        if not self._writable and now - self._drained_at >= interval_s + server.keepalive_timeout_s:
            self._cut("it does not read")
            return
        if not self.calls and now - self._served_at >= server.idle_timeout_s:
            self.leave(final=True)
            self.close("idle")
            return
        wait_s = interval_s - silent_s
        if self._probe is None and wait_s <= 0:
            self._probe, self._probed_at = self.ping(_nothing), now
        if self._probe is not None:
            wait_s = server.keepalive_timeout_s - (now - self._probed_at)
        if not self.calls:
            wait_s = min(wait_s, server.idle_timeout_s - (now - self._served_at))
        self._look_again_after(max(wait_s, 0.01), self._look)

    def _look_again_after(self, seconds: float, look: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_due = self.loop.time() + seconds
        self._timer = self.loop.call_at(self._look_due, look)

    def leave(self, *, final: bool) -> None:
        """Ask the client to make its next calls elsewhere."""
        self.http2.leave(final=final)
        self.mark()

    def close(self, detail: str) -> None:
        """End it once what is written has gone out."""
        for call in list(self.calls):
            self.forget(call, detail)
        self._closing = True
        self.mark()

    def _cut(self, detail: str) -> None:
        event(_log, logging.INFO, "connection of gRPC cut", peer=self.peer, detail=detail)
        self._closing = True
        self.transport.abort()

    def end(self, error: AgpdError) -> None:
        """End all calls with this error, and the connection."""
        for call in list(self.calls):
            call.fail(error)
        self.http2.leave(final=True)
        self.flush()
        self.close(error.detail or error.code.name)


def _nothing() -> None:
    pass


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
        self.memory_limit_bytes = grpc.connection_memory_bytes
        self.keepalive_interval_s = grpc.keepalive_interval_ms / 1000
        self.keepalive_timeout_s = grpc.keepalive_timeout_ms / 1000
        self.idle_timeout_s = grpc.idle_timeout_ms / 1000
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
