"""A bare speaker of the native protocol: what a load run needs and no more, so that the gateway is the limit."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import cast

from agpd.errors import Code, code_of
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind
from agpd.wire.framing import Reassembly, split
from agpd_client.errors import AgpError, ending, refusal
from agpd_client.transports.carrier import Carrier

FRAME_LIMIT_BYTES = 64 * 1024 * 1024  # the gateway is trusted here
WRITE_LIMIT_BYTES = 512 * 1024
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
CONTROL_IDS = 1 << 62  # apart from the ids of messages

Sink = Callable[[bytes], None]


class Peer(asyncio.Protocol):
    """One connection. Frames are decoded until `sink` is set; from then on it gets the bytes as they come.

    `refused` counts the messages that the gateway sent back, by code.
    """

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.refused: Counter[Code] = Counter()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self._reassembly = Reassembly(FRAME_LIMIT_BYTES)
        self._calls: dict[int, asyncio.Future[Frame]] = {}
        self._ids = itertools.count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self._fail(ending(Code.CONNECTION_LOST, str(exc or "")))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        if self.sink is not None:
            self.sink(data)
            return
        for frame in split(data, self._reassembly):
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            self.transport.write(frames.encode(Kind.PONG, id=frame.id))
        elif frame.kind == Kind.CLOSE:
            body = frames.decode(frame.body, frames.Refusal)
            self._fail(ending(code_of(body.code), body.detail))
        elif frame.kind == Kind.REFUSED and frame.id not in self._calls:
            body = frames.decode(frame.body, frames.Refusal)
            self.refused[code_of(body.code)] += body.count
        elif (call := self._calls.pop(frame.id, None)) is not None:
            self._settle(call, frame)

    @staticmethod
    def _settle(call: asyncio.Future[Frame], frame: Frame) -> None:
        if frame.kind == Kind.REFUSED:
            body = frames.decode(frame.body, frames.Refusal)
            call.set_exception(refusal(code_of(body.code), body.detail))
        else:
            call.set_result(frame)

    def _fail(self, error: AgpError) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)
            self.lost.exception()  # whoever waits sees it; nobody has to
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(error)

    async def call(self, kind: Kind, body: frames.Body | None = None, *, source: int = 0) -> Frame:
        """A control request and its answer. Raises its refusal, `Closed`, `TimeoutError`."""
        id_ = 0 if kind is Kind.HELLO else CONTROL_IDS | next(self._ids)
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._calls[id_] = future
        self.transport.write(frames.encode(kind, body, source=source, id=id_))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await future

    async def register(self, name: str) -> int:
        """The handle of a new agent."""
        return (await self.call(Kind.REGISTER, frames.Named(name))).destination

    async def open(self, source: int, name: str) -> int:
        """The handle by which the agent sends to a name."""
        return (await self.call(Kind.OPEN, frames.Named(name), source=source)).destination

    async def barrier(self) -> None:
        """Until the gateway has read everything sent before."""
        await self.call(Kind.PING)

    async def close(self) -> None:
        """Say goodbye and wait for the carrier's end."""
        self.transport.write(frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)))
        self.transport.close()
        await asyncio.wait([self.lost], timeout=CONNECT_TIMEOUT_S)


async def connect(carrier: Carrier) -> Peer:
    """A peer that has been welcomed. Raises `ConnectError`, `Unauthorized`, `Closed`."""
    peer = await carrier.connect(Peer, CONNECT_TIMEOUT_S)
    await peer.call(Kind.HELLO, frames.Hello([frames.VERSION], "agpctl bench", 1))
    return peer
