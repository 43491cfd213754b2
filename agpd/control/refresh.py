"""Refresh tokens: each can be used once, and only its hash is kept.

All that follow from one login are a family. Whoever uses one a second time may have stolen it, so the whole family ends
then, with its access tokens. One exception: an answer may get lost, so the same certificate may repeat a refresh within
`GRACE_S`.
"""

import base64
import hashlib
import os
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from agpd.control.model import refresh_token
from agpd.control.oauth_error import OAuthError
from agpd.control.revocations import Revocation, revoke
from agpd.control.store import Notes

PREFIX = "agpr_"
GRACE_S = 10.0
TEXT_LIMIT = 128


class Kept(NamedTuple):
    """A refresh token as the database has it. Times are Unix seconds."""

    family: str
    client: str
    credential: str
    scope: str
    thumbprint: str
    expires: float
    used: float


def make() -> str:
    """The text of a new refresh token: 256 random bits."""
    return PREFIX + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def find(connection: Connection, text: str) -> Kept | None:
    """What is kept of this refresh token; None if there is no such token."""
    columns = [refresh_token.c[name] for name in Kept._fields]
    row = connection.execute(select(*columns).where(refresh_token.c.hash == _hash(text))).first()
    return None if row is None else Kept._make(row)


def keep(connection: Connection, text: str, kept: Kept) -> None:
    """Write a new refresh token."""
    connection.execute(insert(refresh_token), {"hash": _hash(text), **kept._asdict()})


class Reused(Exception):
    """A refresh token was used before, and this is no repetition that is forgiven."""


def use(connection: Connection, text: str, thumbprint: str, now: float) -> None:
    """Use it up. Raises `Reused`; `OAuthError` if it is unknown or has expired."""
    kept = find(connection, text)
    if kept is None or kept.expires <= now:
        raise unknown()
    if kept.used:
        if not is_forgiven(kept, thumbprint, now):
            raise Reused
        return
    connection.execute(update(refresh_token).where(refresh_token.c.hash == _hash(text)).values(used=now))


def is_forgiven(kept: Kept, thumbprint: str, now: float) -> bool:
    """May one that was used be used once more, from a connection with this certificate?"""
    return bool(thumbprint) and thumbprint == kept.thumbprint and now - kept.used <= GRACE_S


def end_family(
    connection: Connection, notes: Notes, tenant: str, kept: Kept, action: str, life_s: float
) -> None:
    """End all refresh tokens of the family, and the access tokens that came with them, which live so long."""
    connection.execute(delete(refresh_token).where(refresh_token.c.family == kept.family))
    detail = revoke(connection, [Revocation("family", kept.family, notes.now, notes.now + life_s)])
    notes.add(kept.client, tenant, action, kept.client, {"family": kept.family, **detail})


def unknown() -> OAuthError:
    """The one answer to a refresh token that is not good."""
    return OAuthError("invalid_grant", "the refresh token is unknown, used, expired or revoked; log in again")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text[:TEXT_LIMIT].encode(errors="replace")).digest()
