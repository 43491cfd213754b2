"""Tenants, their namespaces, and the types of agents in those: three kinds of `NamedService`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_

from agpd.control import spreading, tags
from agpd.control.caller import OPERATOR_TENANT, Caller, Role, missing
from agpd.control.checks import split_name
from agpd.control.model import agent, agent_type, client, grant, issuer, namespace, route, signing_key, tenant
from agpd.control.named import Key, NamedService, check_none
from agpd.control.resources import AgentType, Namespace, Quotas, Tenant
from agpd.control.store import Notes
from agpd.errors import Code, Refused
from agpd.names import Name, parse_pattern

PARTS_IN_A_TICK = 20
OPERATORS_FIELDS = frozenset({"suspended", "quotas"})


class Tenants(NamedService[Tenant]):
    """Operators write them; a tenant's administrators change its title and `require_encryption`.

    Key: `organization`.
    """

    kind, shape, table, columns = "tenant", "organization", tenant, ("name",)

    def _scope(self, caller: Caller, scope: str) -> Key:
        """All for operators, its own for everybody else; `scope` is empty."""
        if scope:
            raise Refused(Code.INVALID_REQUEST, "tenants are in no scope")
        return () if caller.role is Role.OPERATOR else (caller.organization,)

    def _resource(self, row: Row[Any]) -> Tenant:
        return Tenant(
            name=row.name,
            title=row.title,
            suspended=row.suspended,
            require_encryption=row.require_encryption,
            quotas=Quotas(**row.quotas),
        )

    def _check(self, caller: Caller, resource: Tenant) -> None:
        if resource.name == OPERATOR_TENANT and resource.suspended:
            raise Refused(Code.CONFLICT, f"{OPERATOR_TENANT} is the tenant of the operators: it stays open")

    def _check_change(self, caller: Caller, changed: Mapping[str, Any]) -> None:
        if reserved := OPERATORS_FIELDS & changed.keys():
            caller.check_operator(f"change {' and '.join(sorted(reserved))}")

    def _check_delete(self, caller: Caller, key: Key) -> None:
        caller.check_operator("delete tenants")
        if key == (OPERATOR_TENANT,):
            raise Refused(Code.CONFLICT, f"{OPERATOR_TENANT} is the tenant of the operators: it stays")

    def _insert(
        self, connection: Connection, notes: Notes, caller: Caller, key: Key, resource: Tenant
    ) -> None:
        caller.check_operator("create tenants")
        self.create(connection, notes, caller, key, resource)

    def _check_empty(self, connection: Connection, key: Key) -> None:
        (name,) = key
        within = f"tenant {name}"
        check_none(connection, "namespaces", within, namespace.c.organization == name, namespace.c.name)
        for what, table in (("clients", client), ("grants", grant), ("routes", route), ("issuers", issuer)):
            check_none(connection, what, within, table.c.tenant == name, table.c.id)

    def _clear(self, connection: Connection, key: Key) -> None:
        connection.execute(signing_key.delete().where(signing_key.c.tenant == key[0]))


class Namespaces(NamedService[Namespace]):
    """The administrators of a tenant write them, all its agents read them. Key: `organization/namespace`."""

    kind, shape, table = "namespace", "organization/namespace", namespace
    columns = ("organization", "name")

    def _resource(self, row: Row[Any]) -> Namespace:
        return Namespace(name=f"{row.organization}/{row.name}", title=row.title)

    def _insert(
        self, connection: Connection, notes: Notes, caller: Caller, key: Key, resource: Namespace
    ) -> None:
        if connection.execute(tenant.select().where(tenant.c.name == key[0])).first() is None:
            raise missing(f"tenant {key[0]}")
        self.create(connection, notes, caller, key, resource)

    def _check_empty(self, connection: Connection, key: Key) -> None:
        inside = and_(agent_type.c.organization == key[0], agent_type.c.namespace == key[1])
        check_none(connection, "types", self._called(key), inside, agent_type.c.name)


class Types(NamedService[AgentType]):
    """The administrators of a tenant write them, all its agents read them. Key: `organization/namespace/type`.

    A type's agents are found by its labels and capabilities. Those of a large type are changed in parts: `put` returns
    after the last; if it does not live to see that, or a gateway ends meanwhile, `tick` goes on.
    """

    kind, shape, table = "type", "organization/namespace/type", agent_type
    columns = ("organization", "namespace", "name")

    def _resource(self, row: Row[Any]) -> AgentType:
        return AgentType(
            name=f"{row.organization}/{row.namespace}/{row.name}",
            category=row.category,
            description=row.description,
            labels=row.labels,
            capabilities=row.capabilities,
            callers=row.callers,
        )

    def _check(self, caller: Caller, resource: AgentType) -> None:
        for pattern in resource.callers:
            parse_pattern(pattern)

    def _insert(
        self, connection: Connection, notes: Notes, caller: Caller, key: Key, resource: AgentType
    ) -> None:
        inside = and_(namespace.c.organization == key[0], namespace.c.name == key[1])
        if connection.execute(namespace.select().where(inside)).first() is None:
            raise missing(f"namespace {key[0]}/{key[1]}; an administrator of {key[0]} creates it")
        self.create(connection, notes, caller, key, resource)

    async def put(self, caller: Caller, resource: AgentType, *, create: bool = False) -> AgentType:
        """As of all kinds; all agents of the type are then found by what it has now."""
        done = await super().put(caller, resource, create=create)
        await self._finish(Name(*split_name(resource.name, self.shape)))
        return done

    async def tick(self, now: float) -> None:
        """Finish changes that were left; a bounded part of them each second."""
        for _ in range(PARTS_IN_A_TICK):
            left = await self._store.read(spreading.any_left)
            if left is None:
                return
            await self._store.write(partial(_go_on, left))

    async def _finish(self, type_name: Name) -> None:
        left = await self._store.read(lambda connection: spreading.is_left(connection, type_name))
        while left:
            left = await self._store.write(partial(_go_on, type_name))

    def _spread(self, connection: Connection, key: Key, before: AgentType, after: AgentType) -> None:
        old, new = (tags.tags_of(each.labels, each.capabilities) for each in (before, after))
        if old != new:
            spreading.begin(connection, Name(*key))

    def _check_empty(self, connection: Connection, key: Key) -> None:
        check_none(
            connection, "agents", self._called(key), tags.of_type(agent.c, Name(*key)), agent.c.identity
        )


def _go_on(type_name: Name, connection: Connection, _: Notes) -> bool:
    return spreading.go_on(connection, type_name)
