"""Names of AGP and SLIM agents, which are hashes, as names of agpd, and back.

A component that is known and fits the grammar of a segment is that segment. Any other, and every hash whose text nobody
has told, is `h-` and the sixteen hex digits of the hash; texts of that form are treated as if they did not fit. Types
of peers that hash with XXH64 get `slim-` before it, because to a type of the same text hashed with SipHash they are
strangers on the wire; a type `slim-x` therefore always is the XXH64 of `x`. Organizations and namespaces are shared.

So `address` needs no memory: a segment says which hash it stands for. What is remembered is the other direction, the
texts of hashes. Each organization has a memory of its own, so that nobody can fill or poison that of another: texts
with the same XXH64 can be made at will. Texts are told by configuration, registration and the names of native agents
("ours"), and by the strings that clients send; the latter are bounded.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from agpd.errors import Code, Refused
from agpd.gateway.dialects import SLIM as SLIM
from agpd.names import NAME_LIMIT, Name, is_segment
from agpd.wire.hashes import Family, Hashes, component

TEXTS_LIMIT = 65536
TEXTS_PER_ORGANIZATION_LIMIT = 4096

_NAMELESS = re.compile(r"h-[0-9a-f]{16}\Z", re.ASCII)
_Key = tuple[str, str]  # organization and text


class _Text:
    """A known text: by how many users of ours and of clients. Without any it is idle, and goes when room is needed."""

    __slots__ = ("clients", "ours")

    def __init__(self) -> None:
        self.ours = 0
        self.clients = 0


class _Organization:
    """What is known of one organization: namespaces and types by text, and the texts by hash."""

    __slots__ = ("by_hash", "clients", "idle", "text", "texts", "users")

    def __init__(self, text: str) -> None:
        self.text = text
        self.users = 0  # of the organization's own text
        self.clients = 0  # texts that only clients have told
        self.texts: dict[str, _Text] = {}
        self.by_hash: dict[Family, dict[int, str]] = {family: {} for family in Family}
        self.idle: dict[str, None] = {}  # oldest first


class Directory:
    """The texts behind hashes. `collisions` counts texts refused because another one has their hash.

    `component` is the hash of a text, an argument for tests. No method waits.
    """

    def __init__(
        self,
        *,
        texts_limit: int = TEXTS_LIMIT,
        texts_per_organization_limit: int = TEXTS_PER_ORGANIZATION_LIMIT,
        component: Callable[[Family, str], int] = component,
    ) -> None:
        self.collisions = 0
        self._texts_limit = texts_limit
        self._texts_per_organization_limit = texts_per_organization_limit
        self._component = component
        self._organizations: dict[str, _Organization] = {}
        self._by_hash: dict[Family, dict[int, _Organization]] = {family: {} for family in Family}
        self._idle: dict[_Key, None] = {}  # oldest first
        self._clients = 0

    def __len__(self) -> int:
        """How many texts of namespaces and types are known."""
        return sum(len(each.texts) for each in self._organizations.values())

    # ---- telling names

    def learn(self, names: Sequence[str], *, ours: bool = False) -> frozenset[int]:
        """A user of these texts comes; the hashes whose segment has changed by that.

        `names` are organization, namespace and type, or only the first of them. Whoever holds a name with one of the
        hashes asks for it anew. To be called once it is clear that the user may have the name, and matched by one
        `forget`. Raises `Refused(NAME_TAKEN)` if a text has the hash of another one, and `Refused(QUOTA_EXCEEDED)` if
        clients use as many texts as they may; then nothing has changed.
        """
        organization, texts = names[0], _kept(names[1:3])
        here = self._organizations.get(organization)
        self._check_collisions(here, organization, texts)
        if here is None:
            here = _Organization(organization)
        changed = self._make_room(here, texts, ours)
        if organization not in self._organizations:
            changed |= self._enter(here)
        here.users += 1
        for text in texts:
            changed |= self._use(here, text, ours)
        return frozenset(changed)

    def forget(self, names: Sequence[str], *, ours: bool = False) -> frozenset[int]:
        """A user of these texts, told to `learn` before with the same `ours`, has gone; what has changed by that.

        Texts without users stay as they are until room is needed.
        """
        here = self._organizations[names[0]]
        here.users -= 1
        for text in _kept(names[1:3]):
            entry = here.texts[text]
            if ours:
                entry.ours -= 1
                if not entry.ours:
                    self._count(here, 1)
            else:
                entry.clients -= 1
            if not entry.ours and not entry.clients:
                here.idle[text] = None
                self._idle[here.text, text] = None
        return frozenset(self._leave_if_empty(here))

    # ---- asking

    def name(self, hashes: Hashes) -> Name:
        """The type or topic with these hashes."""
        family, here = self._organization_of(hashes[0])
        organization = here.text if here is not None and _fits(here.text) else nameless(hashes[0])
        known: dict[int, str] = here.by_hash[family] if here is not None else {}
        namespace = known.get(hashes[1])
        return Name(
            organization,
            namespace if namespace is not None and _fits(namespace) else nameless(hashes[1]),
            _type_segment(family, known.get(hashes[2]), hashes[2]),
        )

    def address(self, name: Name) -> tuple[Family, Hashes]:
        """What a name, with or without instance, is on the wire, and to which kind of peer."""
        family, kind = Family.SIPHASH, name.type
        if kind.startswith(SLIM):
            family, kind = Family.XXHASH, kind.removeprefix(SLIM)
        return family, (
            self._hash(family, name.organization),
            self._hash(family, name.namespace),
            self._hash(family, kind),
        )

    def display(self, hashes: Hashes) -> str:
        """The texts, for logs: also those that are no segments. What does not print is escaped."""
        family, here = self._organization_of(hashes[0])
        if here is None:
            return "/".join(map(nameless, hashes))
        known = here.by_hash[family]
        texts = (here.text, *(known.get(each, nameless(each)) for each in hashes[1:]))
        return "/".join(text if is_segment(text) else ascii(text)[1:-1] for text in texts)

    # ---- inside

    def _hash(self, family: Family, segment: str) -> int:
        return int(segment[2:], 16) if _NAMELESS.match(segment) else self._component(family, segment)

    def _hashes(self, text: str) -> Iterator[tuple[Family, int]]:
        for family in Family:
            yield family, self._component(family, text)

    def _organization_of(self, hash_: int) -> tuple[Family, _Organization | None]:
        for family in Family:
            here = self._by_hash[family].get(hash_)
            if here is not None:
                return family, here
        return Family.SIPHASH, None

    def _check_collisions(self, here: _Organization | None, organization: str, texts: Iterable[str]) -> None:
        for family, hash_ in self._hashes(organization):
            other = self._by_hash[family].get(hash_)
            if other is not None and other.text != organization:
                self._collide(organization)
        fresh: dict[tuple[Family, int], str] = {}
        for text in texts:
            for family, hash_ in self._hashes(text):
                known = here.by_hash[family].get(hash_, text) if here is not None else text
                if known != text or fresh.setdefault((family, hash_), text) != text:
                    self._collide(text)

    def _collide(self, text: str) -> None:
        self.collisions += 1
        raise Refused(Code.NAME_TAKEN, f"{text!a} has the hash of another name")

    def _enter(self, here: _Organization) -> set[int]:
        self._organizations[here.text] = here
        hashes = dict(self._hashes(here.text))
        for family, hash_ in hashes.items():
            self._by_hash[family][hash_] = here
        # Its types had no family before, and no name.
        return set(hashes.values())

    def _leave_if_empty(self, here: _Organization) -> set[int]:
        if here.users or here.texts:
            return set()
        del self._organizations[here.text]
        hashes = dict(self._hashes(here.text))
        for family, hash_ in hashes.items():
            del self._by_hash[family][hash_]
        return set(hashes.values())

    def _use(self, here: _Organization, text: str, ours: bool) -> set[int]:
        changed: set[int] = set()
        entry = here.texts.get(text)
        if entry is None:
            entry = here.texts[text] = _Text()
            self._count(here, 1)
            for family, hash_ in self._hashes(text):
                here.by_hash[family][hash_] = text
                changed.add(hash_)
        else:
            here.idle.pop(text, None)
            self._idle.pop((here.text, text), None)
        if ours:
            if not entry.ours:
                self._count(here, -1)
            entry.ours += 1
        else:
            entry.clients += 1
        return changed

    def _count(self, here: _Organization, change: int) -> None:
        here.clients += change
        self._clients += change

    def _make_room(self, here: _Organization, texts: tuple[str, ...], ours: bool) -> set[int]:
        """Let idle texts go until these fit, the oldest first. For ours there is always room."""
        new = 0 if ours else sum(text not in here.texts for text in texts)
        keep = {(here.text, text) for text in texts}
        excess = here.clients + new - self._texts_per_organization_limit
        going = _first(((here.text, text) for text in here.idle), excess, keep)
        enough = len(going) >= excess
        excess = self._clients - len(going) + new - self._texts_limit
        others = _first(self._idle, excess, keep.union(going))
        if new and not (enough and len(others) >= excess):
            raise Refused(Code.QUOTA_EXCEEDED, "the names of agents that speak AGP or SLIM")
        changed: set[int] = set()
        for organization, text in going + others:
            each = self._organizations[organization]
            changed |= self._drop(each, text)
            if each is not here:
                changed |= self._leave_if_empty(each)
        return changed

    def _drop(self, here: _Organization, text: str) -> set[int]:
        del here.texts[text], here.idle[text], self._idle[here.text, text]
        self._count(here, -1)
        hashes = dict(self._hashes(text))
        for family, hash_ in hashes.items():
            del here.by_hash[family][hash_]
        return set(hashes.values())


def nameless(hash_: int) -> str:
    """The segment of a hash without a text."""
    return f"h-{hash_:016x}"


def is_reserved(segment: str) -> bool:
    """Does the segment stand for a hash, so that no text of this form may be taken for a name of that form?"""
    return _NAMELESS.match(segment.removeprefix(SLIM)) is not None


def _fits(text: str) -> bool:
    return is_segment(text) and not _NAMELESS.match(text)


def _type_segment(family: Family, text: str | None, hash_: int) -> str:
    if family is Family.SIPHASH:
        return text if text is not None and _fits(text) and not text.startswith(SLIM) else nameless(hash_)
    fits = text is not None and is_segment(SLIM + text) and not _NAMELESS.match(text)
    return f"{SLIM}{text if fits else nameless(hash_)}"


def _kept(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that are remembered, each once: a longer one could be no segment, and is not worth its memory."""
    return tuple(dict.fromkeys(text for text in texts if len(text) <= NAME_LIMIT))


def _first(keys: Iterable[_Key], count: int, but: set[_Key]) -> list[_Key]:
    """The oldest keys, at most `count`, without some."""
    return list(itertools.islice((key for key in keys if key not in but), max(count, 0)))
