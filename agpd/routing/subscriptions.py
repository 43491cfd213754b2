"""The trie: organization -> namespace -> type -> instance, and the entries that messages are routed by.

An entry lives while somebody needs it (occupies, pins, watches it, or lives below it). Whoever holds one
routes by it without a look-up, and it stays the same object with the same number while it lives.

The first level is the tenant: no table below it is shared between two organizations. A *detached* entry names
something of another organization without being in its tables: it belongs to the tenant that asked, never
has members, and only that tenant's routes can carry what is sent to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from agpd.names import Name

if TYPE_CHECKING:
    from agpd.routing.connections import Agent, Link
    from agpd.routing.routes import Route


class Tenant:
    """Everything that exists in the view of one organization. `changes` counts changes of its routes."""

    __slots__ = ("changes", "detached", "name", "namespaces", "routes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespaces: dict[str, Namespace] = {}
        self.routes: dict[tuple[str, ...], Route] = {}
        self.detached: dict[Name, Entry] = {}
        self.changes = 0


class Namespace:
    """One namespace of a tenant. `changes` counts changes of its observers."""

    __slots__ = ("changes", "name", "observers", "tenant", "types")

    def __init__(self, tenant: Tenant, name: str) -> None:
        self.tenant = tenant
        self.name = name
        self.types: dict[str, TypeEntry] = {}
        self.observers: dict[Agent, None] = {}
        self.changes = 0


class _Entry:
    __slots__ = ("home", "name", "number", "packed", "pins")

    def __init__(self, number: int, name: Name, home: Tenant) -> None:
        self.number = number
        self.packed = number.to_bytes(4, "big")  # as it stands in a frame
        self.name = name
        self.home = home
        self.pins = 0

    @property
    def tenant(self) -> str:
        """The organization in whose view the entry exists."""
        return self.home.name

    @property
    def detached(self) -> bool:
        """Does it name something of another organization, without being in that one's tables?"""
        return self.name.organization != self.home.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} {self.name} of {self.tenant}>"


class InstanceEntry(_Entry):
    """An address of one agent. `link` and `agent` are None while nobody occupies it.

    `type` is None only if detached; `place` is its index in `type.members` while it is a member, else -1: an address
    may be occupied without taking part in its type.
    """

    __slots__ = ("agent", "link", "place", "type")

    def __init__(self, number: int, name: Name, home: Tenant, type_entry: TypeEntry | None) -> None:
        super().__init__(number, name, home)
        self.type = type_entry
        self.link: Link | None = None
        self.agent: Agent | None = None
        self.place = -1


class TypeEntry(_Entry):
    """A type or topic. `members` take part in it, in no order; `instances` are all that are occupied or pinned."""

    __slots__ = ("changes", "instances", "members", "namespace", "watchers")
    link: ClassVar[None] = None  # a type is on no link; the forwarding loop asks either kind of entry

    def __init__(self, number: int, name: Name, home: Tenant, namespace: Namespace) -> None:
        super().__init__(number, name, home)
        self.namespace = namespace
        self.members: list[InstanceEntry] = []
        self.instances: dict[str, InstanceEntry] = {}
        self.watchers: dict[Agent, None] = {}
        self.changes = 0

    @property
    def version(self) -> int:
        """Grows whenever who gets a broadcast to it may change: by members, observers or routes."""
        return self.changes + self.namespace.changes + self.home.changes


Entry = InstanceEntry | TypeEntry


class TypeChange(NamedTuple):
    """A type or topic is in use from now on, or no more."""

    name: Name
    in_use: bool


class Presence(NamedTuple):
    """To tell `watcher`, over `link`: the instance `name` is here, or is gone."""

    link: Link
    watcher: Agent
    name: Name
    present: bool


