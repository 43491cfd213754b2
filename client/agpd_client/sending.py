"""The verbs by which an agent sends: publish, request."""

import asyncio
from collections.abc import AsyncIterable, Iterable
from threading import get_ident as _thread
from typing import Any, TypeVar, overload

from agpd.hotpath import data_frame
from agpd.wire.frames import FANOUT_LIMIT, Kind, encode_data
from agpd_client import codec
from agpd_client.backlog import Waiting
from agpd_client.codec import BYTES
from agpd_client.errors import Closed
from agpd_client.exchange import Exchange, check_size, packed
from agpd_client.message import Message
from agpd_client.outgoing import MESSAGES_PER_TURN

ALL = 0
ANY = 1
REQUEST_TIMEOUT_S = 5.0
Answer = TypeVar("Answer")
Items = TypeVar("Items")
_PUBLISH = int(Kind.PUBLISH)


class Sender(Exchange):
    """The verbs."""

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
        envelope = packed(body, content_type, headers, ttl, 0)
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
        self._uplink.check_loop()
        envelope = packed(*codec.encode(data), headers, timeout, 0)
        return await self._ask(to, envelope, timeout)

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
        if connection is None or connection.out.busy:
            return False
        if type(fanout) is not int or not 0 <= fanout <= FANOUT_LIMIT:  # compiled code would take 1.5 for 1
            return False
        number = connection.handles.young.get((self.handle, to))
        if number is None:
            return False
        if headers is None and ttl is None:
            frame = data_frame(_PUBLISH, fanout, number, self.handle, uplink.next_id(), body, content_type)
        else:
            envelope = packed(body, content_type, headers, ttl, 0)
            frame = encode_data(
                _PUBLISH, envelope, fanout=fanout, destination=number, source=self.handle, id=uplink.next_id()
            )
        if len(frame) > connection.frame_limit:
            return False
        connection.send(frame)
        return True

    async def _keep_or_send(self, message: Waiting) -> None:
        uplink = self._uplink
        while True:
            connection = uplink.connection
            if connection is None:
                if uplink.error is not None:
                    raise uplink.error
                if uplink.backlog.offer(message):
                    if not len(uplink.backlog) % MESSAGES_PER_TURN:
                        await asyncio.sleep(0)  # others run in between, also who connects again
                    return
                await uplink.backlog.room()
                continue
            check_size(message.envelope, connection)
            try:
                await self.transmit(connection, message)
                return
            except Closed:  # nothing was sent: it waits for the next connection
                if uplink.error is not None:
                    raise


def several(items: Items) -> Items:
    """What is one payload is not the payloads of many messages. Raises `TypeError`."""
    if isinstance(items, (str, bytes, bytearray, memoryview)):
        raise TypeError(
            "publish_many takes several payloads, in a list or another iterable; publish takes one"
        )
    return items


def _check_fanout(fanout: int) -> None:
    if not isinstance(fanout, int) or not 0 <= fanout <= FANOUT_LIMIT:
        raise ValueError(f"fanout {fanout!r}: agp.ALL (0), agp.ANY (1) or a number up to {FANOUT_LIMIT}")
