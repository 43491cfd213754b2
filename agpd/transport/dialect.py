"""A call in another dialect as a connection of the hub: what all of these dialects have in common.

A session is a client of the native protocol inside the gateway. What its peer says becomes native frames, all that one
read brings in one piece; what the link has for the peer becomes messages of the dialect when it is flushed. So routing,
permission, quotas and slow receivers are decided where they are decided for everybody.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar, cast

from agpd.config import FRAME_OVERHEAD_BYTES
from agpd.errors import AgpdError, Code, Fatal, Refused, code_of
from agpd.gateway.dialects import Dialect
from agpd.gateway.foreign import Foreign
from agpd.gateway.link import Entry, Link
from agpd.gateway.principal import Principal
from agpd.gateway.rates import source_of
from agpd.names import Name
from agpd.routing.subscriptions import TypeEntry
from agpd.transport.dialects import Dialects
from agpd.transport.grpc import Call
from agpd.transport.native import NativeProtocol
from agpd.transport.portions import Portions
from agpd.wire import frames
from agpd.wire.frames import FIRST_DATA_KIND, LENGTH_SIZE, PREFIX, PREFIX_SIZE, Frame, Kind
from agpd.wire.grpc import prefixed, status_of

Address = TypeVar("Address")
_log = logging.getLogger(__name__)


class DialectSession(ABC, Generic[Address]):
    """One call. Until its caller is known nothing is read."""

    dialect: ClassVar[Dialect]
    message_limit_bytes: ClassVar[int]  # of the dialect, encoded

    def __init__(self, call: Call, dialects: Dialects) -> None:
        if dialects.hub.draining:
            raise Fatal(Code.SHUTTING_DOWN)
        self.dialects = dialects
        self.hub = dialects.hub
        self.call = call
        self.link: Link | None = None
        self._protocol: NativeProtocol | None = None
        self._foreign: Foreign[Address] | None = None
        self._closing = False
        self._frames: list[bytes] = []  # of the peer, until they are put to the hub
        self._portions: Portions | None = None
        self.pause_reading = call.pause_reading
        self.resume_reading = call.resume_reading
        self.get_write_buffer_size = call.get_write_buffer_size
        self.set_write_buffer_limits = call.set_write_buffer_limits
        call.pause_reading()
        self._entering = asyncio.get_running_loop().create_task(self._enter())

    # ---- of each dialect

    @abstractmethod
    def hear(self, messages: list[bytes]) -> None:
        """What the peer says. Raises `Fatal` for what no correct client sends."""

    @abstractmethod
    def tell(self, kind: int, destination: int, source: int, id_: int, envelope: bytes) -> bytes | None:
        """A message for the peer in its dialect; None if it cannot be told. Raises `Fatal` for a broken envelope."""

    @abstractmethod
    def spell(self, address: Address) -> Name:
        """What an address of the dialect is called. Raises `Refused`."""

    def own(self, address: Address) -> Name:
        """See `Spelling`."""
        return self.spell(address)

    def disown(self, address: Address) -> None:
        """See `Spelling`."""

    @abstractmethod
    def hashes(self) -> Iterator[int]:
        """See `Speller`."""

    def entered(self) -> None:
        """The caller is known, the link stands."""

    def left(self) -> None:
        """The link has gone."""

    # ---- for the dialects

    @property
    def foreign(self) -> Foreign[Address]:
        """The peer's agents."""
        assert self._foreign is not None, "nothing is read before"
        return self._foreign

    def put(self, frame: bytes) -> None:
        """A native frame of the peer. What is put goes to the hub together, at the latest after this `hear`."""
        self._frames.append(frame)

    def settle(self) -> None:
        """Let the hub have what was put."""
        if self._frames:
            data = b"".join(self._frames)
            self._frames.clear()
            self.take(data)

    def take(self, data: bytes) -> None:
        """Native frames of the peer."""
        assert self._protocol is not None
        if data:
            self._protocol.data_received(data)

    def send(self, message: bytes) -> None:
        """A message of the gateway's own to the peer."""
        self.call.write(prefixed(message))

    def respelled(self) -> None:
        """See `Speller`."""
        link = self.link
        if self._foreign is None or link is None or link.close_code is not None:
            return  # ended, and only the call is still there
        try:
            self._foreign.respelled()
        except Exception:
            # Somebody else has just used a name: a fault of ours must not cost him anything.
            _log.exception("fault while agents of %s are renamed", self.call.peer)
            self.hub.end(link, Code.INTERNAL)

    def note(self, reason: str, count: int = 1, **details: object) -> None:
        """Something of this peer was ignored or dropped."""
        self.dialects.note(reason, count, peer=self.call.peer, dialect=self.dialect.name, **details)

    # ---- the call's receiver

    async def _enter(self) -> None:
        call = self.call
        try:
            delay_s = self.dialects.opening_delay_s(source_of(call.address))
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            principal = await self.dialects.callers.authenticate(call)
            self._open(principal)
        except AgpdError as error:
            call.fail(error)
        except Exception:
            _log.exception("fault while a call of %s begins", call.peer)
            call.fail(Fatal(Code.INTERNAL))

    def _open(self, principal: Principal) -> None:
        hub = self.hub
        if hub.draining:  # meanwhile
            raise Fatal(Code.SHUTTING_DOWN)
        limit = self.message_limit_bytes + FRAME_OVERHEAD_BYTES
        self._protocol = NativeProtocol(hub, None, principal, dialect=self.dialect, frame_limit_bytes=limit)
        self._protocol.connection_made(cast(asyncio.Transport, self))
        link = self.link = self._protocol.link
        if link.close_code is not None:
            return  # too many connections: the call has ended with that
        try:
            hub.identify(link, principal)
        except Refused as refused:
            hub.end(link, refused.code, refused.detail)
            return
        link.session.greeted()
        link.reassembly.limit = limit
        self._foreign = Foreign(hub, link, self)
        self._portions = Portions(link, hub.turn.call_soon, self._hear)
        self.entered()
        self.call.begin()
        if not link.holds:  # as one of an organization that is over its rate
            self.call.resume_reading()

    def messages(self, messages: list[bytes]) -> None:
        """All that one read has brought."""
        assert self._portions is not None, "nothing is read before"
        self._portions.take(messages)

    def _hear(self, messages: list[bytes]) -> None:
        link = self.link
        assert link is not None
        before = link.bytes_in
        try:
            self.hear(messages)
            self.settle()
        except Fatal as fatal:
            self.settle()
            self.note(f"ended: {fatal.detail}")
            self.hub.end(link, fatal.code, fatal.detail)
            return
        # Also what became no frame was read, and counts for the rate of the organization.
        link.bytes_in = max(link.bytes_in, before + sum(map(len, messages)))
        if link.meter is not None:
            link.meter.charge()

    def half_closed(self) -> None:
        """The peer sends no more, so it wants no more."""
        if self.link is not None:
            self.hub.end(self.link, Code.GOODBYE, "by the peer", say=False)

    def pause_writing(self) -> None:
        """The call takes no more."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    def lost(self, detail: str) -> None:
        """The call is over."""
        self._closing = True
        self._entering.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(ConnectionError(detail) if detail else None)
        if self._foreign is not None:
            self.dialects.spellings.leave(self)
            self.left()

    # ---- the link's carrier

    def get_extra_info(self, name: str) -> object:
        """As a transport: `peername`, and how to ask what is kept here of what has come."""
        return self._unread_bytes if name == "unread_bytes" else self.call.get_extra_info(name)

    def _unread_bytes(self) -> int:
        return self.call.unread_bytes + (0 if self._portions is None else self._portions.bytes_waiting)

    def write(self, data: bytes) -> None:
        """Native frames for the peer."""
        told: list[bytes] = []
        position, size = 0, len(data)
        while position < size:
            length, kind, flags, fanout, destination, source, id_ = PREFIX.unpack_from(data, position)
            end = position + LENGTH_SIZE + length
            body = data[position + PREFIX_SIZE : end]
            if kind < FIRST_DATA_KIND:
                self._control(Frame(kind, flags, fanout, destination, source, id_, body))
            else:
                message = self._told(kind, destination, source, id_, body)
                if message is not None:
                    told.append(prefixed(message))
            position = end
        if told:
            self.call.write(told[0] if len(told) == 1 else b"".join(told))

    def _told(self, kind: int, destination: int, source: int, id_: int, body: bytes) -> bytes | None:
        try:
            message = self.tell(kind, destination, source, id_, body)
        except Fatal:
            self.note("unreadable", source=self.foreign.met.get(source))
            return None
        if message is not None and len(message) > self.message_limit_bytes:
            self.note("too_large", bytes=len(message))
            return None
        return message

    def close(self) -> None:
        """End the call after what was written."""
        if not self._closing:
            self._closing = True
            self.call.finish()

    def abort(self) -> None:
        """End the call now, with the reason if it has not been tried to say it."""
        if self._closing or self.link is None or self.link.close_code is None:
            self.call.abort()
        else:
            self._closing = True
            self.call.fail(Fatal(self.link.close_code))

    def _control(self, frame: Frame) -> None:
        """What the gateway tells its agents: some of it has a counterpart in the dialect."""
        if frame.kind == Kind.REFUSED:
            self._refused(frame)
        elif frame.kind == Kind.PING:
            self.call.ping(self._alive)
        elif frame.kind == Kind.CLOSE:
            self._closed(frame)
        elif frame.kind == Kind.DROPPED:
            self.note("slow", frames.decode(frame.body, frames.Count).count)
        elif self._foreign is not None:
            self._foreign.hear(frame)

    def _alive(self) -> None:
        """The connection has answered; a link lives as long as bytes come."""
        if self.link is not None:
            self.link.bytes_in += 1

    def _closed(self, frame: Frame) -> None:
        refusal = frames.decode(frame.body, frames.Refusal)
        if self._closing:
            return
        self._closing = True
        error = Fatal(code_of(refusal.code), refusal.detail)
        if error.code is Code.SLOW_CONSUMER:
            self.call.fail(error)  # what waits for it would wait on
        else:
            self.call.finish(*status_of(error))

    def _refused(self, frame: Frame) -> None:
        """Dialects have no word for it: it is counted and logged."""
        refusal = frames.decode(frame.body, frames.Refusal)
        code = code_of(refusal.code)
        entry = self.hub.router.entries.get(frame.source)
        name = "" if entry is None else str(entry.name)
        reason = self._why_unroutable(entry) if code is Code.NO_ROUTE else code.name.lower()
        if refusal.count:  # else it speaks of no message
            self.note(reason, refusal.count, destination=name)
        if self._foreign is not None:
            self._foreign.hear(frame)

    def _why_unroutable(self, entry: Entry | None) -> str:
        if isinstance(entry, TypeEntry):
            return "only_origin" if entry.members else "unknown_type"
        return "only_origin" if entry is not None and entry.link is self.link else "unknown_id"
