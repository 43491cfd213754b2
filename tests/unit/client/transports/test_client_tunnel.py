"""agpd_client/transports/tunnel.py: a call with the manners of a socket, against servers that do what they want."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import agpd_client as agp
from agpd.errors import Code
from agpd.transport.pki import development
from agpd.wire.tunnel import unwrap, wrap
from agpd_client.gateway import assemble
from agpd_client.transports import tunnel
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier
from agpd_client.transports.channel import grpc
from agpd_client.transports.tunnel import ACCEPTED, PATH, TunnelTransport

DEADLINE_S = 5.0
MIB = 1024 * 1024

Serve = Callable[[Any], Awaitable[None]]


class Protocol(asyncio.Protocol):
    """Remembers what it is told."""

    transport: TunnelTransport

    def __init__(self) -> None:
        self.data = bytearray()
        self.reads = 0
        self.paused = False
        self.pauses = 0
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TunnelTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        self.data += data

    def pause_writing(self) -> None:
        assert not self.paused
        self.paused = True
        self.pauses += 1

    def resume_writing(self) -> None:
        assert self.paused
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    async def end(self) -> Exception | None:
        async with asyncio.timeout(DEADLINE_S):
            return await self.lost


class Call:
    """The server's end of a call; what it does is in the hands of the test."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.messages: list[bytes] = []
        self.metadata = dict(context.invocation_metadata())

    async def accept(self) -> None:
        await self.context.send_initial_metadata(((ACCEPTED, "1"),))

    async def read(self) -> bytes:
        """The bytes of the next message; empty at the end."""
        message = await self.context.read()
        if message is grpc.aio.EOF:
            return b""
        self.messages.append(message)
        return unwrap(message)

    async def read_all(self, size: int | None = None) -> bytes:
        """So many bytes, or all until the end."""
        data = bytearray()
        while (size is None or len(data) < size) and (more := await self.read()):
            data += more
        return bytes(data)

    async def write(self, data: bytes) -> None:
        await self.context.write(wrap(data))


@asynccontextmanager
async def serving(serve: Callable[[Call], Awaitable[None]], path: str = PATH) -> AsyncIterator[Address]:
    """A server in plaintext; each call is given to `serve`, and ends with it."""

    async def handle(_: Any, context: Any) -> None:
        await serve(Call(context))

    service, _, method = path[1:].partition("/")
    handler = grpc.stream_stream_rpc_method_handler(handle)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Address("tunnel+tcp", "127.0.0.1", port)
    finally:
        await server.stop(0)


async def connected(address: Address) -> Protocol:
    return await Carrier(address).connect(Protocol, DEADLINE_S)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


async def echo(call: Call) -> None:
    await call.accept()
    while data := await call.read():
        await call.write(data)


# Bytes


async def test_what_is_written_in_one_turn_is_one_message() -> None:
    calls: list[Call] = []

    async def serve(call: Call) -> None:
        calls.append(call)
        await echo(call)

    async with serving(serve) as address:
        protocol = await connected(address)
        for number in range(100):
            protocol.transport.write(b"%03d" % number)
        await until(lambda: len(protocol.data) == 300)
        assert protocol.data == b"".join(b"%03d" % number for number in range(100))
        assert len(calls[0].messages) == 1
        protocol.transport.close()
        assert await protocol.end() is None


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (65_536, [65_536]),
        (65_537, [65_537]),  # a short rest is no message of its own
        (98_303, [98_303]),
        (98_304, [65_536, 32_768]),
        (MIB, [65_536] * 16),
    ],
)
async def test_large_writes_are_cut(size: int, pieces: list[int]) -> None:
    calls: list[Call] = []

    async def serve(call: Call) -> None:
        calls.append(call)
        await echo(call)

    async with serving(serve) as address:
        protocol = await connected(address)
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        protocol.transport.write(data)
        await until(lambda: len(protocol.data) == size)
        assert protocol.data == data
        assert [len(unwrap(message)) for message in calls[0].messages] == pieces
        protocol.transport.abort()
        assert await protocol.end() is None


