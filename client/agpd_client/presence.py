"""Watching who is there: `async with agent.watch("acme/prod/reviewer") as watch`."""

from typing import TYPE_CHECKING, NamedTuple

from agpd.wire.frames import Frame, Kind, Named, Present, decode
from agpd_client.errors import AgpError, Closed
from agpd_client.inbox import Feed

if TYPE_CHECKING:
    from agpd_client.agent import Agent

CHANGES_LIMIT = 65_536


class Presence(NamedTuple):
    """An instance has come (`present`) or gone."""

    name: str
    present: bool


class Watch:
    """The instances of one type or topic, apart from the watching agent: who is there, and every change.

    Changes that nobody reads are dropped, the oldest first, beyond 65,536 of them; `present` is always right.
    After a reconnect the difference to what was known before is told as changes.
    """

    def __init__(self, agent: "Agent", type_name: str) -> None:
        self.type_name = type_name
        self._agent = agent
        self._present: set[str] = set()
        self._changes: Feed[Presence] = Feed(CHANGES_LIMIT)
        self._is_open = False

    @property
    def present(self) -> frozenset[str]:
        """Full names of the instances there are now."""
        return frozenset(self._present)

    async def open(self) -> None:
        """Begin. Raises `NotPermitted`, `LimitReached`."""
        if self._is_open:
            return
        self._agent.check_loop()
        self._is_open = True
        watches = self._agent.watches.setdefault(self.type_name, [])
        watches.append(self)
        try:
            await self._agent.settle(Kind.WATCH, Named(self.type_name), self._first)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End. Iteration then ends after what has been told."""
        if not self._is_open:
            return
        self._is_open = False
        self._changes.fail(Closed("the watch was closed"))
        watches = self._agent.watches.get(self.type_name, [])
        if self in watches:
            watches.remove(self)
        if not watches and self._agent.watches.pop(self.type_name, None) is not None:
            self._agent.settle_later(Kind.UNWATCH, Named(self.type_name))

    async def receive(self, *, timeout: float | None = None) -> Presence:
        """The next change, within `timeout` seconds. Raises `Timeout`, `Closed`."""
        await self.open()
        return await self._changes.get(timeout)

    async def __aenter__(self) -> "Watch":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Presence:
        try:
            return await self.receive()
        except Closed as error:
            if error.code is Closed.default:
                raise StopAsyncIteration from None
            raise

    def snapshot(self, names: list[str]) -> None:
        """These are there: what differs from before is a change."""
        now = set(names)
        for name in sorted(self._present - now):
            self.change(name, False)
        for name in sorted(now - self._present):
            self.change(name, True)

    def change(self, name: str, present: bool) -> None:
        """The gateway has told of one."""
        if (name in self._present) is not present:
            (self._present.add if present else self._present.discard)(name)
            self._changes.put(Presence(name, present))

    def end(self, error: AgpError) -> None:
        """Nothing will come any more."""
        self._changes.fail(error)

    def _first(self, frame: Frame) -> None:
        self._present = set(decode(frame.body, Present).names)
