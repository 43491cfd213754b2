"""Agents of one connection whose peer speaks another dialect: it names them by hashes, and never says that they come.

A session of such a dialect is a client of the native protocol inside the gateway. This is its bookkeeping: which agent
and which handles stand for what the peer calls a source and a destination, what it has subscribed to, and what the
handles mean that messages come with. An agent is registered when it first says something; it takes part in its type
once it has subscribed to its own name, and leaves with the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterator
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from agpd.errors import Code, Refused
from agpd.gateway import acts
from agpd.names import Name, parse
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

if TYPE_CHECKING:
    from agpd.gateway.hub import Hub
    from agpd.gateway.link import Link
    from agpd.gateway.principal import Principal
    from agpd.routing.connections import Agent

Address = TypeVar("Address", bound=Hashable)
Contra = TypeVar("Contra", contravariant=True)


class Spelling(Protocol[Contra]):
    """How a dialect's addresses are spelled as names. What a peer calls an agent may come to be spelled otherwise."""

    def spell(self, address: Contra) -> Name:
        """Its name, with an instance if the address has one. Raises `Refused`."""


class Way(NamedTuple):
    """How messages go from one address of the peer to another: kind of frame, and both handles."""

    kind: int
    source: int
    destination: int


class Foreign(Generic[Address]):
    """The agents, ways and subscriptions of one link, in terms of its dialect's addresses."""

    def __init__(self, hub: Hub, link: Link, spelling: Spelling[Address]) -> None:
        self._hub = hub
        self._link = link
        self._spelling = spelling
        self._agents: dict[Address, Agent] = {}
        self._addresses: dict[int, Address] = {}  # of agents by handle
        self._ways: dict[tuple[Address, Address], Way] = {}
        self._ways_to: dict[int, set[tuple[Address, Address]]] = {}  # destination handle -> its ways
        self._wanted: dict[Address, dict[Address, None]] = {}  # subscribed address -> its subscribers
        self.met: dict[int, Name] = {}  # what the handles mean that were announced to the link

    # -- what the peer asks for ------------------------------------------------------------------------

    def way(self, source: Address, destination: Address) -> Way:
        """How a message goes there. Raises `Refused`."""
        found = self._ways.get((source, destination))
        return self._find_way(source, destination) if found is None else found

    def _find_way(self, source: Address, destination: Address) -> Way:
        agent = self.agent(source)
        kind, number = self._open(agent, self._spelling.spell(destination))
        way = Way(kind, agent.entry.number, number)
        self._ways[source, destination] = way
        self._ways_to.setdefault(number, set()).add((source, destination))
        return way

    def _open(self, agent: Agent, name: Name) -> tuple[Kind, int]:
        """A handle of the name: to publish there, or, if that is not permitted, to answer whoever has written."""
        hub, link = self._hub, self._link
        if len(self._ways) >= hub.admission.limits.handles_per_connection:
            self._forget_oldest()
        try:
            return Kind.PUBLISH, acts.open_name(hub, link, agent, name).number
        except Refused as refusal:
            if refusal.code is not Code.NOT_PERMITTED:
                raise
            for number in link.correspondents:
                entry = hub.router.entries.get(number)
                if entry is not None and entry.name == name:
                    return Kind.REPLY, number
            raise

    def _forget_oldest(self) -> None:
        """The peer shuts nothing: what it has used longest ago is found anew if need be."""
        way = next(iter(self._ways.values()))
        self._forget_ways_to(way.destination)
        acts.shut(self._hub, self._link, way.destination)
        self._hub.withdraw_dead()

    def _forget_ways_to(self, number: int) -> None:
        for pair in self._ways_to.pop(number, ()):
            del self._ways[pair]

    def agent(self, address: Address) -> Agent:
        """The agent that the peer calls so, registered if it is new. Raises `Refused`."""
        agent = self._agents.get(address)
        if agent is None:
            agent = self._register(address, self._spelling.spell(address))
        return agent

    def _register(self, address: Address, name: Name) -> Agent:
        hub, link = self._hub, self._link
        agent, presence = acts.register(hub, link, name, takeover=self._may_take_over(name), listed=False)
        self._agents[address] = agent
        self._addresses[agent.entry.number] = address
        hub.tell(presence)
        return agent

    def _may_take_over(self, name: Name) -> bool:
        """Dialects have no epochs: of two connections of the same peer that claim a name, the newer one has it."""
        holder = self._hub.router.agent(name)
        if holder is None:
            return False
        other: Link = holder.link  # type: ignore[assignment]
        return other is not self._link and _same(self._link.principal, other.principal)

    def subscribe(self, source: Address, destination: Address) -> None:
        """Let the peer get what is sent to `destination`: a type or topic, or one instance. Raises `Refused`."""
        self._take_part(source, destination)
        self._wanted.setdefault(destination, {})[source] = None

    def _take_part(self, source: Address, destination: Address) -> None:
        name = self._spelling.spell(destination)
        agent = self.agent(destination if name.is_instance else source)
        topic = name.type_name
        try:
            presence = acts.subscribe(self._hub, self._link, agent, topic)
        except Refused as refusal:
            if refusal.code is not Code.NAME_TAKEN:
                raise
            # Ids of a dialect need be distinct only within a type; in a topic two of them meet.
            unique = _unique(agent.name.instance, agent.entry.number)
            presence = acts.subscribe(self._hub, self._link, agent, topic, instance=unique)
        self._hub.tell(presence)

    def unsubscribe(self, destination: Address) -> None:
        """Undo every subscription of the peer to it. Without one it is no error."""
        for source in self._wanted.pop(destination, ()):
            name = self._spelling.spell(destination)
            address = destination if name.is_instance else source
            agent = self._agents.get(address)
            if agent is not None:
                self._hub.tell(acts.unsubscribe(self._hub, agent, name.type_name))
                self._take_part_again([address])  # by its own name and by its type it takes part in the same
                self._hub.withdraw_dead()

    # -- what changes ----------------------------------------------------------------------------------

    def addresses(self) -> Iterator[Address]:
        """All that the peer has named and that means something now."""
        yield from self._agents
        yield from self._wanted
        for _, destination in self._ways:
            yield destination

    def respelled(self) -> None:
        """What some addresses are spelled like has changed: everybody moves."""
        addresses = list(self._agents)
        for agent in self._agents.values():
            self._hub.tell(acts.unregister(self._hub, self._link, agent))
        for table in (self._agents, self._addresses, self._ways, self._ways_to):
            table.clear()
        for address in addresses:
            self._try(lambda: self._register(address, self._spelling.spell(address)))  # noqa: B023
        self._take_part_again(self._agents)
        self._hub.withdraw_dead()

    # -- what the gateway tells ------------------------------------------------------------------------

    def hear(self, frame: Frame) -> None:
        """A control frame about handles and agents; others are not for this."""
        if frame.kind == Kind.ANNOUNCE:
            self.met[frame.destination] = parse(frames.decode(frame.body, frames.Named).name)
        elif frame.kind == Kind.WITHDRAW:
            for number in frames.decode(frame.body, frames.Handles).numbers:
                self.met.pop(number, None)
                self._forget_ways_to(number)
        elif frame.kind == Kind.ENDED:
            self._lose(frame.destination, frames.decode(frame.body, frames.Refusal).code)

    def _lose(self, number: int, code: int) -> None:
        """An agent has lost its name: its permission, or to a newer connection of the same peer.

        Then only the name has gone there. What the peer has subscribed to, it goes on to get.
        """
        address = self._addresses.pop(number, None)
        if address is None:
            return
        name = self._agents.pop(address).name
        for pair in [pair for pair, way in self._ways.items() if way.source == number]:
            self._ways_to[self._ways.pop(pair).destination].discard(pair)
        if code != Code.TAKEN_OVER:
            for sources in self._wanted.values():
                sources.pop(address, None)
        elif self._try(lambda: self._register(address, name.at(_unique(name.instance, number)))):
            self._take_part_again([address])

    def _take_part_again(self, agents: Container[Address]) -> None:
        for destination, sources in self._wanted.items():
            for source in list(sources):
                concerned = source in agents or destination in agents
                if concerned and not self._try(lambda: self._take_part(source, destination)):  # noqa: B023
                    del sources[source]

    def _try(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Refused as refusal:
            self._hub.refused[refusal.code] += 1
            return False
        return True


def _unique(instance: str, number: int) -> str:
    """An instance that nobody else has: handles are the gateway's own numbers."""
    return f"{instance[:50]}-{number:08x}"


def _same(one: Principal, other: Principal) -> bool:
    """Is it the same peer? By its key; without one by what it is called."""
    if one.key_fingerprint or other.key_fingerprint:
        return one.key_fingerprint == other.key_fingerprint
    return one.label == other.label
