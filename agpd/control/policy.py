"""Who may do what to whom: all grants compiled, so that a question costs a few look-ups however many there are.

A verdict is made of *sides*: what one organization says. Inside an organization its own side decides, and everything
but `observe` is allowed that it does not deny. Between two organizations both sides must allow and none may deny. The
operator's grants, those of the configuration, stand for both sides at once; a side can still deny.

Nothing here waits, and a `Policy` never changes: a new one takes its place.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from agpd.config import Grant
from agpd.names import Name, Pattern

Prefix = tuple[str, ...]
Table = dict[Prefix, set[Prefix]]  # prefix of the subject -> prefixes of the object

OPERATOR_SIDE = ""
OF_PATTERNS = frozenset(("observe", "route"))  # verbs whose object is a set of names
CALLS = frozenset(("publish", "request"))  # verbs that the `callers` of a type restrict
DISCOVERS = ("watch", "publish", "request")  # who may do one of these to a type may find it
REACH_LIMIT = 1024  # patterns of callers whose reach is remembered


class Statement(NamedTuple):
    """`owner` says: `subject` may (or, if not `allow`, may not) do `verb` to `object`. Both are prefixes of names."""

    owner: str
    subject: Prefix
    verb: str
    object: Prefix
    allow: bool = True


class Side:
    """What one organization says. Filled by `add`, then left as it is."""

    __slots__ = ("_below", "_touched", "allowed", "callers", "denied", "statements", "suspended")

    def __init__(self, *, suspended: bool = False) -> None:
        self.suspended = suspended
        self.statements = 0
        self.allowed: dict[str, Table] = {}
        self.denied: dict[str, Table] = {}
        self.callers: dict[Prefix, frozenset[Prefix]] = {}  # type -> who may publish to it, or ask it
        self._touched: dict[str, Table] = {}  # of what is denied, all prefixes above it too
        self._below: dict[str, Table] = {}  # prefix -> subjects of `allowed` that are longer

    def add(self, subject: Prefix, verb: str, object_: Prefix, allow: bool) -> None:
        """Let it say so."""
        self.statements += 1
        _put(self.allowed if allow else self.denied, verb, subject, object_)
        if not allow and verb in OF_PATTERNS:
            for length in range(len(object_) + 1):
                _put(self._touched, verb, subject, object_[:length])
        if allow and verb in DISCOVERS:
            for length in range(len(subject)):
                _put(self._below, verb, subject[:length], subject)

    def prefixes(self) -> Iterator[Prefix]:
        """Of all names that it speaks of."""
        for table in (*self.allowed.values(), *self.denied.values()):
            for subject, objects in table.items():
                yield subject
                yield from objects
        for type_name, callers in self.callers.items():
            yield type_name
            yield from callers

    def allows(self, verb: str, subject: Prefix, target: Prefix) -> bool:
        """Does one of its grants cover both?"""
        return _covers(self.allowed.get(verb), subject, target)

    def denies(self, verb: str, subject: Prefix, target: Prefix) -> bool:
        """Does one of its denials cover both?"""
        return _covers(self.denied.get(verb), subject, target)

    def denies_part(self, verb: str, subject: Prefix, target: Prefix) -> bool:
        """The same, or a denial of something inside the target, for the verbs `OF_PATTERNS`."""
        table = self._touched.get(verb)
        return self.denies(verb, subject, target) or (
            table is not None and any(target in table.get(subject[:n], ()) for n in range(len(subject) + 1))
        )

    def lets_call(self, subject: Prefix, target: Prefix) -> bool:
        """Do the `callers` of the target's type have the subject among them? With none, everybody is."""
        callers = self.callers.get(target[:3])
        return callers is None or any(subject[:n] in callers for n in range(len(subject) + 1))

    def allowances(self, verb: str, who: Prefix) -> Iterator[tuple[Prefix, set[Prefix]]]:
        """What it allows to anybody in `who`: the part of `who` that it is for, and the prefixes of the object."""
        table = self.allowed.get(verb, {})
        for length in range(len(who) + 1):
            if objects := table.get(who[:length]):
                yield who, objects
        for subject in self._below.get(verb, {}).get(who, ()):
            yield subject, table[subject]


NOTHING = Side()