async def test_a_writer_is_paused_until_the_other_end_reads() -> None:
    going_on = asyncio.Event()
    received: list[bytes] = []

    async def serve(call: Call) -> None:
        await call.accept()
        await going_on.wait()
        received.append(await call.read_all())

    async with serving(serve) as address:
        protocol = await connected(address)
        transport = protocol.transport
        transport.set_write_buffer_limits(high=MIB)
        assert transport.get_write_buffer_limits() == (MIB // 4, MIB)
        sent = 0
        async with asyncio.timeout(DEADLINE_S):
            while not protocol.paused:
                transport.write(b"x" * 100_000)
                sent += 100_000
                await asyncio.sleep(0)
        assert transport.get_write_buffer_size() > MIB
        going_on.set()
        await until(lambda: not protocol.paused)
        assert transport.get_write_buffer_size() <= MIB // 4
        transport.close()
        assert await protocol.end() is None
        assert len(received[0]) == sent
        assert protocol.pauses == 1


async def test_a_paused_reader_gets_nothing_and_holds_up_the_other_end() -> None:
    written = 0

    async def serve(call: Call) -> None:
        nonlocal written
        await call.accept()
        while True:
            await call.write(written.to_bytes(4, "big") * 16_384)
            written += 1

    async with serving(serve) as address:
        protocol = await connected(address)
        protocol.transport.pause_reading()
        assert not protocol.transport.is_reading()
        before, reads = -1, protocol.reads
        while written != before:  # until gRPC takes no more
            before = written
            await asyncio.sleep(0.1)
        assert protocol.reads == reads
        protocol.transport.resume_reading()
        assert protocol.transport.is_reading()
        await until(lambda: written > before)
        protocol.transport.pause_reading()
        numbers = [
            int.from_bytes(protocol.data[at : at + 4], "big") for at in range(0, len(protocol.data), 65_536)
        ]
        assert numbers == list(range(len(numbers)))
        protocol.transport.abort()
        assert await protocol.end() is None


# Ends


async def test_close_delivers_what_was_written_before_it_and_hands_over_nothing_more() -> None:
    received: list[bytes] = []

    async def serve(call: Call) -> None:
        await call.accept()
        received.append(await call.read_all())
        await call.write(b"too late")

    async with serving(serve) as address:
        protocol = await connected(address)
        protocol.transport.write(b"x" * 3 * MIB)
        protocol.transport.close()
        protocol.transport.close()
        protocol.transport.write(b"not this")
        assert protocol.transport.is_closing()
        assert await protocol.end() is None
        assert received == [b"x" * 3 * MIB]
        assert not protocol.data


async def test_an_end_that_the_other_side_does_not_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "CLOSE_TIMEOUT_S", 0.05)
    never = asyncio.Event()

    async def serve(call: Call) -> None:
        await call.accept()
        await never.wait()

    async with serving(serve) as address:
        protocol = await connected(address)
        protocol.transport.close()
        assert await protocol.end() is None


