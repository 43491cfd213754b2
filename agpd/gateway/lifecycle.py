"""What time does to connections: deadlines of greeting and frames, ends of tokens, pings, stalls, the memory budget.

One periodic check for all links instead of timers for each: a link that is idle costs a few comparisons a round, and
the data path reads no clock. The clock is passed in.

With many links a round is made in parts, so that messages do not wait for it: 10,000 links at once took 8 ms, and as
many pings, each a write of its own, 100 ms.
"""

import logging
from typing import NamedTuple

from agpd.config import Config
from agpd.errors import Code
from agpd.gateway.hub import Hub
from agpd.gateway.link import Link, Watchdog
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd.wire.session import State

_log = logging.getLogger(__name__)

ROUND_S = 1.0
PARTS_LIMIT = 100  # of a round; they are over when four fifths of it are
PART_S = 0.8 * ROUND_S / PARTS_LIMIT
PART_LINKS = 64  # at least, about 50 µs
FRAME_RATE_MINIMUM_BYTES_PER_S = 1024
FRAME_RATE_GRACE_S = 5.0
ABOVE_MARK_FACTOR = 6  # write stalls that a link may stay above its mark while it trickles


class Deadlines(NamedTuple):
    """The times of the policy, in seconds."""

    hello_s: float
    frame_s: float
    ping_interval_s: float
    ping_misses: int
    write_stall_s: float
    linger_s: float

    @classmethod
    def of(cls, config: Config) -> "Deadlines":
        """Those of a configuration."""
        limits = config.limits
        return cls(
            limits.hello_timeout_ms / 1000,
            limits.frame_timeout_ms / 1000,
            limits.ping_interval_ms / 1000,
            limits.ping_misses,
            config.outbox.write_stall_ms / 1000,
            limits.linger_timeout_ms / 1000,
        )


