"""A subscription: a topic (or a namespace that is observed) and, if asked for, a queue of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agpd_client.errors import Closed
from agpd_client.inbox import Inbox
from agpd_client.message import Message

if TYPE_CHECKING:
    from agpd_client.agent import Agent

Data = TypeVar("Data")


class Subscription(Generic[Data]):
    """What `agent.subscribe` and `agent.observe` give.

    Messages go to the agent's inbox until one first receives from the subscription, or iterates it: from then on it
    has a queue of its own, and what has already come for it moves there.
    """

    def __init__(
        self,
        agent: "Agent",
        topic: str,
        type: Any,  # noqa: A002  (the word of the API)
        make_inbox: Callable[[], Inbox],
    ) -> None:
        self.topic = topic
        self.type = type
        self._agent = agent
        self._make_inbox = make_inbox
        self._own: Inbox | None = None

    @property
    def inbox(self) -> Inbox:
        """Where its messages go now."""
        return self._agent.inbox if self._own is None else self._own

    @property
    def dropped(self) -> int:
        """Messages lost in its own queue so far."""
        return 0 if self._own is None else self._own.dropped

    async def receive(self, *, timeout: float | None = None) -> Message[Data]:
        """The next message to this topic, within `timeout` seconds. Raises `Timeout`, `Closed`, `Backpressure`."""
        self._agent.check_loop()
        return await self._queue().get(timeout)

    def __aiter__(self) -> "Subscription[Data]":
        return self

    async def __anext__(self) -> Message[Data]:
        inbox = self._own
        if inbox is not None and inbox.items and not inbox.untold and self._agent.is_here():
            return inbox.take()
        try:
            return await self.receive()
        except Closed as error:
            if error.code is Closed.default:
                raise StopAsyncIteration from None
            raise

    async def close(self) -> None:
        """Unsubscribe. What is queued can still be received; then iteration ends."""
        await self._agent.unsubscribe(self.topic)

    async def __aenter__(self) -> "Subscription[Data]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def end(self, error: Exception) -> None:
        """Nothing will come any more."""
        self._queue().fail(error)  # type: ignore[arg-type]

    def holds(self, destination: str) -> bool:
        """Is a message with this destination one of the subscription?"""
        if self.topic.endswith("/*"):
            topic = "/".join(destination.split("/")[:3])
            return (
                topic == destination
                and topic.startswith(self.topic[:-1])
                and topic not in self._agent.subscriptions
            )
        return destination in (self.topic, f"{self.topic}/{self._agent.instance}")

    def _queue(self) -> Inbox:
        if self._own is None:
            own = self._own = self._make_inbox()
            for message in self._agent.inbox.remove(lambda message: self.holds(message.destination)):
                message.expect(self.type)
                own.put(message)
            self._agent.rerouted()
            if self._agent.inbox.error is not None:
                own.fail(self._agent.inbox.error)
        return self._own
