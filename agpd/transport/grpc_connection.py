"""The protocol of one connection of gRPC: events of HTTP/2 to calls, and what calls write to the socket."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from agpd.errors import AgpdError, Code, Fatal
from agpd.telemetry.logs import event
from agpd.transport.call import Call, Nobody
from agpd.transport.native import peer_text
from agpd.transport.tls import Passport
from agpd.wire import grpc as wire
from agpd.wire import http2
from agpd.wire.grpc import Failed, Metadata, Status

if TYPE_CHECKING:
    from agpd.transport.grpc import Server

ALPN = "h2"
# The socket's own buffer. What it does not take waits in the queues of the calls, where receivers hear of it.
SOCKET_HIGH_BYTES = 128 * 1024
SOCKET_LOW_BYTES = 32 * 1024
FLUSH_BYTES = 128 * 1024
ANSWERS_LIMIT_BYTES = 256 * 1024  # beside what the socket may hold; a peer that asks and asks does not read
WORK_PER_READ = 2048  # units of `agpd.wire.http2` for one connection in one turn
PINGS = 16
GOODBYE_S = 0.5
LINGER_S = 2.0
LATE_S = 0.2

_log = logging.getLogger(__name__)


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
        self._closing = False  # what comes is not looked at any more
        self._gone = False  # and nothing is sent any more
        self._marked = False
        self._queued_for_work = False
        self._stuck: dict[Call, None] = {}
        self.kept_bytes = 0  # of messages that were not handed over
        self._pings: dict[bytes, list[Callable[[], None]]] = {}
        self._ping_number = 0
        self._heard_at = self._served_at = self._drained_at = self._whole_at = server.loop.time()
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
        if self.http2.whole or self.http2.behind:
            self._whole_at = self._heard_at
        if self.http2.behind:
            if not self._queued_for_work:
                self._queued_for_work = True
                self.transport.pause_reading()
            server.go_on_with(self)
        elif self._queued_for_work:
            self._queued_for_work = False
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

    def count(self, call: Call, size: int) -> bool:
        """So many bytes of messages that were not handed over are kept for the call. False: that is too much in all."""
        more, call._counted = size - call._counted, size
        self.kept_bytes += more
        self.server.kept_bytes += more
        within = self.kept_bytes <= self.server.connection_memory_bytes
        return more <= 0 or (within and self.server.kept_bytes <= self.server.memory_bytes)

    def forget(self, call: Call, detail: str) -> None:
        """The call is over; its receiver hears of it in the next turn."""
        if call._over:
            return
        call._over = call._ending = True
        if call._timer is not None:
            call._timer.cancel()
            call._timer = None
        call._splitter.discard()
        self.count(call, 0)
        del self.calls[call]
        if not self.calls:
            self.server.idle += 1
        self._stuck.pop(call, None)
        self._served_at = now = self.loop.time()
        if not self.calls and not self._closing and self._look_due > now + self.server.idle_timeout_s:
            self._look_again_after(self.server.idle_timeout_s, self._look)
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
        if self._gone or transport.is_closing():
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
                self.forget(stream.owner, stream.owner._why)
        for call in list(self._stuck):
            if call._stream.queued <= call._low and call in self._stuck:
                del self._stuck[call]
                call._stuck = False
                assert call._receiver is not None
                call._receiver.resume_writing()
        if self._closing:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """All is said. The peer closes now: if we did, with bytes of it unread, it might never see what was said."""
        self._gone = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._look_again_after(GOODBYE_S, self._hang_up)

    def _hang_up(self) -> None:
        self.transport.close()
        self._look_again_after(LINGER_S, self.transport.abort)

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
            self._probed_at = self._drained_at = self._whole_at = now
        silent_s, interval_s = now - self._heard_at, server.keepalive_interval_s
        if self._probe is not None and self._heard_at >= self._probed_at:
            self._probe = None  # it lives, whatever it says
        if self._probe is not None and now - self._probed_at >= server.keepalive_timeout_s:
            self._cut("a ping was not answered")
            return
        if not self._writable and now - self._drained_at >= interval_s + server.keepalive_timeout_s:
            self._cut("it does not read")
            return
        if self._heard_at - self._whole_at >= server.frame_timeout_s:
            self._cut("a frame was not finished in time")
            return
        for call in list(self.calls):
            if call._open_since is not None and now - call._open_since >= server.frame_timeout_s:
                call.fail(Fatal(Code.FRAME_TIMEOUT))
        if not self.calls and now - self._served_at >= server.idle_timeout_s:
            self.leave(final=True)
            self.close("idle")
            return
        wait_s = interval_s - silent_s
        if self._probe is None and wait_s <= 0:
            self._probe, self._probed_at = self.ping(_nothing), now
        if self._probe is not None:
            wait_s = server.keepalive_timeout_s - (now - self._probed_at)
        wait_s = min(wait_s, server.frame_timeout_s)
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
        if self._queued_for_work:
            self._queued_for_work = False
            self.transport.resume_reading()
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
