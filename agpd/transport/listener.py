"""The accept path: every socket is counted before TLS starts, and TLS starts at a bounded rate.

A silent connection to a TLS server costs memory before any protocol hears of it, and a handshake costs 2 ms
of CPU. So sockets are accepted here and not by `loop.create_server`: a limited number before the end of their
handshake, in all and from one address, and handshakes from a token bucket. Sockets that wait for it count too.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

import uvloop

from agpd.telemetry.logs import event
from agpd.transport.bucket import Bucket
from agpd.transport.sockets import FAILURES, failure_of, source_of
from agpd.transport.tls import Certificates, OptionalClients

ACCEPTS_PER_WAKE_UP = 64
DESCRIPTOR_PAUSE_S = 0.25
FAILURE_LOG_INTERVAL_S = 1.0
TLS_SHUTDOWN_TIMEOUT_S = 2.0

REFUSALS = ("not_accepting", "prehandshake", "prehandshake_per_ip", "handshake_rate", "descriptors")
"""Why a socket is closed before its handshake. A closed set, fit for the label of a metric."""

# What accept(2) reports of the connection it takes, not of the listening socket.
_CONNECTION_DIED = {errno.ECONNABORTED, errno.EPROTO, errno.ENOPROTOOPT, errno.EPERM, errno.EOPNOTSUPP}
_CONNECTION_DIED |= {errno.ENETDOWN, errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH, errno.ENETUNREACH}

_log = logging.getLogger(__name__)


class _Arrival(NamedTuple):
    sock: socket.socket
    peer: str
    source: bytes  # see source_of
    at: float


class Listener:
    """Accepts on one listening socket, which it owns from now on.

    `make_protocol` is called before the handshake and its `connection_made` after it: only then is there a
    peer. `certificates` None means plaintext: no handshake, none of its caps. `accepting` is asked for every
    socket; `on_refused` is told the reason (of `REFUSALS`) for each socket closed before its handshake.
    Counters: `accepted` (given to a handshake, or to the protocol in plaintext), `refused`, `handshake_failed`
    (by `FAILURES`); `close` logs them. A failed handshake is a warning in the log, at most one per
    `FAILURE_LOG_INTERVAL_S` with the number of those left out, which stand there at level debug. Nagle's algorithm is
    off, which both event loops see to.
    """

    def __init__(
        self,
        sock: socket.socket,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        *,
        certificates: Certificates | OptionalClients | None,
        accepting: Callable[[], bool],
        on_refused: Callable[[str], None],
        prehandshake_limit: int = 256,
        prehandshake_per_ip_limit: int = 16,
        tls_handshake_timeout_s: float = 5.0,
        tls_handshakes_per_second: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self._make_protocol = make_protocol
        self._certificates = certificates
        self._accepting = accepting
        self._on_refused = on_refused
        self._limit, self._limit_per_ip = prehandshake_limit, prehandshake_per_ip_limit
        self._timeout_s = tls_handshake_timeout_s
        self._clock = clock
        self._bucket = Bucket(tls_handshakes_per_second, clock)
        self._waiting: deque[_Arrival] = deque()
        self._per_source: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bucket_timer: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._spare: int | None = None
        self._warned = False
        self._failure_logged_at = -FAILURE_LOG_INTERVAL_S + clock()
        self._failures_unlogged = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.prehandshake = 0  # sockets before the end of their handshake, waiting ones included
        self.accepted = 0
        self.refused = dict.fromkeys(REFUSALS, 0)
        self.handshake_failed = dict.fromkeys(FAILURES, 0)

    def start(self) -> None:
        """Begin to accept, on the running loop."""
        self._loop = asyncio.get_running_loop()
        if self._certificates is not None and not isinstance(self._loop, uvloop.Loop):
            _log.warning("TLS on an event loop other than uvloop takes 8 times the memory per connection")
        self._reserve()
        self._loop.add_reader(self._sock, self._on_readable)

    def close(self) -> None:
        """Stop accepting; close the listening socket and what is not past its handshake. Idempotent."""
        if self._loop is not None and self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            failed = {
                f"handshake_failed_{reason}": count
                for reason, count in self.handshake_failed.items()
                if count
            }
            refused = {f"refused_{reason}": count for reason, count in self.refused.items() if count}
            event(_log, logging.INFO, "no longer listening", accepted=self.accepted, **refused, **failed)
        self._sock.close()
        for timer in (self._bucket_timer, self._pause_timer):
            if timer is not None:
                timer.cancel()
        while self._waiting:
            arrival = self._waiting.popleft()
            self._release(arrival)
            arrival.sock.close()
        for task in self._tasks:
            task.cancel()
        self._give_up_spare()

    async def wait_closed(self) -> None:
        """Wait until the handshakes that `close` cancelled have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_readable(self) -> None:
        for _ in range(ACCEPTS_PER_WAKE_UP):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _CONNECTION_DIED:
                    continue
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._refuse_without_descriptor()
                self._pause(error)
                return
            self._warned = False
            self._admit(_Arrival(sock, f"{address[0]}:{address[1]}", source_of(address), self._clock()))

    def _admit(self, arrival: _Arrival) -> None:
        arrival.sock.setblocking(False)
        reason = self._why_not(arrival)
        if reason:
            self._refuse(arrival.sock, reason)
        elif self._certificates is None:
            self._begin(arrival)
        else:
            self.prehandshake += 1
            self._per_source[arrival.source] += 1
            self._waiting.append(arrival)
            self._serve_waiting()

    def _why_not(self, arrival: _Arrival) -> str:
        if not self._accepting():
            return "not_accepting"
        if self._certificates is None:
            return ""
        if self.prehandshake >= self._limit:
            return "prehandshake"
        return "prehandshake_per_ip" if self._per_source[arrival.source] >= self._limit_per_ip else ""

    def _refuse(self, sock: socket.socket, reason: str) -> None:
        sock.close()
        self.refused[reason] += 1
        self._on_refused(reason)

    def _release(self, arrival: _Arrival) -> None:
        self.prehandshake -= 1
        self._per_source[arrival.source] -= 1
        if not self._per_source[arrival.source]:
            del self._per_source[arrival.source]

    # Out of descriptors or memory.

    def _reserve(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                _log.debug("no descriptor to keep in reserve: %s", error)

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _refuse_without_descriptor(self) -> None:
        """Take peers off the queue with the spare descriptor: they learn at once, and connect again later."""
        self._give_up_spare()
        for _ in range(ACCEPTS_PER_WAKE_UP):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                break
            self._refuse(sock, "descriptors")
        self._reserve()

    def _pause(self, error: OSError) -> None:
        # The socket stays readable: without a pause the loop would spin.
        assert self._loop is not None
        if not self._warned:
            _log.warning("accepting pauses for %.2f s at a time: %s", DESCRIPTOR_PAUSE_S, error.strerror)
            self._warned = True
        self._loop.remove_reader(self._sock)
        self._pause_timer = self._loop.call_later(DESCRIPTOR_PAUSE_S, self._resume)

    def _resume(self) -> None:
        assert self._loop is not None
        self._reserve()
        self._loop.add_reader(self._sock, self._on_readable)

    # Handshakes.

    def _serve_waiting(self) -> None:
        """Start the handshakes that the bucket allows; close the sockets that have waited too long."""
        while self._waiting:
            left_s = self._left_s(self._waiting[0])
            if left_s <= 0:
                arrival = self._waiting.popleft()
                self._release(arrival)
                self._refuse(arrival.sock, "handshake_rate")
            elif self._bucket.take():
                self._begin(self._waiting.popleft())
            else:
                self._serve_after(min(self._bucket.wait_s(), left_s))
                return

    def _left_s(self, arrival: _Arrival) -> float:
        return self._timeout_s - (self._clock() - arrival.at)

    def _serve_after(self, delay_s: float) -> None:
        assert self._loop is not None
        if self._bucket_timer is None:
            # uvloop rounds to milliseconds; 0 would spin.
            self._bucket_timer = self._loop.call_later(max(delay_s, 0.001), self._on_bucket_timer)

    def _on_bucket_timer(self) -> None:
        self._bucket_timer = None
        self._serve_waiting()

    def _begin(self, arrival: _Arrival) -> None:
        assert self._loop is not None
        self.accepted += 1
        task = self._loop.create_task(self._connect(arrival))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._begun(done, arrival))

    async def _connect(self, arrival: _Arrival) -> None:
        try:
            await self._hand_over(arrival)
        except OSError as error:
            self._note_failure(arrival.peer, error)
            arrival.sock.close()
        except BaseException:
            arrival.sock.close()
            raise

    def _note_failure(self, peer: str, error: OSError) -> None:
        """Count it and warn, unless it was done just now: whoever connects must not be able to fill a disk."""
        reason = failure_of(error)
        self.handshake_failed[reason] += 1
        text = "the TLS handshake with %s failed: %s (%s)%s"
        now = self._clock()
        if now - self._failure_logged_at < FAILURE_LOG_INTERVAL_S:
            self._failures_unlogged += 1
            _log.debug(text, peer, reason, error, "")
            return
        more = f"; {self._failures_unlogged} more since the last warning" if self._failures_unlogged else ""
        _log.warning(text, peer, reason, error, more)
        self._failure_logged_at, self._failures_unlogged = now, 0

    def _begun(self, task: asyncio.Task[None], arrival: _Arrival) -> None:
        """A socket is handed over or closed. Not in the task itself: one that is cancelled early never runs."""
        self._tasks.discard(task)
        if task.cancelled():
            arrival.sock.close()
        if self._certificates is not None:
            self._release(arrival)

    async def _hand_over(self, arrival: _Arrival) -> None:
        assert self._loop is not None
        if self._certificates is None:
            await self._loop.connect_accepted_socket(self._make_protocol, arrival.sock)
            return
        await self._loop.connect_accepted_socket(
            self._make_protocol,
            arrival.sock,
            ssl=self._certificates.context,
            ssl_handshake_timeout=max(self._left_s(arrival), 0.001),
            ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
        )
