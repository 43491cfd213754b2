"""Scopes: what a token lets its holder do, as far as the grants allow it too.

Written `agp:<verb>:<pattern>`, `agp:admin` and `offline_access`, with spaces between. `agp:publish` covers `request`:
whoever may send to a name may ask it; `agp:request` does not cover `publish`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agpd.control.resources import VERBS
from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, parse_pattern

ADMIN = "agp:admin"
OFFLINE = "offline_access"
TEXT_LIMIT = 1400
"""Longest list of scopes, in characters: a token must fit into the first frame of a connection."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """A set of scopes. `patterns` are pairs of a verb and a pattern."""

    patterns: frozenset[tuple[str, Pattern]] = frozenset()
    admin: bool = False
    offline: bool = False

    def __str__(self) -> str:
        texts = sorted(f"agp:{verb}:{pattern}" for verb, pattern in self.patterns)
        return " ".join(texts + [ADMIN] * self.admin + [OFFLINE] * self.offline)

    def __bool__(self) -> bool:
        return bool(self.patterns) or self.admin or self.offline

    def permits(self, verb: str, name: Name) -> bool:
        """May its holder do `verb` to this name?"""
        return any(pattern.matches(name) for pattern in self._of(verb))

    def permits_pattern(self, verb: str, pattern: Pattern) -> bool:
        """May its holder do `verb` to every name of this pattern?"""
        return any(pattern.prefix[: len(own.prefix)] == own.prefix for own in self._of(verb))

    def covers(self, other: "Scopes") -> bool:
        """Does everything that `other` permits follow from these? Both flags count too."""
        if (other.admin and not self.admin) or (other.offline and not self.offline):
            return False
        return all(self.permits_pattern(verb, pattern) for verb, pattern in other.patterns)

    def intersection(self, other: "Scopes") -> "Scopes":
        """What both permit."""
        both = {
            (verb, pattern)
            for verb in VERBS
            for one in self._of(verb)
            for two in other._of(verb)
            if (pattern := meet(one, two)) is not None
        }
        return Scopes(_shortest(both), self.admin and other.admin, self.offline and other.offline)

    def union(self, other: "Scopes") -> "Scopes":
        """What either permits."""
        return Scopes(
            _shortest(self.patterns | other.patterns),
            self.admin or other.admin,
            self.offline or other.offline,
        )

    def of_verb(self, verb: str) -> "Scopes":
        """Those of one verb."""
        return Scopes(frozenset(pair for pair in self.patterns if pair[0] == verb))

    def without(self, verb: str) -> "Scopes":
        """Those of all other verbs, with the flags."""
        return Scopes(frozenset(pair for pair in self.patterns if pair[0] != verb), self.admin, self.offline)

    def _of(self, verb: str) -> list[Pattern]:
        verbs = ("publish", "request") if verb == "request" else (verb,)
        return [pattern for own, pattern in self.patterns if own in verbs]


def meet(one: Pattern, two: Pattern) -> Pattern | None:
    """The names that both patterns hold; None if there are none."""
    short, long = sorted((one.prefix, two.prefix), key=len)
    return Pattern(long) if long[: len(short)] == short else None


def parse(text: str) -> Scopes:
    """Scopes as OAuth writes them, separated by single spaces. Raises `Refused(INVALID_REQUEST)`."""
    if len(text) > TEXT_LIMIT:
        raise Refused(
            Code.INVALID_REQUEST, f"the scopes have {len(text)} characters, at most {TEXT_LIMIT} fit"
        )
    return parse_each(text.split(" ")) if text else Scopes()


def parse_each(texts: Iterable[str]) -> Scopes:
    """Scopes from one text each. Raises `Refused(INVALID_REQUEST)`."""
    patterns: set[tuple[str, Pattern]] = set()
    admin = offline = False
    for text in texts:
        if text == ADMIN:
            admin = True
        elif text == OFFLINE:
            offline = True
        else:
            patterns.add(_parse_one(text))
    return Scopes(_shortest(patterns), admin, offline)


def everything(agent: Pattern) -> Scopes:
    """What a client may do that is not limited by scopes: all that the grants allow to `agent`."""
    pairs = {(verb, Pattern(())) for verb in VERBS if verb not in ("register", "request")}
    return Scopes(frozenset(pairs | {("register", agent)}))


def _parse_one(text: str) -> tuple[str, Pattern]:
    start, _, rest = text.partition(":")
    verb, _, pattern = rest.partition(":")
    if start != "agp" or verb not in VERBS:
        raise Refused(
            Code.INVALID_REQUEST,
            f"unknown scope {text[:80]!a}: write agp:<verb>:<pattern> with a verb of {', '.join(VERBS)}, "
            f"such as agp:publish:acme/prod/*, or {ADMIN}, or {OFFLINE}",
        )
    try:
        return verb, parse_pattern(pattern)
    except Refused as error:
        raise Refused(Code.INVALID_REQUEST, f"scope {text[:80]!a}: {error.detail}") from None


def _shortest(pairs: Iterable[tuple[str, Pattern]]) -> frozenset[tuple[str, Pattern]]:
    """Without those that another one covers."""
    kept: list[tuple[str, Pattern]] = []
    for verb, pattern in sorted(pairs, key=lambda pair: (VERBS.index(pair[0]), len(pair[1].prefix))):
        if not Scopes(frozenset(kept)).permits_pattern(verb, pattern):
            kept.append((verb, pattern))
    return frozenset(kept)
