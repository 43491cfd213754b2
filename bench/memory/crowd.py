"""A process that holds the other ends of many connections.

    python -m bench.memory.crowd HOST PORT NUMBER [CA CERTIFICATE KEY]

Each line of standard input is answered with one line of JSON, once it is done:

`connect N`: so many connections more, with an agent each. `subscribe K`: each agent subscribes to K topics more.
`ping`: every connection is answered. `reset`: all end with RST. `churn N`: N connections come, carry a message, and go.
NUMBER sets the names of crowds apart.
"""

import asyncio
import json
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from agpd.errors import Code
from agpd.wire import envelope, frames
from agpd.wire.frames import Frame, Kind
from agpd.wire.framing import Reassembly, split

AT_ONCE = 200  # connections being made
PER_ADDRESS = 20_000  # a loopback address has 28,000 ports for clients
TOPICS = 1000
VISITORS = 500  # names of those who come and go; many more than are there at once
DEADLINE_S = 600.0
PING = frames.encode(Kind.PING, id=1)
HELLO = frames.encode(Kind.HELLO, frames.Hello([1], "crowd", 1))
BODY = envelope.pack(envelope.Envelope(b"x" * 256))
_LIMIT_BYTES = 1 << 20


class Idler(asyncio.Protocol):
    """One connection; answers to what it asked are futures by id."""

    __slots__ = ("_answers", "_reassembly", "gone", "handle", "transport")

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[Frame]] = {}
        self._reassembly: Reassembly | None = None
        self.handle = 0
        self.gone: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._reassembly is None:
            self._reassembly = Reassembly(_LIMIT_BYTES)
        for frame in split(data, self._reassembly):
            if frame.kind == Kind.PING:
                self.transport.write(frames.encode(Kind.PONG, id=frame.id))
            elif (waiting := self._answers.pop(frame.id, None)) is not None:
                waiting.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in self._answers.values():
            waiting.set_exception(exc or ConnectionResetError("closed"))
        if self.gone is not None:
            self.gone.set_result(None)

    async def ask(self, data: bytes, *ids: int) -> list[Frame]:
        """Send frames and wait for the answers to these ids. Raises if one is refused."""
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in ids]
        self._answers.update(zip(ids, waiting, strict=True))
        self.transport.write(data)
        answers = await asyncio.gather(*waiting)
        for answer in answers:
            if answer.kind in (Kind.REFUSED, Kind.CLOSE):
                raise RuntimeError(frames.decode(answer.body, frames.Refusal).detail)
        return answers

    def reset(self) -> None:
        """End with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def leave(self) -> None:
        """Say goodbye and wait for the end."""
        self.gone = asyncio.get_running_loop().create_future()
        self.transport.write(frames.encode(Kind.CLOSE, frames.Refusal(Code.GOODBYE)))
        self.transport.close()
        await self.gone


class Crowd:
    """The connections of this process."""

    def __init__(self, address: tuple[str, int], number: str, context: ssl.SSLContext | None) -> None:
        self._address, self._number, self._context = address, number, context
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._all: list[Idler] = []
        self._network = os.getpid() % 250  # ports that a run before has left are not free at once
        self._made = 0
        self._topics = 0

    async def connect(self, count: int) -> int:
        """So many more. Who is turned away tries again."""
        first = self._made
        self._made += count
        self._all += await asyncio.gather(
            *(self._one(number, f"{number}") for number in range(first, first + count))
        )
        return len(self._all)

    async def _one(self, number: int, instance: str, kind: str = "idle") -> Idler:
        while True:
            async with self._gate:
                try:
                    idler = await self._dial(number)
                    name = frames.Named(f"acme/{kind}{self._number}/agent/{instance}")
                    greeting = HELLO + frames.encode(Kind.REGISTER, name, id=1)
                    _, answer = await idler.ask(greeting, 0, 1)
                except ConnectionError:
                    continue
            idler.handle = answer.destination
            return idler

    async def _dial(self, number: int) -> Idler:
        source = f"127.{self._number}.{self._network}.{2 + number // PER_ADDRESS}", 0
        secure = (
            {"server_hostname": "127.0.0.1", "ssl_handshake_timeout": DEADLINE_S} if self._context else {}
        )
        _, idler = await asyncio.get_running_loop().create_connection(
            Idler, *self._address, ssl=self._context, local_addr=source, **secure
        )
        return idler

    async def ping(self) -> int:
        """Every connection is answered."""
        await asyncio.gather(*(idler.ask(PING, 1) for idler in self._all))
        return len(self._all)

    async def reset(self) -> int:
        """End all with RST."""
        ended, self._all = self._all, []
        for idler in ended:
            idler.reset()
        return len(ended)

    async def subscribe(self, count: int) -> int:
        """Each agent to so many topics more, of `TOPICS` that all share."""
        first = self._topics
        self._topics += count
        for number, idler in enumerate(self._all):
            ids = range(1, count + 1)
            wanted = b"".join(
                frames.encode(
                    Kind.SUBSCRIBE,
                    frames.Named(f"acme/topics/t{(number * 7 + first + id_) % TOPICS}"),
                    source=idler.handle,
                    id=id_,
                )
                for id_ in ids
            )
            await idler.ask(wanted, *ids)
        return len(self._all) * self._topics

    async def churn(self, count: int) -> int:
        """So many come, carry one message, and go."""
        gate = asyncio.Semaphore(AT_ONCE // 4)

        async def one(number: int) -> None:
            async with gate:
                await self._visit(number)

        self._made += count
        await asyncio.gather(*(one(number) for number in range(self._made - count, self._made)))
        return count

    async def _visit(self, number: int) -> None:
        """One connection with two agents, a message from one to the other."""
        visitor, kind = f"{number % VISITORS}", f"guest{number % VISITORS}-"
        idler = await self._one(number, visitor, kind)
        other = frames.Named(f"acme/{kind}{self._number}/other/{visitor}")
        wanted = frames.encode(Kind.REGISTER, other, id=2)
        wanted += frames.encode(Kind.OPEN, other, source=idler.handle, id=3)
        _, opened = await idler.ask(wanted, 2, 3)
        message = frames.encode_data(
            Kind.PUBLISH, BODY, destination=opened.destination, source=idler.handle, id=3
        )
        await idler.ask(message + frames.encode(Kind.PING, id=4), 4)
        await idler.leave()


async def main() -> None:
    host, port, number, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.create_default_context(cafile=files[0])
        context.load_cert_chain(files[1], files[2])
    crowd = Crowd((host, int(port)), number, context)
    verbs: dict[str, Callable[..., Awaitable[int]]] = {
        "connect": crowd.connect,
        "subscribe": crowd.subscribe,
        "ping": crowd.ping,
        "reset": crowd.reset,
        "churn": crowd.churn,
    }
    while line := await asyncio.to_thread(sys.stdin.readline):
        verb, *counts = line.split()
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            done = await verbs[verb](*map(int, counts))
        print(json.dumps({"count": done, "seconds": round(time.monotonic() - began, 3)}), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
