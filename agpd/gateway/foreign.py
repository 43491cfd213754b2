"""Agents of one connection whose peer speaks another dialect: it names them by hashes, and never says that they come.

A session of such a dialect is a client of the native protocol inside the gateway. This is its bookkeeping: which agent
and which handles stand for what the peer calls a source and a destination, what it has subscribed to, and what the
handles mean that messages come with. An agent is registered when it first says something; it takes part in its type
once it has subscribed to its own name, and leaves with the connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from agpd.errors import Code, Refused
from agpd.gateway import acts
from agpd.gateway.foreign_tables import Address, Wants, Way, Ways
from agpd.names import Name, parse
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

if TYPE_CHECKING:
    from agpd.gateway.hub import Hub
    from agpd.gateway.link import Link
    from agpd.gateway.principal import Principal
    from agpd.routing.connections import Agent
    from agpd.routing.subscriptions import InstanceEntry


Contra = TypeVar("Contra", contravariant=True)


class Spelling(Protocol[Contra]):
    """How a dialect's addresses are spelled as names. What a peer calls an agent may come to be spelled otherwise."""

    def spell(self, address: Contra) -> Name:
        """Its name, with an instance if the address has one. Raises `Refused`."""

    def own(self, address: Contra) -> Name:
        """The name of an agent of the peer, which nobody else gets until `disown`. Raises `Refused`."""

    def disown(self, address: Contra) -> None:
        """The peer has it no longer."""

    def settle(self) -> None:
        """Handles will be shut: what the peer has said so far goes to the hub before."""


