"""The hub: takes messages and control frames from links, asks admission and the router, offers to outboxes.

No `await` anywhere: what is read is queued or refused before the next byte is looked at.
"""

from collections import Counter
from collections.abc import Callable

from agpd.errors import CATALOGUE, Code, Fatal, Refused
from agpd.gateway.admission import Admission, Policy
from agpd.gateway.dialects import SLIM
from agpd.gateway.link import EVERY_KIND, Entry, Flow, Link
from agpd.gateway.outbox import Clock, Crowd, OutboxLimits
from agpd.gateway.principal import Principal
from agpd.gateway.quotas import Quotas
from agpd.gateway.review import Review
from agpd.gateway.tokens import NO_TOKENS, Tokens
from agpd.gateway.verbs import VERBS
from agpd.hotpath import Turn, fan_out
from agpd.message import Message
from agpd.routing.connections import Agent
from agpd.routing.fanout import Decision
from agpd.routing.router import Router
from agpd.routing.subscriptions import InstanceEntry, Presence, TypeEntry
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ALL, FLAGS_KNOWN, RECEIPT_WANTED, Frame, Kind

HANDLES_IN_ONE_FRAME = 3000  # of 5 bytes each: they fit the shortest frame limit that can be set

# What a control frame and a refusal cost, in deliveries of a message.
CONTROL_WORK = 8
REFUSAL_WORK = 4
ANSWER_BYTES_PER_WORK = 64

OnEnd = Callable[[Link, Code, str], None]


