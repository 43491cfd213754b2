"""The native protocol in a gRPC stream, for ways on which only HTTP/2 passes: a call with the interface of a socket.

One task reads and one writes for the life of the call; no operation of gRPC is given up for a timeout, because that
leaks. What was written in one turn of the loop goes out in one message, or in some of about 64 KiB.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from agpd.errors import Code, Fatal, code_of
from agpd.wire.tunnel import FRAMES_RECOMMENDED_BYTES, unwrap, wrap
from agpd_client.errors import Closed, ConnectError, Unauthorized, told
from agpd_client.transports import tls
from agpd_client.transports.address import Address
from agpd_client.transports.channel import grpc, open_channel

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.Protocol)

PATH = "/agpd.v1.Gateway/Tunnel"
ACCEPTED = "agpd-native"  # in the head of the answer, which refusals have too
HIGH_BYTES = 64 * 1024
# The gateway ends the call when it has read that we do; if it does not, we do it alone.
CLOSE_TIMEOUT_S = 2.0
# Texts of gRPC's core; what matches none of them is told as it is.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification", "Peer name")
_NOT_GRPC = ("Failed parsing HTTP/2", "http1.x", "ALPN")
_ENDED = ("Socket closed", "Connection reset")


async def connect(
    address: Address,
    files: tls.Credentials | None,
    token: str,
    make_protocol: Callable[[], AnyProtocol],
) -> AnyProtocol:
    """A connected protocol. `files` None: plaintext. A token that is not empty is shown with the call.

    Raises `ConnectError`, `Unauthorized`, `ConnectionRefusedError`; `Closed` if the other end has accepted us and then
    ended; what the gateway refuses the call with.
    """
    channel = open_channel(address, None if files is None else tls.read(files))
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    call = channel.stream_stream(PATH)(metadata=metadata)
    refused: Exception | None = None
    try:
        if ACCEPTED not in dict(iter(await call.initial_metadata())):
            refused = _explain(*await _end_of(call), address, files)
    except BaseException:
        await _discard(call, channel)
        raise
    if refused is not None:
        await _discard(call, channel)
        del call, channel  # the socket stays open as long as anybody has them, such as a traceback
        raise refused
    protocol = make_protocol()
    TunnelTransport(call, channel, str(address)).start(protocol)
    return protocol


class TunnelTransport(asyncio.Transport):
    """A call in the place of a socket. `start` it."""

    def __init__(self, call: Any, channel: Any, peer: str) -> None:
        super().__init__({"peername": peer})
        self._call = call
        self._channel = channel
        self._protocol: asyncio.Protocol
        self._run: asyncio.Task[None] | None = None
        self._reading = asyncio.Event()
        self._reading.set()
        self._is_reading = True
        self._chunks: list[bytes] = []
        self._queued = 0  # bytes that gRPC has not taken
        self._wake = asyncio.Event()
        self._writer_paused = False
        self._high, self._low = HIGH_BYTES, HIGH_BYTES // 4
        self._closing = False
        self._cut: asyncio.TimerHandle | None = None

    def start(self, protocol: asyncio.Protocol) -> None:
        """The protocol hears of the connection, and from now on of what comes."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._run = asyncio.get_running_loop().create_task(self._live())

    # reading

    def pause_reading(self) -> None:
        """Nothing is handed over until `resume_reading`; gRPC's flow control stops the gateway."""
        self._is_reading = False
        if not self._closing:
            self._reading.clear()

    def resume_reading(self) -> None:
        """Go on."""
        self._is_reading = True
        self._reading.set()

    def is_reading(self) -> bool:
        """Does the protocol get what comes?"""
        return self._is_reading and not self._closing

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue it; it leaves in the next turn of the loop."""
        if self._closing or not data:
            return
        self._chunks.append(bytes(data))
        self._queued += len(data)
        self._wake.set()
        if self._queued > self._high and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As other transports; in bytes."""
        self._high = HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that gRPC has not taken."""
        return self._queued

    def can_write_eof(self) -> bool:
        """One half cannot be ended alone."""
        return False

    # ending

    def is_closing(self) -> bool:
        """Has the end begun?"""
        return self._closing

    def close(self) -> None:
        """Send what was written, then end; nothing is handed over any more."""
        if not self._closing:
            self._closing = True
            self._wake.set()
            self._reading.set()

    def abort(self) -> None:
        """End now."""
        self._closing = True
        self._reading.set()
        if self._call is not None:
            self._call.cancel()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol gets what comes."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what comes."""
        return self._protocol

    # the two tasks

    async def _live(self) -> None:
        writer = asyncio.get_running_loop().create_task(self._write_all())
        error: Exception | None = None
        try:
            error = await self._read_all()
        except asyncio.CancelledError:
            # By `abort`, in gRPC's way; or with this task, at the end of the loop.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        except Fatal as fatal:
            error = ConnectionError(str(fatal))
        except Exception as fault:
            # As a socket: a protocol that raises ends its connection, and the loop tells of it.
            error = fault
            asyncio.get_running_loop().call_exception_handler(
                {"message": "fault of a protocol in a tunnel", "exception": fault, "transport": self}
            )
        finally:
            await self._end(writer)
            self._protocol.connection_lost(error)

    async def _read_all(self) -> Exception | None:
        """Hand over what comes, until the call ends: why, if it was not closed."""
        call, reading = self._call, self._reading
        while True:
            if not reading.is_set():
                await reading.wait()
            try:
                message = await call.read()
            except grpc.aio.AioRpcError:
                message = grpc.aio.EOF
            if message is grpc.aio.EOF:
                break
            if not reading.is_set():
                await reading.wait()
            if message and not self._closing:
                self._protocol.data_received(unwrap(message))
        return None if self._closing else _lost(*await _end_of(call))

    async def _write_all(self) -> None:
        """Write what is queued, whenever there is something; after `close` end our direction."""
        send = _sender(self._call)
        while True:
            while self._chunks:
                for piece in self._pieces():
                    try:
                        await send(wrap(piece))
                    except Exception:
                        return  # the call is over; the reader learns why
                    self._sent(len(piece))
            if self._closing:
                with contextlib.suppress(Exception):
                    await self._call.done_writing()
                self._cut = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._call.cancel)
                return
            self._wake.clear()
            await self._wake.wait()

    def _pieces(self) -> Iterator[bytes]:
        """What is queued now, in pieces for one message each. A short rest goes with the piece before it."""
        chunks, self._chunks = self._chunks, []
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        start, size = 0, len(data)
        while start < size:
            end = start + FRAMES_RECOMMENDED_BYTES
            if size - end < FRAMES_RECOMMENDED_BYTES // 2:
                end = size
            yield data[start:end] if end - start < size else data
            start = end

    def _sent(self, size: int) -> None:
        self._queued -= size
        if self._writer_paused and self._queued <= self._low:
            self._writer_paused = False
            self._protocol.resume_writing()

    async def _end(self, writer: "asyncio.Task[None]") -> None:
        self._closing = True
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        self._call.cancel()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await self._channel.close()
        # The socket stays open as long as anybody has the call.
        self._call = self._channel = None


