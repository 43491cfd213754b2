"""What an agent sends and is answered, once the envelope is packed: handles, receipts, replies, timeouts."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from agpd import names
from agpd.errors import Code
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import FANOUT_ANY, PREFIX_SIZE, RECEIPT_WANTED, Kind, encode_data
from agpd_client.backlog import Waiting
from agpd_client.connection import Connection
from agpd_client.errors import AgpError, Closed, MessageTooLarge, Timeout, checked
from agpd_client.message import Message

if TYPE_CHECKING:
    from agpd_client.uplink import Uplink

Answer = TypeVar("Answer")
_PUBLISH, _REQUEST, _REPLY = int(Kind.PUBLISH), int(Kind.REQUEST), int(Kind.REPLY)


def packed(
    body: bytes, content_type: int, headers: dict[str, str] | None, ttl: float | None, correlation: int
) -> bytes:
    """An envelope. `ttl`: seconds from now."""
    if headers is None and ttl is None and not correlation:
        return pack((body, content_type))
    expires = 0 if ttl is None else int((time.time() + ttl) * 1000)
    return pack(Envelope(body, content_type, correlation, expires, headers))


def _unguessable_id() -> int:
    """Answers are matched by it alone: other agents, who see theirs, must not be able to guess the next one."""
    return secrets.randbits(63)


def _late(to: str, timeout: float | None) -> str:
    return f"no answer from {to} within {timeout} s"


def _expire(future: asyncio.Future[Any], to: str, timeout: float) -> None:
    if not future.done():
        future.set_exception(Timeout(_late(to, timeout)))


class Exchange:
    """What `Agent` sends by. `handle` is the agent's on the present connection."""

    name: str
    handle: int
    _uplink: "Uplink"
    _error: AgpError | None  # why the agent is no more

    async def answer(
        self,
        to: str,
        known: tuple[Connection, int],
        id_: int,
        body: bytes,
        content_type: int,
        headers: dict[str, str] | None,
    ) -> None:
        """The reply to request `id_` of the agent `to`, whose handle on a connection is known."""
        self._uplink.check_loop()
        envelope = packed(body, content_type, headers, None, id_)
        while True:
            connection = self._uplink.connection or await self._uplink.ready()
            check_size(envelope, connection)
            if connection.out.busy:
                await connection.out.breathe()
                continue
            number = known[1] if connection is known[0] else connection.handles.get((self.handle, to))
            if number is not None:
                self._send(connection, _REPLY, envelope, FANOUT_ANY, 0, number, connection.next_id())
                return
            await self._open(connection, to)

    async def transmit(self, connection: Connection, message: Waiting) -> None:
        """Send a message that waited. Raises what refuses its destination, and `Closed`."""
        number = await self._number(connection, message.to)
        check_size(message.envelope, connection)
        self._send(
            connection, message.kind, message.envelope, message.fanout, 0, number, connection.next_id()
        )

    async def _ask(self, to: str, envelope: bytes, timeout: float | None) -> Message[Any]:
        """The answer to a request."""
        connection, began = self._uplink.connection, time.monotonic()
        number = None
        if connection is not None and not connection.out.busy:
            number = connection.handles.young.get((self.handle, to))
        if connection is not None and number is not None:
            check_size(envelope, connection)
            try:
                return await self._answered(connection, number, envelope, to, timeout)
            except AgpError as error:
                if error.code is not Code.UNKNOWN_HANDLE:
                    raise
        self._check_destination(to)
        left = None if timeout is None else timeout - (time.monotonic() - began)
        return await self._asked(
            lambda id_: self._exchange(to, _REQUEST, envelope, FANOUT_ANY, 0, id_),
            _unguessable_id,
            left,
            _late(to, timeout),
            tries=2 if number is None else 1,
        )

    async def _answered(
        self, connection: Connection, number: int, envelope: bytes, to: str, timeout: float | None
    ) -> Message[Any]:
        """The answer to a request whose destination is open: what `_asked` does, in a third of the time."""
        id_ = _unguessable_id()
        future = connection.calls.begin(id_, self.handle)
        timer = (
            None
            if timeout is None
            else asyncio.get_running_loop().call_later(timeout, _expire, future, to, timeout)
        )
        try:
            self._send(connection, _REQUEST, envelope, FANOUT_ANY, 0, number, id_)
            return await future  # type: ignore[no-any-return]
        finally:
            connection.calls.forget(id_)
            if timer is not None:
                timer.cancel()

    async def _confirmed(self, to: str, envelope: bytes, fanout: int, timeout: float | None) -> int:
        next_id = self._uplink.next_id
        late = f"no receipt for the message to {to} within {timeout} s; whether it was delivered is unknown"
        return await self._asked(
            lambda id_: self._exchange(to, _PUBLISH, envelope, fanout, RECEIPT_WANTED, id_),
            next_id,
            timeout,
            late,
        )

    async def _asked(
        self,
        exchange: Callable[[int], Awaitable[Answer]],
        make_id: Callable[[], int],
        timeout: float | None,
        late: str,
        tries: int = 2,
    ) -> Answer:
        """The answer; a frame refused because its handle had died meanwhile is sent again, `tries` times in all."""
        try:
            async with asyncio.timeout(timeout):
                for _ in range(tries - 1):
                    try:
                        return await exchange(make_id())
                    except AgpError as error:
                        if error.code is not Code.UNKNOWN_HANDLE:
                            raise
                return await exchange(make_id())
        except Timeout:
            raise
        except TimeoutError:
            raise Timeout(late) from None

    async def _exchange(self, to: str, kind: int, envelope: bytes, fanout: int, flags: int, id_: int) -> Any:
        while True:
            connection = await self._uplink.ready()
            check_size(envelope, connection)
            try:
                number = await self._number(connection, to)
                break
            except Closed:  # nothing was sent yet
                if self._uplink.error is not None:
                    raise
        future = connection.calls.begin(id_, self.handle)
        try:
            self._send(connection, kind, envelope, fanout, flags, number, id_)
            return await future
        finally:
            connection.calls.forget(id_)

    def _check_destination(self, to: str) -> None:
        if self._error is not None:
            raise self._error
        checked(names.parse, to)

    def _send(
        self,
        connection: Connection,
        kind: int,
        envelope: bytes,
        fanout: int,
        flags: int,
        number: int,
        id_: int,
    ) -> None:
        connection.out.urge(
            encode_data(
                kind, envelope, flags=flags, fanout=fanout, destination=number, source=self.handle, id=id_
            )
        )

    async def _number(self, connection: Connection, to: str) -> int:
        """The open handle of the destination, once the carrier has room: nothing lies between this and sending."""
        while True:
            if connection.is_closed:
                raise Closed("the connection was lost before the message was sent", code=Code.CONNECTION_LOST)
            if connection.out.busy:
                await connection.out.breathe()
                continue
            number = connection.handles.get((self.handle, to))
            if number is not None:
                return number
            await connection.open(self.handle, to)

    async def _open(self, connection: Connection, to: str) -> None:
        try:
            await connection.open(self.handle, to)
        except Closed:
            if self._uplink.error is not None:
                raise self._uplink.error from None


def check_size(envelope: bytes, connection: Connection) -> None:
    """Raises `MessageTooLarge`."""
    if len(envelope) + PREFIX_SIZE > connection.frame_limit:
        raise MessageTooLarge(
            f"the message has {len(envelope) + PREFIX_SIZE} bytes and this gateway takes {connection.frame_limit}: "
            "send less in one message, or raise frame_limit_bytes on the gateway"
        )