class Foreign(Generic[Address]):
    """The agents, ways and subscriptions of one link, in terms of its dialect's addresses."""

    def __init__(self, hub: Hub, link: Link, spelling: Spelling[Address]) -> None:
        self._hub = hub
        self._link = link
        self._spelling = spelling
        self._agents: dict[Address, Agent] = {}
        self._addresses: dict[int, Address] = {}  # of agents by handle
        self._marks: dict[Address, str] = {}  # of agents that somebody else has the names of
        self._ways: Ways[Address] = Ways()
        self._wants: Wants[Address] = Wants()
        self._acts = 0  # that are under way
        self._moves = 0  # how often everybody has moved
        self._must_move = False
        self.met: dict[int, Name] = {}  # what the handles mean that were announced to the link

    # -- what the peer asks for ------------------------------------------------------------------------

    def way(self, source: Address, destination: Address) -> Way:
        """How a message goes there. Raises `Refused`."""
        return self._ways.get(source, destination) or self._find_way(source, destination)

    def _find_way(self, source: Address, destination: Address) -> Way:
        moves = self._moves
        with self._act():
            agent = self.agent(source)
            way = self._open(agent, self._spelling.spell(destination))
            if way.kind == Kind.PUBLISH:  # the other kind lasts only as long as publishing is not permitted
                self._ways.put(source, destination, way)
        return way if moves == self._moves else self.way(source, destination)

    def _open(self, agent: Agent, name: Name) -> Way:
        """A way to publish there, or, if that is not permitted, to answer whoever has written."""
        hub, link = self._hub, self._link
        writer = self._correspondent(name)
        if writer is not None and not hub.may_send("publish", link, agent, writer):
            return Way(Kind.REPLY, agent.entry.number, writer.number)
        if len(self._ways) >= hub.admission.limits.handles_per_connection:
            # The peer shuts nothing: what it found longest ago is found anew if need be.
            self._spelling.settle()
            self._shut(self._ways.oldest())
        number = acts.open_name(hub, link, agent, name).number
        return Way(Kind.PUBLISH, agent.entry.number, number)

    def _correspondent(self, name: Name) -> InstanceEntry | None:
        """The agent of this name, if the peer has got a message of it."""
        agent = self._hub.router.agent(name)
        return None if agent is None or agent.entry.number not in self._link.correspondents else agent.entry

    def _shut(self, number: int) -> None:
        self._ways.forget_to(number)
        acts.shut(self._hub, self._link, number)
        self._hub.withdraw_dead()

    def agent(self, address: Address) -> Agent:
        """The agent that the peer calls so, registered if it is new. Raises `Refused`."""
        agent = self._agents.get(address)
        return self._register(address) if agent is None else agent

    def _register(self, address: Address) -> Agent:
        hub, link = self._hub, self._link
        name = self._spelling.own(address)
        try:
            if mark := self._marks.get(address, ""):
                name = name.at(name.instance[:50] + mark)
            takeover = self._may_take_over(name)
            agent, presence = acts.register(hub, link, name, takeover=takeover, listed=False)
        except Refused:
            self._marks.pop(address, None)
            self._spelling.disown(address)
            raise
        number = agent.entry.number
        before = self._addresses.get(number)
        self._agents[address] = agent
        self._addresses[number] = address
        hub.tell(presence)
        if before is not None and before != address:
            # It had lost the name to another connection, has not heard of it, and another address has the name back.
            self._part_from(before, number, stays=True)
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
        with self._act():
            self._subscribe(source, destination)

    def _subscribe(self, source: Address, destination: Address) -> None:
        name = self._spelling.spell(destination)
        self.agent(source)  # is a claim, also where the agent is another
        part = destination if name.is_instance else source, name.type_name
        self._take_part(*part)
        self._wants.add(source, destination, part)

    def _take_part(self, address: Address, topic: Name) -> None:
        hub, link, agent = self._hub, self._link, self.agent(address)
        try:
            presence = acts.subscribe(hub, link, agent, topic)
        except Refused as refused:
            if refused.code is not Code.NAME_TAKEN:
                raise
            # Ids of a dialect need be distinct only within a type; in a topic two of them meet.
            unique = agent.name.instance[:50] + _mark(agent.entry.number)
            presence = acts.subscribe(hub, link, agent, topic, instance=unique)
        hub.tell(presence)

    def unsubscribe(self, destination: Address) -> None:
        """Undo every subscription of the peer to it. Without one it is no error."""
        with self._act():
            for address, topic in self._wants.remove(destination):
                agent = self._agents.get(address)
                if agent is not None:
                    self._hub.tell(acts.unsubscribe(self._hub, agent, topic))
            self._hub.withdraw_dead()

    # -- what changes ----------------------------------------------------------------------------------

    def addresses(self) -> Iterator[Address]:
        """All that the peer has named and that means something now."""
        yield from self._agents
        yield from self._wants.destinations()
        for _, destination in self._ways.destinations():
            yield destination

    def respelled(self) -> None:
        """What some addresses are spelled like may have changed: then everybody moves, after what is under way."""
        self._must_move = True
        if not self._acts:
            self._move()

    @contextmanager
    def _act(self) -> Iterator[None]:
        """Whatever comes into use may be the text of a hash, and so make the peer's agents move: not meanwhile."""
        self._acts += 1
        try:
            yield
        finally:
            self._acts -= 1
            if self._must_move and not self._acts:
                self._move()

    def _move(self) -> None:
        self._acts += 1
        try:
            while self._must_move:
                self._must_move = False
                if not self._stands():
                    self._move_all()
        finally:
            self._acts -= 1

    def _stands(self) -> bool:
        """Is everything still spelled as it was? Others may have the same type in another organization."""
        spell, entries = self._spelling.spell, self._hub.router.entries
        return (
            all(agent.name.type_name == spell(address).type_name for address, agent in self._agents.items())
            and all(topic == spell(address).type_name for _, address, topic in self._wants.each())
            and all(
                number in entries and entries[number].name == spell(address)
                for number, address in self._ways.destinations()
            )
        )

    def _move_all(self) -> None:
        self._moves += 1
        self._spelling.settle()
        wants, self._wants = list(self._wants.each()), Wants()
        agents, self._agents = self._agents, {}
        self._addresses.clear()
        for number, _ in list(self._ways.destinations()):
            self._shut(number)
        for address, agent in agents.items():
            if not agent.registered:  # somebody has taken its name, which it will hear
                self._marks[address] = _mark(next(_losses))
            self._hub.tell(acts.unregister(self._hub, self._link, agent))
            self._spelling.disown(address)
        for address in agents:
            self._try(self.agent, address)
        for source, destination, _ in wants:
            self._try(self._subscribe, source, destination)
        self._hub.withdraw_dead()

    # -- what the gateway tells ------------------------------------------------------------------------

    def hear(self, frame: Frame) -> None:
        """A control frame about handles and agents; others are not for this."""
        if frame.kind == Kind.ANNOUNCE:
            self.met[frame.destination] = parse(frames.decode(frame.body, frames.Named).name)
        elif frame.kind == Kind.WITHDRAW:
            for number in frames.decode(frame.body, frames.Handles).numbers:
                self.met.pop(number, None)
                self._ways.forget_to(number)
        elif frame.kind == Kind.ENDED:
            with self._act():
                self._lose(frame.destination, frames.decode(frame.body, frames.Refusal).code)
        elif frame.kind == Kind.REFUSED:
            with self._act():
                self._hear_refusal(frame, frames.decode(frame.body, frames.Refusal))

    def _hear_refusal(self, frame: Frame, refusal: frames.Refusal) -> None:
        if refusal.code == Code.TAKEN_OVER and frame.destination in self._addresses:
            # An address in a topic has its owner now; the agent takes part in the topic by another one.
            part = self._addresses[frame.destination], parse(refusal.detail).type_name
            if part in self._wants and not self._try(self._take_part, *part):
                self._wants.give_up(part)
        elif refusal.code == Code.NO_ROUTE:
            destination = self._ways.destination(frame.source)
            if destination is not None and self._spelling.spell(destination).is_instance:
                self._shut(frame.source)  # the id that nobody has may come to stand for somebody

    def _lose(self, number: int, code: int) -> None:
        """An agent has lost its name: its permission, or to a newer connection of the same peer.

        Then only the name has gone there. What the peer has subscribed to, it goes on to get.
        """
        address = self._addresses.get(number)
        if address is None or self._agents[address].registered:
            return  # it has moved since, and may have come to the same handle
        del self._addresses[number]
        self._part_from(address, number, stays=code == Code.TAKEN_OVER)

    def _part_from(self, address: Address, number: int, *, stays: bool) -> None:
        """What the address was called is not its name any more; if it `stays`, it is called something else."""
        del self._agents[address]
        self._spelling.disown(address)
        for left in self._ways.forget_from(number):
            self._shut(left)
        if stays:
            self._marks[address] = _mark(next(_losses))
            stays = self._try(self._register, address)
        for part in self._wants.of(address):
            if not stays or not self._try(self._take_part, *part):
                self._wants.give_up(part)
        self._hub.withdraw_dead()

    def _try(self, act: Callable[..., object], *arguments: Any) -> bool:
        try:
            act(*arguments)
        except Refused as refusal:
            self._hub.refused[refusal.code] += 1
            return False
        return True


_losses = itertools.count(1)


def _mark(number: int) -> str:
    """What makes an instance unique: numbers of the gateway's own."""
    return f"-{number:08x}"


def _same(one: Principal, other: Principal) -> bool:
    """Is it the same peer? By its key; without one by what it is called."""
    if one.key_fingerprint or other.key_fingerprint:
        return one.key_fingerprint == other.key_fingerprint
    return one.label == other.label
