"""The tunnel: native frames in the messages of a gRPC stream. A call takes the place of a socket, the rest is the same.

`TunnelCall` is both ends of that place: what receives the call's messages, and the carrier that a `NativeProtocol` has.
"""

import asyncio
import logging
from typing import cast

from agpd.errors import AgpdError, Code, Fatal
from agpd.gateway.hub import Hub
from agpd.gateway.principal import Principal
from agpd.transport.callers import Callers
from agpd.transport.grpc import Call, Service
from agpd.transport.native import NativeProtocol
from agpd.wire.frames import VERSION
from agpd.wire.grpc import prefixed, status_of
from agpd.wire.tunnel import FRAMES_RECOMMENDED_BYTES, unwrap, wrap

PATH = "/agpd.v1.Gateway/Tunnel"
# Tells an accepted call from a refused one before its first message.
ACCEPTED = (("agpd-native", str(VERSION)),)
_log = logging.getLogger(__name__)


def tunnel(hub: Hub, callers: Callers) -> Service:
    """The service behind `PATH`."""

    def serve(call: Call) -> "TunnelCall":
        if hub.draining:
            raise Fatal(Code.SHUTTING_DOWN)
        return TunnelCall(call, hub, callers)

    return serve


class TunnelCall:
    """One call. Until its caller is known nothing is read; `begin` tells the client that it is."""

    def __init__(self, call: Call, hub: Hub, callers: Callers) -> None:
        self._call = call
        self._hub = hub
        self._callers = callers
        self._protocol: NativeProtocol | None = None
        self._closing = False
        # Of the carrier, as they are called for each read of another link.
        self.pause_reading = call.pause_reading
        self.resume_reading = call.resume_reading
        self.get_write_buffer_size = call.get_write_buffer_size
        self.set_write_buffer_limits = call.set_write_buffer_limits
        call.pause_reading()
        self._entering = asyncio.get_running_loop().create_task(self._enter())

    async def _enter(self) -> None:
        call = self._call
        try:
            principal = await self._callers.authenticate(call)
        except AgpdError as error:
            call.fail(error)
            return
        except Exception:
            _log.exception("fault while authenticating %s", call.peer)
            call.fail(Fatal(Code.INTERNAL))
            return
        self._open(principal)

    def _open(self, principal: Principal) -> None:
        self._protocol = NativeProtocol(self._hub, None, principal)
        self._call.begin(ACCEPTED)
        self._call.send(b"")  # nginx, where it ends TLS, keeps the head until something follows it
        self._protocol.connection_made(cast(asyncio.Transport, self))
        self._call.resume_reading()

    # ---- the call's receiver

    def messages(self, messages: list[bytes]) -> None:
        """The batch of one read goes on as one piece."""
        protocol = self._protocol
        assert protocol is not None, "nothing is read before"
        try:
            data = unwrap(messages[0]) if len(messages) == 1 else b"".join(map(unwrap, messages))
        except Fatal as fatal:
            self._hub.end(protocol.link, fatal.code, fatal.detail)
            return
        if data:
            protocol.data_received(data)

    def half_closed(self) -> None:
        """The client sends no more: as the end of a TCP stream, that ends both directions."""
        self._finish()

    def pause_writing(self) -> None:
        """The call takes no more."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    def lost(self, detail: str) -> None:
        """The call is over."""
        self._closing = True
        self._entering.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(ConnectionError(detail) if detail else None)

    # ---- the link's carrier

    def get_extra_info(self, name: str) -> object:
        """As a transport: `peername`, and how to ask what is kept here of what has come."""
        return self._unread_bytes if name == "unread_bytes" else self._call.get_extra_info(name)

    def _unread_bytes(self) -> int:
        return self._call.unread_bytes

    def write(self, data: bytes) -> None:
        """All of it, in messages of the recommended size."""
        write, most = self._call.write, FRAMES_RECOMMENDED_BYTES
        if len(data) <= most:
            write(prefixed(wrap(data)))
            return
        pieces = (data[start : start + most] for start in range(0, len(data), most))
        write(b"".join([prefixed(wrap(piece)) for piece in pieces]))

    def close(self) -> None:
        """End the call after what was written. The peer has said goodbye: it is told that all is well."""
        if not self._closing:
            self._closing = True
            self._call.finish()

    def abort(self) -> None:
        """End the call now, with the reason for which the link was ended, unless that has been tried."""
        error = self._reason()
        if error is None or self._closing:
            self._call.abort()
        else:
            self._closing = True
            self._call.fail(error)

    def _finish(self) -> None:
        error = self._reason()
        if error is None:
            self.close()
        elif not self._closing:
            self._closing = True
            self._call.finish(*status_of(error))

    def _reason(self) -> Fatal | None:
        code = None if self._protocol is None else self._protocol.link.close_code
        return None if code is None else Fatal(code)
