"""Rules for tests of the router: inside an organization everything but observing is allowed, the rest is asked."""

from collections.abc import Callable

from agpd.names import Name, Pattern


class Crossing:
    """`may_cross(verb, agent that acts, target)`. The target of observe is the namespace, as the name `org/ns/*`."""

    def __init__(self, may_cross: Callable[[str, Name, Name], bool]) -> None:
        self.may_cross = may_cross

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        return subject.organization == target.organization or self.may_cross(verb, subject, target)

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        return verb == "route" or self.may_cross(verb, subject, Name(*target.prefix, "*"))
