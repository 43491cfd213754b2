"""The hub's end of a trunk: for every client of the worker a channel, which is a transport like any other.

A channel promises what sockets promise: data in order and in a later turn after a pause, `pause_writing` when the
client lags behind, `close` delivers what was written before it, `connection_lost` once at the end.

Credit bounds both ways. To the client: what was written and not yet taken by the client's socket in the worker is the
write buffer of the channel, and the marks that its protocol sets are compared with that. From the client: the worker
sends at most `WINDOW_BYTES` that the protocol has not taken, so that much waits here while reading is paused.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from agpd.transport.workers import codec
from agpd.transport.workers.codec import Item, TrunkError
from agpd.transport.workers.gate import Backlog, Gate
from agpd.transport.workers.trunk import CallSoon, Trunk

WINDOW_BYTES = 512 * 1024
ACK_STEP_BYTES = 128 * 1024  # what was taken is acknowledged in steps

_log = logging.getLogger(__name__)


class _Certificate:
    """Stands where a TLS socket has its `ssl_object`."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def getpeercert(self, binary_form: bool) -> bytes | None:
        assert binary_form
        return self._der or None


class Channel(asyncio.Transport):
    """The transport of one client of a worker."""

    __slots__ = (
        "_closing",
        "_ended",
        "_full",
        "_gone",
        "_held",
        "_high",
        "_low",
        "_outstanding",
        "_protocol",
        "_reading",
        "_scheduled",
        "_taken",
        "_trunk",
        "number",
    )

    def __init__(
        self, trunk: "HubTrunk", number: int, peer: str, der: bytes, protocol: asyncio.Protocol
    ) -> None:
        super().__init__(
            {"peername": peer, "ssl_object": _Certificate(der), "unread_bytes": self._unread_bytes}
        )
        self.number = number
        self._trunk = trunk
        self._protocol = protocol
        self._reading = True
        self._scheduled = False  # `_deliver` will be called
        self._held: list[bytes] = []
        self._taken = 0  # bytes that the protocol has taken and the worker does not know of
        self._outstanding = 0
        self._high, self._low = 64 * 1024, 16 * 1024
        self._full = self._closing = self._gone = False
        self._ended: str | None = None

    # reading

    def pause_reading(self) -> None:
        self._reading = False

    def _unread_bytes(self) -> int:
        return sum(map(len, self._held))

    def resume_reading(self) -> None:
        self._reading = True
        if self._held or self._ended is not None:
            self._deliver_later()

    def _deliver_later(self) -> None:
        if self._reading and not self._scheduled:
            self._scheduled = True
            gate, call_soon = self._trunk.gate, self._trunk.call_soon
            if gate.closed:
                # Each by itself: a fault in one must not keep the others waiting for ever.
                gate.wait(lambda: call_soon(self._deliver))
            else:
                call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def arrive(self, data: bytes) -> None:
        """The client has sent this."""
        if self._closing:
            return
        if self._reading and not self._held and not self._trunk.gate.closed:
            self._protocol.data_received(data)
            self._took(len(data))
        else:
            self._held.append(data)
            self._deliver_later()

    def end(self, reason: str) -> None:
        """The client has gone. As with a socket, that is noticed after what came before, and not while paused."""
        self._ended = reason
        if self._closing or (self._reading and not self._held):
            self._lose()

    def _deliver(self) -> None:
        self._scheduled = False
        if self._gone or not self._reading:
            return
        if self._trunk.gate.closed:
            self._deliver_later()
            return
        if self._held and not self._closing:
            data = b"".join(self._held)
            self._held.clear()
            self._protocol.data_received(data)
            self._took(len(data))
        if self._ended is not None:
            self.end(self._ended)

    def _took(self, count: int) -> None:
        self._taken += count
        if self._taken >= ACK_STEP_BYTES and self._ended is None:
            self._trunk.send(codec.acks([(self.number, self._taken)]))
            self._taken = 0

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        self._trunk.write(self.number, cast(bytes, data))
        self._outstanding += len(data)
        if self._outstanding > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def acknowledge(self, count: int) -> None:
        """The client's socket has taken so many bytes more. Raises `TrunkError`."""
        self._outstanding -= count
        if self._outstanding < 0:
            raise TrunkError("more was acknowledged than written")
        if self._full and self._outstanding <= self._low:
            self._full = False
            if not self._closing:
                self._protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._outstanding

    def can_write_eof(self) -> bool:
        return False

    # ending

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._ended is None:
            self._trunk.send(codec.frame(codec.CLOSE, self.number))
        else:
            self._trunk.call_soon(self._lose)

    def abort(self) -> None:
        """End at once, whatever the worker does."""
        if self._gone:
            return
        self._closing = True
        self._trunk.send(codec.frame(codec.ABORT, self.number))
        self._trunk.call_soon(self._lose)

    def _lose(self) -> None:
        if self._gone:
            return
        self._gone = self._closing = True
        self._held.clear()
        self._protocol.connection_lost(ConnectionResetError(self._ended) if self._ended else None)
        self._trunk.forget(self.number)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


