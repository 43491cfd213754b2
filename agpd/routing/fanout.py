"""The choice: which members of a type get a message.

Everybody, one, or n distinct ones. Chance is passed in as `choose(n)`, uniform over 0 to n - 1. Members whose
link is full are chosen only if there are not enough others. Nobody gets a message that it sent itself, and a link
that does not hear itself gets nothing of its own agents, and one copy of what is for several of them. Separate agents
and others get nothing from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from agpd.routing.subscriptions import InstanceEntry

if TYPE_CHECKING:
    from agpd.routing.connections import Agent, Link

ALL = 0
ANY = 1

Chooser = Callable[[int], int]


class Hop(NamedTuple):
    """A link that gets the message: with `entry` as its new destination, or unchanged if that is None."""

    link: Link
    entry: InstanceEntry | None


class Decision(NamedTuple):
    """Where a message goes. `count` instances are reached; observers are among the hops but not counted."""

    hops: list[Hop]
    count: int  # type: ignore[assignment]  # tuple.count() is of no use here


def reach(members: list[InstanceEntry], sender: Agent, fanout: int, choose: Chooser) -> Decision:
    """Whom `fanout` selects: 0 everybody, n > 0 that many distinct members or all there are.

    Everybody costs O(members) and one hop a link; n costs O(n), expected, while few members are full.
    """
    if fanout == ALL:
        return everyone(members, sender)
    chosen = some(members, sender, fanout, choose)
    # A member always has a link: the condition is for the type checker.
    return Decision([Hop(member.link, member) for member in chosen if member.link is not None], len(chosen))


def everyone(members: list[InstanceEntry], sender: Agent) -> Decision:
    """One unpatched hop for each link that has a member other than the sender."""
    apart, separate = sender.apart, sender.separate
    links = [
        member.link
        for member in members
        if (agent := member.agent) is not None
        and agent is not sender
        and agent.separate is separate
        and member.link is not apart
        and member.link is not None
    ]
    return Decision([Hop(link, None) for link in dict.fromkeys(links)], len(links))


def some(members: list[InstanceEntry], sender: Agent, n: int, choose: Chooser) -> list[InstanceEntry]:
    """n distinct members other than the sender, or all there are; uniform over those that are not full."""
    if 2 * n >= len(members):
        return _by_scan(members, sender, n, choose)
    return _by_draw(members, sender, n, choose)


def _by_draw(members: list[InstanceEntry], sender: Agent, n: int, choose: Chooser) -> list[InstanceEntry]:
    """Draw, and draw again if it does not suit. n is under half of the members, so most draws suit.

    If they do not, because many are full, the rest is chosen by a scan: which draws failed says nothing
    about which of the suitable members come, so the choice stays uniform.
    """
    size = len(members)
    apart, separate = sender.apart, sender.separate
    chosen: dict[InstanceEntry | Link, InstanceEntry] = {}
    for _ in range(4 * n + 8):
        member = members[choose(size)]
        link, agent = member.link, member.agent
        if link is None or agent is None or link.full or link is apart or agent is sender:
            continue
        if agent.separate is not separate:
            continue
        chosen.setdefault(member if link.hears_itself else link, member)  # drawn before: nothing changes
        if len(chosen) == n:
            return list(chosen.values())
    rest = [member for member in members if member not in chosen and member.link not in chosen]
    return [*chosen.values(), *_by_scan(rest, sender, n - len(chosen), choose)]


def _by_scan(members: list[InstanceEntry], sender: Agent, n: int, choose: Chooser) -> list[InstanceEntry]:
    ready: list[InstanceEntry] = []
    full: list[InstanceEntry] = []
    apart, separate = sender.apart, sender.separate
    served: set[Link] = set()  # that get one copy, whoever of theirs it is for
    for member in members:
        link, agent = member.link, member.agent
        if link is None or agent is None or link is apart or agent is sender:
            continue
        if agent.separate is not separate or link in served:
            continue
        if not link.hears_itself:
            served.add(link)
        (full if link.full else ready).append(member)
    if n <= len(ready):
        return _sample(ready, n, choose)
    return ready + _sample(full, min(n - len(ready), len(full)), choose)


def _sample(pool: list[InstanceEntry], n: int, choose: Chooser) -> list[InstanceEntry]:
    """n of the pool, by the first n steps of Fisher and Yates; the pool is used up."""
    for place in range(n):
        other = place + choose(len(pool) - place)
        pool[place], pool[other] = pool[other], pool[place]
    return pool[:n]


def add_observers(hops: list[Hop], observers: Iterable[Agent], sender: Agent) -> None:
    """Append a hop for each observer's link, the sender's own observation aside.

    A link that already gets the message as it is gets no second copy: its observers read that one.
    """
    served = {hop.link for hop in hops if hop.entry is None}
    for observer in observers:
        if sender.separate is observer.separate and observer is not sender and observer.link not in served:
            served.add(observer.link)
            hops.append(Hop(observer.link, None))