async def test_abort_is_heard_at_once_also_by_a_paused_reader() -> None:
    ended = asyncio.Event()

    async def serve(call: Call) -> None:
        try:
            await call.accept()
            await call.read_all()
        finally:
            ended.set()

    async with serving(serve) as address:
        protocol = await connected(address)
        protocol.transport.pause_reading()
        protocol.transport.abort()
        protocol.transport.abort()
        assert await protocol.end() is None
        await asyncio.wait_for(ended.wait(), DEADLINE_S)
        protocol.transport.abort()  # after the end
        protocol.transport.close()
        protocol.transport.pause_reading()


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize(
    ("status", "trailing", "told"),
    [
        ("OK", (), None),
        ("UNAVAILABLE", (), (ConnectionError, "UNAVAILABLE: gone")),
        ("RESOURCE_EXHAUSTED", (("agpd-code", "523"),), (agp.Closed, "gone")),
        ("UNAUTHENTICATED", (("agpd-code", "534"),), (agp.Unauthorized, "gone")),
        ("INTERNAL", (("agpd-code", "nonsense"),), (ConnectionError, "INTERNAL: gone")),
    ],
)
async def test_how_the_other_end_ends(
    status: str, trailing: Any, told: tuple[type[Exception], str] | None, writing: bool
) -> None:
    async def serve(call: Call) -> None:
        await call.accept()
        await call.read()
        await call.write(b"last words")
        if status != "OK":
            await call.context.abort(grpc.StatusCode[status], "gone", trailing)

    async with serving(serve) as address:
        protocol = await connected(address)
        protocol.transport.write(b"go")
        while writing and not protocol.lost.done():
            protocol.transport.write(b"x" * 10_000)
            await asyncio.sleep(0)
        error = await protocol.end()
        assert protocol.data == b"last words"
        if told is None:
            assert error is None
        else:
            assert type(error) is told[0]
            assert told[1] in str(error)
            if isinstance(error, agp.AgpError):
                assert int(error.code) == int(trailing[0][1])


async def test_bytes_that_are_no_message_end_the_connection() -> None:
    async def serve(call: Call) -> None:
        await call.accept()
        await call.context.write(b"\xff\xff")
        await call.read_all()

    async with serving(serve) as address:
        error = await (await connected(address)).end()
        assert type(error) is ConnectionError
        assert "not a message of Tunnel" in str(error)


async def test_a_fault_of_the_protocol_ends_its_connection_and_is_told() -> None:
    class Faulty(Protocol):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with serving(echo) as address:
        protocol = await Carrier(address).connect(Faulty, DEADLINE_S)
        protocol.transport.write(b"x")
        assert isinstance(await protocol.end(), ZeroDivisionError)
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]


async def test_the_socket_goes_with_the_connection_not_with_the_object() -> None:
    ends: list[bool] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Between the client and the server, so that the test sees the socket's end."""
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target.port)

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                to.write(data)
            to.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)
        ends.append(True)

    async with serving(echo) as target:
        between = await asyncio.start_server(count, "127.0.0.1", 0)
        async with between:
            address = Address("tunnel+tcp", *between.sockets[0].getsockname()[:2])
            kept = await connected(address)
            kept.transport.abort()
            await kept.end()
            await until(lambda: ends)


async def test_it_is_a_transport() -> None:
    async with serving(echo) as address:
        protocol = await connected(address)
        transport = protocol.transport
        assert transport.get_extra_info("peername") == str(address)
        assert transport.get_protocol() is protocol
        assert not transport.can_write_eof()
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.write(b"")
        transport.write(memoryview(b"seen"))
        await until(lambda: protocol.data == b"seen")
        other = Protocol()
        transport.set_protocol(other)
        transport.write(bytearray(b"by another"))
        await until(lambda: other.data == b"by another")
        transport.abort()
        assert await other.end() is None


# Beginnings


async def test_a_token_is_shown_only_where_no_certificate_is(tmp_path: Path) -> None:
    """Plaintext has none, and its token is in HELLO; with TLS see `tests/scenarios/test_tunnel.py`."""
    shown: list[Any] = []

    async def serve(call: Call) -> None:
        shown.append(call.metadata.get("authorization"))
        await echo(call)

    async with serving(serve) as address:
        protocol = await Carrier(address).connect(Protocol, DEADLINE_S, "secret")
        protocol.transport.abort()
        await protocol.end()
        protocol = await tunnel.connect(address, None, "secret", Protocol)
        protocol.transport.abort()
        await protocol.end()
    assert shown == [None, "Bearer secret"]


