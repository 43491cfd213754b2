"""The audit log: append-only, each entry chained to the one before it by its digest."""

import hashlib
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from agpd.control.model import audit
from agpd.control.resources import AuditEvent

GENESIS = "0" * 64


def digest(before: str, event: AuditEvent) -> str:
    """SHA-256 (hex) of the digest before and of the event without its own."""
    body = msgspec.structs.asdict(event)
    del body["digest"]
    return hashlib.sha256(before.encode() + msgspec.json.encode(body, order="sorted")).hexdigest()


def append(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Number the events, chain them and write them, in the caller's transaction."""
    row = connection.execute(
        select(audit.c.sequence, audit.c.digest).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence, before = (0, GENESIS) if row is None else (row[0], row[1])
    for event in events:
        sequence += 1
        event.sequence = sequence
        before = event.digest = digest(before, event)
    connection.execute(audit.insert(), [msgspec.structs.asdict(event) for event in events])
