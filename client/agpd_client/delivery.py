"""Which local receivers a delivery is for (`proto/native.md` 7.3 to 7.6), and handing it to them."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agpd.errors import Fatal
from agpd.names import parse
from agpd.wire.envelope import unpack
from agpd.wire.frames import FANOUT_ALL, Kind
from agpd_client.events import Statistics
from agpd_client.inbox import Inbox
from agpd_client.message import Message
from agpd_client.routes import Routes

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.connection import Connection
    from agpd_client.subscription import Subscription

# 6.2: clocks may differ by this much.
EXPIRY_LEEWAY_MS = 30_000
_REQUEST, _REPLY = int(Kind.REQUEST), int(Kind.REPLY)


def _now_ms() -> int:
    return int(time.time() * 1000)


class Receiver:
    """An agent, the queue that takes its messages to one destination, and the type they are decoded to."""

    __slots__ = ("agent", "handle", "inbox", "kind")

    def __init__(self, agent: "Agent", subscription: "Subscription[Any] | None") -> None:
        self.agent = agent
        self.handle = agent.handle
        self.inbox: Inbox = agent.inbox if subscription is None else subscription.inbox
        self.kind: Any = None if subscription is None else subscription.type


class Delivery:
    """The receiving half of one connection. `agents` by full name and `routes` are the gateway object's own."""

    def __init__(
        self,
        agents: Mapping[str, "Agent"],
        routes: Routes,
        statistics: Statistics,
        connection: "Connection",
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self.names: dict[int, str] = {}
        self._agents = agents
        self._routes = routes
        self._statistics = statistics
        self._connection = connection
        self._now_ms = now_ms
        # destination handle * 2 + (fan-out is ALL) -> receivers
        self._known: dict[int, list[Receiver]] = {}

    def announce(self, handle: int, name: str) -> None:
        """The handle stands for the name."""
        if self.names.get(handle) != name:
            self.names[handle] = name
            self.changed()

    def withdraw(self, handles: list[int]) -> None:
        """The handles stand for nothing any more."""
        for handle in handles:
            self.names.pop(handle, None)
        self.changed()

    def changed(self) -> None:
        """Agents, subscriptions or their queues have changed."""
        self._known.clear()

    def take(self, kind: int, fanout: int, destination: int, source: int, id_: int, body: bytes) -> None:
        """One data frame from the gateway."""
        try:
            envelope = unpack(body)
        except Fatal:  # the sending agent's fault; other messages on this connection are not to suffer
            self._statistics.unreadable += 1
            return
        if envelope.expires_ms and envelope.expires_ms + EXPIRY_LEEWAY_MS < self._now_ms():
            self._statistics.expired += 1
            return
        name = self.names.get(source, "")
        if kind == _REPLY:
            self._reply(
                Message(
                    envelope,
                    name,
                    self.names.get(destination, ""),
                    fanout,
                    id_,
                    len(body),
                    False,
                    None,  # type: ignore[arg-type]  # nobody answers a reply
                    self._connection,
                    source,
                    None,
                ),
                destination,
            )
            return
        receivers = self._known.get(destination * 2 + (fanout == FANOUT_ALL))
        if receivers is None:
            receivers = self._resolve(destination, fanout)
        if not receivers:
            receivers = self._routed(destination, source)
        target = self.names.get(destination, "")
        is_request = kind == _REQUEST
        handed = 0
        for receiver in receivers:
            if receiver.handle == source:  # 7.4
                continue
            handed += 1
            message: Message[Any] = Message(
                envelope,
                name,
                target,
                fanout,
                id_,
                len(body),
                is_request,
                receiver.agent,
                self._connection,
                source,
                receiver.kind,
            )
            if is_request and receiver.agent.handler is not None:
                receiver.agent.handler.take(message)
            else:
                receiver.inbox.put(message)
        self._statistics.received += handed
        if not handed:
            self._statistics.strays += 1

    def _reply(self, message: Message[Any], destination: int) -> None:
        if self._connection.calls.answer(message.correlation, destination, message):
            self._statistics.received += 1
        else:
            self._statistics.strays += 1

    def _resolve(self, destination: int, fanout: int) -> list[Receiver]:
        name = self.names.get(destination)
        receivers = [] if name is None else self._receivers(name, fanout == FANOUT_ALL)
        self._known[destination * 2 + (fanout == FANOUT_ALL)] = receivers
        return receivers

    def _routed(self, destination: int, source: int) -> list[Receiver]:
        """The agent of the longest matching route of the sender's organization that does not lead back to it."""
        text, sender = self.names.get(destination), self.names.get(source, "")
        if text is None:
            return []
        for route in self._routes.matching(parse(text)):
            if route.organization == sender.partition("/")[0] and route.via != sender:
                return [Receiver(self._agents[route.via], None)]
        return []

    def _receivers(self, text: str, to_all: bool) -> list[Receiver]:
        """One receiver per queue."""
        name = parse(text)
        agents = list(self._agents.values())
        if name.is_instance:
            topic = str(name.type_name)
            found = [
                each for agent in agents if agent.instance == name.instance for each in _of(agent, topic)
            ]
        else:
            found = [each for agent in agents for each in _of(agent, text)] if to_all else []
            found += [
                each
                for agent in agents
                for each in _observing(agent, f"{name.organization}/{name.namespace}/*")
            ]
        queues: dict[int, Receiver] = {}
        for receiver in found:
            queues.setdefault(id(receiver.inbox), receiver)
        return list(queues.values())


def _of(agent: "Agent", topic: str) -> list[Receiver]:
    """The agent, if it is an instance of the type or topic."""
    subscription = agent.subscriptions.get(topic)
    if subscription is not None or topic == agent.type_name:
        return [Receiver(agent, subscription)]
    return []


def _observing(agent: "Agent", pattern: str) -> list[Receiver]:
    subscription = agent.subscriptions.get(pattern)
    return [] if subscription is None else [Receiver(agent, subscription)]
