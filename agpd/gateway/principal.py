"""Who a connection is: the one fact that the transport hands to the hub.

The transport reads it off the client certificate; the hub asks it who may speak as whom. Nothing here knows
X.509, so the gateway's core stays free of cryptography.
"""

from dataclasses import dataclass

from agpd.names import Name, Pattern


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated peer.

    `key_fingerprint` is the SHA-256 of the public key (SPKI, DER): it stays the same when a certificate is
    renewed for the same key. `issuer` (DER of the issuer's name) and `serial` identify the certificate,
    `not_after` is when it ends (Unix seconds), `label` is what to print.
    """

    pattern: Pattern
    key_fingerprint: bytes
    serial: int
    not_after: float
    label: str
    issuer: bytes = b""

    def may_speak_as(self, name: Name) -> bool:
        """May this peer register and send under that name?"""
        return self.pattern.matches(name)


PLAINTEXT = Principal(Pattern(()), b"", 0, float("inf"), "plaintext")
"""Everybody on a listener without TLS: any name, no key, so nothing that asks for the same key succeeds."""
