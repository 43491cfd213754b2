"""Who asks the control plane for something, and what this caller may do by role."""

import enum
from dataclasses import dataclass

from agpd.control.scopes import Scopes
from agpd.errors import Code, Refused
from agpd.names import Name, Pattern

OPERATOR_TENANT = "agpd"
"""The tenant whose administrators are operators of the whole gateway."""


class Role(enum.Enum):
    """How much a caller may do. Each may do what the ones before it may."""

    AGENT = "agent"
    ADMIN = "admin"  # of its tenant
    OPERATOR = "operator"  # of the gateway


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `pattern` are the names that it may speak as; `label` stands in the audit log.

    `scopes` are those of its token, which narrow what it may register; None: it came without a token.
    """

    organization: str
    pattern: Pattern
    role: Role
    label: str
    client: str = ""  # id of the client that the token was issued to
    scopes: Scopes | None = None

    def check_operator(self, act: str = "do this") -> None:
        """Raises `Refused(NOT_PERMITTED)`."""
        if self.role is not Role.OPERATOR:
            raise Refused(Code.NOT_PERMITTED, f"only operators of the gateway may {act}")

    def administers(self, organization: str) -> bool:
        """Is it an administrator of this tenant?"""
        own = self.role is Role.ADMIN and organization == self.organization
        return own or self.role is Role.OPERATOR

    def belongs_to(self, organization: str) -> bool:
        """May it see what belongs to this tenant?"""
        return organization == self.organization or self.role is Role.OPERATOR

    def check_admin(self, organization: str, what: str) -> None:
        """May it change what belongs to this tenant?

        Raises `Refused`: NOT_FOUND for a foreign tenant, as if `what` did not exist; NOT_PERMITTED in its own.
        """
        if self.administers(organization):
            return
        if not self.belongs_to(organization):
            raise missing(what)
        raise Refused(Code.NOT_PERMITTED, f"only administrators of {organization} may do this")

    def check_member(self, organization: str, what: str) -> None:
        """May it see what belongs to this tenant? Raises `Refused(NOT_FOUND)`, as if `what` did not exist."""
        if not self.belongs_to(organization):
            raise missing(what)

    def may_speak_as(self, name: Name) -> bool:
        """Does its credential cover this name?"""
        permitted = self.scopes is None or self.scopes.permits("register", name)
        return permitted and self.pattern.matches(name)


def missing(what: str) -> Refused:
    """The one answer for what does not exist and for what the caller may not see."""
    return Refused(Code.NOT_FOUND, what)
