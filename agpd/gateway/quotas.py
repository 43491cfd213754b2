"""What an organization may use of this gateway: connections, agents and subscriptions at once, messages and bytes in a
second.

What is there at once is counted where it is made: a quota that is lowered below it cuts nobody, and lets nobody in.

A rate is charged after each read of a connection, with what the read brought; nothing is asked for each message. An
organization over its rate is not read until the excess is paid off, so nothing is lost and its senders feel
back-pressure. Its connections then take turns, a read each. It can be ahead of its rate by `BURST_S` and one read of
each connection at most.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from agpd.errors import Code, Refused
from agpd.gateway.outbox import Clock

BURST_S = 0.25  # of the rate may be saved up
SHORTEST_WAIT_S = 0.001
RELEASES_AT_ONCE = 64


class Allowance(NamedTuple):
    """The quotas of one organization; 0 is without limit."""

    connections: int = 0
    agents: int = 0
    subscriptions: int = 0
    messages_per_second: int = 0
    bytes_per_second: int = 0

    @property
    def has_rate(self) -> bool:
        return bool(self.messages_per_second or self.bytes_per_second)


UNLIMITED = Allowance()


class Metered(Protocol):
    """What is charged: the part of a `Link` that is used here."""

    bytes_in: int
    messages_in: int
    close_code: Code | None
    meter: "LinkMeter | None"

    def hold(self) -> None: ...
    def release(self) -> None: ...


class Quotas:
    """The quotas of all organizations, and who uses them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}
        self._meters: dict[str, Meter] = {}
        self._links: dict[str, dict[Metered, None]] = {}

    def set(self, organization: str, allowance: Allowance) -> None:
        """From now on these hold."""
        if allowance == UNLIMITED:
            self._allowances.pop(organization, None)
        else:
            self._allowances[organization] = allowance
        meter = self._meters.get(organization)
        if allowance.has_rate:
            if meter is None:
                meter = self._meters[organization] = Meter(self._clock, allowance)
                for link in self._links.get(organization, ()):
                    meter.add(link)
            meter.set(allowance)
        elif meter is not None:
            del self._meters[organization]
            meter.stop()

    def admit(self, link: Metered, organization: str) -> None:
        """A connection of this organization has come. Raises `Refused(QUOTA_EXCEEDED)`."""
        if not organization:
            return
        links = self._links.setdefault(organization, {})
        _check(self.of(organization).connections, len(links), "connections", organization)
        links[link] = None
        meter = self._meters.get(organization)
        if meter is not None:
            meter.add(link)

    def leave(self, link: Metered, organization: str) -> None:
        """It has gone, or belongs to another organization. One that was not admitted is no error."""
        links = self._links.get(organization)
        if links is None:
            return
        links.pop(link, None)
        if not links:
            del self._links[organization]
        meter = self._meters.get(organization)
        if meter is not None:
            meter.remove(link)

    def of(self, organization: str) -> Allowance:
        """What it may use."""
        return self._allowances.get(organization, UNLIMITED)

    def check_agents(self, organization: str, held: int) -> None:
        """May it register one more? Raises `Refused(QUOTA_EXCEEDED)`."""
        _check(self.of(organization).agents, held, "agents", organization)

    def check_subscriptions(self, organization: str, held: int) -> None:
        """May it subscribe once more? Raises `Refused(QUOTA_EXCEEDED)`."""
        _check(self.of(organization).subscriptions, held, "subscriptions", organization)


def _check(limit: int, held: int, what: str, organization: str) -> None:
    if limit and held >= limit:
        raise Refused(Code.QUOTA_EXCEEDED, f"{organization} may have {limit} {what}")


class LinkMeter:
    """What one link has been charged for."""

    __slots__ = ("_bytes", "_link", "_messages", "held", "meter")

    def __init__(self, link: Metered, meter: "Meter") -> None:
        self._link = link
        self._messages, self._bytes = link.messages_in, link.bytes_in
        self.meter = meter
        self.held = False

    def charge(self) -> None:
        """After a read: pay for what it brought."""
        link = self._link
        messages, bytes_ = link.messages_in - self._messages, link.bytes_in - self._bytes
        self._messages, self._bytes = link.messages_in, link.bytes_in
        self.meter.charge(messages, bytes_)

    def hold(self) -> None:
        """Do not read it."""
        if not self.held:
            self.held = True
            self._link.hold()

    def release(self) -> None:
        """Read it again."""
        if self.held:
            self.held = False
            self._link.release()


