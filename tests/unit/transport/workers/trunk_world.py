"""Both ends of a trunk in memory, with recording protocols in the hub and recording sockets in the worker."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from agpd.transport.workers.channel import Channel, HubTrunk
from agpd.transport.workers.client import Client, WorkerTrunk
from agpd.transport.workers.gate import Gate


class Socket:
    """The transport of a client. While `stuck` it keeps what is written."""

    def __init__(self, der: bytes | None = None) -> None:
        self.sent, self.backlog = bytearray(), bytearray()
        self.reading, self.stuck, self.closed, self.aborted = True, False, False, False
        self.der = der

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        return self.der

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("192.0.2.1", 9), "ssl_object": self if self.der else None}.get(name)

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after the end"
        (self.backlog if self.stuck else self.sent).extend(data)

    def take(self, count: int) -> None:
        self.sent += self.backlog[:count]
        del self.backlog[:count]

    def get_write_buffer_size(self) -> int:
        return len(self.backlog)

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Recorder(asyncio.Protocol):
    """A protocol in the hub."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.writable = True
        self.ended: list[Exception | None] = []
        self.channel: Channel = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Channel)
        self.channel = transport

    def data_received(self, data: bytes) -> None:
        assert not self.ended
        self.got.append(data)

    def pause_writing(self) -> None:
        assert self.writable
        self.writable = False

    def resume_writing(self) -> None:
        assert not self.writable
        self.writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.append(exc)


class Cable:
    """What one end writes to."""

    def __init__(self, world: "TrunkWorld", receive: Callable[[bytes], None]) -> None:
        self.world, self.receive = world, receive
        self.writes: list[bytes] = []
        self.cut = False

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert high > low

    def writelines(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        self.writes.append(data)
        self.world.calls.append(lambda: self.receive(data))

    def abort(self) -> None:
        self.cut = True


class Timer:
    """A call of a test's clock."""

    def __init__(self, timers: list[Callable[[], None]], call: Callable[[], None]) -> None:
        self._timers, self._call = timers, call
        timers.append(call)

    def cancel(self) -> None:
        if self._call in self._timers:
            self._timers.remove(self._call)


class TrunkWorld:
    """The two ends, and turns of a loop by hand."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.timers: list[Callable[[], None]] = []
        self.recorders: list[Recorder] = []
        self.words: list[tuple[Any, ...]] = []
        self.changes = 0
        self.patience: list[Callable[[], None]] = []
        self.gate = Gate(lambda delay, call: Timer(self.patience, call))
        self.hub = HubTrunk(
            self.calls.append,
            self._protocol,
            self.gate,
            on_word=lambda *word: self.words.append(word),
            on_change=self._changed,
            on_broken=lambda: self.words.append(("hub alone",)),
        )
        self.worker = WorkerTrunk(
            self.calls.append,
            lambda delay, call: self.timers.append(call),
            on_word=lambda *word: self.words.append(word),
            on_broken=lambda: self.words.append(("worker alone",)),
        )
        self.down = Cable(self, lambda data: self.worker.received(data))
        self.up = Cable(self, lambda data: self.hub.received(data))
        self.hub.connection_made(self.down)  # type: ignore[arg-type]
        self.worker.connection_made(self.up)  # type: ignore[arg-type]

    def _protocol(self) -> Recorder:
        self.recorders.append(Recorder())
        return self.recorders[-1]

    def _changed(self) -> None:
        self.changes += 1

    def turn(self) -> None:
        """Until nothing is left to do but wait."""
        while self.calls:
            self.calls.popleft()()

    def tick(self) -> None:
        """The time of what waits now has come."""
        timers, self.timers = self.timers, []
        for call in timers:
            call()
        self.turn()

    def client(self, der: bytes | None = None) -> tuple[Client, Socket, Recorder]:
        """A new client: its protocol and socket in the worker, its protocol in the hub."""
        client, socket = self.worker.client(), Socket(der)
        client.connection_made(socket)  # type: ignore[arg-type]
        self.turn()
        return client, socket, self.recorders[-1]
