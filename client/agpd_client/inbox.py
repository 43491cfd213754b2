"""Queues between the connection and those who receive: no task and no future per message."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from agpd_client.errors import AgpError, Backpressure, Timeout

if TYPE_CHECKING:
    from agpd_client.events import Statistics
    from agpd_client.message import Message

Policy = Literal["block", "drop_oldest", "drop_new", "error"]
POLICIES = ("block", "drop_oldest", "drop_new", "error")
INBOX_LIMIT = 8192
INBOX_LIMIT_BYTES = 16 * 1024 * 1024
# While somebody waits for an answer, an inbox may fill up to this many times its limits before reading stops.
STRETCH = 4

Item = TypeVar("Item")


class Feed(Generic[Item]):
    """A queue that wakes at most one waiter per item. Cancelling a waiter loses nothing.

    `limit`: the oldest items beyond it are dropped and counted in `dropped`; 0 is no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self.items: deque[Item] = deque()
        self.limit = limit
        self.dropped = 0
        self.error: AgpError | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def put(self, item: Item) -> None:
        """Append; never waits."""
        self.items.append(item)
        if self.limit and len(self.items) > self.limit:
            self.items.popleft()
            self.dropped += 1
        if self._waiters:
            self._wake()

    def take(self) -> Item:
        """The first item; the caller has seen that there is one."""
        return self.items.popleft()

    async def get(self, timeout: float | None = None) -> Item:
        """The next item, within `timeout` seconds.

        Raises `Timeout`, or what `fail` was given once the queue is empty.
        """
        if not self.items:
            if timeout is None:
                await self._filled()
            else:
                try:
                    async with asyncio.timeout(timeout):
                        await self._filled()
                except TimeoutError:
                    raise Timeout(f"nothing was received within {timeout} s") from None
        return self.take()

    def fail(self, error: AgpError) -> None:
        """After what is queued, every `get` raises `error`. The first error stays."""
        if self.error is None:
            self.error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _filled(self) -> None:
        while not self.items:
            if self.error is not None:
                raise self.error
            await self._wait()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif self.items and self._waiters:  # woken and cancelled at once: the next one takes over
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class Valve:
    """Stops reading from the gateway while an inbox with the policy `block` is full.

    All agents of a connection share it. Reading goes on while an answer is awaited: whoever makes a request from
    within its receive loop would otherwise wait for an answer that it keeps from being read.
    """

    def __init__(self) -> None:
        self.full: set[Inbox] = set()
        self.paused = False
        self._pause: Callable[[], None] = _nothing
        self._resume: Callable[[], None] = _nothing
        self._awaiting: Callable[[], bool] = _never

    def attach(
        self, pause: Callable[[], None], resume: Callable[[], None], awaiting: Callable[[], bool]
    ) -> None:
        """From now on this connection's reading; it begins as not paused."""
        self._pause, self._resume, self._awaiting = pause, resume, awaiting
        self.paused = False
        self.update()

    def detach(self) -> None:
        """There is no connection."""
        self._pause, self._resume, self._awaiting = _nothing, _nothing, _never
        self.paused = False

    def update(self) -> None:
        """Pause or resume, as it has to be now."""
        pause = bool(self.full) and (not self._awaiting() or any(inbox.is_stuffed for inbox in self.full))
        if pause is not self.paused:
            self.paused = pause
            (self._pause if pause else self._resume)()


def _nothing() -> None:
    pass


def _never() -> bool:
    return False


class Inbox(Feed["Message[Any]"]):
    """Messages waiting for one receiver, bounded in number and bytes, with a written policy when full.

    `block`: reading from the gateway pauses until the inbox is half empty. `drop_oldest`, `drop_new`: counted in
    `dropped` and told with the next message. `error`: like `drop_new`, and the next `get` raises `Backpressure`.
    `untold`: dropped since somebody was told.
    """

    def __init__(self, limit: int, policy: Policy, valve: Valve, statistics: "Statistics") -> None:
        if policy not in POLICIES:
            raise ValueError(f"inbox policy {policy!r}: choose one of {', '.join(POLICIES)}")
        if limit < 1:
            raise ValueError(f"inbox limit {limit}: at least 1 message")
        super().__init__()
        self.policy = policy
        self.bound = limit
        self.bytes = 0
        self._valve = valve
        self._statistics = statistics
        self.untold = 0

    @property
    def is_stuffed(self) -> bool:
        """Full even for one that stretches."""
        return len(self.items) >= STRETCH * self.bound or self.bytes >= STRETCH * INBOX_LIMIT_BYTES

    def put(self, item: "Message[Any]") -> None:
        """Append, or do what the policy says."""
        items = self.items
        if (len(items) + 1 >= self.bound or self.bytes >= INBOX_LIMIT_BYTES) and not self._make_room():
            return
        if self.untold and self.policy == "drop_new":
            item.dropped, self.untold = self.untold, 0
        items.append(item)
        self.bytes += item.size
        if self._waiters:
            self._wake()

    def put_all(self, messages: "list[Message[Any]]", size: int) -> None:
        """`put` each; `size` is that of all of them."""
        items = self.items
        is_roomy = len(items) + len(messages) < self.bound and self.bytes + size < INBOX_LIMIT_BYTES
        if not is_roomy or self.untold:
            for message in messages:
                self.put(message)
            return
        items.extend(messages)
        self.bytes += size
        for _ in messages:
            if not self._waiters:
                return
            self._wake()

    def take(self) -> "Message[Any]":
        """The first message."""
        message = self.items.popleft()
        self.bytes -= message.size
        if self.untold and self.policy == "drop_oldest":
            message.dropped, self.untold = self.untold, 0
        if self._valve.full:
            self._ease()
        return message

    async def get(self, timeout: float | None = None) -> "Message[Any]":
        """The next message; with the policy `error` raises `Backpressure` if some were lost."""
        if self.untold and self.policy == "error":
            lost, self.untold = self.untold, 0
            raise Backpressure(
                f"the inbox was full ({self.bound} messages) and {lost} were lost; receive faster, raise the limit "
                "or choose the policy 'block'"
            )
        return await super().get(timeout)

    def remove(self, wanted: "Callable[[Message[Any]], bool]") -> "list[Message[Any]]":
        """Take out, in order, the messages that are wanted."""
        taken = [message for message in self.items if wanted(message)]
        if taken:
            kept = [message for message in self.items if not wanted(message)]
            self.items.clear()
            self.items.extend(kept)
            self.bytes -= sum(message.size for message in taken)
            self._ease()
        return taken

    def fail(self, error: AgpError) -> None:
        """As for every feed; what is queued holds up nobody any more."""
        super().fail(error)
        self._release()

    def _make_room(self) -> bool:
        """The inbox is about to be full: may the next message be appended?"""
        if self.policy == "block":
            if self.error is None:
                self._valve.full.add(self)
                self._valve.update()
            return True
        if len(self.items) < self.bound and self.bytes < INBOX_LIMIT_BYTES:
            return True
        self.dropped += 1
        self.untold += 1
        self._statistics.dropped_here += 1
        if self.policy != "drop_oldest":
            return False
        self.bytes -= self.items.popleft().size
        return True

    def _ease(self) -> None:
        if self in self._valve.full and (
            len(self.items) <= self.bound // 2 and self.bytes <= INBOX_LIMIT_BYTES // 2
        ):
            self._release()

    def _release(self) -> None:
        self._valve.full.discard(self)
        self._valve.update()