class Meter:
    """The rate of one organization over all its links."""

    def __init__(self, clock: Clock, allowance: Allowance) -> None:
        self._clock = clock
        self._messages = _Bucket(allowance.messages_per_second, clock.now())
        self._bytes = _Bucket(allowance.bytes_per_second, clock.now())
        self._links: dict[Metered, LinkMeter] = {}
        self._reading: dict[LinkMeter, None] = {}
        self._held: deque[LinkMeter] = deque()  # in the order in which they are read again
        self._cancel: Callable[[], None] | None = None  # the timer that reads on

    def set(self, allowance: Allowance) -> None:
        """Other rates hold from now on."""
        now = self._clock.now()
        self._messages.set(allowance.messages_per_second, now)
        self._bytes.set(allowance.bytes_per_second, now)
        if self._held:
            self._read_on()

    def add(self, link: Metered) -> None:
        """It is charged from now on."""
        meter = link.meter = self._links[link] = LinkMeter(link, self)
        if self._held:
            meter.hold()
            self._held.append(meter)
        else:
            self._reading[meter] = None

    def remove(self, link: Metered) -> None:
        """It is charged no more. One that was not added is no error."""
        meter = self._links.pop(link, None)
        if meter is None:
            return
        self._reading.pop(meter, None)
        meter.release()
        if link.meter is meter:
            link.meter = None

    def stop(self) -> None:
        """Nobody is charged any more."""
        for link in list(self._links):
            self.remove(link)
        self._held.clear()
        self._set_timer(None)

    def charge(self, messages: int, bytes_: int) -> None:
        """So much has been read. Whoever is over the rate is not read until that is paid off."""
        now = self._clock.now()
        self._messages.take(messages, now)
        self._bytes.take(bytes_, now)
        wait = self._wait_s(now)
        if wait > 0:
            for meter in self._reading:
                meter.hold()
            self._held += self._reading
            self._reading.clear()
            self._set_timer(wait)

    def _wait_s(self, now: float) -> float:
        return max(self._messages.wait_s(now), self._bytes.wait_s(now))

    def _read_on(self) -> None:
        """The excess is paid off: the next ones may bring a read, as long as they bring no new excess."""
        self._cancel = None
        wait = self._wait_s(self._clock.now())
        if wait > 0:
            self._set_timer(wait)
            return
        # All at once would bring a read each: one after the other, and more only once nobody is over the rate.
        released = 0
        while self._held and released < self._at_once:
            meter = self._held.popleft()
            if meter.held:  # else it has gone
                released += 1
                self._reading[meter] = None
                meter.release()
        if self._held:
            self._set_timer(SHORTEST_WAIT_S)

    @property
    def _at_once(self) -> int:
        """A full bucket says that whoever was released before had little to send."""
        full = self._messages.is_full(self._clock.now()) and self._bytes.is_full(self._clock.now())
        return RELEASES_AT_ONCE if full else 1

    def _set_timer(self, seconds: float | None) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if seconds is not None:
            wait = max(seconds, SHORTEST_WAIT_S)
            self._cancel = self._clock.call_later(wait, self._read_on).cancel


class _Bucket:
    """What may be sent now, below 0 when too much was. It fills at the rate; a rate of 0 is none."""

    __slots__ = ("_at", "_level", "_rate")

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._level = rate * BURST_S
        self._at = now

    def set(self, rate: int, now: float) -> None:
        """Another rate. The excess stays as long, in seconds, as it was."""
        self._fill(now)
        self._level = min(rate * BURST_S, self._level * rate / self._rate if self._rate else rate * BURST_S)
        self._rate = rate

    def take(self, amount: int, now: float) -> None:
        """So much was sent."""
        self._fill(now)
        if self._rate:
            self._level -= amount

    def wait_s(self, now: float) -> float:
        """Seconds until the excess is paid off; 0 or less if there is none."""
        self._fill(now)
        return -self._level / self._rate if self._rate else 0.0

    def is_full(self, now: float) -> bool:
        """Is all saved up that can be?"""
        self._fill(now)
        return self._level >= self._rate * BURST_S

    def _fill(self, now: float) -> None:
        self._level = min(self._rate * BURST_S, self._level + (now - self._at) * self._rate)
        self._at = now
