"""The tables of `foreign.py`: the ways that messages of a peer go, and what it wants to get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from agpd.names import Name

Address = TypeVar("Address", bound=Hashable)


class Way(NamedTuple):
    """How messages go from one address of the peer to another: kind of frame, and both handles."""

    kind: int
    source: int
    destination: int


class Ways(Generic[Address]):
    """Ways by source and destination, the oldest first, and by the handle that they lead to."""

    def __init__(self) -> None:
        self._ways: dict[tuple[Address, Address], Way] = {}
        self._to: dict[int, dict[tuple[Address, Address], None]] = {}

    def __len__(self) -> int:
        return len(self._ways)

    def get(self, source: Address, destination: Address) -> Way | None:
        """The way, if it is known."""
        return self._ways.get((source, destination))

    def put(self, source: Address, destination: Address, way: Way) -> None:
        """Remember one that is not known."""
        self._ways[source, destination] = way
        self._to.setdefault(way.destination, {})[source, destination] = None

    def oldest(self) -> int:
        """The handle that the oldest way leads to."""
        return next(iter(self._ways.values())).destination

    def forget_to(self, number: int) -> None:
        """Forget all that lead to this handle."""
        for pair in self._to.pop(number, ()):
            del self._ways[pair]

    def forget_from(self, number: int) -> list[int]:
        """Forget all that begin at this handle; those that no way leads to any more."""
        left: list[int] = []
        for pair, way in list(self._ways.items()):
            if way.source == number:
                del self._ways[pair], self._to[way.destination][pair]
                if not self._to[way.destination]:
                    del self._to[way.destination]
                    left.append(way.destination)
        return left

    def destination(self, number: int) -> Address | None:
        """The address that the ways to this handle lead to; None if there are none."""
        pairs = self._to.get(number)
        return next(iter(pairs))[1] if pairs else None

    def destinations(self) -> Iterator[tuple[int, Address]]:
        """Each handle with its address."""
        for number, pairs in self._to.items():
            yield number, next(iter(pairs))[1]


class Wants(Generic[Address]):
    """Who of the peer wants to get what is sent to which address, and which part is taken for it.

    A part is an agent, by its address, and a type or topic. Several wants may be served by one part.
    """

    def __init__(self) -> None:
        self._wanted: dict[Address, dict[Address, tuple[Address, Name]]] = {}
        self._parts: Counter[tuple[Address, Name]] = Counter()  # how many wants it serves

    def __contains__(self, part: tuple[Address, Name]) -> bool:
        return part in self._parts

    def add(self, source: Address, destination: Address, part: tuple[Address, Name]) -> None:
        """`source` wants what is sent to `destination`. Again changes nothing."""
        sources = self._wanted.setdefault(destination, {})
        if source not in sources:
            sources[source] = part
            self._parts[part] += 1

    def remove(self, destination: Address) -> list[tuple[Address, Name]]:
        """Nobody wants it any more; the parts that nothing else needs."""
        unneeded = []
        for part in self._wanted.pop(destination, {}).values():
            self._parts[part] -= 1
            if not self._parts[part]:
                del self._parts[part]
                unneeded.append(part)
        return unneeded

    def give_up(self, part: tuple[Address, Name]) -> None:
        """The part cannot be taken any more: the wants that it served are no more."""
        del self._parts[part]
        for destination, sources in list(self._wanted.items()):
            for source in [each for each, taken in sources.items() if taken == part]:
                del sources[source]
            if not sources:
                del self._wanted[destination]

    def of(self, agent: Address) -> list[tuple[Address, Name]]:
        """The parts of an agent."""
        return [part for part in self._parts if part[0] == agent]

    def destinations(self) -> Iterator[Address]:
        """All that is wanted."""
        return iter(self._wanted)

    def each(self) -> Iterator[tuple[Address, Address, Name]]:
        """Source, destination, and the type or topic that it was when the want came."""
        for destination, sources in self._wanted.items():
            for source, (_, topic) in sources.items():
                yield source, destination, topic
