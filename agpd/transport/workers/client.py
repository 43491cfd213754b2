"""The worker's end of a trunk: the sockets of clients, whose bytes go to the hub and come from there.

Nothing here reads a frame of the native protocol or holds a queue of its own: what the hub sends lies in the client's
transport until its socket takes it, and the hub stops at its own marks. What was taken is acknowledged at once in
steps of `ACK_STEP_BYTES`, and the rest on a slow tick. A client is not read while it has used up its window, and while
the trunk is full.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from agpd.transport.native import peer_text
from agpd.transport.workers import codec
from agpd.transport.workers.channel import WINDOW_BYTES
from agpd.transport.workers.codec import Item, TrunkError
from agpd.transport.workers.trunk import CallSoon, Trunk

ACK_STEP_BYTES = 64 * 1024  # not above the low mark of the hub's protocols, or they would wait for the tick
TICK_S = 0.02
LAST_NUMBER = 2**32 - 1


class Client(asyncio.Protocol):
    """The connection of one client."""

    __slots__ = ("_full", "_reading", "_transport", "_trunk", "_untaken", "_unwritten", "number")

    def __init__(self, trunk: "WorkerTrunk") -> None:
        self._trunk = trunk
        self._unwritten = 0  # bytes from the hub that it has not been told are taken
        self._untaken = 0  # bytes to the hub that it has not told us it has taken
        self._full = False  # the trunk was full when it last sent
        self._reading = True
        self.number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        der = b"" if tls is None else tls.getpeercert(binary_form=True) or b""
        self._trunk.open(self, peer_text(transport.get_extra_info("peername")), der)

    def connection_lost(self, exc: Exception | None) -> None:
        self._trunk.lost(self, str(exc) if exc else "")

    # from the client to the hub

    def data_received(self, data: bytes) -> None:
        self._trunk.send(codec.data_head(self.number, len(data)), data)
        self._untaken += len(data)
        if self._trunk.full and not self._full:
            self._full = True
            self._trunk.full_for(self)
        self._read_or_not()

    def taken(self, count: int) -> None:
        """The hub has taken so many bytes more. Raises `TrunkError`."""
        self._untaken -= count
        if self._untaken < 0:
            raise TrunkError("more was acknowledged than sent")
        self._read_or_not()

    def room(self) -> None:
        """The trunk takes more."""
        self._full = False
        self._read_or_not()

    def _read_or_not(self) -> None:
        wanted = not self._full and self._untaken < WINDOW_BYTES
        if wanted != self._reading:
            self._reading = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    # from the hub to the client

    def write(self, data: bytes) -> None:
        """The hub sends this."""
        self._transport.write(data)
        self._unwritten += len(data)
        self._trunk.unsettle(self)
        if self.unsaid >= ACK_STEP_BYTES:
            self._trunk.acknowledge([self])

    def resume_writing(self) -> None:
        if self.unsaid:
            self._trunk.acknowledge([self])

    @property
    def unsaid(self) -> int:
        """Bytes that the socket has taken and the hub has not been told of."""
        return max(0, self._unwritten - self._transport.get_write_buffer_size())

    def say(self) -> int:
        """The same, which the hub is told of now."""
        count = self.unsaid
        self._unwritten -= count
        if not self._unwritten:
            self._trunk.settled(self)
        return count

    def close(self) -> None:
        """End after what was written."""
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()


class WorkerTrunk(Trunk):
    """The worker's end. `on_word(kind, channel, payload)` is told of frames that belong to no channel, `on_broken`
    when the hub has gone. `call_later(seconds, call)` is the loop's.
    """

    def __init__(
        self,
        call_soon: CallSoon,
        call_later: Callable[[float, Callable[[], None]], object],
        *,
        on_word: Callable[[int, int, bytes], None],
        on_broken: Callable[[], None],
    ) -> None:
        super().__init__(call_soon)
        self._call_later = call_later
        self._on_word, self._on_broken = on_word, on_broken
        self._clients: dict[int, Client] = {}
        self._number = 0
        self._ticking = False
        self._passed_on = 0  # bytes that the hub has not been told of
        self._waiting: list[Client] = []
        self._unsettled: dict[Client, None] = {}  # the hub has not been told everything
        self.full = False

    # clients

    def client(self) -> Client:
        """The protocol for a new connection."""
        return Client(self)

    def open(self, client: Client, peer: str, der: bytes) -> None:
        """It is connected: the hub makes a channel for it."""
        self._number = client.number = self._number % LAST_NUMBER + 1
        self._clients[client.number] = client
        self.send(codec.open_channel(client.number, peer, der))

    def lost(self, client: Client, reason: str) -> None:
        """It has gone, by itself or because the hub wanted it."""
        del self._clients[client.number]
        self.settled(client)
        self.send(codec.frame(codec.LOST, client.number, reason.encode()))

    def acknowledge(self, clients: list[Client]) -> None:
        """Tell the hub what their sockets have taken."""
        self.send(codec.acks([(client.number, count) for client in clients if (count := client.say())]))

    def unsettle(self, client: Client) -> None:
        """The tick tells the hub what its socket has taken."""
        self._unsettled[client] = None
        if not self._ticking:
            self._ticking = True
            self._call_later(TICK_S, self._tick)

    def settled(self, client: Client) -> None:
        """Nothing is left to tell."""
        self._unsettled.pop(client, None)

    def _tick(self) -> None:
        self._ticking = False
        settling = [client for client in self._unsettled if client.unsaid]
        if settling:
            self.acknowledge(settling)
        if self._unsettled:
            self._ticking = True
            self._call_later(TICK_S, self._tick)

    # the trunk

    def take(self, item: Item) -> None:
        kind, to, payload = item
        if kind == codec.DATA_TO_MANY:
            assert isinstance(to, tuple)
            for number in to:
                self._write(number, payload)
            return
        assert isinstance(to, int)
        if kind == codec.DATA:
            self._write(to, payload)
        elif kind == codec.ACK:
            for number, count in codec.acked(payload):
                if number in self._clients:
                    self._clients[number].taken(count)
        elif kind in (codec.CLOSE, codec.ABORT):
            client = self._clients.get(to)
            if client is not None:
                (client.close if kind == codec.CLOSE else client.abort)()
        else:
            self._on_word(kind, to, payload)

    def received(self, data: bytes | memoryview) -> None:
        super().received(data)
        if self._passed_on:
            self.send(codec.taken(self._passed_on))
            self._passed_on = 0

    def _write(self, number: int, data: bytes) -> None:
        self._passed_on += len(data)
        client = self._clients.get(number)
        if client is not None:  # else it has gone, and the hub will hear of it
            client.write(data)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        waiting, self._waiting = self._waiting, []
        for client in waiting:
            client.room()

    def full_for(self, client: Client) -> None:
        """It is not read until the trunk takes more."""
        self._waiting.append(client)

    def broken(self) -> None:
        self._on_broken()
