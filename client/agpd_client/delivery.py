"""Which local receivers a delivery is for (`proto/native.md` 7.3 to 7.6), and handing it to them."""

import struct
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agpd.errors import Fatal
from agpd.hotpath import deliveries
from agpd.names import parse
from agpd.wire.envelope import unpack
from agpd.wire.frames import FANOUT_ALL, Kind
from agpd_client.events import Statistics
from agpd_client.flows import Flow, Flows, Origin
from agpd_client.inbox import Inbox
from agpd_client.message import Message
from agpd_client.routes import Routes

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.connection import Connection
    from agpd_client.subscription import Subscription

# 6.2: clocks may differ by this much.
EXPIRY_LEEWAY_MS = 30_000
# kind, flags, fan-out, destination, source
_HEAD = struct.Struct(">BBHII")
_REQUEST, _REPLY = int(Kind.REQUEST), int(Kind.REPLY)


def _now_ms() -> int:
    return int(time.time() * 1000)


class Receiver:
    """An agent, the queue that takes its messages to one destination, and the type they are decoded to."""

    __slots__ = ("agent", "inbox", "kind")

    def __init__(self, agent: "Agent", subscription: "Subscription[Any] | None") -> None:
        self.agent = agent
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
        self._flows = Flows(self._find)

    def announce(self, handle: int, name: str) -> None:
        """The handle stands for the name."""
        before = self.names.get(handle)
        if before != name:
            self.names[handle] = name
            if before is not None:  # else nothing is remembered of it
                self.changed()

    def withdraw(self, handles: list[int]) -> None:
        """The handles stand for nothing any more."""
        for handle in handles:
            self.names.pop(handle, None)
        self.changed()

    def changed(self) -> None:
        """Agents, subscriptions or their queues have changed."""
        self._flows.forget()

    def take(self, data: bytes, position: int, limit: int) -> int:
        """Hand over the data frames from `position` on; where the next frame begins. `limit`: of a frame, in bytes."""
        runs, position = deliveries(data, position, limit, self._flows, Message, self._unusual)
        # All looked up first: with an eager task factory a request handler runs within this, and may change them.
        handed = [(self._flows.of[origin], messages, size) for origin, messages, size in runs]
        for flow, messages, size in handed:
            if flow.is_reply:
                self._replies(flow, messages)
            elif flow.inbox is None:
                self._statistics.strays += len(messages)
            else:
                copies = [(copy, [each.copy_for(copy.origin) for each in messages]) for copy in flow.copies]
                self._hand(flow, messages, size)
                for copy, theirs in copies:
                    self._hand(copy, theirs, size)
        self._flows.tidy()
        return position

    def _unusual(self, origin: Origin, id_: int, data: bytes) -> Message[Any] | None:
        """A message whose envelope has more than a payload; None if it is unreadable or too late."""
        try:
            envelope = unpack(data)
        except Fatal:  # the sending agent's fault; other messages on this connection are not to suffer
            self._statistics.unreadable += 1
            return None
        expires = envelope.expires_ms
        if expires and expires + EXPIRY_LEEWAY_MS < self._now_ms():
            self._statistics.expired += 1
            return None
        return Message(
            origin,
            id_,
            len(data),
            envelope.body,
            envelope.content_type,
            envelope.correlation,
            expires,
            envelope.headers,
        )

    def _hand(self, flow: Flow, messages: list[Message[Any]], size: int) -> None:
        self._statistics.received += len(messages)
        if flow.origin.is_request:
            for message in messages:
                message.answered_by(flow)
        handler = flow.agent.handler if flow.origin.is_request and flow.agent is not None else None
        if handler is not None:
            for message in messages:
                handler.take(message)
        elif flow.inbox is not None:
            flow.inbox.put_all(messages, size)

    def _replies(self, flow: Flow, messages: list[Message[Any]]) -> None:
        for message in messages:
            if self._connection.calls.answer(message.correlation, flow.origin.destination_handle, message):
                self._statistics.received += 1
            else:
                self._statistics.strays += 1

    def _find(self, head: bytes) -> tuple[Flow, bool]:
        """The flow of frames that begin so, and whether that lasts: not while a handle stands for nothing."""
        kind, _, fanout, destination, source = _HEAD.unpack(head)
        lasting = source in self.names and destination in self.names
        receivers: list[Receiver | None] = []
        if kind != _REPLY:
            receivers += self._resolve(destination, source, fanout)
        flows = [self._flow(kind, fanout, destination, source, each) for each in receivers or [None]]
        flows[0].copies = tuple(flows[1:])
        return flows[0], lasting

    def _flow(self, kind: int, fanout: int, destination: int, source: int, receiver: Receiver | None) -> Flow:
        names = (self.names.get(source, ""), self.names.get(destination, ""))
        kind_of_data = None if receiver is None else receiver.kind
        return Flow(
            Origin(*names, source, destination, fanout, kind == _REQUEST, kind_of_data),
            self._connection,
            is_reply=kind == _REPLY,
            agent=None if receiver is None else receiver.agent,
            inbox=None if receiver is None else receiver.inbox,
        )

    def _resolve(self, destination: int, source: int, fanout: int) -> list[Receiver]:
        name = self.names.get(destination)
        receivers = [] if name is None else self._receivers(name, fanout == FANOUT_ALL)
        receivers = receivers or self._routed(destination, source)
        return [each for each in receivers if each.agent.handle != source]  # 7.4

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
