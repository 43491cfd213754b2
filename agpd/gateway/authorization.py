"""The header `authorization` of HTTP and gRPC: a bearer token, or a client's id and secret."""

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import unquote_plus


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token (RFC 6750)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Basic:
    """A client and its secret (RFC 7617), decoded as RFC 6749 section 2.3.1 has it."""

    client: str
    secret: str = field(repr=False)


def parse(header: str) -> Bearer | Basic | None:
    """What the header shows; None for what is neither."""
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() == "bearer":
        return Bearer(text) if text else None
    return _basic(text) if scheme.lower() == "basic" else None


def _basic(text: str) -> Basic | None:
    try:
        user, _, secret = base64.b64decode(text, validate=True).decode("ascii").partition(":")
        client, secret = unquote_plus(user, errors="strict"), unquote_plus(secret, errors="strict")
    except (ValueError, binascii.Error):
        return None
    return Basic(client, secret) if client and secret else None
