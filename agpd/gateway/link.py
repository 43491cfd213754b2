"""A link: whatever messages come from and go to. An outbox, and what this peer has been allowed and told.

The carrier (a socket, a pipe in memory) is handed in; nothing here knows which.
"""

from collections.abc import Callable
from typing import Protocol

from agpd import hotpath
from agpd.errors import Code
from agpd.gateway.dialects import Dialect
from agpd.gateway.outbox import Clock, Outbox, OutboxLimits
from agpd.gateway.principal import Principal
from agpd.gateway.quotas import LinkMeter
from agpd.hotpath import Turn
from agpd.routing.connections import Agent
from agpd.routing.subscriptions import InstanceEntry, TypeEntry
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd.wire.framing import Reassembly
from agpd.wire.session import Session, Side

NOTICES_LIMIT = 256
FORMER_SOURCES_LIMIT = 4096
Entry = InstanceEntry | TypeEntry
MET_SLACK = 16
EVERY_KIND = frozenset((int(Kind.PUBLISH), int(Kind.REQUEST), int(Kind.REPLY)))


class Carrier(Protocol):
    """What carries the bytes: the part of `asyncio.Transport` that links use."""

    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Flow(hotpath.Flow):
    """The remembered decision for one source and one destination of a link.

    `told` is the link that a destination of four segments is on, once it knows both handles: while the entry
    still points to it, frames go there without further questions. For a destination of three segments the
    audience of a broadcast is remembered with the version of the entry that it was made from, and in `met` the
    members that have been chosen before: whoever is still on that link knows the handles. `kinds` are what may be sent.
    """

    __slots__ = ("audience", "count", "kinds", "version")

    agent: Agent
    entry: Entry
    told: "Link | None"
    met: "dict[InstanceEntry, Link]"

    def __init__(self, agent: Agent, entry: Entry, kinds: frozenset[int] = EVERY_KIND) -> None:
        super().__init__(agent, entry, agent.apart)
        self.kinds = kinds
        self.audience: tuple[Link, ...] = ()
        self.count = 0
        self.version = -1

    def meet(self, member: InstanceEntry, link: "Link") -> None:
        """The link knows the handles of this flow's agent and of this member of the type."""
        assert isinstance(self.entry, TypeEntry)
        if len(self.met) > 2 * len(self.entry.members) + MET_SLACK:
            self.met.clear()  # most of them have gone
        self.met[member] = link