@pytest.mark.parametrize(
    ("status", "trailing", "error", "text"),
    [
        ("UNAUTHENTICATED", (("agpd-code", "301"),), agp.Unauthorized, "why"),
        ("UNAVAILABLE", (("agpd-code", "501"),), agp.Closed, "why"),
        ("UNAUTHENTICATED", (), agp.Unauthorized, "does not let us in: why"),
        ("PERMISSION_DENIED", (), agp.Unauthorized, "does not let us in: why"),
        ("UNIMPLEMENTED", (), agp.ConnectError, "has no tunnel"),
        ("UNAVAILABLE", (), agp.ConnectError, "no connection to 127.0.0.1:.*why"),
        ("RESOURCE_EXHAUSTED", (), agp.ConnectError, "no connection to 127.0.0.1:.*RESOURCE_EXHAUSTED: why"),
    ],
)
async def test_refusals(status: str, trailing: Any, error: type[agp.AgpError], text: str) -> None:
    async def serve(call: Call) -> None:
        await call.context.abort(grpc.StatusCode[status], "why", trailing)

    async with serving(serve) as address:
        with pytest.raises(error, match=text) as caught:
            await connected(address)
        assert type(caught.value) is error
        assert not trailing or int(caught.value.code) == int(trailing[0][1])


async def test_another_service_is_no_gateway() -> None:
    async with serving(echo, "/other.Service/Method") as address:
        with pytest.raises(agp.ConnectError, match="speaks gRPC but has no tunnel"):
            await connected(address)


async def test_whoever_answers_as_no_gateway_does_is_waited_for_only_so_long() -> None:
    never = asyncio.Event()

    async def serve(call: Call) -> None:
        await call.context.send_initial_metadata(())
        await never.wait()

    async with serving(serve) as address:
        with pytest.raises(agp.ConnectError, match=r"no answer from 127\.0\.0\.1:\d+ within 0\.2 s"):
            await Carrier(address).connect(Protocol, 0.2)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("serve", "carrier", "error", "text"),
    [
        (say, "tunnel+tcp", agp.ConnectError, "does not speak gRPC: is it another service, or another port"),
        (
            end,
            "tunnel+tcp",
            agp.ConnectError,
            "ended the connection before it welcomed us; the gateway's log",
        ),
        (silence, "tunnel+tcp", agp.ConnectError, r"no answer from 127\.0\.0\.1:\d+ within 0\.5 s"),
        (say, "tunnel", agp.Unauthorized, r"failed: WRONG_VERSION_NUMBER.*; we showed .*agent\.pem"),
        (end, "tunnel", agp.ConnectError, "ended the connection|no connection to"),
    ],
)
async def test_servers_that_do_not_speak_grpc(
    tmp_path: Path, serve: Any, carrier: str, error: type[agp.AgpError], text: str
) -> None:
    development(tmp_path, time.time())

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    address = Address(carrier, *server.sockets[0].getsockname()[:2])
    files = [tmp_path / name for name in ("agent.pem", "agent.key", "ca.pem")]
    async with server:
        with pytest.raises(error, match=text):
            await assemble(Carrier(address, *files), connect_timeout=0.5, reconnect=False).open()


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("127.0.0.1", 9, r"no gateway at 127\.0\.0\.1:9: start one with `agpd dev`, or mend the address"),
        ("agpd.invalid", 9, r"no connection to agpd\.invalid:9"),
    ],
)
@pytest.mark.filterwarnings("ignore:agp.grpc.tcp")
async def test_nobody_there(host: str, port: int, text: str) -> None:
    with pytest.raises(agp.ConnectError, match=text):
        await connected(Address("tunnel+tcp", host, port))


def test_without_grpc_the_error_says_what_to_install() -> None:
    program = """
import asyncio, sys
sys.modules["grpc"] = None
import agpd_client as agp
async def main():
    try:
        await agp.connect("agp+grpc+tcp://127.0.0.1:9").open()
    except agp.NotInstalled as error:
        print(error.code.name, error)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(Code.NOT_INSTALLED.name)
    assert "pip install 'agpd[registry]'" in done.stdout
