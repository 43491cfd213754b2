"""The audit log as a service: who did what, and whether the log is still what was written."""

from sqlalchemy import Connection

from agpd.control import chain
from agpd.control.caller import Caller, Role
from agpd.control.resources import AuditCheck, AuditEvent, Page
from agpd.control.store import Store
from agpd.errors import Code, ConfigError, Refused

CHUNK = 200  # events that are checked at a time, 2 ms


class Audit:
    """Reads the log. Nothing here changes it: writes of the store do."""

    def __init__(self, store: Store, page_limit: int) -> None:
        self._store = store
        self._page_limit = page_limit

    async def events(
        self, caller: Caller, tenant: str = "", after: str = "", limit: int = 0
    ) -> Page[AuditEvent]:
        """Events of a tenant, the oldest first; for operators and the empty name, of all.

        Administrators see none of a tenant that had the same name before, and was deleted.
        Raises `Refused`: NOT_FOUND, NOT_PERMITTED, INVALID_REQUEST (`after` is not what a page had as `next`).
        """
        if tenant:
            caller.check_admin(tenant, f"tenant {tenant}")
        else:
            caller.check_operator()
        limit = min(limit or self._page_limit, self._page_limit)
        sequence = _sequence(after)

        def work(connection: Connection) -> list[AuditEvent]:
            past = 0 if caller.role is Role.OPERATOR else chain.deleted(connection, tenant)
            return chain.events_after(connection, max(sequence, past), limit + 1, tenant)

        found = await self._store.read(work)
        items = found[:limit]
        return Page(items=items, next=str(items[-1].sequence) if len(found) > limit else "")

    async def verify(self, caller: Caller) -> AuditCheck:
        """Check the whole log, a part at a time. Raises `Refused(NOT_PERMITTED)`: it is for operators."""
        caller.check_operator()
        return await verify(self._store)


async def verify(store: Store) -> AuditCheck:
    """Follow the chain from its start to the sealed head."""
    try:
        head, last = await store.read(
            lambda connection: (chain.head(connection, store.sealer), chain.last(connection))
        )
    except ConfigError as error:
        return AuditCheck(intact=False, sequence=0, digest="", reason=str(error))
    end = chain.START
    try:
        while end.sequence < head.sequence:
            end = await _follow(store, end, head.sequence - end.sequence)
        if end != head:
            raise chain.Broken(end.sequence, "the last event is not what was written")
        if last > head.sequence:
            raise chain.Broken(head.sequence + 1, "an event was added behind the end")
    except chain.Broken as broken:
        return AuditCheck(
            intact=False,
            sequence=head.sequence,
            digest=head.digest,
            broken=broken.sequence,
            reason=broken.reason,
        )
    return AuditCheck(intact=True, sequence=head.sequence, digest=head.digest)


async def _follow(store: Store, end: chain.Head, rest: int) -> chain.Head:
    reached = await store.read(lambda connection: chain.follow(connection, end, min(rest, CHUNK)))
    if reached == end:
        raise chain.Broken(end.sequence + 1, "events are missing at the end")
    return reached


def _sequence(after: str) -> int:
    if not after:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise Refused(Code.INVALID_REQUEST, "after is not the `next` of a page")
    return int(after)
