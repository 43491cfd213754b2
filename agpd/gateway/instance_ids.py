"""Instances of agpd as the 64-bit ids of AGP, and back.

An AGP agent with id n is the instance of its type whose segment is `agp-` and the sixteen hex digits of n. Any other
instance gets the first 64 bits of its UUID, or the SipHash of its text if it is no UUID; if another instance of the
type has that id, or it is 2^64 - 1, which on the wire means any instance, the SipHash of a longer text.

What an id stands for must be known as long as somebody may answer to it, so ids are held: an id with a holder stays
what it is, others are kept until room is needed.
"""

import re
from collections.abc import Iterator

from agpd.errors import Code, Refused
from agpd.names import Name
from agpd.wire.hashes import U64_MAXIMUM, siphash

IDS_PER_ORGANIZATION_LIMIT = 65536
ANY_ID = U64_MAXIMUM

_ID = re.compile(r"agp-[0-9a-f]{16}\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.ASCII)


def instance_segment(id_: int) -> str:
    """The instance that an AGP agent with this id is."""
    return f"agp-{id_:016x}"


class _Organization:
    __slots__ = ("holders", "idle", "ids", "names")

    def __init__(self) -> None:
        self.ids: dict[Name, int] = {}  # of instances
        self.names: dict[tuple[Name, int], Name] = {}  # of a type and an id
        self.holders: dict[Name, int] = {}
        self.idle: dict[Name, None] = {}  # without a holder, oldest first


class InstanceIds:
    """Which id an instance has. Each organization has room for `limit` instances of its own."""

    def __init__(self, limit: int = IDS_PER_ORGANIZATION_LIMIT) -> None:
        self._limit = limit
        self._organizations: dict[str, _Organization] = {}

    def __len__(self) -> int:
        return sum(len(each.ids) for each in self._organizations.values())

    def hold(self, name: Name) -> int:
        """The id of an instance, which it keeps until as many `release` follow.

        Raises `Refused(NAME_TAKEN)` for an AGP agent whose id another instance holds, and `Refused(QUOTA_EXCEEDED)`.
        """
        here = self._organizations.get(name.organization) or _Organization()
        id_ = self._enter(here, name)
        self._organizations[name.organization] = here
        here.idle.pop(name, None)
        here.holders[name] = here.holders.get(name, 0) + 1
        return id_

    def release(self, name: Name) -> None:
        """A holder has gone."""
        here = self._organizations[name.organization]
        here.holders[name] -= 1
        if not here.holders[name]:
            del here.holders[name]
            here.idle[name] = None

    def id_of(self, name: Name) -> int:
        """The id of an instance; what is asked for without a holder may be forgotten. Raises as `hold` does."""
        here = self._organizations.get(name.organization)
        known = None if here is None else here.ids.get(name)
        if known is not None:
            return known
        id_ = self.hold(name)
        self.release(name)
        return id_

    def instance_of(self, type_name: Name, id_: int) -> str | None:
        """The instance of a type with this id: a known one, else the AGP agent; None for the id that means any."""
        here = self._organizations.get(type_name.organization)
        known = None if here is None else here.names.get((type_name, id_))
        if known is not None:
            return known.instance
        return None if id_ == ANY_ID else instance_segment(id_)

    def _enter(self, here: _Organization, name: Name) -> int:
        known = here.ids.get(name)
        if known is not None:
            return known
        type_name = name.type_name
        own = _own_id(name.instance)
        if own is None:
            id_ = next(each for each in _candidates(name.instance) if (type_name, each) not in here.names)
        else:
            id_, other = own, here.names.get((type_name, own))
            if other is not None:
                if other in here.holders:
                    raise Refused(Code.NAME_TAKEN, f"the id {own} is that of {other}")
                self._drop(here, other)
        if len(here.ids) >= self._limit:
            if not here.idle:
                raise Refused(Code.QUOTA_EXCEEDED, "the ids of agents that AGP agents talk to")
            self._drop(here, next(iter(here.idle)))
        here.ids[name] = id_
        here.names[type_name, id_] = name
        here.idle[name] = None
        return id_

    def _drop(self, here: _Organization, name: Name) -> None:
        del here.names[name.type_name, here.ids.pop(name)], here.idle[name]


def _own_id(instance: str) -> int | None:
    """The id of an AGP agent."""
    if not _ID.match(instance):
        return None
    id_ = int(instance[4:], 16)
    return None if id_ == ANY_ID else id_


def _candidates(instance: str) -> Iterator[int]:
    """Ids for any other instance, the best first."""
    if _UUID.match(instance):
        first = int(instance[:18].replace("-", ""), 16)
        if first != ANY_ID:
            yield first
    text = instance
    while True:
        id_ = siphash(text)
        if id_ != ANY_ID:
            yield id_
        text += "'"
