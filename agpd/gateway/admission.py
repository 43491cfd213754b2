"""May this principal do this? Verdicts raise `Refused`; the answers are remembered in handles and flows."""

from collections.abc import Iterable
from typing import NamedTuple

from agpd.config import Limits
from agpd.errors import Code, Refused
from agpd.gateway.link import Link
from agpd.names import Name, Pattern


class Grant(NamedTuple):
    """`subject` may do `verb` to `object`."""

    subject: Pattern
    verb: str
    object: Pattern


class Admission:
    """The grants and the limits of one gateway."""

    def __init__(self, grants: Iterable[Grant], limits: Limits, *, require_token: bool = False) -> None:
        self.limits = limits
        self.require_token = require_token
        self._grants: dict[str, list[Grant]] = {}
        for grant in grants:
            self._grants.setdefault(grant.verb, []).append(grant)

    def may_cross(self, verb: str, subject: Name, target: Name) -> bool:
        """Do the grants allow what is not allowed by itself: other organizations, and observing?"""
        return any(
            grant.subject.matches(subject) and grant.object.matches(target)
            for grant in self._grants.get(verb, ())
        )

    def check_register(self, link: Link, name: Name) -> None:
        """Raises `Refused` unless certificate and token cover the name and the limit is not reached."""
        principal = link.principal
        if self.require_token and principal.access is None:
            raise Refused(
                Code.NOT_PERMITTED,
                "this gateway asks for an access token beside the certificate: pass connect(credentials=...)",
            )
        if not principal.may_speak_as(name):
            what = "certificate names" if principal.access is None else "certificate and token allow"
            raise Refused(Code.NOT_PERMITTED, f"{name} is outside {principal.speaks_as}, which the {what}")
        if not principal.permits("register", name):
            raise Refused(Code.NOT_PERMITTED, f"the scopes of the token do not allow to register {name}")
        if len(link.sources) >= self.limits.agents_per_connection:
            raise Refused(Code.TOO_MANY_AGENTS, f"{self.limits.agents_per_connection} agents")

    def check_room(self, held: int, limit: int, code: Code) -> None:
        """Raises `Refused(code)` when a link holds as many of something as it may."""
        if held >= limit:
            raise Refused(code, f"the limit is {limit}")