class Hub:
    """One gateway's links and tables.

    `on_end(link, code, detail)` hears of each connection that ends, once. Counters are plain integers:
    `refused` and `ended` by code.
    """

    def __init__(
        self,
        router: Router,
        admission: Admission,
        turn: Turn,
        clock: Clock,
        outbox_limits: OutboxLimits,
        identity: str,
        on_end: OnEnd,
        tokens: Tokens = NO_TOKENS,
    ) -> None:
        self.router = router
        self.choose = router.choose
        self.admission = admission
        self.turn = turn
        self.clock = clock
        self.outbox_limits = outbox_limits
        self.identity = identity
        self.on_end = on_end
        self.tokens = tokens
        self.quotas = Quotas(clock)
        self.types_changed: Callable[[], object] = _unheard  # some may have come into use
        self.links: dict[Link, None] = {}
        self.lingering: dict[Link, None] = {}  # ended, the carrier still has bytes to deliver
        self.told_by: dict[int, dict[Link, None]] = {}  # handle -> links that it was announced to
        self.refused: Counter[Code] = Counter()
        self.ended: Counter[Code] = Counter()
        self.policy_changed: Callable[[Policy], object] = _unheard_of
        self.draining = False
        self._review = Review(self)
        self.past_messages_in = 0  # of links that have ended
        self.past_deliveries = 0
        self.past_dropped = 0

    # -- connections -----------------------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        """A connection stands. Raises `Fatal(TOO_MANY_CONNECTIONS)`."""
        if len(self.links) >= self.admission.limits.connections:
            raise Fatal(Code.TOO_MANY_CONNECTIONS, f"{len(self.links)}")
        self.links[link] = None
        self.router.attach(link)

    def identify(self, link: Link, principal: Principal) -> None:
        """Whose the connection is, from now on. Raises `Refused(QUOTA_EXCEEDED)`."""
        before = link.principal.organization
        if link.admitted and principal.organization == before:
            link.principal = principal
            return
        self.quotas.admit(link, principal.organization)
        if link.admitted:
            self.quotas.leave(link, before)
        link.admitted = True
        link.principal = principal

    def end(self, link: Link, code: Code, detail: str = "", *, say: bool = True) -> None:
        """End a connection with a reason, told to the peer if `say`. What it held is removed at once."""
        if link.close_code is None:
            link.close(code, detail, say=say)
            self.lingering[link] = None
            self._ended(link, code, detail)

    def lost(self, link: Link, code: Code = Code.CONNECTION_LOST, detail: str = "") -> None:
        """The carrier has ended, by itself or because we closed it."""
        self.lingering.pop(link, None)
        if link.close_code is None:
            link.abandon(code)
            self._ended(link, code, detail)

    def adopt(self, policy: Policy) -> None:
        """From now on this policy holds; what links hold that it does not allow ends within two seconds."""
        self.admission.policy = policy
        self.policy_changed(policy)
        self._review.begin()

    def reconsider(self, link: Link) -> None:
        """The link's principal has changed: what it holds that this one may not have ends at once."""
        self._review.at_once(link)

    def _ended(self, link: Link, code: Code, detail: str) -> None:
        self.ended[code] += 1
        self.on_end(link, code, detail)
        if link in self.links:
            self._detach(link)

    def _detach(self, link: Link) -> None:
        """Its entries, pins and announcements go; watchers are told."""
        del self.links[link]
        self.quotas.leave(link, link.principal.organization)
        presence = self.router.detach(link)
        for entry in link.opened.values():
            self.router.unpin(entry)
        for number in link.told:
            self._untell(number, link)
        for table in (
            link.opened,
            link.flows,
            link.checked_flows,
            link.flows_to,
            link.flows_from,
            link.sources,
        ):
            table.clear()
        link.told.clear()
        self.past_messages_in += link.messages_in
        self.past_deliveries += link.deliveries
        self.past_dropped += link.dropped
        self.tell(presence)
        self.withdraw_dead()

    # -- messages --------------------------------------------------------------------------------------

    def take(self, message: Message, origin: Link) -> None:
        """Route a message, or a run of broadcasts of one flow. What cannot be done is refused on `origin`.

        Raises `Fatal` for what no correct client sends.
        """
        if message.flags & ~FLAGS_KNOWN:
            raise Fatal(Code.MALFORMED_FRAME, f"reserved flags 0x{message.flags:02x}")
        if message.count > 1 and self._may_be_too_long(message, origin):
            for each in frames.apart(message.frames):
                self.take(_single(message, each), origin)
            return
        try:
            flow = self._flow(message, origin)
            if message.fanout == FANOUT_ALL and not flow.entry.name.instance:
                reached = self._broadcast(message, flow, origin)
            else:
                reached = self._deliver(message, flow, origin)
        except Refused as refusal:
            self.refuse(message, refusal.code, origin)
            return
        if reached and message.flags & RECEIPT_WANTED:
            origin.send(
                frames.encode(
                    Kind.RECEIPT,
                    frames.Count(reached),
                    destination=message.source,
                    source=message.destination,
                    id=message.id,
                )
            )

    def _deliver(self, message: Message, flow: Flow, origin: Link) -> int:
        """Unicast, anycast, fan-out to n. Returns how many instances got it."""
        decision = self.router.decide(flow.agent, flow.entry, message.fanout)
        if not decision.hops:
            raise Refused(Code.NO_ROUTE)
        reached = self._hand_out(message, flow, decision, origin)
        self._remember_told(flow, decision)
        return reached

    def _hand_out(self, message: Message, flow: Flow, decision: Decision, origin: Link) -> int:
        lost = too_long = 0
        length = len(message.frames) if message.count == 1 else 0
        crowd = Crowd([link for link, _ in decision.hops if isinstance(link, Link)])
        origin.work += len(decision.hops)
        for place, (link, entry) in enumerate(decision.hops):
            assert isinstance(link, Link)
            if length > link.frame_limit:
                too_long += place < decision.count
                continue
            self.introduce(link, flow, flow.entry if entry is None else entry)
            data = message.frames if entry is None else _redirected(message, entry)
            if not link.offer(data, message.count, origin, crowd) and place < decision.count:
                lost += 1  # the hops after the first `count` are observers
        if too_long == min(decision.count, len(decision.hops)) > 0:
            raise Refused(Code.TOO_LONG_FOR_RECEIVER)
        if too_long and not _answered_singly(message):
            self.refused[Code.TOO_LONG_FOR_RECEIVER] += 1
            _note(message, Code.TOO_LONG_FOR_RECEIVER, origin)
        return self._judge(message, decision.count - too_long, lost, origin)

    def _broadcast(self, message: Message, flow: Flow, origin: Link) -> int:
        """To everybody; the audience is remembered until the entry changes."""
        if self._may_be_too_long(message, origin):
            # Not all of the audience may take it.
            decision = self.router.decide(flow.agent, flow.entry, FANOUT_ALL)
            return self._hand_out(message, flow, decision, origin)
        version = flow.entry.version  # type: ignore[union-attr]
        if flow.version != version:
            decision = self.router.decide(flow.agent, flow.entry, FANOUT_ALL)
            if not decision.count or decision.hops[0].entry is not None:
                # Who is at the end of a standing route may change without the entry's knowledge.
                return self._hand_out(message, flow, decision, origin)
            for link, _ in decision.hops:
                assert isinstance(link, Link)
                self.introduce(link, flow, flow.entry)
            flow.audience = tuple(link for link, _ in decision.hops if isinstance(link, Link))
            flow.count = decision.count
            flow.version = version
            origin.work += decision.count
        origin.work += len(flow.audience)
        crowd = Crowd(flow.audience)
        losers: list[Link] = fan_out(flow.audience, message.frames, message.count, origin, crowd)
        lost = _instances_on(losers, flow) if losers else 0
        return self._judge(message, flow.count, lost, origin)

    def _judge(self, message: Message, count: int, lost: int, origin: Link) -> int:
        """After offering it to `count` instances, of which `lost` did not get it. Returns how many have it.

        A sender that gets a receipt or a reply learns from it that somebody has it, and is not told who has not.
        """
        if not count:
            raise Refused(Code.NO_ROUTE)  # at most observers took it
        if lost == count:
            raise Refused(Code.RECEIVER_FULL)
        if lost and not _answered_singly(message):
            self.refused[Code.RECEIVER_FULL] += message.count
            _note(message, Code.RECEIVER_FULL, origin)
        reached = count - lost
        origin.deliveries += reached * message.count
        return reached

    def _may_be_too_long(self, message: Message, origin: Link) -> bool:
        """Has a dialect with longer messages than the native protocol sent it?"""
        limit = self.admission.limits.frame_limit_bytes
        return origin.frame_limit > limit and len(message.frames) > limit

    @staticmethod
    def _remember_told(flow: Flow, decision: Decision) -> None:
        """From now on the forwarding loop may send this flow to its one receiver by itself."""
        entry = flow.entry
        if isinstance(entry, InstanceEntry) and entry.agent is not flow.agent and decision.hops:
            link = decision.hops[0].link
            if isinstance(link, Link) and link is entry.link and _takes_all_of(link, flow):
                flow.told = link

    def dropped(self, frames_: bytes, count: int, flow: Flow, origin: Link) -> None:
        """The forwarding loop found the receiver of `flow` full."""
        first = frames.parse(frames_)
        number, source = flow.entry.number, flow.agent.entry.number
        message = Message(first.kind, 0, first.fanout, number, source, first.id, frames_, count)
        self.refuse(message, Code.RECEIVER_FULL, origin)

    def refuse(self, message: Message, code: Code, origin: Link) -> None:
        """Tell the sender: requests and messages with receipt one by one, others once a turn with a count."""
        self.refused[code] += message.count
        origin.work += REFUSAL_WORK
        if not _answered_singly(message):
            _note(message, code, origin)
            return
        for id_ in frames.ids(message.frames):
            origin.send(
                frames.encode(
                    Kind.REFUSED,
                    frames.Refusal(code),
                    destination=message.source,
                    source=message.destination,
                    id=id_,
                )
            )

    # -- flows -----------------------------------------------------------------------------------------

    def _flow(self, message: Message, origin: Link) -> Flow:
        """The remembered decision for these handles, or a new one if it is allowed."""
        pair = message.destination << 32 | message.source
        flow = origin.flows.get(pair) or origin.checked_flows.get(pair)
        if flow is None or message.kind not in flow.kinds:
            return self._open_flow(pair, message, origin)
        return flow

    def _open_flow(self, pair: int, message: Message, origin: Link) -> Flow:
        agent = origin.sources.get(message.source)
        if agent is None:
            if message.source in origin.former_sources:
                raise Refused(Code.NOT_REGISTERED)
            raise Fatal(Code.FOREIGN_SOURCE, f"handle {message.source}")
        entry = origin.opened.get(message.destination)
        if entry is None and message.destination in origin.told:
            entry = self.router.entries.get(message.destination)
        if entry is None:
            raise Refused(Code.UNKNOWN_HANDLE)
        flow = Flow(agent, entry, self.kinds(origin, agent, entry))
        if message.kind not in flow.kinds:
            raise Refused(Code.NOT_PERMITTED)
        held = len(origin.flows) + len(origin.checked_flows)
        self.admission.check_room(held, self.admission.limits.flows_per_connection, Code.TOO_MANY_HANDLES)
        origin.remember(pair, flow)
        return flow

    def kinds(self, link: Link, agent: Agent, entry: Entry) -> frozenset[int]:
        """Which messages may go from an agent of the link to this entry, as things are now.

        Whoever may publish may reply too; and whoever has got a message, to its sender.
        """
        publish = self.may_send("publish", link, agent, entry)
        request = self.may_send("request", link, agent, entry)
        if publish and request:
            return EVERY_KIND
        kinds = [Kind.PUBLISH, Kind.REPLY] if publish else [Kind.REQUEST] if request else []
        if entry.number in link.correspondents:
            kinds.append(Kind.REPLY)
        return frozenset(map(int, kinds))

    def may_send(self, verb: str, link: Link, agent: Agent, entry: Entry) -> bool:
        """May an agent of the link `publish` or `request` there?"""
        if not link.principal.permits(verb, entry.name):
            return False
        if entry.detached:  # known in the view of one tenant alone, and carried by its routes
            return entry.tenant == agent.name.organization
        return self.admission.allows(verb, agent.name, entry.name)

    def introduce(self, link: Link, flow: Flow, destination: Entry) -> None:
        """Announce both handles of a delivery to a link that has not heard of them."""
        source = flow.agent.entry
        told = link.told
        if source.number not in told or source.number not in link.correspondents:
            self.announce(link, source)
            link.correspondents.add(source.number)
        if destination.number not in told:
            self.announce(link, destination)
        if (
            isinstance(destination, InstanceEntry)
            and destination.type is flow.entry
            and _takes_all_of(link, flow)
            and _all_read(flow)
        ):
            flow.meet(destination, link)

    def announce(self, link: Link, entry: Entry) -> None:
        """Tell a link what a handle means, once."""
        if entry.number in link.told:
            return
        link.told.add(entry.number)
        self.told_by.setdefault(entry.number, {})[link] = None
        link.send(frames.encode(Kind.ANNOUNCE, frames.Named(str(entry.name)), destination=entry.number))

    def _untell(self, number: int, link: Link) -> None:
        links = self.told_by.get(number)
        if links is not None:
            links.pop(link, None)
            if not links:
                del self.told_by[number]

    def withdraw_dead(self) -> None:
        """Handles that have died since: everybody who was told forgets them."""
        dead = self.router.take_dead()
        if not dead:
            return
        told: dict[Link, list[int]] = {}
        for entry in dead:
            for link in self.told_by.pop(entry.number, ()):
                link.told.discard(entry.number)
                link.correspondents.discard(entry.number)
                link.forget_destination(entry.number)
                told.setdefault(link, []).append(entry.number)
        for link, numbers in told.items():
            for start in range(0, len(numbers), HANDLES_IN_ONE_FRAME):
                body = frames.Handles(numbers[start : start + HANDLES_IN_ONE_FRAME])
                link.send(frames.encode(Kind.WITHDRAW, body))

    # -- control ---------------------------------------------------------------------------------------

    def control(self, frame: Frame, origin: Link) -> None:
        """Act on a frame that is no message. Raises `Fatal` if it is not legal now."""
        kind = origin.session.receive(frame.kind)
        queued = origin.queued
        try:
            VERBS[kind](self, frame, origin)
        except Refused as refusal:
            self.refused[refusal.code] += 1
            body = frames.Refusal(refusal.code, refusal.detail[:1000])
            origin.send(frames.encode(Kind.REFUSED, body, id=frame.id))
        self.withdraw_dead()
        origin.work += CONTROL_WORK + max(0, origin.queued - queued) // ANSWER_BYTES_PER_WORK

    def tell(self, presence: list[Presence]) -> None:
        """Presence events to those who watch, and still may while a review has not come to them."""
        for link, watcher, name, present in presence:
            assert isinstance(link, Link)
            if self._review.is_under_way and not self.admission.allows("watch", watcher.name, name.type_name):
                continue
            body = frames.Presence(str(name), present)
            link.send(frames.encode(Kind.PRESENCE, body, destination=watcher.entry.number))

    def drain(self) -> None:
        """Ask every connection to leave; go on routing."""
        self.draining = True
        body = frames.Refusal(Code.SHUTTING_DOWN, CATALOGUE[Code.SHUTTING_DOWN].meaning)
        for link in self.links:
            if link.session.is_open:
                link.session.drain()
                link.send(frames.encode(Kind.DRAIN, body))

    def statistics(self) -> dict[str, int]:
        """Counters of the gateway since its start."""
        return {
            "connections": len(self.links),
            "agents": sum(len(link.sources) for link in self.links),
            "messages_in": self.past_messages_in + sum(link.messages_in for link in self.links),
            "deliveries": self.past_deliveries + sum(link.deliveries for link in self.links),
            "dropped": self.past_dropped + sum(link.dropped for link in self.links),
            "refused": self.refused.total(),
            "queued_bytes": sum(link.queued for link in self.links),
        }


