"""Who a connection is: the one fact that the transport hands to the hub.

The transport reads it off the client certificate; an access token may narrow it (`tokens.py`). The hub asks it who may
speak as whom. Nothing here knows X.509 or tokens, so the gateway's core stays free of cryptography.
"""

from dataclasses import dataclass
from typing import Protocol

from agpd.names import Name, Pattern


class Rights(Protocol):
    """The scopes of a token."""

    def permits(self, verb: str, name: Name) -> bool:
        """May its holder do `verb` to `name`, as far as the token goes?"""

    def permits_pattern(self, verb: str, pattern: Pattern) -> bool:
        """The same for the verbs whose object is a pattern: observe, route."""


class Access(Protocol):
    """A verified token. Times are Unix seconds."""

    @property
    def organization(self) -> str: ...
    @property
    def pattern(self) -> Pattern: ...
    @property
    def scopes(self) -> Rights: ...
    @property
    def issued(self) -> float: ...
    @property
    def expires(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated peer.

    `pattern` are the names that its certificate allows, `access` is the token that narrows them. Whoever has a token
    alone has no key, and its pattern is the token's.
    `key_fingerprint` is the SHA-256 of the public key (SPKI, DER): it stays the same when a certificate is
    renewed for the same key. `issuer` (DER of the issuer's name) and `serial` identify the certificate, `thumbprint`
    (`x5t#S256` of RFC 8705) the whole of it, `not_after` is when it ends (Unix seconds), `label` is what to print.
    """

    pattern: Pattern
    key_fingerprint: bytes
    serial: int
    not_after: float
    label: str
    issuer: bytes = b""
    thumbprint: str = ""
    access: Access | None = None

    @property
    def speaks_as(self) -> Pattern:
        """The names that certificate and token allow together."""
        both = self.pattern if self.access is None else narrower(self.pattern, self.access.pattern)
        assert both is not None, "a token that does not fit the certificate is not accepted"
        return both

    @property
    def organization(self) -> str:
        """Whose quotas it uses; empty if it may speak as agents of any organization."""
        return next(iter(self.speaks_as.prefix), "")

    def may_speak_as(self, name: Name) -> bool:
        """May this peer register and send under that name?"""
        return self.speaks_as.matches(name)

    def permits(self, verb: str, name: Name) -> bool:
        """Does its token, if it has one, allow this?"""
        return self.access is None or self.access.scopes.permits(verb, name)

    def permits_pattern(self, verb: str, pattern: Pattern) -> bool:
        """The same for the verbs whose object is a pattern: observe, route."""
        return self.access is None or self.access.scopes.permits_pattern(verb, pattern)


def narrower(one: Pattern, other: Pattern) -> Pattern | None:
    """The names that both patterns hold; None if there are none."""
    short, long = sorted((one, other), key=lambda pattern: len(pattern.prefix))
    return long if long.prefix[: len(short.prefix)] == short.prefix else None


PLAINTEXT = Principal(Pattern(()), b"", 0, float("inf"), "plaintext")
"""Everybody on a listener without TLS: any name, no key, so nothing that asks for the same key succeeds."""
