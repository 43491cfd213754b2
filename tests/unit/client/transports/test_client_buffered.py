"""Reading into one buffer: what has come is handed on as bytes, and everything else as it is."""

import asyncio
import os
from pathlib import Path

import uvloop

from agpd_client.transports.buffered import READ_BYTES, Buffered


class Taker(asyncio.Protocol):
    def __init__(self) -> None:
        self.events: list[object] = []
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(exc)
        self.over.set_result(None)


async def serve(data: bytes) -> Taker:
    """A taker that was sent these bytes by a real socket, which then closed."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    taker = Taker()
    port = server.sockets[0].getsockname()[1]
    await asyncio.get_running_loop().create_connection(lambda: Buffered(taker), "127.0.0.1", port)
    await taker.over
    server.close()
    return taker


async def received() -> None:
    data = os.urandom(3 * READ_BYTES)
    events = (await serve(data)).events
    assert (events[0], events[-2:]) == ("made", ["eof", None])
    chunks = [event for event in events[1:-2] if isinstance(event, bytes)]  # later reads did not change them
    assert b"".join(chunks) == data
    assert len(chunks) == len(events) - 3 >= 3


async def test_asyncio_hands_over_all_bytes() -> None:
    await received()


def test_uvloop_does_too() -> None:
    uvloop.run(received())


async def test_full_carriers_are_told() -> None:
    taker = Taker()
    buffered = Buffered(taker)
    buffered.pause_writing()
    buffered.resume_writing()
    assert taker.events == ["pause", "resume"]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_connection_that_reads_little_takes_little_memory() -> None:
    before = resident_bytes()
    kept = [Buffered(Taker()) for _ in range(200)]
    for each in kept:
        each.get_buffer(-1)[:4] = b"read"
        each.buffer_updated(4)
    assert resident_bytes() - before < len(kept) * READ_BYTES // 8
