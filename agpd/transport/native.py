"""The native transport: the protocol object of one connection. A thin shell round `Link` and `forward`.

It is the same over a TLS socket, a plain socket and a pipe in memory.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from agpd.errors import Code, Fatal
from agpd.gateway.dialects import Dialect
from agpd.gateway.hub import Hub
from agpd.gateway.link import Link
from agpd.gateway.principal import PLAINTEXT, Principal
from agpd.hotpath import forward

# The carrier's own buffer: what it holds above this waits in the outbox, where the policy counts it.
CARRIER_HIGH_BYTES = 256 * 1024
CARRIER_LOW_BYTES = 64 * 1024

_log = logging.getLogger(__name__)

Identify = Callable[[bytes], Principal]


class NativeProtocol(asyncio.Protocol):
    """One connection. `identify` turns the client certificate (DER) into a principal; None: it is `principal`."""

    __slots__ = ("_dialect", "_frame_limit", "_hub", "_identify", "_principal", "_tired", "link")

    link: Link

    def __init__(
        self,
        hub: Hub,
        identify: Identify | None,
        principal: Principal = PLAINTEXT,
        *,
        dialect: Dialect = Dialect.NATIVE,
        frame_limit_bytes: int = 0,
    ) -> None:
        """`frame_limit_bytes`: the longest frame of this peer, 0 for that of the protocol."""
        self._hub = hub
        self._dialect = dialect
        self._frame_limit = frame_limit_bytes or hub.admission.limits.frame_limit_bytes
        self._identify = identify
        self._principal = principal
        self._tired = False  # what it asked for is more work than one turn has

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        carrier = cast(asyncio.Transport, transport)
        carrier.set_write_buffer_limits(high=CARRIER_HIGH_BYTES, low=CARRIER_LOW_BYTES)
        hub = self._hub
        self.link = Link(
            carrier,
            peer_text(carrier.get_extra_info("peername")),
            self._principal,
            turn=hub.turn,
            limits=hub.outbox_limits,
            clock=hub.clock,
            hello_limit_bytes=hub.admission.limits.hello_limit_bytes,
            frame_limit_bytes=self._frame_limit,
            dialect=self._dialect,
        )
        # A socket leaves them to the kernel, a channel of a worker keeps them.
        self.link.unread_bytes = carrier.get_extra_info("unread_bytes") or int
        try:
            if self._identify is not None:
                self.link.principal = self._identify(_client_certificate(carrier))
            hub.attach(self.link)
        except Fatal as fatal:
            hub.end(self.link, fatal.code, fatal.detail)

    def data_received(self, data: bytes) -> None:
        link = self.link
        if link.close_code is not None:
            return
        link.bytes_in += len(data)
        if self._tired:
            link.reassembly.add(data)  # what the carrier had read before it was held
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        link = self.link
        try:
            if forward(data, link, self._hub):
                self._tired = True
                link.hold()
                self._hub.turn.call_soon(self._go_on)
            if link.meter is not None:
                link.meter.charge()
            if link.queued > link.answers_limit and not link.writable:
                self._hub.end(link, Code.SLOW_CONSUMER, "does not read what it asks for")
        except Fatal as fatal:
            self._hub.end(link, fatal.code, fatal.detail)
        except Exception:
            # A fault of ours costs this connection, not the others; it is logged whole, to be mended.
            _log.exception("fault while handling %s", link.peer)
            self._hub.end(link, Code.INTERNAL)

    def _go_on(self) -> None:
        """The next turn: others have had theirs."""
        self._tired = False
        self.link.release()
        if self.link.close_code is None:
            self._take(b"")

    def pause_writing(self) -> None:
        self.link.carrier_full()

    def resume_writing(self) -> None:
        self.link.carrier_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hub.lost(self.link, detail=str(exc) if exc else "")


def _client_certificate(carrier: asyncio.Transport) -> bytes:
    """DER of the certificate that the handshake has verified."""
    tls = cast(ssl.SSLObject, carrier.get_extra_info("ssl_object"))
    der = tls.getpeercert(binary_form=True)
    if der is None:
        raise Fatal(Code.UNAUTHENTICATED, "no client certificate")
    return der


def peer_text(address: object) -> str:
    """`host:port` of a socket address, or what else the carrier calls its peer."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address or "unknown")
