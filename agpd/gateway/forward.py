"""The forwarding loop: from the bytes of one read to slices in outboxes. The hottest code of the gateway.

It looks at the prefix alone. A frame whose flow is remembered and whose receiver knows both handles goes on as it
lies in the buffer; consecutive frames of one flow go as one slice. Everything else is put to the hub, one message
at a time (a run of broadcasts as one). Nothing waits and nothing is flushed here.

Measured on 2 shared x86-64 cores, 256-byte payloads, each frame to one of 16 receivers at random: 0.35 µs a frame
on an interpreter built with profile-guided optimisation, 0.47 µs without. Unpacking each prefix once instead of
looking ahead for runs was worth a quarter of that.
"""

import struct
from collections.abc import Callable
from typing import Protocol

from agpd.gateway.link import Entry, Flow, Link
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

# length, kind and flags, fan-out, both handles as one key; the message id is not needed
_HEAD = struct.Struct(">IHHQ")
_PLAIN = frozenset(kind << 8 for kind in (Kind.PUBLISH, Kind.REQUEST, Kind.REPLY))
_NO_RUN = -1
WORK_PER_TURN = 2048  # deliveries that the hub makes for one link in one turn of the loop: about 3 ms


class Taker(Protocol):
    """Who takes what the loop does not decide."""

    @property
    def choose(self) -> Callable[[int], int]:
        """Chance: uniform over 0 to n - 1."""

    def take(self, message: Message, origin: Link) -> None:
        """Decide about a message, or a run of broadcasts."""

    def control(self, frame: Frame, origin: Link) -> None:
        """Act on a control frame."""

    def introduce(self, link: Link, flow: Flow, destination: Entry) -> None:
        """Announce both handles of a delivery to a link that has not heard of them."""

    def dropped(self, frames: bytes, count: int, flow: Flow, origin: Link) -> None:
        """The receiver of a flow was full and lost these."""


def forward(data: bytes, origin: Link, taker: Taker) -> bool:
    """Take everything whole in `data`, in order; keep the unfinished rest.

    True if that was too much work for one turn: the rest is kept too, and the caller goes on in the next turn with
    `forward(b"", ...)`, so that others have theirs. A few bytes may ask for a thousand deliveries.

    Raises `Fatal` when the peer breaks the protocol; the frames before that have been taken.
    """
    data = origin.reassembly.gather(data)
    size = len(data)
    last = size - PREFIX_SIZE
    unpack = _HEAD.unpack_from
    flows = origin.flows
    longest = origin.reassembly.limit - LENGTH_SIZE
    # The run that is being collected: data[start:position], `count` frames, to `target`, or to the hub if None.
    start = position = count = run_verb = run_fanout = 0
    run_pair = _NO_RUN
    flow: Flow | None = None
    target: Link | None = None
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
                assert flow is not None
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
                return False
            longest = origin.reassembly.limit - LENGTH_SIZE  # a hello changes it
            if origin.work > WORK_PER_TURN:
                position = end
                break
        position = end
    if count:
        _put(data[start:position], count, flow, target, origin, taker)
    origin.reassembly.keep(data, position)
    tired = origin.work > WORK_PER_TURN
    origin.work = 0
    return tired


def _any(data: bytes, start: int, end: int, flow: Flow, origin: Link, taker: Taker) -> bool:
    """One frame to a member of a type, chosen at random. False, and nothing is done, if that takes questions.

    They are the hub's: the first message of a flow, nobody is there, there are observers, or the chosen one is full
    or the sender. The hub then chooses anew, so every member that suits has the same chance. Without this a choice
    costs 6 µs instead of 2.
    """
    met = flow.met
    if not met:
        return False
    entry = flow.entry
    members = entry.members  # type: ignore[union-attr]  # only the flow of a type meets anybody
    if not members or entry.namespace.observers:  # type: ignore[union-attr]
        return False
    member = members[taker.choose(len(members))]
    link: Link = member.link  # type: ignore[assignment]  # members are on links
    if link.full or member.agent is flow.agent:
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
    frames: bytes, count: int, flow: Flow | None, target: Link | None, origin: Link, taker: Taker
) -> None:
    """A collected run: into the outbox of its receiver, or to the hub."""
    origin.messages_in += count
    if target is None:
        taker.take(_run(frames, count), origin)
    elif target.offer(frames, count, origin):
        origin.deliveries += count
    else:
        assert flow is not None
        taker.dropped(frames, count, flow, origin)


def _single(data: bytes, start: int, end: int, origin: Link, taker: Taker) -> None:
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
