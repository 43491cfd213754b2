"""What has been revoked: in the database, and in memory, where every token is held against it.

A revocation says that tokens for (kind, value) that were not issued after `before` are worth nothing. It travels in the
detail of the audit event of what caused it, so all gateways of one database have it in memory as soon as they hear of
the commit, without asking.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from agpd.control.model import refresh_token, revocation
from agpd.control.resources import AuditEvent
from agpd.control.store import Notes, Store

FOREVER = float(2**53)
DETAIL = "revokes"
ASSERTION = "assertion"
SWEEP_S = 30.0


class Revocation(NamedTuple):
    """`kind` is token, client, credential (`client/credential`) or family. Times are Unix seconds."""

    kind: str
    value: str
    before: float
    until: float


def revoke(connection: Connection, revocations: Sequence[Revocation]) -> dict[str, list[list[str | float]]]:
    """Write them. What is returned belongs into the detail of the audit event of the same transaction."""
    for one in revocations:
        connection.execute(
            delete(revocation).where(revocation.c.kind == one.kind, revocation.c.value == one.value)
        )
        connection.execute(insert(revocation), one._asdict())
    return {DETAIL: [list(one) for one in revocations]}


def used_before(connection: Connection, assertions: Sequence[str]) -> set[str]:
    """Which of these assertions were used."""
    if not assertions:
        return set()
    query = select(revocation.c.value).where(
        revocation.c.kind == ASSERTION, revocation.c.value.in_(assertions)
    )
    return set(connection.execute(query).scalars())


def use_up(connection: Connection, assertions: Sequence[tuple[str, float]]) -> None:
    """Note that these were used; each could be used again until then, if it were not noted."""
    if assertions:
        rows = [Revocation(ASSERTION, value, 0.0, until)._asdict() for value, until in assertions]
        connection.execute(insert(revocation), rows)


class Revocations:
    """The revocations in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[str, str], tuple[float, float]] = {}
        self._swept = 0.0
        store.listen(self._hear)

    async def load(self) -> None:
        """Read what the database has. What was heard meanwhile is newer."""
        columns = (revocation.c.kind, revocation.c.value, revocation.c.before, revocation.c.until)
        query = select(*columns).where(revocation.c.kind != ASSERTION)
        for kind, value, before, until in await self._store.read(lambda c: c.execute(query).all()):
            self._held.setdefault((kind, value), (before, until))

    def holds(self, kind: str, value: str, issued: float) -> bool:
        """Is a token that was issued at this time for this revoked?"""
        held = self._held.get((kind, value))
        return held is not None and issued <= held[0]

    async def tick(self, now: float) -> None:
        """Forget what concerns no living token any more, and refresh tokens that have ended: each `SWEEP_S` seconds."""
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        for key in [key for key, (_, until) in self._held.items() if until <= now]:
            del self._held[key]

        def work(connection: Connection, notes: Notes) -> None:
            connection.execute(delete(revocation).where(revocation.c.until <= now))
            connection.execute(delete(refresh_token).where(refresh_token.c.expires <= now))

        await self._store.write(work)

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            for kind, value, before, until in event.detail.get(DETAIL, ()):
                self._held[kind, value] = (before, until)
