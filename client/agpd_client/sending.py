"""The sending half of an agent: publish, request, answer."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from threading import get_ident as _thread
from typing import TYPE_CHECKING, Any, TypeVar, overload

from agpd import names
from agpd.errors import Code
from agpd.hotpath import data_frame
from agpd.wire.envelope import Envelope, pack
from agpd.wire.frames import FANOUT_LIMIT, PREFIX_SIZE, RECEIPT_WANTED, Kind, encode_data
from agpd_client import codec
from agpd_client.backlog import Waiting
from agpd_client.codec import BYTES
from agpd_client.connection import Connection
from agpd_client.errors import AgpError, Closed, MessageTooLarge, Timeout, checked
from agpd_client.message import Message

if TYPE_CHECKING:
    from agpd_client.uplink import Uplink

ALL = 0
ANY = 1
REQUEST_TIMEOUT_S = 5.0
Answer = TypeVar("Answer")
Items = TypeVar("Items")
_PUBLISH, _REQUEST, _REPLY = int(Kind.PUBLISH), int(Kind.REQUEST), int(Kind.REPLY)


def _packed(
    body: bytes, content_type: int, headers: dict[str, str] | None, ttl: float | None, correlation: int
) -> bytes:
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


class Sender:
    """What `Agent` sends with. `handle` is the agent's on the present connection."""

    name: str
    handle: int
    _uplink: "Uplink"
    _error: AgpError | None  # why the agent is no more

    async def publish(
        self,
        to: str,
        data: Any,
        *,
        fanout: int = ANY,
        confirm: bool = False,
        headers: dict[str, str] | None = None,
        ttl: float | None = None,
        timeout: float | None = REQUEST_TIMEOUT_S,
    ) -> int | None:
        """Send a message to a type or topic (`fanout` instances: ALL, ANY, or n distinct ones) or to one instance.

        Returns as soon as it is queued; a refusal then comes as an event. With `confirm` it waits, at most `timeout`
        seconds, for the number of instances it was put in the outbox of, and raises `NoRoute`, `ReceiverFull`,
        `NotPermitted`, `Timeout`. While there is no connection messages are kept, up to the gateway object's
        `buffer_bytes`; beyond that, or while the carrier is full, it waits. `ttl`: seconds after which nobody needs it.
        """
        uplink = self._uplink
        if _thread() != uplink.thread or not uplink.is_running():
            uplink.check_loop()
        body, content_type = (data, BYTES) if type(data) is bytes else codec.encode(data)
        if not confirm and self._quick(to, body, content_type, fanout, headers, ttl):
            return None
        _check_fanout(fanout)
        self._check_destination(to)
        envelope = _packed(body, content_type, headers, ttl, 0)
        if confirm:
            return await self._confirmed(to, envelope, fanout, timeout)
        await self._keep_or_send(Waiting(self, to, _PUBLISH, envelope, fanout))  # type: ignore[arg-type]
        return None

    async def publish_many(
        self,
        to: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        fanout: int = ANY,
        headers: dict[str, str] | None = None,
        ttl: float | None = None,
    ) -> int:
        """As `publish` of each of the items, in order; how many there were.

        Items are taken as they can be sent: a generator may be endless, and others run in between. An item that cannot
        be sent raises; those before it are sent. `ttl` counts from when an item is taken.
        """
        self._uplink.check_loop()
        several(items)
        _check_fanout(fanout)
        self._check_destination(to)
        count = 0
        if isinstance(items, AsyncIterable):
            async for data in items:
                await self.publish(to, data, fanout=fanout, headers=headers, ttl=ttl)
                count += 1
            return count
        quick = self._quick
        for data in items:
            body, content_type = (data, BYTES) if type(data) is bytes else codec.encode(data)
            if not quick(to, body, content_type, fanout, headers, ttl):
                await self.publish(to, data, fanout=fanout, headers=headers, ttl=ttl)
            count += 1
        return count

    async def request_message(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        headers: dict[str, str] | None = None,
    ) -> Message[Any]:
        """Ask one instance and wait for its answer, at most `timeout` seconds.

        Raises `Timeout`, `NoRoute`, `ReceiverFull`, `NotPermitted`, and `Closed` when the connection is lost
        meanwhile: whether the receiver has acted is then unknown.
        """
        uplink = self._uplink
        uplink.check_loop()
        envelope = _packed(*codec.encode(data), headers, timeout, 0)
        connection, began = uplink.connection, time.monotonic()
        number = None
        if connection is not None and not connection.out.busy:
            number = connection.handles.young.get((self.handle, to))
        if connection is not None and number is not None:
            _check_size(envelope, connection)
            try:
                return await self._answered(connection, number, envelope, to, timeout)
            except AgpError as error:
                if error.code is not Code.UNKNOWN_HANDLE:
                    raise
        self._check_destination(to)
        left = None if timeout is None else timeout - (time.monotonic() - began)
        return await self._asked(
            lambda id_: self._exchange(to, _REQUEST, envelope, ANY, 0, id_),
            _unguessable_id,
            left,
            _late(to, timeout),
            tries=2 if number is None else 1,
        )

    @overload
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: type[Answer],
        headers: dict[str, str] | None = None,
    ) -> Answer: ...
    @overload
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: None = None,
        headers: dict[str, str] | None = None,
    ) -> Any: ...
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: Any = None,  # noqa: A002  (the word of the API)
        headers: dict[str, str] | None = None,
    ) -> Any:
        """As `request_message`; gives the answer's data, as a `type` if one is given.

        Also raises `RemoteError`, `DecodeError`.
        """
        message = await self.request_message(to, data, timeout=timeout, headers=headers)
        return message.decode(type)

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
        envelope = _packed(body, content_type, headers, None, id_)
        while True:
            connection = self._uplink.connection or await self._uplink.ready()
            _check_size(envelope, connection)
            if connection.out.busy:
                await connection.out.breathe()
                continue
            number = known[1] if connection is known[0] else connection.handles.get((self.handle, to))
            if number is not None:
                self._send(connection, _REPLY, envelope, ANY, 0, number, connection.next_id())
                return
            await self._open(connection, to)

    async def transmit(self, connection: Connection, message: Waiting) -> None:
        """Send a message that waited. Raises what refuses its destination, and `Closed`."""
        number = await self._number(connection, message.to)
        _check_size(message.envelope, connection)
        self._send(
            connection, message.kind, message.envelope, message.fanout, 0, number, connection.next_id()
        )

    def _quick(
        self,
        to: str,
        body: bytes,
        content_type: int,
        fanout: int,
        headers: dict[str, str] | None,
        ttl: float | None,
    ) -> bool:
        """Queue a message if that takes no waiting and no questions."""
        uplink = self._uplink
        connection = uplink.connection
        if connection is None or connection.out.busy or not 0 <= fanout <= FANOUT_LIMIT:
            return False
        number = connection.handles.young.get((self.handle, to))
        if number is None:
            return False
        if headers is None and ttl is None:
            frame = data_frame(_PUBLISH, fanout, number, self.handle, uplink.next_id(), body, content_type)
        else:
            envelope = _packed(body, content_type, headers, ttl, 0)
            frame = encode_data(
                _PUBLISH, envelope, fanout=fanout, destination=number, source=self.handle, id=uplink.next_id()
            )
        if len(frame) > connection.frame_limit:
            return False
        connection.send(frame)
        return True

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

    async def _keep_or_send(self, message: Waiting) -> None:
        uplink = self._uplink
        while True:
            connection = uplink.connection
            if connection is None:
                if uplink.error is not None:
                    raise uplink.error
                if uplink.backlog.offer(message):
                    return
                await uplink.backlog.room()
                continue
            _check_size(message.envelope, connection)
            try:
                await self.transmit(connection, message)
                return
            except Closed:  # nothing was sent: it waits for the next connection
                if uplink.error is not None:
                    raise

    async def _confirmed(self, to: str, envelope: bytes, fanout: int, timeout: float | None) -> int:
        next_id = self._uplink.next_id
        late = f"no receipt for the message to {to} within {timeout} s; whether it was delivered is unknown"
        return await self._asked(
            lambda id_: self._exchange(to, _PUBLISH, envelope, fanout, RECEIPT_WANTED, id_),
            next_id,
            timeout,
            late,
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
            self._send(connection, _REQUEST, envelope, ANY, 0, number, id_)
            return await future  # type: ignore[no-any-return]
        finally:
            connection.calls.forget(id_)
            if timer is not None:
                timer.cancel()

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
            _check_size(envelope, connection)
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


def several(items: Items) -> Items:
    """What is one payload is not the payloads of many messages. Raises `TypeError`."""
    if isinstance(items, (str, bytes, bytearray, memoryview)):
        raise TypeError(
            "publish_many takes several payloads, in a list or another iterable; publish takes one"
        )
    return items


def _check_size(envelope: bytes, connection: Connection) -> None:
    if len(envelope) + PREFIX_SIZE > connection.frame_limit:
        raise MessageTooLarge(
            f"the message has {len(envelope) + PREFIX_SIZE} bytes and this gateway takes {connection.frame_limit}: "
            "send less in one message, or raise frame_limit_bytes on the gateway"
        )


def _check_fanout(fanout: int) -> None:
    if not isinstance(fanout, int) or not 0 <= fanout <= FANOUT_LIMIT:
        raise ValueError(f"fanout {fanout!r}: agp.ALL (0), agp.ANY (1) or a number up to {FANOUT_LIMIT}")
