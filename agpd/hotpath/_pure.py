"""The hot path in Python: the twin of the compiled module, and where its parts are described.

The forwarding loop looks at the prefix of a frame alone. A frame whose flow is remembered and whose receiver knows
both handles goes on as it lies in the buffer. Everything else is put to the hub (`Taker`), one message at a time, a
run of broadcasts as one. Nothing waits and nothing is flushed here, except the outbox of a receiver that has enough.

Both keep the same accounts at every call that leaves this module. They differ in how the bytes of a queue are cut:
the compiled loop makes one slice for each receiver where this one makes one for each run.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from agpd.message import Message
from agpd.wire.frames import (
    FANOUT_ALL,
    FANOUT_ANY,
    FIRST_DATA_KIND,
    LAST_DATA_KIND,
    LENGTH_SIZE,
    PREFIX,
    PREFIX_SIZE,
    REST_MINIMUM,
    Frame,
    Kind,
)
from agpd.wire.framing import Reassembly
from agpd.wire.session import Session

# length, kind and flags, fan-out, both handles as one key; the message id is not needed
_HEAD = struct.Struct(">IHHQ")
_PLAIN = frozenset(kind << 8 for kind in (Kind.PUBLISH, Kind.REQUEST, Kind.REPLY))
_NO_RUN = -1
WORK_PER_TURN = 2048  # deliveries that the hub makes for one link in one turn of the loop: about 3 ms
FLUSHES_PER_TURN = 128  # links flushed in one turn of the loop: about 1 ms of system calls


class Turn:
    """One turn of the loop: everything that was marked is flushed once, at its end."""

    __slots__ = ("call_soon", "marked")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self.call_soon = call_soon
        self.marked: list[Any] = []

    def mark(self, port: "Port") -> None:
        """Flush this one at the end of the turn. A port marks itself when its first bytes come."""
        if not self.marked:
            self.call_soon(self.end)
        self.marked.append(port)

    def end(self) -> None:
        """Flush all that is marked; what is marked meanwhile belongs to the next turn.

        Of very many the oldest and the newest: a broadcast to thousands of receivers, a system call for each, goes on
        in the next turns, and who has been marked in between need not wait for all of it.
        """
        marked, self.marked = self.marked, []
        rest: list[Any] = []
        if len(marked) > FLUSHES_PER_TURN:
            # A port that was flushed early, by `pressed`, and then marked again is in it twice. What waits here for
            # many turns would else grow for as long as the load lasts.
            marked = list(dict.fromkeys(marked))
        if len(marked) > FLUSHES_PER_TURN:
            half = FLUSHES_PER_TURN // 2
            marked, rest = marked[:half] + marked[-half:], marked[half:-half]
        left = iter(marked)
        try:
            for port in left:
                port.flush()
        finally:
            # After a fault more is left. It must not wait for ever: what is queued is marked only once.
            rest += left
            if rest:
                if not self.marked:
                    self.call_soon(self.end)
                self.marked[:0] = rest


class Port:
    """What the loops read and write of a link; the rest of it is the business of its subclass.

    The outgoing side: `queue`, the bytes in it (`queued`), up to how many nobody is asked (`threshold`), whether the
    carrier takes more (`writable`), whether it has not caught up since it was stuck (`full`), and the `turn` in which
    it is marked while something is queued. The incoming side: `reassembly`, `session`, the flows by pair of handles
    (destination << 32 | source), counters, and what the hub did for it in this turn (`work`, in deliveries).

    The subclass has `pressed` and `flush`; see `agpd.gateway.outbox`.
    """

    __slots__ = (
        "close_code",
        "deliveries",
        "flows",
        "full",
        "messages_in",
        "queue",
        "queued",
        "reassembly",
        "session",
        "threshold",
        "turn",
        "work",
        "writable",
    )

    reassembly: Reassembly
    session: Session
    flows: dict[int, Any]
    close_code: Any

    def __init__(self, turn: Turn, threshold: int) -> None:
        self.turn = turn
        self.queue: list[bytes] = []
        self.queued = 0
        self.threshold = threshold
        self.writable = True
        self.full = False
        self.messages_in = 0
        self.deliveries = 0
        self.work = 0

    def pressed(self, size: int, count: int, producer: Any, crowd: Any = None) -> bool:
        """The last thing queued, `size` bytes and `count` messages, went past the threshold: keep or drop it.

        False if it was dropped.
        """
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Queue a frame of the gateway's own. These are never dropped; who lets too many pile up is cut."""
        self.queue.append(data)
        if not self.queued:
            self.turn.mark(self)
        self.queued += len(data)

    def offer(self, data: bytes, count: int, producer: Any, crowd: Any = None) -> bool:
        """Queue `count` messages for `producer`, which go to the whole `crowd`. False if they were dropped."""
        self.queue.append(data)
        queued = self.queued
        if not queued:
            self.turn.mark(self)
        self.queued = queued = queued + len(data)
        return queued <= self.threshold or self.pressed(len(data), count, producer, crowd)