async def _discard(call: Any, channel: Any) -> None:
    call.cancel()
    await channel.close()


async def _end_of(call: Any) -> tuple[Any, str | None, Any]:
    """Status, text and trailing metadata, once the call has ended."""
    return await call.code(), await call.details(), await call.trailing_metadata()


def _sender(call: Any) -> Callable[[bytes], Awaitable[None]]:
    """`write` of a call, one layer deeper.

    When `write` fails because the other end has ended the call, it puts a status of its own in the place of that of the
    other end, and what has come and was not read is lost too.
    """
    deeper = getattr(getattr(call, "_cython_call", None), "send_serialized_message", None)
    return deeper or call.write  # type: ignore[no-any-return]


def _code_in(trailing: Any) -> Code | None:
    """The gateway's own reason."""
    number = str(dict(iter(trailing or ())).get("agpd-code", ""))  # `keys` of older grpcio are pairs
    return code_of(int(number)) if number.isdecimal() else None


def _lost(status: Any, text: str | None, trailing: Any) -> Exception | None:
    """Why a connection that stood has ended."""
    if (code := _code_in(trailing)) is not None:
        return told(code, text or "", Closed)
    return None if status is grpc.StatusCode.OK else ConnectionError(f"{status.name}: {text or ''}")


def _explain(
    status: Any, text: str | None, trailing: Any, address: Address, files: tls.Credentials | None
) -> Exception:
    """Why there is no connection. The gateway's refusals have a code; the rest is told by proxies or gRPC itself."""
    text = text or ""
    if (code := _code_in(trailing)) is not None:
        return told(code, text, Closed)
    if status is grpc.StatusCode.UNAVAILABLE:
        return _unavailable(text, address, files)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return ConnectError(
            f"{address} speaks gRPC but has no tunnel (agpd.v1.Gateway): is it another service?"
        )
    if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Unauthorized(f"{address} does not let us in: {text}")
    return ConnectError(f"no connection to {address}: {status.name}: {text}")


def _unavailable(text: str, address: Address, files: tls.Credentials | None) -> Exception:
    if any(word in text for word in _UNTRUSTED):
        return tls.untrusted(_reason(text), address, files)
    if any(word in text for word in _NOT_GRPC):
        return ConnectError(
            f"{address} does not speak gRPC: is it another service, or another port of the gateway than listen.grpc?"
        )
    if "handshake failed" in text:
        return tls.failed(_reason(text), address, files)
    if "Connection refused" in text:
        return ConnectionRefusedError(text)
    if any(word in text for word in _ENDED):
        return Closed(text, code=Code.CONNECTION_LOST)
    return ConnectError(f"no connection to {address}: {text}")


def _reason(text: str) -> str:
    """The part that says something, of what gRPC's core says of a handshake."""
    if "OPENSSL_internal:" in text:
        return text.rpartition("OPENSSL_internal:")[2].removesuffix(": OK")
    return text.rpartition(": ")[2].rstrip(".")
