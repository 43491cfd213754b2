"""The chain of the audit log: append-only, each event chained to the one before it by its digest, the end sealed.

A digest covers the event and the digest before it; the head row holds the last sequence and digest under a MAC.
Without the key of the control plane nobody can change, remove or cut off events without being found. Bringing back
an older copy of the whole database is not found: keep sequence and digest elsewhere where that matters.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, func, select

from agpd.control.model import audit, audit_head
from agpd.control.resources import AuditEvent
from agpd.control.sealing import Sealer
from agpd.errors import ConfigError

GENESIS = "0" * 64
_NOT_OURS = (
    "the audit log in the database does not end with a seal of this control.key: it was altered, or the key is "
    "another one; bring back the database and the control.key that belong together"
)


class Head(NamedTuple):
    """The end of a chain."""

    sequence: int
    digest: str


START = Head(0, GENESIS)


class Broken(Exception):
    """The chain is not what was written: `sequence` is the first that is wrong."""

    def __init__(self, sequence: int, reason: str) -> None:
        self.sequence = sequence
        self.reason = reason
        super().__init__(f"{reason} at {sequence}")


def digest(before: str, columns: Sequence[Any]) -> str:
    """SHA-256 (hex) of the digest before and of the columns sequence, at, actor, tenant, action, object, detail.

    These as a JSON array of ASCII without blanks, `detail` as its text. Whatever else stands in a column, such as
    bytes, is digested too.
    """
    body = json.dumps(columns, separators=(",", ":"), default=repr)
    return hashlib.sha256(f"{before}{body}".encode("ascii")).hexdigest()


def begin(connection: Connection, sealer: Sealer) -> None:
    """Seal the head of an empty log."""
    connection.execute(audit_head.insert().values(id=1, **START._asdict(), seal=_seal(sealer, START)))


def head(connection: Connection, sealer: Sealer, *, lock: bool = False) -> Head:
    """The head. `lock`: no other gateway moves it until the transaction ends. Raises `ConfigError`: not sealed."""
    query = select(audit_head.c.sequence, audit_head.c.digest, audit_head.c.seal)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise ConfigError(_NOT_OURS)
    found = Head(row[0], row[1])
    if not hmac.compare_digest(str(row[2]).encode(), _seal(sealer, found).encode()):
        raise ConfigError(_NOT_OURS)
    return found


def append(connection: Connection, sealer: Sealer, end: Head, events: Sequence[AuditEvent]) -> None:
    """Number the events, chain them behind `end` and write them, in the caller's transaction."""
    rows = []
    for event in events:
        detail = msgspec.json.encode(event.detail, order="sorted").decode()
        event.sequence = end.sequence + 1
        row = {**msgspec.structs.asdict(event), "detail": detail}
        event.digest = row["digest"] = digest(end.digest, list(row.values())[:-1])
        end = Head(event.sequence, event.digest)
        rows.append(row)
    connection.execute(audit.insert(), rows)
    connection.execute(audit_head.update().values(**end._asdict(), seal=_seal(sealer, end)))


def events_after(connection: Connection, sequence: int, limit: int, tenant: str = "") -> list[AuditEvent]:
    """The next events, of one tenant or of all."""
    query = select(audit).where(audit.c.sequence > sequence).order_by(audit.c.sequence).limit(limit)
    if tenant:
        query = query.where(audit.c.tenant == tenant)
    return [_event(row) for row in connection.execute(query)]


def deleted(connection: Connection, tenant: str) -> int:
    """The sequence of the last event that says that this tenant was deleted; 0: it never was."""
    query = select(func.max(audit.c.sequence)).where(
        audit.c.tenant == tenant, audit.c.action == "tenant.delete"
    )
    return connection.scalar(query) or 0


def follow(connection: Connection, end: Head, limit: int) -> Head:
    """The end of the chain after the next `limit` events behind `end`. Raises `Broken`."""
    for row in _raw_rows(connection, end.sequence, limit):
        columns: list[Any] = list(row)
        written = columns.pop()
        if columns[0] != end.sequence + 1:
            raise Broken(end.sequence + 1, "an event is missing")
        if digest(end.digest, columns) != written:
            raise Broken(end.sequence + 1, "an event is not what was written")
        end = Head(columns[0], written)
    return end


def last(connection: Connection) -> int:
    """The highest sequence in the log; 0: it is empty."""
    return connection.scalar(select(func.max(audit.c.sequence))) or 0


def _raw_rows(connection: Connection, sequence: int, limit: int) -> Iterable[Row[Any]]:
    """The columns as they are stored. SQLite may hold text that is none: it is read all the same."""
    query = select(audit).where(audit.c.sequence > sequence).order_by(audit.c.sequence).limit(limit)
    if connection.dialect.name != "sqlite":
        return connection.execute(query).all()
    driver: Any = connection.connection.dbapi_connection
    driver.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        return connection.execute(query).all()
    finally:
        driver.text_factory = str


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(**{**row._mapping, "detail": msgspec.json.decode(row.detail)})


def _seal(sealer: Sealer, end: Head) -> str:
    return sealer.mac(f"{end.sequence}:{end.digest}".encode("utf-8", "replace"), "audit head").hex()