class Flow:
    """What the loop reads of the remembered decision for one source and one destination of a link.

    `apart` is a link that gets nothing from this agent, beside the agent itself.
    """

    __slots__ = ("agent", "apart", "entry", "met", "told")

    agent: Any
    apart: Any
    entry: Any
    told: Any
    met: dict[Any, Any]

    def __init__(self, agent: Any, entry: Any, apart: Any = None) -> None:
        self.agent = agent
        self.entry = entry
        self.apart = apart
        self.told = None
        self.met = {}


class Taker(Protocol):
    """Who takes what the loop does not decide."""

    @property
    def choose(self) -> Callable[[int], int]:
        """Chance: uniform over 0 to n - 1. It does nothing else."""

    def take(self, message: Message, origin: Any) -> None:
        """Decide about a message, or a run of broadcasts."""

    def control(self, frame: Frame, origin: Any) -> None:
        """Act on a control frame."""

    def introduce(self, link: Any, flow: Any, destination: Any) -> None:
        """Announce both handles of a delivery to a link that has not heard of them."""

    def dropped(self, frames: bytes, count: int, flow: Any, origin: Any) -> None:
        """The receiver of a flow was full and lost these."""


def forward(data: bytes, origin: Port, taker: Taker) -> bool:
    """Take everything whole in `data`, in order; keep the unfinished rest.

    True if that was too much work for one turn: the rest is kept too, and the caller goes on in the next turn with
    `forward(b"", ...)`, so that others have theirs. A few bytes may ask for a thousand deliveries.

    Raises `Fatal` when the peer breaks the protocol; the frames before that have been taken.
    """
    head, position = origin.reassembly.complete(data)
    if head:
        walked = _walk(head, 0, origin, taker)
        if walked < 0:
            return False
        if walked < len(head) or origin.work > WORK_PER_TURN:
            data, position = head[walked:] + data[position:], 0
    if origin.work <= WORK_PER_TURN:
        position = _walk(data, position, origin, taker)
        if position < 0:
            return False
    if position < len(data):
        origin.reassembly.keep(data, position)
    tired = origin.work > WORK_PER_TURN
    origin.work = 0
    return tired


