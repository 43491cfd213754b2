"""Which texts are known for the hashes of other dialects, and whom it concerns when one becomes known.

The directory is told the types that are in use here, as whoever uses them has written them. A peer that names an agent
by a hash alone gets the same name as all others as soon as anybody has told the text: then it moves.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from agpd.errors import Refused
from agpd.gateway.admission import Policy
from agpd.gateway.directory import SLIM, Directory, is_reserved
from agpd.gateway.instance_ids import InstanceIds
from agpd.names import Name
from agpd.routing.router import Router
from agpd.telemetry.logs import event
from agpd.wire.hashes import Hashes, Names

NAMELESS_PER_SPELLER = 8192  # hashes, before it is asked which of them it still uses
_log = logging.getLogger(__name__)


class Speller(Protocol):
    """A session that spells hashes."""

    def hashes(self) -> Iterator[int]:
        """Those of its agents, subscriptions and ways."""

    def respelled(self) -> None:
        """A text may have become known for one of them."""


class _Nameless:
    """The hashes without text that a session has spelled, and how many they may be before some are forgotten."""

    __slots__ = ("hashes", "limit")

    def __init__(self) -> None:
        self.hashes: set[int] = set()
        self.limit = NAMELESS_PER_SPELLER


class Spellings:
    """One for a gateway, before anything is registered."""

    def __init__(self, router: Router) -> None:
        self.directory = Directory()
        self.ids = InstanceIds()
        self._router = router
        self._told: dict[Name, Names] = {}
        self._ruled: frozenset[Names] = frozenset()  # what the policy speaks of
        # Hash without text -> who has spelled it; and the other way round.
        self._spellers: dict[int, dict[Speller, None]] = {}
        self._nameless: dict[Speller, _Nameless] = {}
        self._busy = False
        router.note_types()

    # -- what is told ----------------------------------------------------------------------------------

    def types_changed(self) -> None:
        """Tell the directory which types have come into use, and move whom it concerns."""
        if self._busy:
            return  # by a session that moves; the loop below goes on
        self._busy = True
        try:
            while changes := self._router.take_types():
                for name, in_use in changes:
                    self._changed(self._tell(name) if in_use else self._untell(name))
        finally:
            self._busy = False

    def policy_changed(self, policy: Policy) -> None:
        """Tell the directory the names that the policy speaks of: a rule must hold for who is named by hashes too."""
        ruled = frozenset(_texts(Name(*(*prefix, "", "")[:3])) for prefix in policy.prefixes() if prefix)
        for names in self._ruled - ruled:
            self.directory.forget(names, ours=True)
        known = ruled & self._ruled
        for names in ruled - known:
            try:
                self._changed(self.directory.learn(names, ours=True))
            except Refused as refused:
                event(_log, logging.WARNING, "a rule cannot hold for other dialects", reason=refused.detail)
            else:
                known |= {names}
        self._ruled = known

    def tell(self, names: Sequence[str], *, ours: bool = False) -> None:
        """A client has told these texts, until `untell`; or, `ours`, who vouches for it. Raises `Refused`."""
        self._changed(self.directory.learn(names, ours=ours))

    def untell(self, names: Sequence[str], *, ours: bool = False) -> None:
        """It needs them no longer."""
        self.directory.forget(names, ours=ours)

    def _tell(self, name: Name) -> Iterable[int]:
        if name in self._told or is_reserved(name.organization):
            return ()
        names = _texts(name)
        try:
            changed = self.directory.learn(names, ours=True)
        except Refused as refused:
            event(_log, logging.WARNING, "a name cannot be used by other dialects", reason=refused.detail)
            return ()
        self._told[name] = names
        return changed

    def _untell(self, name: Name) -> Iterable[int]:
        names = self._told.pop(name, None)
        if names is not None:
            self.directory.forget(names, ours=True)
        return ()

    # -- who has to hear of it -------------------------------------------------------------------------

    def spell(self, hashes: Hashes, speller: Speller) -> Name:
        """The type with these hashes. If that changes, the speller hears of it as long as it uses them."""
        name = self.directory.name(hashes)
        for hash_, segment in zip(hashes, name, strict=False):
            if is_reserved(segment):
                self._note(hash_, speller)
        return name

    def _note(self, hash_: int, speller: Speller) -> None:
        mine = self._nameless.get(speller)
        if mine is None:
            mine = self._nameless[speller] = _Nameless()
        if hash_ in mine.hashes:
            return
        if len(mine.hashes) >= mine.limit:
            for unused in mine.hashes.difference(speller.hashes()):
                self._forget(unused, speller)
            mine.limit = max(NAMELESS_PER_SPELLER, 2 * len(mine.hashes))
        mine.hashes.add(hash_)
        self._spellers.setdefault(hash_, {})[speller] = None

    def _forget(self, hash_: int, speller: Speller) -> None:
        self._nameless[speller].hashes.discard(hash_)
        spellers = self._spellers[hash_]
        del spellers[speller]
        if not spellers:
            del self._spellers[hash_]

    def leave(self, speller: Speller) -> None:
        """It spells no more."""
        if speller in self._nameless:
            for hash_ in list(self._nameless[speller].hashes):
                self._forget(hash_, speller)
            del self._nameless[speller]

    def _changed(self, hashes: Iterable[int]) -> None:
        concerned: dict[Speller, None] = {}
        for hash_ in hashes:
            for speller in self._spellers.pop(hash_, ()):
                self._nameless[speller].hashes.discard(hash_)
                concerned[speller] = None
        for speller in concerned:
            speller.respelled()


def _texts(name: Name) -> Names:
    """The texts of its components, empty for one that stands for a hash without text."""
    kind = name.type.removeprefix(SLIM)
    return (
        name.organization,
        "" if is_reserved(name.namespace) else name.namespace,
        "" if is_reserved(kind) else kind,
    )