class Policy:
    """All sides. Make it with `compiled`, or from another one with `replaced`."""

    def __init__(self, sides: Mapping[str, Side]) -> None:
        self._sides = sides
        self._operator = sides.get(OPERATOR_SIDE, NOTHING)
        self._reaches: dict[Prefix, dict[Prefix, set[tuple[str, Prefix]]]] = {}

    @classmethod
    def compiled(
        cls,
        statements: Iterable[Statement] = (),
        callers: Mapping[Prefix, Iterable[Prefix]] | None = None,
        suspended: Iterable[str] = (),
    ) -> "Policy":
        """Of all of it at once. `callers`: for a type, who may call it; a type with none is open."""
        sides = {name: Side(suspended=True) for name in suspended}
        for owner, subject, verb, object_, allow in statements:
            sides.setdefault(owner, Side()).add(subject, verb, object_, allow)
        for type_name, patterns in (callers or {}).items():
            sides.setdefault(type_name[0], Side()).callers[type_name] = frozenset(patterns)
        return cls(sides)

    def prefixes(self) -> Iterator[Prefix]:
        """Of all names that it speaks of, some more than once."""
        for side in self._sides.values():
            yield from side.prefixes()

    def replaced(self, sides: Mapping[str, Side | None]) -> "Policy":
        """The same with other sides of these organizations; None: it says nothing any more."""
        merged = {**self._sides, **sides}
        return Policy({name: side for name, side in merged.items() if side is not None})

    def is_suspended(self, organization: str) -> bool:
        """Is this a suspended tenant?"""
        return self.side(organization).suspended

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        """May it? `discover` is allowed to whoever may watch or call the type.

        At most 25 look-ups for each table that has something on the verb.
        """
        if verb == "discover":
            return any(self.allows(each, subject, target) for each in DISCOVERS)
        mine, theirs = self.side(subject.organization), self.side(target.organization)
        if mine.suspended or theirs.suspended:
            return False
        if mine.denies(verb, subject, target) or theirs.denies(verb, subject, target):
            return False
        if subject.organization == target.organization:
            allowed = verb != "observe" or self._agree(verb, mine, theirs, subject, target)
        else:
            allowed = self._agree(verb, mine, theirs, subject, target)
        return allowed and (verb not in CALLS or theirs.lets_call(subject, target))

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        """May it do `observe` or `route` to all of the names of a pattern?

        A route holds in the view of the subject's organization alone, whose side decides; it is allowed unless denied.
        """
        mine, prefix = self.side(subject.organization), target.prefix
        theirs = mine if verb == "route" or not prefix else self.side(prefix[0])
        if mine.suspended or theirs.suspended:
            return False
        if mine.denies_part(verb, subject, prefix) or theirs.denies_part(verb, subject, prefix):
            return False
        return verb == "route" or self._agree(verb, mine, theirs, subject, prefix)

    def visible_patterns(self, who: Pattern) -> list[Pattern]:
        """Where the types of other organizations lie of which `discovers` may say that `who` may find them."""
        if not who.prefix:
            return [Pattern(())]
        return [Pattern(prefix) for prefix in sorted(self._reach(who.prefix))]

    def discovers(self, who: Pattern, target: Name) -> bool:
        """May any agent that `who` covers find this type, or an instance of it? Whoever is of the organization may."""
        own = who.prefix[:1]
        if not own or own == target[:1]:
            return True
        theirs = self.side(target.organization)
        if theirs.suspended or self.is_suspended(own[0]):
            return False
        reach = self._reach(who.prefix)
        return any(
            self._may_some(verb, subject, target)
            for length in range(5)
            for verb, subject in reach.get(target[:length], ())
        )

    def _may_some(self, verb: str, subject: Prefix, target: Name) -> bool:
        """Is the subject, a prefix that is allowed, not denied as a whole?"""
        mine, theirs = self.side(subject[0]), self.side(target.organization)
        callers = theirs.callers.get(target[:3]) if verb in CALLS else None
        parts = [subject] if callers is None else [part for c in callers if (part := _both(subject, c))]
        return any(
            not mine.denies(verb, part, target) and not theirs.denies(verb, part, target) for part in parts
        )

    def _reach(self, who: Prefix) -> dict[Prefix, set[tuple[str, Prefix]]]:
        """What is allowed across organizations to anybody in `who`: object -> verbs and parts of `who`."""
        found = self._reaches.get(who)
        if found is None:
            if len(self._reaches) >= REACH_LIMIT:
                self._reaches.clear()
            found = self._reaches[who] = {}
            for verb in DISCOVERS:
                for subject, prefix in self._agreements(verb, who):
                    if prefix[:1] != who[:1]:
                        found.setdefault(prefix, set()).add((verb, subject))
        return found

    def _agreements(self, verb: str, who: Prefix) -> Iterator[tuple[Prefix, Prefix]]:
        """What both sides, or the operator, allow: parts of `who`, and prefixes of the object."""
        for subject, objects in self._operator.allowances(verb, who):
            yield from ((subject, prefix) for prefix in objects)
        for subject, objects in self.side(who[0]).allowances(verb, who):
            for mine in objects:
                others = [mine[0]] if mine else list(self._sides)
                for other in others:
                    if other not in (who[0], OPERATOR_SIDE):
                        yield from self._answers(verb, subject, mine, other)

    def _answers(
        self, verb: str, subject: Prefix, mine: Prefix, other: str
    ) -> Iterator[tuple[Prefix, Prefix]]:
        for part, theirs in self.side(other).allowances(verb, subject):
            for prefix in theirs:
                both = _both(mine, prefix)
                if both is not None and both[:1] == (other,):
                    yield part, both

    def _agree(self, verb: str, mine: Side, theirs: Side, subject: Prefix, target: Prefix) -> bool:
        return self._operator.allows(verb, subject, target) or (
            mine.allows(verb, subject, target) and (mine is theirs or theirs.allows(verb, subject, target))
        )

    def side(self, organization: str) -> Side:
        """What this organization says; not to be changed."""
        return self._sides.get(organization, NOTHING)


def operator_statements(grants: Iterable[Grant]) -> list[Statement]:
    """The grants of the configuration. Their `publish` lets ask as well. Raises `Refused(INVALID_NAME)`."""
    return [
        Statement(OPERATOR_SIDE, subject.prefix, verb, object_.prefix)
        for grant in grants
        for subject, object_ in [grant.patterns()]
        for verb in (("publish", "request") if grant.verb == "publish" else (grant.verb,))
    ]


def _put(tables: dict[str, Table], verb: str, subject: Prefix, object_: Prefix) -> None:
    tables.setdefault(verb, {}).setdefault(subject, set()).add(object_)


def _covers(table: Table | None, subject: Prefix, target: Prefix) -> bool:
    if not table:
        return False
    for length in range(len(subject) + 1):
        objects = table.get(subject[:length])
        if objects:
            for n in range(len(target) + 1):
                if target[:n] in objects:
                    return True
    return False


def _both(one: Prefix, other: Prefix) -> Prefix | None:
    """What two prefixes have in common: the longer one, if the other is a prefix of it."""
    short, long = sorted((one, other), key=len)
    return long if long[: len(short)] == short else None