class Lifecycle:
    """The periodic check of one hub. `budget_bytes` bounds all outboxes together."""

    def __init__(self, hub: Hub, deadlines: Deadlines, budget_bytes: int) -> None:
        self._hub = hub
        self._deadlines = deadlines
        self._budget_bytes = budget_bytes
        self._links: list[Link] = []  # of this round
        self._judged = 0  # of them
        self._part = 0  # how many in a step
        self._rest_s = ROUND_S  # of this round
        self._holding: list[Link] = []  # found in this round with bytes that count against the budget

    def check(self) -> None:
        """One round over all links, at once."""
        self.step()
        while self._links:
            self.step()

    def step(self) -> tuple[list[Link], float]:
        """The next part of a round: the links that were judged, and the seconds until the next step is due.

        Rounds follow each other every `ROUND_S`. A link that has come since is judged in the next one.
        """
        if not self._links:
            self._begin()
        part = self._links[self._judged : self._judged + self._part]
        self._judged += self._part
        now = self._hub.clock.now()
        for link in part:
            self._check_link(link, now)
        if self._judged < len(self._links):
            self._rest_s -= PART_S
            return part, PART_S
        self._finish(now)
        return part, self._rest_s

    def _begin(self) -> None:
        self._links = list(self._hub.links)
        self._judged = 0
        self._part = max(PART_LINKS, -(-len(self._links) // PARTS_LIMIT))
        self._rest_s = ROUND_S

    def _check_link(self, link: Link, now: float) -> None:
        if link.close_code is not None:
            return  # ended since the round began
        try:
            verdict = self._judge(link, link.watch, now)
        except Exception:
            # A fault of ours costs this connection, not the round of all others.
            _log.exception("fault while judging %s", link.peer)
            verdict = Code.INTERNAL, ""
        if verdict is not None:
            self._hub.end(link, *verdict)
        elif _held_bytes(link):
            self._holding.append(link)

    def _finish(self, now: float) -> None:
        self._enforce_budget()
        self._links, self._holding = [], []
        for link in list(self._hub.lingering):
            if now - link.closed_at > self._deadlines.linger_s:
                link.carrier.abort()

    def forgive(self, seconds: float) -> None:
        """The gateway itself stood still for so long: no peer's deadlines went on meanwhile."""
        for link in [*self._hub.links, *self._hub.lingering]:
            link.watch.forgive(seconds)
            link.closed_at += seconds

    def _judge(self, link: Link, watch: Watchdog, now: float) -> tuple[Code, str] | None:
        """Why this link must end, if it must."""
        if link.session.state is State.GREETING:
            late = now - watch.started_at > self._deadlines.hello_s
            return (Code.HANDSHAKE_TIMEOUT, "") if late else None
        if link.principal.access is not None and (code := self._hub.tokens.verdict(link.principal)):
            return code, ""
        if not link.writable and (verdict := self._judge_stall(link, watch, now)):
            return verdict
        if link.writable:
            watch.full_since = None
        if link.reassembly.open_bytes and (verdict := self._judge_frame(link, watch, now)):
            return verdict
        if not link.reassembly.open_bytes:
            watch.frame_began_at = None
        return self._judge_silence(link, watch, now)

    def _judge_stall(self, link: Link, watch: Watchdog, now: float) -> tuple[Code, str] | None:
        """The carrier takes no more: since when, does the peer take anything, has it ever caught up?"""
        # The size of the backlog alone would not say: the outbox may have filled it again since the last round.
        taken = link.bytes_out - link.carrier.get_write_buffer_size()
        if watch.full_since is None or link.drains != watch.drains:
            watch.full_since = watch.drained_at = now
            watch.drains, watch.taken = link.drains, taken
        elif taken > watch.taken:
            watch.drained_at = now
            watch.taken = taken
        patience = self._deadlines.write_stall_s
        if link.queued > link.answers_limit:
            return Code.SLOW_CONSUMER, "does not read what it is told"
        if now - watch.drained_at > patience:
            return Code.SLOW_CONSUMER, f"took nothing for {patience:g} s, {link.dropped} messages dropped"
        if link.full and now - watch.full_since > patience * ABOVE_MARK_FACTOR:
            return Code.SLOW_CONSUMER, f"above its mark for too long, {link.dropped} messages dropped"
        return None

    def _judge_frame(self, link: Link, watch: Watchdog, now: float) -> tuple[Code, str] | None:
        """A frame was begun: is it still the same one, and does it grow?"""
        if link.holds:
            watch.frame_began_at = None  # we are the ones who do not read
            return None
        have = link.reassembly.open_bytes
        # Where in the stream it begins tells one open frame from another of a busy peer.
        start = link.bytes_in - have
        if watch.frame_began_at is None or start != watch.frame_start:
            watch.frame_began_at, watch.frame_start = now, start
        age = now - watch.frame_began_at
        too_slow = age > FRAME_RATE_GRACE_S and have < age * FRAME_RATE_MINIMUM_BYTES_PER_S
        if age > self._deadlines.frame_s or too_slow:
            return Code.FRAME_TIMEOUT, f"{have} bytes in {age:.0f} s"
        return None

    def _judge_silence(self, link: Link, watch: Watchdog, now: float) -> tuple[Code, str] | None:
        """Ping a link that says nothing; end it when nothing has come since the last two."""
        if link.bytes_in != watch.bytes_in or link.holds:
            watch.bytes_in = link.bytes_in
            watch.heard_at = now
            watch.pings = 0
            return None
        interval = self._deadlines.ping_interval_s
        if now - watch.heard_at < interval * (watch.pings + 1):
            return None
        if watch.pings >= self._deadlines.ping_misses:
            return Code.PING_TIMEOUT, f"silent for {now - watch.heard_at:.0f} s"
        watch.pings += 1
        link.send(frames.encode(Kind.PING, id=watch.pings))
        return None

    def _enforce_budget(self) -> None:
        """What waits for slow receivers, and what is kept of unfinished frames and of senders that are held, together,
        must fit the budget.

        Else links are cut until it does: slow receivers first, the largest first.
        """
        held = {link: _held_bytes(link) for link in self._holding if link.close_code is None}
        total = sum(held.values())
        if total <= self._budget_bytes:
            return
        for link in sorted(held, key=lambda each: (each.writable, -held[each])):
            total -= held[link]
            code = Code.OVERLOADED if link.writable else Code.SLOW_CONSUMER
            self._hub.end(link, code, "all outboxes and unfinished frames together are over their budget")
            if total <= self._budget_bytes:
                return


def _held_bytes(link: Link) -> int:
    waiting = 0 if link.writable else link.queued + link.carrier.get_write_buffer_size()
    return waiting + link.reassembly.open_bytes + link.unread_bytes()
