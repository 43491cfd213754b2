"""Flows: what the messages from one source to one destination have in common, looked up once for each run of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.connection import Connection
    from agpd_client.inbox import Inbox

# Whoever sends chooses fan-outs and so makes flows: beyond this many all are forgotten, and found anew.
FLOWS_LIMIT = 16_384


class Origin(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Where a message comes from and for whom it is. `type` is what its payload is decoded to.

    It leads to nothing that leads to messages. So the garbage collector need not look at it, nor at messages that
    have only this and numbers: it would take a fifth of a receiver's time.
    """

    source: str
    destination: str
    source_handle: int
    destination_handle: int
    fanout: int
    is_request: bool = False
    type: Any = None


class Flow:
    """For one receiver: the queue that messages of an origin go to, and how requests are answered.

    `inbox` is None if nobody here receives; `agent` is None then and for replies. `copies`: the flows of the other
    receivers of the same frames.
    """

    __slots__ = ("agent", "connection", "copies", "inbox", "is_reply", "origin")

    def __init__(
        self,
        origin: Origin,
        connection: "Connection",
        *,
        is_reply: bool = False,
        agent: "Agent | None" = None,
        inbox: "Inbox | None" = None,
    ) -> None:
        self.origin = origin
        self.connection = connection
        self.is_reply = is_reply
        self.agent = agent
        self.inbox = inbox
        self.copies: tuple[Flow, ...] = ()


class Flows(dict[bytes, Origin]):
    """Origins by the twelve bytes from kind to source handle of a frame, and the flow of each in `of`.

    `find` makes one, and says whether to remember it. Call `tidy` when those that were asked for are done with.
    """

    def __init__(self, find: Callable[[bytes], tuple[Flow, bool]]) -> None:
        super().__init__()
        self.of: dict[Origin, Flow] = {}
        self._find = find

    def __missing__(self, head: bytes) -> Origin:
        flow, lasting = self._find(head)
        self.of[flow.origin] = flow
        if lasting:
            self[head] = flow.origin
        return flow.origin

    def forget(self) -> None:
        """Find all of them anew."""
        self.clear()
        self.of.clear()

    def tidy(self) -> None:
        """Forget what does not last, and too many."""
        if len(self.of) != len(self) or len(self) > FLOWS_LIMIT:
            self.forget()
