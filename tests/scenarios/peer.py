"""A raw peer of the native protocol over a real socket: sends any bytes, reads frame by frame.

`Peers(gateway)` holds the connections of one test and closes them at its end.
"""

import asyncio
import socket
import ssl
import struct
import uuid
from collections import deque
from contextlib import suppress
from typing import Self

from agpd.errors import Code, code_of
from agpd.wire import envelope, frames
from agpd.wire.frames import Body, Frame, Kind

DEADLINE_S = 15.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes close send RST


class Ended(Exception):
    """The gateway has closed the connection."""


def name(type_: str = "acme/dev/worker") -> str:
    """A full name of a new agent."""
    return f"{type_}/{uuid.uuid4()}"


class Peer:
    """One connection. `me` is the handle of the agent that `join` registered, `name` its name."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.aside: deque[Frame] = deque()
        self.me = 0
        self.name = ""
        self._id = 0

    @property
    def transport(self) -> asyncio.Transport:
        return self.writer.transport  # type: ignore[return-value]

    @property
    def local(self) -> str:
        """Its address as the gateway's log shows it."""
        host, port = self.writer.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self, deadline_s: float = DEADLINE_S) -> Frame:
        """The next frame that comes. Raises `Ended` or `TimeoutError`."""
        async with asyncio.timeout(deadline_s):
            try:
                head = await self.reader.readexactly(4)
                return frames.parse(head + await self.reader.readexactly(int.from_bytes(head, "big")))
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
                raise Ended(str(error)) from error

    async def expect(self, *kinds: Kind, deadline_s: float = DEADLINE_S) -> Frame:
        """The next frame of these kinds; others before it are put aside and found by a later `expect`."""
        for frame in self.aside:
            if frame.kind in kinds:
                self.aside.remove(frame)
                return frame
        async with asyncio.timeout(deadline_s):
            while (frame := await self.frame(deadline_s)).kind not in kinds:
                self.aside.append(frame)
        return frame

    async def ended(self, deadline_s: float = DEADLINE_S) -> Code | None:
        """Read on to the end: the code of the gateway's CLOSE, None if it ended without a word."""
        try:
            while (frame := await self.frame(deadline_s)).kind != Kind.CLOSE:
                self.aside.append(frame)
        except Ended:
            return None
        return code_in(frame)[0]

    async def hello(self, epoch: int = 1) -> frames.Welcome:
        self.send(frames.encode(Kind.HELLO, frames.Hello([1], "raw peer", epoch)))
        return frames.decode((await self.expect(Kind.WELCOME)).body, frames.Welcome)

    async def ask(self, kind: Kind, body: Body | None = None, **fields: int) -> Frame:
        """A control request; its OK. Raises `AssertionError` with what came instead."""
        self._id += 1
        self.send(frames.encode(kind, body, id=self._id, **fields))
        answer = await self.expect(Kind.OK, Kind.REFUSED)
        assert answer.id == self._id
        assert answer.kind == Kind.OK, frames.decode(answer.body, frames.Refusal)
        return answer

    async def join(self, type_or_name: str) -> int:
        """Register an agent; returns its handle."""
        self.name = type_or_name if type_or_name.count("/") == 3 else name(type_or_name)
        self.me = (await self.ask(Kind.REGISTER, frames.Named(self.name))).destination
        return self.me

    async def subscribe(self, topic: str) -> None:
        await self.ask(Kind.SUBSCRIBE, frames.Named(topic), source=self.me)

    async def open(self, target: str) -> int:
        """The handle to send to."""
        return (await self.ask(Kind.OPEN, frames.Named(target), source=self.me)).destination

    def publish(
        self, destination: int, body: bytes, id_: int = 1, *, fanout: int = 1, receipt: bool = False
    ) -> None:
        """A message; nothing is waited for."""
        self.send(message(self.me, destination, body, id_, fanout=fanout, receipt=receipt))

    async def ping(self, id_: int = 77) -> None:
        """The gateway has answered: it has taken everything sent before."""
        self.send(frames.encode(Kind.PING, id=id_))
        while (await self.expect(Kind.PONG)).id != id_:
            pass

    def reset(self) -> None:
        """End the connection with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


def message(
    source: int, destination: int, body: bytes, id_: int, *, fanout: int = 1, receipt: bool = False
) -> bytes:
    """The frame of a PUBLISH."""
    packed = envelope.pack(envelope.Envelope(body))
    flags = frames.RECEIPT_WANTED if receipt else 0
    return frames.encode_data(
        Kind.PUBLISH, packed, destination=destination, source=source, id=id_, fanout=fanout, flags=flags
    )


def body_of(frame: Frame) -> bytes:
    """What a delivery carries."""
    return envelope.unpack(frame.body).body


def code_in(frame: Frame) -> tuple[Code, int]:
    """Code and count of a REFUSED or CLOSE."""
    said = frames.decode(frame.body, frames.Refusal)
    return code_of(said.code), said.count


class Peers:
    """The connections of one test to one address."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._context = context
        self._all: list[Peer] = []

    async def connect(self, context: ssl.SSLContext | None = None) -> Peer:
        """A connection on which nothing has been said."""
        context = context or self._context
        server = "127.0.0.1" if context is not None else None
        peer = Peer(*await asyncio.open_connection(*self._address, ssl=context, server_hostname=server))
        self._all.append(peer)
        return peer

    async def adopt(self, sock: socket.socket) -> Peer:
        """As `connect`, on a socket that is connected."""
        peer = Peer(*await asyncio.open_connection(sock=sock))
        self._all.append(peer)
        return peer

    async def greet(self, context: ssl.SSLContext | None = None, epoch: int = 1) -> Peer:
        """A connection that has been welcomed."""
        peer = await self.connect(context)
        await peer.hello(epoch)
        return peer

    async def agent(self, type_or_name: str = "acme/dev/worker") -> Peer:
        """A connection with one agent."""
        peer = await self.greet()
        await peer.join(type_or_name)
        return peer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for peer in self._all:
            peer.transport.abort()
        for peer in self._all:
            with suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()