def _walk(data: bytes, position: int, origin: Port, taker: Taker) -> int:
    """Take the whole frames from `position` on, as far as the work of a turn goes.

    Returns where the rest begins; negative if the link has ended.
    """
    size = len(data)
    last = size - PREFIX_SIZE
    unpack = _HEAD.unpack_from
    flows = origin.flows
    longest = origin.reassembly.limit - LENGTH_SIZE
    # The run that is being collected: data[start:position], `count` frames, to `target`, or to the hub if None.
    start = count = run_verb = run_fanout = 0
    run_pair = _NO_RUN
    flow: Flow | None = None
    target: Port | None = None
    while position <= last:
        length, verb, fanout, pair = unpack(data, position)
        if not REST_MINIMUM <= length <= longest:
            break
        end = position + LENGTH_SIZE + length
        if end > size:
            break
        if pair == run_pair and verb == run_verb and fanout == run_fanout:
            count += 1
            position = end
            continue
        if target is not None:
            # As `_put`; inline because with many receivers nearly every frame comes here.
            target.queue.append(data[start:position])
            queued = target.queued
            if not queued:
                target.turn.mark(target)
            target.queued = queued = queued + position - start
            origin.messages_in += count
            if queued <= target.threshold or target.pressed(position - start, count, origin):
                origin.deliveries += count
            else:
                taker.dropped(data[start:position], count, flow, origin)
        elif count:
            _put(data[start:position], count, flow, None, origin, taker)
            if origin.work > WORK_PER_TURN:
                count = 0
                break
        flow = flows.get(pair) if verb in _PLAIN else None
        if flow is not None and ((target := flow.told) is not None or fanout == FANOUT_ALL):
            if target is not flow.entry.link:
                target = None  # it has moved or gone: the hub finds out
            run_pair, run_verb, run_fanout = pair, verb, fanout
            start, count = position, 1
        elif flow is not None and fanout == FANOUT_ANY and _any(data, position, end, flow, origin, taker):
            target, run_pair, count = None, _NO_RUN, 0
        else:
            # Control frames, the first message of a flow, choices that are not simple.
            target, run_pair, count = None, _NO_RUN, 0
            _single(data, position, end, origin, taker)
            if origin.close_code is not None:
                return -1
            longest = origin.reassembly.limit - LENGTH_SIZE  # a hello changes it
            if origin.work > WORK_PER_TURN:
                position = end
                break
        position = end
    if count:
        _put(data[start:position], count, flow, target, origin, taker)
    return position


def _any(data: bytes, start: int, end: int, flow: Flow, origin: Port, taker: Taker) -> bool:
    """One frame to a member of a type, chosen at random. False, and nothing is done, if that takes questions.

    They are the hub's: the first message of a flow, nobody is there, there are observers, or the chosen one is full
    or the sender. The hub then chooses anew, so every member that suits has the same chance. Without this a choice
    costs 6 µs instead of 2.
    """
    met = flow.met
    if not met:
        return False
    entry = flow.entry  # that of a type: only such a flow meets anybody
    members = entry.members
    if not members or entry.namespace.observers:
        return False
    member = members[taker.choose(len(members))]
    link = member.link
    if link.full or link is flow.apart or member.agent is flow.agent:
        return False
    if met.get(member) is not link:
        taker.introduce(link, flow, member)
    queued = link.queued + end - start
    if queued > link.threshold:
        return False
    link.queue.append(data[start : start + 8] + member.packed + data[start + 12 : end])
    if not link.queued:
        link.turn.mark(link)
    link.queued = queued
    origin.messages_in += 1
    origin.deliveries += 1
    return True


def _put(
    frames: bytes, count: int, flow: Flow | None, target: Port | None, origin: Port, taker: Taker
) -> None:
    """A collected run: into the outbox of its receiver, or to the hub."""
    origin.messages_in += count
    if target is None:
        taker.take(_run(frames, count), origin)
    elif target.offer(frames, count, origin):
        origin.deliveries += count
    else:
        taker.dropped(frames, count, flow, origin)


def _single(data: bytes, start: int, end: int, origin: Port, taker: Taker) -> None:
    """One frame that is not part of a run."""
    _, kind, flags, fanout, destination, source, id_ = PREFIX.unpack_from(data, start)
    if FIRST_DATA_KIND <= kind <= LAST_DATA_KIND and origin.session.is_open:
        origin.messages_in += 1
        taker.take(Message(kind, flags, fanout, destination, source, id_, data[start:end], 1), origin)
        return
    body = data[start + PREFIX_SIZE : end]
    taker.control(Frame(kind, flags, fanout, destination, source, id_, body), origin)


def _run(frames: bytes, count: int) -> Message:
    """A run as one message; what its frames share stands in the first."""
    _, kind, flags, fanout, destination, source, id_ = PREFIX.unpack_from(frames)
    return Message(kind, flags, fanout, destination, source, id_, frames, count)


def fan_out(links: Sequence[Any], data: bytes, count: int, producer: Any, crowd: Any) -> list[Any]:
    """Offer `count` messages to all of the links. Returns those that dropped them."""
    return [link for link in links if not link.offer(data, count, producer, crowd)]
