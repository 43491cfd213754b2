"""Which texts are known for the hashes of other dialects, and whom it concerns when one becomes known.

The directory is told the types that are in use here, as whoever uses them has written them. A peer that names an agent
by a hash alone gets the same name as all others as soon as anybody has told the text: then it moves.
"""

import logging
from collections.abc import Container, Iterable, Sequence
from typing import Protocol

from agpd.errors import Refused
from agpd.gateway.admission import Policy
from agpd.gateway.directory import SLIM, Directory, is_reserved
from agpd.gateway.instance_ids import InstanceIds
from agpd.names import Name
from agpd.routing.router import Router
from agpd.telemetry.logs import event
from agpd.wire.hashes import Hashes, Names

NAMELESS_LIMIT = 100_000  # with more, whoever spells is asked each time
_log = logging.getLogger(__name__)


class Speller(Protocol):
    """A session that spells hashes."""

    def uses(self, hashes: Container[int]) -> bool:
        """Has it an agent, a subscription or a way with one of these?"""

    def respelled(self) -> None:
        """A text has become known for one of them, or is known no more."""


class Spellings:
    """One for a gateway, before anything is registered."""

    def __init__(self, router: Router) -> None:
        self.directory = Directory()
        self.ids = InstanceIds()
        self._router = router
        self._told: dict[Name, Names] = {}
        self._ruled: frozenset[Names] = frozenset()  # what the policy speaks of
        self._spellers: dict[Speller, None] = {}  # who has spelled a hash without text
        self._nameless: set[int] = set()  # such hashes
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
                self._spellers[speller] = None
                if len(self._nameless) < NAMELESS_LIMIT:
                    self._nameless.add(hash_)
        return name

    def leave(self, speller: Speller) -> None:
        """It spells no more."""
        self._spellers.pop(speller, None)

    def _changed(self, hashes: Iterable[int]) -> None:
        known = frozenset(hashes)
        if len(self._nameless) < NAMELESS_LIMIT and known.isdisjoint(self._nameless):
            return  # nobody has asked for them, as with nearly every new type
        self._nameless -= known
        for speller in list(self._spellers):
            if speller.uses(known):
                speller.respelled()


def _texts(name: Name) -> Names:
    """The texts of its components, empty for one that stands for a hash without text."""
    kind = name.type.removeprefix(SLIM)
    return (
        name.organization,
        "" if is_reserved(name.namespace) else name.namespace,
        "" if is_reserved(kind) else kind,
    )