class HubTrunk(Trunk):
    """The hub's end. `make_protocol` makes the protocol of each client, `on_word(kind, channel)` is told of frames that
    belong to no channel, `on_change` after a client has come or gone, `on_broken` when the worker has gone, after the
    protocols of all its clients were.
    """

    def __init__(
        self,
        call_soon: CallSoon,
        make_protocol: Callable[[], asyncio.Protocol],
        gate: Gate,
        *,
        on_word: Callable[[int, int], None],
        on_change: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        super().__init__(call_soon)
        self._make_protocol = make_protocol
        self._on_word, self._on_change, self._on_broken = on_word, on_change, on_broken
        self.gate = gate
        self._backlog = Backlog(gate)
        self.channels: dict[int, Channel] = {}
        self.cut_off = 0  # clients that the end of the worker has cost
        # The bytes written last, and to whom: who gets the same ones next shares them. So a broadcast crosses once.
        self._last = b""
        self._to: list[int] = []

    def write(self, channel: int, data: bytes) -> None:
        """Put bytes of a channel on the trunk. The same ones for several channels in a row cross once.

        They are compared, because the parts of a turn are joined anew for each receiver; what differs does so early, in
        the handles or ids of the first frame.
        """
        self._backlog.grow(len(data))
        if data == self._last and len(self._to) < codec.MANY_LIMIT:
            self._to.append(channel)
            return
        self._seal()
        self._last = data
        self._to.append(channel)
        self._schedule()

    def _seal(self) -> None:
        """Nobody shares the last bytes any more."""
        if self._to:
            data, to = self._last, self._to
            self._last, self._to = b"", []
            head = codec.data_head(to[0], len(data)) if len(to) == 1 else codec.many_head(to, len(data))
            self._out += (head, data)

    def send(self, *parts: bytes) -> None:
        self._seal()
        super().send(*parts)

    def flush(self) -> None:
        self._seal()
        super().flush()

    def take(self, item: Item) -> None:
        kind, number, payload = item
        if not isinstance(number, int):
            raise TrunkError("only the hub sends to many")
        try:
            self._take(kind, number, payload)
        except TrunkError:
            raise
        except Exception:
            # A fault of ours costs this client, not all of the worker; it is logged whole, to be mended.
            _log.exception("fault while serving channel %d", number)
            if number in self.channels:
                self.channels[number].abort()

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == codec.DATA:
            channel = self.channels.get(number)
            if channel is not None:  # else we have just aborted it
                channel.arrive(payload)
        elif kind == codec.ACK:
            self._acknowledge(payload)
        elif kind == codec.TAKEN:
            self._backlog.shrink(codec.taken_count(payload))
        elif kind == codec.OPEN:
            self._open(number, payload)
        elif kind == codec.LOST:
            if number in self.channels:  # as above
                self.channels[number].end(payload.decode("utf-8", "replace"))
        else:
            self._on_word(kind, number)

    def _open(self, number: int, payload: bytes) -> None:
        if number in self.channels:
            raise TrunkError(f"channel {number} is open already")
        protocol = self._make_protocol()
        channel = self.channels[number] = Channel(self, number, *codec.opened(payload), protocol)
        protocol.connection_made(channel)
        self._on_change()

    def _acknowledge(self, payload: bytes) -> None:
        for number, count in codec.acked(payload):
            channel = self.channels.get(number)
            if channel is not None:
                channel.acknowledge(count)

    def forget(self, number: int) -> None:
        """This channel has ended."""
        del self.channels[number]
        self._on_change()

    def broken(self) -> None:
        self._backlog.end()
        self.cut_off = len(self.channels)
        for channel in list(self.channels.values()):
            channel.end("its worker has ended")
        self._on_broken()
