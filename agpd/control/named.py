"""The service of a kind of resource that stands in a tree of names: tenants, namespaces, types.

Methods raise `Refused`: NOT_FOUND for what does not exist and for what belongs to a tenant that is not the caller's,
ALREADY_EXISTS, CONFLICT for what cannot be deleted because something is in it, NOT_PERMITTED, INVALID_NAME,
INVALID_REQUEST.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, select, true, tuple_

from agpd.control.caller import Caller, missing
from agpd.control.checks import changes, check_texts, page_of, page_size, split_name
from agpd.control.resources import Page
from agpd.control.store import Notes, Store
from agpd.errors import Code, Refused


class Named(Protocol):
    """A resource with a name."""

    name: str


Kind = TypeVar("Kind", bound=Named)
Key = tuple[str, ...]


class NamedService(ABC, Generic[Kind]):
    """`put` creates or replaces, `get`, `delete`, `list`. What differs between the kinds is in the methods with `_`."""

    kind: ClassVar[str]
    shape: ClassVar[str]  # of the key, such as organization/namespace
    table: ClassVar[Table]
    columns: ClassVar[tuple[str, ...]]  # of the key

    def __init__(self, store: Store, page_limit: int) -> None:
        self._store = store
        self._page_limit = page_limit

    async def put(self, caller: Caller, resource: Kind, *, create: bool = False) -> Kind:
        """Create or replace it; with `create` only create. What changes nothing is not in the audit log."""
        key = split_name(resource.name, self.shape)
        check_texts(resource)  # type: ignore[arg-type]
        caller.check_admin(key[0], self._called(key))
        self._check(caller, resource)

        def work(connection: Connection, notes: Notes) -> Kind:
            before = self.read(connection, key)
            if before is None:
                self._insert(connection, notes, caller, key, resource)
            elif create:
                raise Refused(Code.ALREADY_EXISTS, self._called(key))
            elif changed := changes(before, resource):  # type: ignore[arg-type]
                self._check_change(caller, changed)
                values = self._values(resource)
                connection.execute(self.table.update().where(self._is(key)).values(values))
                self._spread(connection, key, before, resource)
                notes.add(caller.label, key[0], f"{self.kind}.update", resource.name, changed)
            return resource

        return await self._store.write(work)

    async def get(self, caller: Caller, key: str) -> Kind:
        """One of the caller's tenant; operators get all."""
        segments = split_name(key, self.shape)
        caller.check_member(segments[0], self._called(segments))
        found = await self._store.read(lambda connection: self.read(connection, segments))
        if found is None:
            raise missing(self._called(segments))
        return found

    async def delete(self, caller: Caller, key: str) -> None:
        """One that nothing is in."""
        segments = split_name(key, self.shape)
        caller.check_admin(segments[0], self._called(segments))
        self._check_delete(caller, segments)

        def work(connection: Connection, notes: Notes) -> None:
            if self.read(connection, segments) is None:
                raise missing(self._called(segments))
            self._check_empty(connection, segments)
            self._clear(connection, segments)
            connection.execute(self.table.delete().where(self._is(segments)))
            notes.add(caller.label, segments[0], f"{self.kind}.delete", key)

        await self._store.write(work)

    async def list(self, caller: Caller, scope: str = "", *, after: str = "", limit: int = 0) -> Page[Kind]:
        """Those below `scope`, such as `organization`, sorted by their names, segment by segment."""
        within = self._scope(caller, scope)
        size = page_size(limit, self._page_limit, after)
        names = [self.table.c[column] for column in self.columns]
        query = select(self.table).where(self._is(within)).order_by(*names).limit(size + 1)
        if after:
            query = query.where(tuple_(*names) > tuple_(*split_name(after, self.shape)))
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return page_of([self._resource(row) for row in rows], size, lambda item: item.name)

    def read(self, connection: Connection, key: Key) -> Kind | None:
        """The resource with this key."""
        row = connection.execute(select(self.table).where(self._is(key))).first()
        return None if row is None else self._resource(row)

    def create(self, connection: Connection, notes: Notes, caller: Caller, key: Key, resource: Kind) -> None:
        """Insert it, whose parent is there, with its entry in the audit log."""
        values = self._values(resource) | dict(zip(self.columns, key, strict=True))
        connection.execute(self.table.insert().values(values))
        notes.add(caller.label, key[0], f"{self.kind}.create", resource.name)

    def _called(self, key: Key) -> str:
        return f"{self.kind} {'/'.join(key)}"

    def _is(self, key: Key) -> ColumnElement[bool]:
        """The rows whose key begins with these segments."""
        return and_(
            true(), *(self.table.c[column] == text for column, text in zip(self.columns, key, strict=False))
        )

    def _scope(self, caller: Caller, scope: str) -> Key:
        """What a list is of; checked."""
        shape = "organization/namespace" if "/" in scope and len(self.columns) > 2 else "organization"
        within = split_name(scope, shape)
        caller.check_member(within[0], f"tenant {within[0]}")
        return within

    def _values(self, resource: Kind) -> dict[str, Any]:
        """The columns that are not the key."""
        values: dict[str, Any] = msgspec.to_builtins(resource)
        del values["name"]
        return values

    @abstractmethod
    def _resource(self, row: Row[Any]) -> Kind:
        """The resource in a row of the table."""

    def _check(self, caller: Caller, resource: Kind) -> None:
        """Refuse what this kind must not hold."""

    def _check_change(self, caller: Caller, changed: Mapping[str, Any]) -> None:
        """Refuse a change of fields that this caller may not change."""

    def _check_delete(self, caller: Caller, key: Key) -> None:
        """Refuse who may not delete, and what never is."""

    @abstractmethod
    def _insert(self, connection: Connection, notes: Notes, caller: Caller, key: Key, resource: Kind) -> None:
        """Create it, if its parent is there and the caller may."""

    def _spread(self, connection: Connection, key: Key, before: Kind, after: Kind) -> None:
        """Carry a change to what depends on it."""

    def _clear(self, connection: Connection, key: Key) -> None:
        """Delete what goes with it."""

    @abstractmethod
    def _check_empty(self, connection: Connection, key: Key) -> None:
        """Refuse while something is in it."""


def check_none(connection: Connection, what: str, within: str, where: ColumnElement[bool], key: Any) -> None:
    """Raises `Refused(CONFLICT)` that says how many there are and names one, if a row is `where`. `key` is a column."""
    count, example = connection.execute(select(func.count(), func.min(key)).where(where)).one()
    if count:
        raise Refused(Code.CONFLICT, f"{within} has {count} {what}, such as {example}: delete them first")
