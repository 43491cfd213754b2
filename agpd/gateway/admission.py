"""May this principal do this? Verdicts raise `Refused`; the answers are remembered in handles and flows."""

from collections.abc import Iterable
from typing import Protocol

from agpd.config import Limits
from agpd.errors import Code, Refused
from agpd.gateway.link import Link
from agpd.names import Name, Pattern


class Policy(Protocol):
    """Who may do what to whom. It never changes: another one takes its place."""

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        """May the subject do this to the target? Verbs: publish, request, subscribe, watch; register, of itself."""

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        """The same for the verbs whose object is a pattern: observe, route."""

    def prefixes(self) -> Iterable[tuple[str, ...]]:
        """Of the names that it speaks of: up to four segments."""

    def is_suspended(self, organization: str) -> bool:
        """Is this organization shut out?"""


class Admission:
    """The policy and the limits of one gateway."""

    def __init__(self, policy: Policy, limits: Limits, *, require_token: bool = False) -> None:
        self.policy = policy
        self.limits = limits
        self.require_token = require_token

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        """What the present policy says."""
        return self.policy.allows(verb, subject, target)

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        """What the present policy says."""
        return self.policy.allows_pattern(verb, subject, target)

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
        if not self.policy.allows("register", name, name):
            raise Refused(Code.NOT_PERMITTED, f"register {name}")
        if len(link.sources) >= self.limits.agents_per_connection:
            raise Refused(Code.TOO_MANY_AGENTS, f"{self.limits.agents_per_connection} agents")

    def check_room(self, held: int, limit: int, code: Code) -> None:
        """Raises `Refused(code)` when a link holds as many of something as it may."""
        if held >= limit:
            raise Refused(code, f"the limit is {limit}")