class Link(Outbox):
    """One connection that speaks the native protocol, or for which a dialect does.

    `frame_limit` is the longest frame that its peer takes, in bytes. Agents of a link that does not hear itself get
    nothing from each other: other dialects promise that nothing comes back on the connection that it came by.
    """

    __slots__ = (
        "admitted",
        "bytes_in",
        "carrier",
        "checked_flows",
        "closed_at",
        "correspondents",
        "dialect",
        "epoch",
        "flows_from",
        "flows_to",
        "former_sources",
        "frame_limit",
        "hears_itself",
        "holds",
        "meter",
        "notices",
        "opened",
        "peer",
        "principal",
        "sources",
        "told",
        "unread_bytes",
        "watch",
    )

    flows: dict[int, Flow]
    close_code: Code | None

    def __init__(
        self,
        carrier: Carrier,
        peer: str,
        principal: Principal,
        *,
        turn: Turn,
        limits: OutboxLimits,
        clock: Clock,
        hello_limit_bytes: int,
        frame_limit_bytes: int,
        dialect: Dialect = Dialect.NATIVE,
    ) -> None:
        super().__init__(turn, limits, clock, carrier.write)
        self.carrier = carrier
        self.unread_bytes: Callable[[], int] = int  # what the carrier keeps here while the link is held
        self.peer = peer
        self.principal = principal
        self.frame_limit = frame_limit_bytes
        self.dialect = dialect
        self.hears_itself = dialect is Dialect.NATIVE
        self.session = Session(Side.GATEWAY)
        self.reassembly = Reassembly(hello_limit_bytes)
        self.epoch = 0
        self.bytes_in = 0
        self.admitted = False  # as a connection of its organization
        self.holds = 0
        self.meter: LinkMeter | None = None  # of an organization whose rate is limited
        self.close_code = None
        self.closed_at = 0.0
        self.watch = Watchdog(clock.now())
        # agents of this link by handle; handles it had and gave up
        self.sources: dict[int, Agent] = {}
        self.former_sources: set[int] = set()
        # handles that it opened, handles announced to it, announced ones that it may reply to
        self.opened: dict[int, Entry] = {}
        self.told: set[int] = set()
        self.correspondents: set[int] = set()
        # decisions by destination and source (destination << 32 | source): what may carry every kind of message, which
        # is what the forwarding loop takes it for, and what may carry some
        self.flows = {}
        self.checked_flows: dict[int, Flow] = {}
        self.flows_to: dict[int, set[int]] = {}
        self.flows_from: dict[int, set[int]] = {}
        # refusals of this turn by destination, source and code: id of the last message, count
        self.notices: dict[tuple[int, int, Code], list[int]] = {}

    def remember(self, pair: int, flow: Flow) -> None:
        """Keep the decision for this pair of handles, instead of an earlier one."""
        self._forget(pair)
        (self.flows if flow.kinds == EVERY_KIND else self.checked_flows)[pair] = flow
        self.flows_to.setdefault(pair >> 32, set()).add(pair)
        self.flows_from.setdefault(pair & 0xFFFF_FFFF, set()).add(pair)

    def give_up(self, number: int) -> None:
        """The link no longer has this source. What is remembered of it is bounded like the agents of a link are."""
        self.sources.pop(number, None)
        self.forget_source(number)
        if len(self.former_sources) >= FORMER_SOURCES_LIMIT:
            self.former_sources.clear()
        self.former_sources.add(number)

    def forget_destination(self, number: int) -> None:
        """The handle is dead or given back: no flow to it stays."""
        for pair in self.flows_to.pop(number, ()):
            self._forget(pair)
            self.flows_from[pair & 0xFFFF_FFFF].discard(pair)

    def forget_source(self, number: int) -> None:
        """The agent has gone: no flow from it stays."""
        for pair in self.flows_from.pop(number, ()):
            self._forget(pair)
            self.flows_to[pair >> 32].discard(pair)

    def forget_flow(self, pair: int) -> None:
        """It is decided anew when the next message comes."""
        self._forget(pair)
        for table, number in ((self.flows_to, pair >> 32), (self.flows_from, pair & 0xFFFF_FFFF)):
            table[number].discard(pair)
            if not table[number]:
                del table[number]

    def stay_home(self, source: int, destination: int) -> None:
        """The agent `source` is now at `destination` itself, and gets no message of its own."""
        flow = self.flows.get(destination << 32 | source)
        if flow is not None:
            flow.told = None

    def _forget(self, pair: int) -> None:
        self.flows.pop(pair, None)
        self.checked_flows.pop(pair, None)

    def note(self, code: Code, destination: int, source: int, id_: int, count: int) -> None:
        """Tell the peer at the end of the turn that messages of its agent `source` were refused."""
        notice = self.notices.get((destination, source, code))
        if notice is not None:
            notice[0] = id_
            notice[1] += count
            return
        if not self.notices and not self.queued:
            self.turn.mark(self)
        self.notices[destination, source, code] = [id_, count]
        if len(self.notices) >= NOTICES_LIMIT:
            self._send_notices()  # from here on they count as queued

    def _send_notices(self) -> None:
        notices, self.notices = self.notices, {}
        for (destination, source, code), (id_, count) in notices.items():
            body = frames.Refusal(code, count=count)
            # Not through `send`: the link is marked, or its carrier takes no more.
            frame = frames.encode(Kind.REFUSED, body, destination=source, source=destination, id=id_)
            self.queue.append(frame)
            self.queued += len(frame)

    def carrier_drained(self) -> None:
        """As `Outbox`; the peer learns how many messages it has missed."""
        super().carrier_drained()
        if self.writable and self.dropped_untold:
            count, self.dropped_untold = self.dropped_untold, 0
            self.send(frames.encode(Kind.DROPPED, frames.Count(count)))

    def hold(self) -> None:
        """Stop reading, once for each receiver that asks for it."""
        self.holds += 1
        if self.holds == 1:
            self.carrier.pause_reading()

    def release(self) -> None:
        """One receiver less that wants this link held. A link that has ended reads already."""
        if self.close_code is not None:
            return
        self.holds -= 1
        if self.holds == 0:
            self.carrier.resume_reading()

    def flush(self) -> None:
        """The refusals of this turn, then everything else that is queued; nothing once the link has ended."""
        if self.close_code is not None:
            self.discard()
            return
        if self.notices:
            self._send_notices()
        super().flush()

    def close(self, code: Code, detail: str, *, say: bool) -> None:
        """End the connection: what is queued goes out, then, if `say`, CLOSE with the reason.

        A peer that is told ends the carrier itself: if we did, with bytes of the peer unread, the carrier might be
        reset and take the reason with it. It has the linger time (`lifecycle.py` cuts it after that). A slow
        consumer loses what is queued: only the reason follows what the carrier holds already.
        """
        if code is Code.SLOW_CONSUMER:
            self.discard()
        self.writable = True
        self.flush()
        self.abandon(code)
        if say:
            self.carrier.write(frames.encode(Kind.CLOSE, frames.Refusal(code, detail[:1000])))
        else:
            self.carrier.close()

    def abandon(self, code: Code) -> None:
        """The link has ended: nothing is queued for it any more, and what still comes is not looked at."""
        if self.holds:
            self.holds = 0
            self.carrier.resume_reading()
        self.close_code = code
        self.closed_at = self._clock.now()
        self.session.close()
        self.discard()


class Watchdog:
    """What the periodic check remembers of a link between two of its rounds. Times are monotonic seconds."""

    __slots__ = (
        "bytes_in",
        "drained_at",
        "drains",
        "frame_began_at",
        "frame_start",
        "full_since",
        "heard_at",
        "pings",
        "started_at",
        "taken",
    )

    def __init__(self, now: float) -> None:
        self.started_at = now
        self.heard_at = now
        self.bytes_in = 0
        self.pings = 0
        self.frame_began_at: float | None = None
        self.frame_start = 0  # offset in the stream
        self.drained_at = now
        self.drains = 0
        self.taken = 0  # bytes out that the carrier no longer holds
        self.full_since: float | None = None

    def forgive(self, seconds: float) -> None:
        """All deadlines move by so much."""
        self.started_at += seconds
        self.heard_at += seconds
        self.drained_at += seconds
        if self.frame_began_at is not None:
            self.frame_began_at += seconds
        if self.full_since is not None:
            self.full_since += seconds