def _takes_all_of(link: Link, flow: Flow) -> bool:
    """Is no frame of this flow too long for the link? Else the hub looks at each."""
    origin = flow.agent.link
    assert isinstance(origin, Link)
    return link.frame_limit >= origin.frame_limit


def _all_read(flow: Flow) -> bool:
    """Can whoever takes part in the destination read what this agent sends? Else the router chooses each time."""
    return not flow.agent.separate and not flow.entry.name.type.startswith(SLIM)


def _single(run: Message, frame: bytes) -> Message:
    return Message(
        run.kind, run.flags, run.fanout, run.destination, run.source, frames.id_of(frame), frame, 1
    )


def _unheard_of(policy: Policy) -> None:
    """Where no dialect has other names for what a policy speaks of."""


def _unheard() -> None:
    """Where no dialect has other names for types."""


def _redirected(message: Message, entry: InstanceEntry) -> bytes:
    if message.count == 1:
        return frames.redirect(message.frames, entry.packed)
    return frames.redirect_each(message.frames, entry.packed)  # broadcasts that a standing route carries


def _answered_singly(message: Message) -> bool:
    return message.kind == Kind.REQUEST or bool(message.flags & RECEIPT_WANTED)


def _note(message: Message, code: Code, origin: Link) -> None:
    last = message.id if message.count == 1 else frames.ids(message.frames)[-1]
    origin.note(code, message.destination, message.source, last, message.count)


def _instances_on(links: list[Link], flow: Flow) -> int:
    """How many of those that a broadcast of this flow is for live on these links."""
    entry, agent = flow.entry, flow.agent
    assert isinstance(entry, TypeEntry)
    members = [member.link for member in entry.members if member.agent is not agent]
    if not members and flow.count:  # a route carries it: its link comes first
        members = [flow.audience[0]]
    return sum(link in links for link in members)
