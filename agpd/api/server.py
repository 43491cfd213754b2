"""HTTP/1.1 on the gateway's accept path: uvicorn's protocol with limits on what slow and hostile clients may cost.

The gateway's listener accepts, does TLS and hands connections to `Server.protocol`.
"""

import asyncio
import json
from typing import Any, NamedTuple, cast

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from agpd.api.problems import problem
from agpd.errors import Code, Refused

CERTIFICATE = "agpd.certificate"
"""The extension of the ASGI scope that holds the client certificate (DER), if one was shown."""

HEAD_LIMIT_BYTES = 32 * 1024
CONNECTIONS = 1000
QUIET_ROUND_S = 0.02


class Patience(NamedTuple):
    """How long the head of a request may take, its body, and a connection between two requests; in seconds."""

    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 30.0


PATIENCE = Patience()


class Protocol(HttpToolsProtocol):
    """One connection. The head of a request has at most `HEAD_LIMIT_BYTES`."""

    def __init__(self, config: Config, state: ServerState, patience: Patience) -> None:
        super().__init__(config, state, {})
        self.timeout_keep_alive = cast("int", patience.idle_s)
        self._patience = patience
        self._certificate: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(binary_form=True)
        self._expect(self._patience.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._deadline is None:  # a connection that was kept alive
                self._expect(self._patience.head_s)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, "the head of the request is too long")

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if self._certificate is not None:
            extensions: dict[str, Any] = {CERTIFICATE: self._certificate}
            self.scope["extensions"] = extensions
        self._expect(self._patience.body_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._expect(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: whoever asks for what we do not speak is answered in HTTP/1.1."""

    def _refuse(self, status: int, detail: str) -> None:
        """Answer outside of the application, and close. Nothing, while an answer of the application is under way."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(problem(Refused(Code.INVALID_REQUEST, detail))).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()

    def _expect(self, seconds: float | None) -> None:
        """The next step must come within this time. None: it may take any."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._in_head and self.cycle is not None and not self.cycle.response_complete:
            self._expect(self._patience.head_s)  # the next request waits for the answer to this one
        elif not self.transport.is_closing():
            self._refuse(408, "the request did not come in time")


class Server:
    """Serves an application on the connections that are handed to `protocol`."""

    def __init__(self, app: ASGIApp, patience: Patience = PATIENCE) -> None:
        self._config = Config(
            cast("Any", app),
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._config.load()
        self._patience = patience
        self._state = ServerState()
        self._closing = False

    @property
    def accepting(self) -> bool:
        """Is there room for one more connection?"""
        return not self._closing and len(self._state.connections) < CONNECTIONS

    def protocol(self) -> Protocol:
        """The protocol of a new connection."""
        return Protocol(self._config, self._state, self._patience)

    async def close(self, grace_s: float) -> None:
        """Finish what was asked for, within the time, and close all connections."""
        self._closing = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        for connection in list(self._state.connections):
            connection.shutdown()
        # Connections announce their end to nobody.
        while self._state.connections and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(QUIET_ROUND_S)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=grace_s)
