"""Looking again at what links hold, after another policy has come or a link has shown another token.

What is not allowed any more ends, and its agent is told; what still is goes on untouched. A review of all links is made
in parts, so that messages do not wait for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from agpd.errors import Code
from agpd.names import Name, Pattern
from agpd.wire import frames
from agpd.wire.frames import Kind

if TYPE_CHECKING:
    from agpd.gateway.hub import Hub
    from agpd.gateway.link import Entry, Flow, Link
    from agpd.routing.connections import Agent

PART = 256  # looks in one part, at most
PART_S = 0.001  # and about so long
LOOKS = 16  # between two looks at the clock
PAUSE_S = 0.001  # between two parts
REPLY_GRACE_S = 60.0  # in which what was asked before may still be answered


class Review:
    """The reviews of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.is_under_way = False
        self._again = False
        self._late: dict[
            Link, set[int]
        ] = {}  # handles that a link may answer for `REPLY_GRACE_S` more at most

    def begin(self) -> None:
        """Review all links, from now on and in parts. If one is under way, all are looked at once more."""
        if self.is_under_way:
            self._again = True
            return
        self.is_under_way = True
        self._go(itertools.chain.from_iterable(map(self._of, list(self._hub.links))), self._over)

    def at_once(self, link: Link) -> None:
        """Review one link."""
        for _ in self._of(link):
            pass

    def _go(self, looks: Iterator[None], then: Callable[[], None]) -> None:
        clock = self._hub.clock
        until = clock.now() + PART_S
        for _ in range(PART // LOOKS):
            if sum(1 for _ in itertools.islice(looks, LOOKS)) < LOOKS:
                then()
                return
            if clock.now() > until:
                break
        clock.call_later(PAUSE_S, lambda: self._go(looks, then))

    def _over(self) -> None:
        self.is_under_way = False
        if self._again:
            self._again = False
            self.begin()

    def _of(self, link: Link) -> Iterator[None]:
        """One look after the other. Between two of them the link may have changed, or ended and lost all it held."""
        yield
        if link.close_code is not None:
            return
        organization = link.principal.organization
        if organization and self._hub.admission.policy.is_suspended(organization):
            self._hub.end(link, Code.TENANT_SUSPENDED)
            return
        for agent in list(link.sources.values()):
            yield
            if agent.registered and not self._may_register(link, agent):
                self._end(link, agent)
            yield from self._held_by(link, agent)
        yield from self._routes(link)
        yield from self._handles(link)
        yield from self._flows(link)
        yield from self._replies(link)

    # -- agents, and what they have asked for ------------------------------------------------------------

    def _may_register(self, link: Link, agent: Agent) -> bool:
        return link.principal.may_speak_as(agent.name) and self._may(link, "register", agent, agent.name)

    def _end(self, link: Link, agent: Agent) -> None:
        number = agent.entry.number
        presence = self._hub.router.unregister(agent)
        link.give_up(number)
        refusal = frames.Refusal(Code.NOT_PERMITTED, f"register {agent.name}")
        link.send(frames.encode(Kind.ENDED, refusal, destination=number))
        self._hub.tell(presence)
        self._hub.withdraw_dead()

    def _held_by(self, link: Link, agent: Agent) -> Iterator[None]:
        router = self._hub.router
        for topic in list(agent.entries):
            yield
            held = topic in agent.entries and topic != agent.name.type_name
            if held and not self._may(link, "subscribe", agent, topic):
                self._hub.tell(router.unsubscribe(agent, topic))
                self._tell(link, agent, "subscribe", topic)
        for pattern in list(agent.observing):
            yield
            if pattern in agent.observing and not self._may_pattern(link, "observe", agent, pattern):
                router.unobserve(agent, pattern)
                self._tell(link, agent, "observe", pattern)
        for topic in list(agent.watches):
            yield
            if topic in agent.watches and not self._may(link, "watch", agent, topic):
                router.unwatch(agent, topic)
                self._tell(link, agent, "watch", topic)

    def _tell(self, link: Link, agent: Agent, verb: str, what: Name | Pattern) -> None:
        """That it has ended: no message is spoken of, so the count is 0."""
        refusal = frames.Refusal(Code.NOT_PERMITTED, f"{verb} {what}", count=0)
        link.send(frames.encode(Kind.REFUSED, refusal, destination=agent.entry.number))
        self._hub.withdraw_dead()

    def _routes(self, link: Link) -> Iterator[None]:
        """A route stays as long as one of the link's agents in its organization may set it."""
        for route in self._hub.router.routes_of(link):
            for agent in list(link.sources.values()):
                yield
                own = agent.registered and agent.name.organization == route.tenant.name
                if own and self._may_pattern(link, "route", agent, route.pattern):
                    break
            else:
                if self._hub.router.drop_route(route):
                    self._tell(link, route.via, "route", route.pattern)

    # -- what messages are sent by -----------------------------------------------------------------------

    def _handles(self, link: Link) -> Iterator[None]:
        """A handle stays as long as one of the link's agents may send there."""
        for number, entry in list(link.opened.items()):
            for agent in list(link.sources.values()):
                yield
                if self._hub.may_send("publish", link, agent, entry) or self._hub.may_send(
                    "request", link, agent, entry
                ):
                    break
            else:
                if link.opened.get(number) is entry:
                    self._withdraw(link, entry)

    def _withdraw(self, link: Link, entry: Entry) -> None:
        """The handle is shut. The link may know it for another reason: then it is announced anew."""
        number = entry.number
        del link.opened[number]
        link.forget_destination(number)
        link.send(frames.encode(Kind.WITHDRAW, frames.Handles([number])))
        if number in link.told:
            link.told.discard(number)
            self._hub.announce(link, entry)
        self._hub.router.unpin(entry)
        self._hub.withdraw_dead()

    def _flows(self, link: Link) -> Iterator[None]:
        """A flow that may carry something else than before is decided anew when its next message comes."""
        for table in (link.flows, link.checked_flows):
            for pair, flow in list(table.items()):
                yield
                if table.get(pair) is flow and self._is_stale(link, flow):
                    link.forget_flow(pair)

    def _is_stale(self, link: Link, flow: Flow) -> bool:
        return self._hub.kinds(link, flow.agent, flow.entry) != flow.kinds

    def _replies(self, link: Link) -> Iterator[None]:
        """Whoever may not send to the link's agents any more may not be answered for ever."""
        late = yield from self._unheard(link, list(link.correspondents))
        if late and link not in self._late:
            self._late[link] = late
            self._hub.clock.call_later(REPLY_GRACE_S, lambda: self._go(self._end_replies(link), lambda: None))

    def _end_replies(self, link: Link) -> Iterator[None]:
        late = yield from self._unheard(link, list(self._late.pop(link)))
        for number in late & link.correspondents:
            link.correspondents.discard(number)
            link.forget_destination(number)

    def _unheard(self, link: Link, numbers: list[int]) -> Generator[None, None, set[int]]:
        """Those of these handles whose agents may not send to any agent of the link."""
        allows = self._hub.admission.allows
        addresses = [each.name for agent in link.sources.values() for each in agent.entries.values()]
        found = set(numbers)
        for number in numbers:
            sender = self._hub.router.entries.get(number)
            if sender is None:
                continue
            for address in addresses:
                yield
                if any(allows(verb, sender.name, address) for verb in ("publish", "request")):
                    found.discard(number)
                    break
        return found

    # -- questions ---------------------------------------------------------------------------------------

    def _may(self, link: Link, verb: str, agent: Agent, name: Name) -> bool:
        return link.principal.permits(verb, name) and self._hub.admission.allows(verb, agent.name, name)

    def _may_pattern(self, link: Link, verb: str, agent: Agent, pattern: Pattern) -> bool:
        if not link.principal.permits_pattern(verb, pattern):
            return False
        return self._hub.admission.allows_pattern(verb, agent.name, pattern)