class Subscriptions:
    """The trie. Each operation is O(depth), whatever else is subscribed.

    `numbers` yields 1 to 2**32 - 1; it may come round, numbers in use are passed over.
    """

    def __init__(self, numbers: Callable[[], int]) -> None:
        self._numbers = numbers
        self.tenants: dict[str, Tenant] = {}
        self.entries: dict[int, Entry] = {}
        self.dead: list[Entry] = []
        self.types: list[TypeChange] | None = None  # that have come and gone, if anybody wants to know

    def tenant(self, organization: str) -> Tenant:
        """The tenant, made if absent."""
        found = self.tenants.get(organization)
        if found is None:
            found = self.tenants[organization] = Tenant(organization)
        return found

    def namespace(self, organization: str, name: str) -> Namespace:
        """The namespace, made if absent."""
        tenant = self.tenant(organization)
        found = tenant.namespaces.get(name)
        if found is None:
            found = tenant.namespaces[name] = Namespace(tenant, name)
        return found

    def type(self, name: Name) -> TypeEntry:
        """The entry of a type or topic, made if absent."""
        namespace = self.namespace(name.organization, name.namespace)
        found = namespace.types.get(name.type)
        if found is None:
            found = TypeEntry(self._number(), name.type_name, namespace.tenant, namespace)
            namespace.types[name.type] = self.entries[found.number] = found
            if self.types is not None:
                self.types.append(TypeChange(found.name, True))
        return found

    def find_type(self, name: Name) -> TypeEntry | None:
        """The entry of a type or topic, if there is one."""
        tenant = self.tenants.get(name.organization)
        namespace = None if tenant is None else tenant.namespaces.get(name.namespace)
        return None if namespace is None else namespace.types.get(name.type)

    def instance(self, name: Name) -> InstanceEntry:
        """The entry of an instance, made if absent."""
        of = self.type(name)
        found = of.instances.get(name.instance)
        if found is None:
            found = InstanceEntry(self._number(), name, of.home, of)
            of.instances[name.instance] = self.entries[found.number] = found
        return found

    def detached(self, organization: str, name: Name) -> Entry:
        """The entry of a foreign name in the view of `organization` alone, made if absent."""
        home = self.tenant(organization)
        found = home.detached.get(name)
        if found is None:
            number = self._number()
            if name.is_instance:
                found = InstanceEntry(number, name, home, None)
            else:
                # A namespace of its own, in no table: nobody can observe it.
                found = TypeEntry(number, name, home, Namespace(home, name.namespace))
            home.detached[name] = self.entries[number] = found
        return found

    def _number(self) -> int:
        number = self._numbers()
        while number in self.entries:
            number = self._numbers()
        return number

    def occupy(self, entry: InstanceEntry, agent: Agent) -> None:
        """Let `agent` be reached at a free entry of the trie."""
        assert entry.agent is None, f"{entry} is taken"
        entry.agent, entry.link = agent, agent.link

    def enlist(self, entry: InstanceEntry) -> list[Presence]:
        """Let an occupied entry take part in its type. Returns whom to tell; again changes nothing."""
        of, agent = entry.type, entry.agent
        assert of is not None
        assert agent is not None, f"{entry} is free"
        if entry.place >= 0:
            return []
        entry.place = len(of.members)
        of.members.append(entry)
        of.changes += 1
        return _tell(of, agent, entry.name, True)

    def delist(self, entry: InstanceEntry) -> list[Presence]:
        """Let it take part no more. Returns whom to tell; again changes nothing."""
        of, agent = entry.type, entry.agent
        assert of is not None
        assert agent is not None, f"{entry} is free"
        if entry.place < 0:
            return []
        last = of.members.pop()
        if last is not entry:  # the last takes the free place: O(1) at any size
            of.members[entry.place] = last
            last.place = entry.place
        entry.place = -1
        of.changes += 1
        return _tell(of, agent, entry.name, False)

    def vacate(self, entry: InstanceEntry) -> list[Presence]:
        """Free an occupied entry; it dies if nobody pins it. Returns whom to tell."""
        presence = self.delist(entry)
        entry.agent, entry.link = None, None
        self.release(entry)
        return presence

    def release(self, entry: Entry) -> None:
        """Bury an entry that nobody needs, and whatever only it kept alive."""
        if isinstance(entry, InstanceEntry):
            if entry.pins or entry.agent is not None:
                return
        elif entry.pins or entry.instances or entry.watchers:
            return
        del self.entries[entry.number]
        self.dead.append(entry)
        self._unlink(entry)

    def _unlink(self, entry: Entry) -> None:
        if entry.detached:
            del entry.home.detached[entry.name]
            self.release_tenant(entry.home)
        elif isinstance(entry, TypeEntry):
            del entry.namespace.types[entry.name.type]
            if self.types is not None:
                self.types.append(TypeChange(entry.name, False))
            self.release_namespace(entry.namespace)
        else:
            assert entry.type is not None
            del entry.type.instances[entry.name.instance]
            self.release(entry.type)

    def release_namespace(self, namespace: Namespace) -> None:
        """Forget a namespace that nobody is in and nobody observes."""
        if not namespace.types and not namespace.observers:
            del namespace.tenant.namespaces[namespace.name]
            self.release_tenant(namespace.tenant)

    def release_tenant(self, tenant: Tenant) -> None:
        """Forget a tenant of which nothing is left. Its routes end with the agents they go through."""
        if not tenant.namespaces and not tenant.detached:
            del self.tenants[tenant.name]


def _tell(of: TypeEntry, about: Agent, name: Name, present: bool) -> list[Presence]:
    """Everybody who watches, except the one it is about."""
    if not of.watchers:
        return []
    return [Presence(agent.link, agent, name, present) for agent in of.watchers if agent is not about]
