"""One call of gRPC, as its service sees it: a carrier that links can use."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agpd.errors import AgpdError
from agpd.wire import grpc as wire
from agpd.wire import http2
from agpd.wire.grpc import Failed, Metadata, Pairs, Splitter, Status, status_of
from agpd.wire.http2 import Error, Stream

if TYPE_CHECKING:
    from agpd.transport.grpc_connection import Connection

CALL_HIGH_BYTES = 256 * 1024
CALL_LOW_BYTES = 64 * 1024


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
        "_counted",
        "_ending",
        "_half_closed",
        "_high",
        "_low",
        "_open_since",
        "_over",
        "_paused",
        "_receiver",
        "_splitter",
        "_stream",
        "_stuck",
        "_timer",
        "_why",
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
        self._why = ""  # it was ended with an error
        self._over = False  # and gone from the connection
        self._paused = False
        self._half_closed = False  # and the receiver has not heard of it
        self._counted = 0  # bytes that the server knows to be kept here
        self._open_since: float | None = None  # when the first part of a message came that is not whole
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
        self._why = getattr(error, "detail", "") or str(error)
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
        self._splitter.discard()
        self._connection.count(self, 0)
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
            self._open_since = None  # it is not the client that keeps it from going on
            self._keep(splitter.open_bytes + len(stream.held))
            return
        receiver = self._receiver
        assert receiver is not None
        if stream.parts or stream.held:
            messages = splitter.feed(http.take(stream))
            if not splitter.open_bytes:
                self._open_since = None
            elif messages or self._open_since is None:
                self._open_since = self._connection.loop.time()
            self._keep(splitter.open_bytes)
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

    def _keep(self, size: int) -> None:
        if size != self._counted and not self._connection.count(self, size):
            raise Failed(Status.RESOURCE_EXHAUSTED, "too much is kept of unfinished messages")

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
