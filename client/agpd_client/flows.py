"""Flows: what the messages from one source to one destination have in common, looked up once for each run of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.connection import Connection
    from agpd_client.inbox import Inbox

# Whoever sends chooses fan-outs and so makes flows: beyond this many all are forgotten, and found anew.
FLOWS_LIMIT = 16_384


class Flow:
    """For one receiver: names, the queue its messages go to, how to answer. Messages refer to it.

    `inbox` is None if nobody here receives; `agent` is None then and for replies. `copies`: the flows of the other
    receivers of the same frames. `type` is what payloads are decoded to.
    """

    __slots__ = (
        "agent",
        "connection",
        "copies",
        "destination",
        "destination_handle",
        "fanout",
        "inbox",
        "is_reply",
        "is_request",
        "source",
        "source_handle",
        "type",
    )

    def __init__(
        self,
        connection: "Connection",
        names: tuple[str, str],
        handles: tuple[int, int],
        fanout: int,
        *,
        is_request: bool = False,
        is_reply: bool = False,
        agent: "Agent | None" = None,
        inbox: "Inbox | None" = None,
        type: Any = None,  # noqa: A002
    ) -> None:
        self.connection = connection
        self.source, self.destination = names
        self.source_handle, self.destination_handle = handles
        self.fanout = fanout
        self.is_request = is_request
        self.is_reply = is_reply
        self.agent = agent
        self.inbox = inbox
        self.type = type
        self.copies: tuple[Flow, ...] = ()


class Flows(dict[bytes, Flow]):
    """By the twelve bytes from kind to source handle of a frame; `find` makes one and says whether to remember it."""

    def __init__(self, find: Callable[[bytes], tuple[Flow, bool]]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, head: bytes) -> Flow:
        flow, lasting = self._find(head)
        if lasting:
            if len(self) >= FLOWS_LIMIT:
                self.clear()
            self[head] = flow
        return flow
