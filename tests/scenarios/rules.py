"""Rules for tests: of the router alone, and policies written as lines of text."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from agpd.control.policy import OPERATOR_SIDE, Policy, Statement
from agpd.names import Name, Pattern, parse_pattern


class Crossing:
    """Inside an organization everything but observing is allowed, the rest is asked: `may_cross(verb, agent, target)`.

    The target of observe is the namespace, as the name `org/ns/*`.
    """

    def __init__(self, may_cross: Callable[[str, Name, Name], bool]) -> None:
        self.may_cross = may_cross

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        return subject.organization == target.organization or self.may_cross(verb, subject, target)

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        return verb == "route" or self.may_cross(verb, subject, Name(*target.prefix, "*"))


def policy(
    *lines: str, callers: Mapping[str, Iterable[str]] | None = None, suspended: Iterable[str] = ()
) -> Policy:
    """Compiled from lines such as `acme: allow acme/* publish globex/*`; `operator:` is the configuration."""
    return Policy.compiled(
        map(statement, lines),
        {prefix(name): [prefix(each) for each in patterns] for name, patterns in (callers or {}).items()},
        suspended,
    )


def statement(line: str) -> Statement:
    """One line of `policy`."""
    owner, effect, subject, verb, target = line.replace(":", "").split()
    owner = OPERATOR_SIDE if owner == "operator" else owner
    assert effect in ("allow", "deny"), line
    return Statement(owner, prefix(subject), verb, prefix(target), effect == "allow")


def prefix(pattern: str) -> tuple[str, ...]:
    """The segments of a pattern."""
    return parse_pattern(pattern).prefix


def begins(whole: Iterable[str], part: tuple[str, ...]) -> bool:
    return tuple(whole)[: len(part)] == part


class Naive:
    """A policy that reads all rules for each question. `sides` are the organizations that have to agree."""

    def __init__(
        self,
        rules: Sequence[Statement],
        callers: Mapping[tuple[str, ...], Iterable[tuple[str, ...]]],
        suspended: Collection[str],
    ) -> None:
        self.rules, self.callers, self.suspended = rules, callers, suspended

    def said(self, owner: str, verb: str, subject: Name, target: tuple[str, ...], allow: bool) -> bool:
        return any(
            rule.owner == owner
            and rule.verb == verb
            and rule.allow == allow
            and begins(subject, rule.subject)
            and (
                begins(target, rule.object)
                or (not allow and verb in ("observe", "route") and begins(rule.object, target))
            )
            for rule in self.rules
        )

    def allows(self, verb: str, subject: Name, target: tuple[str, ...], sides: list[str]) -> bool:
        if set(sides) & set(self.suspended) or any(
            self.said(side, verb, subject, target, False) for side in sides
        ):
            return False
        listed = self.callers.get(target[:3]) if verb in ("publish", "request") else None
        if listed and not any(begins(subject, each) for each in listed):
            return False
        by_default = verb == "route" or (len(set(sides)) == 1 and verb != "observe")
        agreed = all(self.said(side, verb, subject, target, True) for side in sides)
        return by_default or agreed or self.said(OPERATOR_SIDE, verb, subject, target, True)
