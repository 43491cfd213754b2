"""One connection to a gateway: bytes in, dispatch; frames out, collected into one write per loop turn."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

from agpd.errors import Code, Fatal, code_of
from agpd.wire import frames
from agpd.wire.frames import LENGTH_SIZE, PREFIX_SIZE, Body, Frame, Kind, encode, parse
from agpd.wire.framing import Reassembly, check_length
from agpd.wire.session import Session, Side
from agpd_client.delivery import Delivery
from agpd_client.errors import AgpError, Closed, Unauthorized, ending, is_permanent, refusal
from agpd_client.handles import Handles
from agpd_client.outgoing import Outgoing
from agpd_client.requests import Accept, Calls

GREETING_LIMIT_BYTES = 4096
HANDLES_LIMIT = 1024
# In OpenSSL's names of the TLS alerts by which a peer refuses a certificate.
_REFUSING_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def lost(self, connection: "Connection", error: AgpError) -> None: ...
    def draining(self, connection: "Connection") -> None: ...
    def refused(self, connection: "Connection", frame: Frame, refusal: frames.Refusal) -> None: ...
    def dropped(self, count: int) -> None: ...
    def calls_changed(self) -> None: ...
    def presence(self, agent: int, presence: frames.Presence) -> None: ...
    def ended(self, agent: int, error: AgpError) -> None: ...


class Connection(asyncio.Protocol):
    """The protocol object of one carrier. `ready` is done when WELCOME has come, or fails with why it did not.

    `out` is the sending half.
    """

    def __init__(
        self,
        owner: Owner,
        make_delivery: "Callable[[Connection], Delivery]",
        ids: Iterator[int],
        hello: frames.Hello,
        write_limit_bytes: int,
    ) -> None:
        self._owner = owner
        self._ids = ids
        self._hello = hello
        self._write_limit = write_limit_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session = Session(Side.AGENT)
        self._reassembly = Reassembly(GREETING_LIMIT_BYTES)
        self.out = Outgoing()
        self.send = self.out.send
        self._reads = 0
        self._reads_seen = 0
        self._pings = 0
        self._pulse: asyncio.TimerHandle | None = None
        self.is_closed = False  # also while the carrier's end is awaited
        self.frame_limit = GREETING_LIMIT_BYTES
        self.welcome = frames.Welcome(0, "", "", GREETING_LIMIT_BYTES, 0, 0, 0)
        self.ready: asyncio.Future[frames.Welcome] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.calls = Calls(owner.calls_changed)
        self.delivery = make_delivery(self)
        self.handles = Handles(HANDLES_LIMIT, self._shut)
        self.opening: dict[tuple[int, str], asyncio.Future[Any]] = {}
        self._control: dict[Kind, Callable[[Frame], None]] = {
            Kind.WELCOME: self._on_welcome,
            Kind.OK: self._on_answer,
            Kind.RECEIPT: self._on_answer,
            Kind.PONG: self._on_answer,
            Kind.REFUSED: self._on_refused,
            Kind.ANNOUNCE: self._on_announce,
            Kind.WITHDRAW: self._on_withdraw,
            Kind.PRESENCE: self._on_presence,
            Kind.DRAIN: self._on_drain,
            Kind.DROPPED: self._on_dropped,
            Kind.ENDED: self._on_ended,
            Kind.PING: self._on_ping,
            Kind.CLOSE: self._on_close,
        }

    # The carrier

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The carrier stands: say hello."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport
        self.out.attach(transport)
        transport.set_write_buffer_limits(high=self._write_limit)
        self.send(encode(Kind.HELLO, self._hello))
        self.out.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The carrier has ended: everybody who waits is told."""
        if self._pulse is not None:
            self._pulse.cancel()
        self.out.detach()
        if not self.gone.done():
            self.gone.set_result(None)
        self._over(_lost(exc, greeted=self._session.is_open))

    def pause_writing(self) -> None:
        """The carrier's buffer is full."""
        self.out.pause()

    def resume_writing(self) -> None:
        """There is room again."""
        self.out.resume()

    def pause_reading(self) -> None:
        """Take nothing from the carrier until `resume_reading`."""
        if self._transport is not None and not self.gone.done():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take again."""
        if self._transport is not None and not self.gone.done():
            self._transport.resume_reading()

    # Out

    def next_id(self) -> int:
        """An id that no other frame of this client has."""
        return next(self._ids)

    async def call(
        self,
        kind: Kind,
        body: Body | None = None,
        *,
        source: int = 0,
        accept: Accept | None = None,
    ) -> Frame:
        """A control request and its answer. `accept` sees the answer before the frames behind it are read."""
        return await self.begin_call(kind, body, source=source, accept=accept)  # type: ignore[no-any-return]

    def begin_call(
        self, kind: Kind, body: Body | None = None, *, source: int = 0, accept: Accept | None = None
    ) -> asyncio.Future[Any]:
        """A control request; the future of its answer."""
        id_ = self.next_id()
        future = self.calls.begin(id_, accept=accept)
        if self.is_closed:
            self.calls.fail(_unknown())
        self.send(encode(kind, body, source=source, id=id_))
        return future

    async def open(self, source: int, name: str) -> None:
        """Make sure that the agent with the handle `source` has the handle of the name."""
        key = (source, name)
        future = self.opening.get(key)
        if future is None:
            future = self.begin_call(
                Kind.OPEN, frames.Named(name), source=source, accept=lambda frame: self._opened(key, frame)
            )
            self.opening[key] = future
            future.add_done_callback(lambda _: self.opening.pop(key, None))
        await asyncio.shield(future)

    async def barrier(self) -> None:
        """Until the gateway has read everything that was sent before."""
        await self.call(Kind.PING)

    def close(self, code: Code, detail: str = "") -> None:
        """Say why, and let the other side end the carrier; `gone` tells when it has."""
        if self.is_closed:
            return
        self.send(encode(Kind.CLOSE, frames.Refusal(int(code), detail)))
        self.out.flush()
        self._over(ending(code, detail))
        self.resume_reading()  # unread bytes would turn the end into a reset, which takes what we sent with it

    def abort(self) -> None:
        """End the carrier now."""
        if self._transport is not None:
            self._transport.abort()

    def _over(self, error: AgpError) -> None:
        """Nothing can be sent any more, and nothing that comes counts; the carrier may still stand."""
        if self.is_closed:
            return
        self.is_closed = True
        self._session.close()
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()
        self.calls.fail(error if is_permanent(error) else _unknown())
        self.out.close()
        self._owner.lost(self, error)

    def _shut(self, number: int) -> None:
        self.send(encode(Kind.SHUT, destination=number))

    # In

    def data_received(self, data: bytes) -> None:
        """Frames from the gateway."""
        self._reads += 1
        if self.is_closed:
            return
        try:
            self._read(data)
        except Fatal as error:
            self.close(error.code, error.detail)
            if self._transport is not None:
                self._transport.close()

    def _read(self, data: bytes) -> None:
        data = self._reassembly.gather(data)
        position, size = 0, len(data)
        while True:
            limit = self._reassembly.limit
            if self._session.is_open:
                position = self.delivery.take(data, position, limit)
            if size - position < PREFIX_SIZE:
                break
            length = int.from_bytes(data[position : position + LENGTH_SIZE], "big")
            check_length(length, limit)
            end = position + LENGTH_SIZE + length
            if end > size:
                break
            frame = parse(data, position)
            self._control[self._session.receive(frame.kind)](frame)
            if self.is_closed:
                return
            position = end
        self._reassembly.keep(data, position)

    def _on_welcome(self, frame: Frame) -> None:
        welcome = frames.decode(frame.body, frames.Welcome)
        self.welcome = welcome
        self.frame_limit = self._reassembly.limit = welcome.frame_limit_bytes
        self.handles = Handles(max(1, min(HANDLES_LIMIT, welcome.handles_limit)), self._shut)
        if welcome.ping_interval_ms:
            self._pulse = self._loop.call_later(welcome.ping_interval_ms / 1000, self._beat)
        self.ready.set_result(welcome)

    def _on_answer(self, frame: Frame) -> None:
        source = frame.destination if frame.kind == Kind.RECEIPT else 0
        value = frames.decode(frame.body, frames.Count).count if frame.kind == Kind.RECEIPT else frame
        self.calls.answer(frame.id, source, value)

    def _on_refused(self, frame: Frame) -> None:
        body = frames.decode(frame.body, frames.Refusal)
        code = code_of(body.code)
        if code is Code.UNKNOWN_HANDLE and frame.source:
            self.handles.forget([frame.source])
        if not self.calls.refuse(frame.id, frame.destination, refusal(code, body.detail)):
            self._owner.refused(self, frame, body)

    def _on_announce(self, frame: Frame) -> None:
        self.delivery.announce(frame.destination, frames.decode(frame.body, frames.Named).name)

    def _on_withdraw(self, frame: Frame) -> None:
        numbers = frames.decode(frame.body, frames.Handles).numbers
        self.handles.forget(numbers)
        self.delivery.withdraw(numbers)

    def _on_presence(self, frame: Frame) -> None:
        self._owner.presence(frame.destination, frames.decode(frame.body, frames.Presence))

    def _on_drain(self, frame: Frame) -> None:
        self._owner.draining(self)

    def _on_dropped(self, frame: Frame) -> None:
        self._owner.dropped(frames.decode(frame.body, frames.Count).count)

    def _on_ended(self, frame: Frame) -> None:
        body = frames.decode(frame.body, frames.Refusal)
        self._owner.ended(frame.destination, refusal(code_of(body.code), body.detail))

    def _on_ping(self, frame: Frame) -> None:
        self.send(encode(Kind.PONG, id=frame.id))
        self.out.flush()

    def _on_close(self, frame: Frame) -> None:
        body = frames.decode(frame.body, frames.Refusal)
        self._over(ending(code_of(body.code), body.detail))
        if self._transport is not None:
            self._transport.close()

    def _opened(self, key: tuple[int, str], frame: Frame) -> None:
        self.handles.add(key, frame.destination)
        self.delivery.announce(frame.destination, key[1])

    def _beat(self) -> None:
        """4.3: two pings without any bytes in between, and the gateway is gone."""
        self._pulse = self._loop.call_later(self.welcome.ping_interval_ms / 1000, self._beat)
        transport = self._transport
        if transport is None or not transport.is_reading() or self._reads != self._reads_seen:
            self._reads_seen, self._pings = self._reads, 0
        elif self._pings < 2:
            self._pings += 1
            self.send(encode(Kind.PING, id=self.next_id()))
        else:
            self._over(ending(Code.PING_TIMEOUT, "the gateway sends nothing"))
            self.abort()


def _unknown() -> Closed:
    return Closed(
        "the connection to the gateway was lost while this was under way: its outcome is unknown",
        code=Code.CONNECTION_LOST,
    )


def _lost(exc: Exception | None, *, greeted: bool) -> AgpError:
    """What a carrier's end without CLOSE means. TLS 1.3 tells a refused certificate only after the handshake.

    A carrier may know more: then it says so itself.
    """
    if isinstance(exc, AgpError):
        return exc
    reason = (exc.reason or "") if isinstance(exc, ssl.SSLError) else ""
    if not greeted and any(word in reason for word in _REFUSING_ALERTS):
        return Unauthorized(
            f"the gateway refused the certificate ({reason}): it may be expired, revoked, "
            "or from an authority that this gateway does not know"
        )
    return ending(Code.CONNECTION_LOST, str(exc) if exc else "")
