"""agpd/transport/memory.py: the promises of a socket, kept by a pipe in memory."""

import asyncio

import pytest

from agpd.transport.memory import HIGH_BYTES, MemoryTransport, pipe


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.events: list[object] = []
        self.transport: MemoryTransport
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def pause_writing(self) -> None:
        self.events.append("full")

    def resume_writing(self) -> None:
        self.events.append("drained")

    def connection_lost(self, exc) -> None:
        self.events.append("lost")
        self.ended.set_result(exc)


@pytest.fixture
async def ends():
    one, other = Recorder(), Recorder()
    pipe(one, other, "test")
    return one, other


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_bytes_come_in_a_later_turn_and_in_order(ends):
    one, other = ends
    one.transport.write(b"a")
    one.transport.write(bytearray(b"b"))
    one.transport.writelines([b"c", memoryview(b"d")])
    one.transport.write(b"")
    assert other.events == []
    await turns()
    assert other.events == [b"abcd"]
    assert one.transport.get_extra_info("peername") == "test"


async def test_a_writer_may_reuse_its_buffer(ends):
    one, other = ends
    buffer = bytearray(b"x")
    one.transport.write(buffer)
    buffer[:] = b"y"
    await turns()
    assert other.events == [b"x"]


async def test_a_paused_reader_gets_nothing_and_a_full_pipe_pauses_its_writer(ends):
    one, other = ends
    other.transport.pause_reading()
    assert not other.transport.is_reading()
    one.transport.write(bytes(HIGH_BYTES))
    assert one.events == []
    one.transport.write(b"x")
    one.transport.write(b"y")
    assert one.events == ["full"]
    assert one.transport.get_write_buffer_size() == HIGH_BYTES + 2
    await turns()
    assert other.events == []
    other.transport.resume_reading()
    await turns()
    assert one.events == ["full", "drained"]
    assert [len(data) for data in other.events] == [HIGH_BYTES + 2]
    assert other.transport.is_reading()


async def test_write_buffer_limits(ends):
    one, other = ends
    one.transport.set_write_buffer_limits(high=10, low=5)
    assert one.transport.get_write_buffer_limits() == (5, 10)
    one.transport.write(bytes(11))
    assert one.events == ["full"]
    one.transport.set_write_buffer_limits()
    assert one.transport.get_write_buffer_limits() == (HIGH_BYTES // 4, HIGH_BYTES)
    await turns()
    assert one.events == ["full", "drained"]
    assert len(other.events) == 1


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_close_delivers_what_was_written_before(ends, how):
    one, other = ends
    one.transport.write(b"last words")
    getattr(one.transport, how)()
    one.transport.write(b"too late")
    one.transport.close()
    assert one.transport.is_closing()
    await turns()
    assert other.events == [b"last words", "lost"]
    assert one.events == ["lost"]
    assert await one.ended is None
    assert not one.transport.can_write_eof()


async def test_a_closed_end_gets_nothing_any_more(ends):
    one, other = ends
    other.transport.write(b"unread")
    one.transport.close()
    await turns()
    assert one.events == ["lost"]


async def test_nothing_piles_up_for_an_end_that_is_gone(ends):
    one, other = ends
    one.transport.pause_reading()  # so it does not learn of the end
    other.transport.close()
    await turns()
    one.transport.write(bytes(1000))
    assert one.transport.get_write_buffer_size() == 0
    one.transport.resume_reading()
    await turns()
    assert one.events == ["lost"]


async def test_the_protocol_may_change(ends):
    one, other = ends
    third = Recorder()
    other.transport.set_protocol(third)
    assert other.transport.get_protocol() is third
    one.transport.write(b"x")
    await turns()
    assert third.events == [b"x"]
