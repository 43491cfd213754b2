"""Making one connection that the gateway has welcomed, and saying what went wrong if it did not."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from agpd.errors import Code
from agpd.wire import frames
from agpd_client.backoff import Clock
from agpd_client.connection import Connection
from agpd_client.credentials import Source
from agpd_client.errors import AgpError, Closed, ConnectError, Unauthorized
from agpd_client.transports.carrier import Carrier

# In TLS 1.3 the client's handshake is done before the gateway has judged the certificate, and the alert that refuses it
# may be lost in a reset. So many ends in a row between handshake and welcome are taken for a refusal.
REJECTIONS_LIMIT = 5
OF_TOKENS = (Code.INVALID_TOKEN, Code.TOKEN_EXPIRED, Code.TOKEN_REVOKED, Code.TENANT_SUSPENDED)


class Options(NamedTuple):
    """How to behave. `chance.random()` in [0, 1) spreads reconnects, `clock` times them.

    `control` is the address of the control plane, if it is not where it is by default. `source` has access tokens.
    """

    reconnect: bool
    connect_timeout: float
    buffer_bytes: int
    client: str
    chance: random.Random
    clock: Clock
    control: str | None = None
    source: Source | None = None


class Dialer:
    """Connects to one gateway, again and again."""

    def __init__(self, carrier: Carrier, options: Options) -> None:
        self.carrier = carrier
        self._options = options
        self._epoch = 0
        self._rejections = 0  # in a row

    async def dial(self, make: Callable[[frames.Hello], Connection], token: str = "") -> Connection:
        """A connection that has been welcomed, and has shown the token if there is one.

        Raises `ConnectError`, `Unauthorized`, and what the gateway ended the connection with.
        """
        rejections, self._rejections = self._rejections, 0
        hello = self._hello(token)
        try:
            connection = await self.carrier.connect(lambda: make(hello), self._options.connect_timeout, token)
        except Closed as error:
            raise self._ended(error, rejections) from None
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await asyncio.shield(connection.ready)
        except TimeoutError:
            connection.abort()
            raise ConnectError(
                f"{self.carrier.address} accepts connections but does not speak agpd's protocol: is it another service?"
            ) from None
        except Unauthorized as error:
            if error.code in OF_TOKENS:
                raise
            raise Unauthorized(f"{error}{self.carrier.describe()}", code=error.code) from None
        except Closed as error:
            raise self._ended(error, rejections) from None
        except BaseException:
            connection.abort()
            raise
        return connection

    def _hello(self, token: str) -> frames.Hello:
        self._epoch = max(self._epoch + 1, int(time.time() * 1000))
        return frames.Hello([frames.VERSION], self._options.client, self._epoch, token)

    def _ended(self, error: Closed, rejections: int) -> AgpError:
        """After so many rejections in a row the connection has ended before WELCOME."""
        if error.code is not Code.CONNECTION_LOST:
            return error
        self._rejections = rejections + 1
        return self._unwelcome()

    def _unwelcome(self) -> AgpError:
        text = f"the gateway at {self.carrier.address} ended the connection before it welcomed us"
        used = self.carrier.describe()
        if not used:
            return ConnectError(f"{text}; the gateway's log says why")
        text += (
            f": most likely it does not accept our certificate, which may be expired, revoked or of an authority that "
            f"this gateway does not know{used}; the gateway's log says which, `agpctl pki issue agent` makes a new one"
        )
        if self._rejections < REJECTIONS_LIMIT:
            return ConnectError(text)
        return Unauthorized(f"{self._rejections} times in a row {text}")
