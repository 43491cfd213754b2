"""The one access token of a gateway object: got before a connection, renewed in good time on it."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from agpd.errors import Code
from agpd.wire.frames import Frame, Kind, Seconds, Token, decode
from agpd_client.backoff import Backoff, Clock
from agpd_client.credentials import Issued, Source
from agpd_client.errors import AgpError, Unauthorized
from agpd_client.events import Event, TokenNotRenewed, TokenRenewed

RENEW_AT = 0.8  # of its life, or up to
JITTER = 0.1  # earlier
SHORTEST_S = 1.0  # between two renewals


class Bearer(Protocol):
    """The part of a connection that a token is shown on."""

    is_closed: bool

    async def call(self, kind: Kind, body: Token, /) -> Frame: ...


class Tokens:
    """Keeps the token. Without a `source` there is none. `tell` is told of events."""

    def __init__(
        self, source: Source | None, clock: Clock, chance: random.Random, tell: Callable[[Event], None]
    ) -> None:
        self._source = source
        self._clock = clock
        self._chance = chance
        self._tell = tell
        self._renew_at = 0.0  # of the clock; the token is not shown to a new connection later than that
        self._task: asyncio.Task[None] | None = None
        self.current = ""

    @property
    def renew(self) -> bool:
        """Can another token be got when one has ended?"""
        return self._source is not None and self._source.renews

    async def for_hello(self) -> str:
        """The token to show to a new connection; empty without a source. Raises as `Source.fetch`."""
        if self._source is not None and (not self.current or self._clock.now() >= self._renew_at):
            await self._fetch(self._source)
        return self.current

    def discard(self) -> bool:
        """The gateway has not accepted it. True if another one may be tried."""
        self.current = ""
        return self.renew

    def attach(self, connection: Bearer, expires_s: float) -> None:
        """A connection has been welcomed with the token, which holds so long: renew it there from now on."""
        self.detach()
        if self._source is not None and self._source.renews and expires_s:
            due = self._due(expires_s)
            if self._renew_at:
                due = min(due, self._renew_at)
            self._renew_at = due
            self._task = asyncio.get_running_loop().create_task(self._keep(connection, self._source, due))

    async def renew_now(self, connection: Bearer) -> float:
        """Get another token and show it at once: the seconds that it holds.

        Raises as `Source.fetch`, and what refuses it; the connection then goes on with what it had.
        """
        if self._source is None or not self._source.renews:
            raise Unauthorized(
                "there is nothing to get another token with: pass connect(credentials=...)",
                code=Code.INVALID_TOKEN,
            )
        expires_s = await self._show(connection, self._source)
        self.attach(connection, expires_s)
        self._tell(TokenRenewed(expires_s))
        return expires_s

    def detach(self) -> None:
        """The connection has gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Renew nothing any more."""
        task = self._task
        self.detach()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self, connection: Bearer, source: Source, due: float) -> None:
        while True:
            await self._clock.sleep(max(SHORTEST_S, due - self._clock.now()))
            expires_s = await self._renew(connection, source)
            if expires_s is None:
                return
            due = self._due(expires_s)
            self._renew_at = max(due, self._renew_at)
            self._tell(TokenRenewed(expires_s))

    async def _renew(self, connection: Bearer, source: Source) -> float | None:
        """Until it works: the seconds that the new one holds. None if the connection has gone."""
        backoff = Backoff(self._chance)
        while not connection.is_closed:
            try:
                return await self._show(connection, source)
            except AgpError as error:
                if not connection.is_closed:
                    self._tell(TokenNotRenewed(error))
            await self._clock.sleep(max(backoff.delay(), SHORTEST_S))
        return None

    async def _show(self, connection: Bearer, source: Source) -> float:
        await self._fetch(source)
        answer = await connection.call(Kind.AUTHENTICATE, Token(self.current))
        return decode(answer.body, Seconds).seconds

    async def _fetch(self, source: Source) -> None:
        issued: Issued = await source.fetch()
        self.current = issued.text
        self._renew_at = 0.0 if issued.life_s is None else self._due(issued.life_s)

    def _due(self, life_s: float) -> float:
        """When to renew what holds so long from now on."""
        return self._clock.now() + life_s * (RENEW_AT - JITTER * self._chance.random())
