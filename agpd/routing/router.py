"""The routing core: verb -> tables -> links.

Pure: no socket, no clock, no chance of its own. Everything an agent may ask of routing is a method here, and
the boundary between tenants is checked here and nowhere else, before any table of the other tenant is read,
so that a refusal tells nothing about what exists there.

Entries live by reference: `pin` what is held, `unpin` it when done, and fetch with `take_dead` what has died.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from agpd.errors import Code, Refused
from agpd.names import Name, Pattern
from agpd.routing import routes
from agpd.routing.connections import Agent, Connections, Counts, Held, Link, Usage
from agpd.routing.fanout import ANY, Chooser, Decision, Hop, add_observers, reach
from agpd.routing.routes import NONE_STANDING, Route, Standing
from agpd.routing.subscriptions import (
    Entry,
    InstanceEntry,
    Presence,
    Subscriptions,
    Tenant,
    TypeChange,
)


class Rules(Protocol):
    """Who may do what. Asked before a table is read, in the agent's own organization too."""

    def allows(self, verb: str, subject: Name, target: Name) -> bool:
        """May the agent do this to the target? Verbs: publish, request, subscribe, watch."""

    def allows_pattern(self, verb: str, subject: Name, target: Pattern) -> bool:
        """The same for the verbs whose object is a pattern: observe, route."""


class Registration(NamedTuple):
    """A new agent, the one that lost its name to it, the one that lost an address to it, and whom to tell."""

    agent: Agent
    displaced: Agent | None
    evicted: Agent | None
    presence: list[Presence]


class Router:
    """The tables of one gateway. Every method runs to its end without waiting.

    `numbers` yields handle numbers, 1 to 2**32 - 1. `chooser(n)` is uniform over 0 to n - 1.
    Methods raise `Refused` before they change anything. An `Agent` that is no longer registered is refused
    with `NOT_REGISTERED`; to undo something on its behalf is no error and does nothing.
    """

    def __init__(self, numbers: Callable[[], int], chooser: Chooser, rules: Rules) -> None:
        self._connections = Connections()
        self._subscriptions = Subscriptions(numbers)
        self.choose = chooser
        self._rules = rules
        self._standing: dict[str, Standing] = {}
        self.entries = self._subscriptions.entries  # number -> entry, of everything alive

    # -- links and agents ------------------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        """Know a link, before anything is registered on it."""
        self._connections.attach(link)

    def detach(self, link: Link) -> list[Presence]:
        """Remove a link and all it held, in time proportional to that. Nobody on the link itself is told.

        A link that is not attached holds nothing: ending a link twice is no error.
        """
        held = self._connections.links.get(link)
        if held is None:
            return []
        agents = list(held.agents.values())
        for agent in agents:
            self._stop_watching(agent)
        for route in list(held.routes):
            routes.drop(route)
        presence = [event for agent in agents for event in self.unregister(agent)]
        self._connections.detach(link)
        return presence

    def register(
        self, link: Link, name: Name, takeover: bool = False, *, listed: bool = True
    ) -> Registration:
        """Put an agent on an attached link and under its own type.

        If not `listed`, it is reached by its full name alone until `enlist`.

        A name that another agent has is `NAME_TAKEN`, unless `takeover`: then that agent is removed with all
        it held and returned. Only who may speak as a name can register it, but anybody may subscribe to its
        type: a *differently named* agent that holds the address by a subscription is evicted from it.
        """
        if not name.is_instance:
            raise Refused(Code.INVALID_NAME, f"{name} names a type; an agent has 4 segments")
        entry = self._subscriptions.instance(name)
        displaced = self.agent(name)
        if displaced is not None and not takeover:
            raise Refused(Code.NAME_TAKEN, str(name))
        evicted = entry.agent if displaced is None else None
        entry.pins += 1  # the entry outlives the change of hands
        presence: list[Presence] = []
        if displaced is not None:
            presence = self.unregister(displaced)
        elif evicted is not None:
            presence = self.unsubscribe(evicted, name.type_name)
        entry.pins -= 1
        agent = Agent(name, link, entry)
        self._connections.add(agent)
        presence += self._join(agent, entry, listed=listed)
        return Registration(agent, displaced, evicted, presence)

    def enlist(self, agent: Agent) -> list[Presence]:
        """Let an agent take part in its own type. Again is no error."""
        self._check(agent, "subscribe", agent.name.type_name)
        return self._subscriptions.enlist(agent.entry)

    def delist(self, agent: Agent) -> list[Presence]:
        """Undo `enlist`: its full name still reaches it."""
        return self._subscriptions.delist(agent.entry) if agent.registered else []

    def unregister(self, agent: Agent) -> list[Presence]:
        """Remove an agent with its addresses, watches, observations and the routes that go through it."""
        if not agent.registered:
            return []
        self._stop_watching(agent)
        for pattern in list(agent.observing):
            self.unobserve(agent, pattern)
        for route in list(agent.routes):
            routes.drop(route)
        self._connections.subscribed(agent, 1 - len(agent.entries))
        presence = [event for entry in agent.entries.values() for event in self._subscriptions.vacate(entry)]
        agent.entries.clear()
        self._connections.remove(agent)
        return presence

    def agent(self, name: Name) -> Agent | None:
        """The agent of exactly this name, if it is here."""
        return self._connections.agents.get(name)

    def counts(self, link: Link) -> Counts:
        """What an attached link holds, for limits. O(1)."""
        return self._connections.links[link].counts()

    def usage(self, organization: str) -> Usage:
        """What the agents of an organization hold, for quotas. O(1)."""
        return self._connections.usage(organization)

    # -- what agents ask for ---------------------------------------------------------------------------

    def subscribe(self, agent: Agent, topic: Name, instance: str = "") -> list[Presence]:
        """Let the agent be reached as `topic/<its instance>` too, or as `topic/instance`. Again is no error.

        `NAME_TAKEN` if another agent with the same instance segment holds that address.
        """
        self._check(agent, "subscribe", topic)
        if topic in agent.entries:
            return []
        entry = self._subscriptions.instance(topic.at(instance or agent.name.instance))
        if entry.agent is not None:
            raise Refused(Code.NAME_TAKEN, str(entry.name))
        self._connections.subscribed(agent, 1)
        return self._join(agent, entry)

    def unsubscribe(self, agent: Agent, topic: Name) -> list[Presence]:
        """Undo `subscribe`. The agent's own type ends only with the agent: `INVALID_NAME`."""
        if topic == agent.name.type_name:
            raise Refused(Code.INVALID_NAME, f"{topic} is the agent's own type")
        entry = agent.entries.pop(topic, None)
        if entry is None:
            return []
        self._connections.subscribed(agent, -1)
        return self._subscriptions.vacate(entry)

    def observe(self, agent: Agent, pattern: Pattern) -> None:
        """Send the agent a copy of whatever is addressed to a type or topic of a namespace, `org/ns/*`.

        Only where granted, in its own organization too.
        """
        if len(pattern.prefix) != 2:
            raise Refused(Code.INVALID_NAME, f"{pattern} is not a namespace; write org/ns/*")
        self._check_registered(agent)
        if not self._rules.allows_pattern("observe", agent.name, pattern):
            raise Refused(Code.NOT_PERMITTED, f"observe {pattern}")
        if pattern in agent.observing:
            return
        namespace = self._subscriptions.namespace(*pattern.prefix)
        namespace.observers[agent] = None
        namespace.changes += 1
        agent.observing[pattern] = namespace
        self._connections.subscribed(agent, 1)

    def unobserve(self, agent: Agent, pattern: Pattern) -> None:
        """Undo `observe`."""
        namespace = agent.observing.pop(pattern, None)
        if namespace is None:
            return
        del namespace.observers[agent]
        namespace.changes += 1
        self._connections.subscribed(agent, -1)
        self._subscriptions.release_namespace(namespace)

    def watch(self, agent: Agent, topic: Name) -> list[Name]:
        """Tell the agent from now on who joins and leaves a type or topic. Returns who is there now.

        The watcher itself is in neither.
        """
        self._check(agent, "watch", topic)
        of = self._subscriptions.type(topic)
        if topic not in agent.watches:
            agent.watches[topic] = of
            of.watchers[agent] = None
            self._held(agent).watches += 1
        return [member.name for member in of.members if member.agent is not agent]

    def unwatch(self, agent: Agent, topic: Name) -> None:
        """Undo `watch`."""
        of = agent.watches.pop(topic, None)
        if of is None:
            return
        del of.watchers[agent]
        self._held(agent).watches -= 1
        self._subscriptions.release(of)

    def set_route(self, agent: Agent, pattern: Pattern, via: Agent | None) -> None:
        """Let `via` carry what matches `pattern` and reaches nobody else, for the whole tenant of `agent`.

        Replaces the tenant's route of the same pattern. The route is owned by the link of `agent`.
        `NO_ROUTE` if `via` is absent or of another tenant; which of the two is not told.
        """
        self._check_registered(agent)
        if not self._rules.allows_pattern("route", agent.name, pattern):
            raise Refused(Code.NOT_PERMITTED, f"route {pattern}")
        organization = agent.name.organization
        if via is None or not via.registered or via.name.organization != organization:
            raise Refused(Code.NO_ROUTE, f"the agent that {pattern} should go through is not here")
        tenant = self._subscriptions.tenant(organization)
        routes.put(routes.Route(tenant, pattern, via, self._held(agent)))

    def has_route(self, agent: Agent, pattern: Pattern) -> bool:
        """Is the route of this pattern one that the link of `agent` has set?"""
        tenant = self._subscriptions.tenants[agent.name.organization]
        route = tenant.routes.get(pattern.prefix)
        return route is not None and route.owner is self._held(agent)

    def remove_route(self, agent: Agent, pattern: Pattern) -> None:
        """Undo `set_route`, whichever agent of the tenant did it."""
        tenant = self._subscriptions.tenants.get(agent.name.organization)
        route = tenant.routes.get(pattern.prefix) if tenant is not None and agent.registered else None
        if route is not None:
            routes.drop(route)

    def set_standing(self, organization: str, standing: Mapping[Pattern, Name]) -> None:
        """All standing routes of an organization: pattern -> the type of it that they lead to."""
        if standing:
            self._standing[organization] = {pattern.prefix: via for pattern, via in standing.items()}
        else:
            self._standing.pop(organization, None)

    def routes_of(self, link: Link) -> list[Route]:
        """The routes that were set over a link."""
        held = self._connections.links.get(link)
        return [] if held is None else list(held.routes)

    def drop_route(self, route: Route) -> bool:
        """Remove it. False if it has gone already."""
        if route not in route.owner.routes:
            return False
        routes.drop(route)
        return True

    def standing(self, organization: str) -> Standing:
        """The standing routes of an organization."""
        return self._standing.get(organization, NONE_STANDING)

    # -- what messages are routed by -------------------------------------------------------------------

    def pin(self, agent: Agent, name: Name) -> Entry:
        """The entry by which `agent` may send to `name`, kept alive until `unpin`. Nobody need be there.

        Allowed is who may publish to the name or ask it; which of the two, the caller finds out. A foreign name
        that is not allowed gives a detached entry if a route of the agent's own tenant covers it, else
        `NOT_PERMITTED`, whether or not the name exists.
        """
        self._check_registered(agent)
        entry = self._entry_for(agent, name)
        entry.pins += 1
        return entry

    def _entry_for(self, agent: Agent, name: Name) -> Entry:
        tables = self._subscriptions
        own = agent.name.organization
        if any(self._rules.allows(verb, agent.name, name) for verb in ("publish", "request")):
            return tables.instance(name) if name.is_instance else tables.type(name)
        if name.organization != own and any(self._routes(tables.tenant(own), name)):
            return tables.detached(own, name)
        raise Refused(Code.NOT_PERMITTED, f"publish {name}")

    def unpin(self, entry: Entry) -> None:
        """Let go of an entry once; it dies with the last hold on it."""
        assert entry.pins > 0, f"{entry} is not pinned"
        entry.pins -= 1
        self._subscriptions.release(entry)

    def take_dead(self) -> list[Entry]:
        """The entries that died since the last call. Their numbers mean nothing any more."""
        dead = self._subscriptions.dead
        if not dead:
            return []
        self._subscriptions.dead = []
        return dead

    def note_types(self) -> None:
        """From now on keep for `take_types` which types come into use and go out of it."""
        self._subscriptions.types = []

    def take_types(self) -> list[TypeChange]:
        """Those since the last call, in order; none without `note_types`."""
        taken = self._subscriptions.types
        if not taken:
            return []
        self._subscriptions.types = []
        return taken

    def decide(self, agent: Agent, entry: Entry, fanout: int) -> Decision:
        """Which links get a message of `agent` to `entry`; see `fanout.reach`. An instance ignores `fanout`.

        If nobody but the sender matches, the route of the entry's tenant with the longest prefix carries it: as it
        is, or, a standing one, with the instance that it was given to as its destination. Without one `count` is 0.
        Observers of the namespace get what is sent to a type, in either case.
        """
        if isinstance(entry, InstanceEntry):
            if entry.link is not None and entry.agent is not None and agent.reaches(entry.agent):
                return Decision([Hop(entry.link, None)], 1)
            return self._carried(agent, entry)
        decision = reach(entry.members, agent, fanout, self.choose)
        if not decision.count:
            decision = self._carried(agent, entry)
        if entry.namespace.observers:
            add_observers(decision.hops, entry.namespace.observers, agent)
        return decision

    def _carried(self, agent: Agent, entry: Entry) -> Decision:
        """By the first route that leads to somebody else than the sender."""
        for route in self._routes(entry.home, entry.name):
            if isinstance(route, Name):
                decision = self._some_of(route, agent)
                if decision.count:
                    return decision
            elif route.via is not agent and route.via.separate is agent.separate:
                return Decision([Hop(route.via.link, None)], 1)
        return Decision([], 0)

    def _routes(self, tenant: Tenant, name: Name) -> Iterator[Route | Name]:
        return routes.candidates(tenant, self.standing(tenant.name), name)

    def _some_of(self, topic: Name, sender: Agent) -> Decision:
        """One agent of this type, of the same organization. Foreign ones may be subscribed to the type."""
        found = self._subscriptions.find_type(topic)
        members = [] if found is None else found.members
        decision = reach(members, sender, ANY, self.choose)
        if all(_is_of(topic.organization, hop.entry) for hop in decision.hops):
            return decision
        own = [member for member in members if _is_of(topic.organization, member)]
        return reach(own, sender, ANY, self.choose)

    # -- parts -----------------------------------------------------------------------------------------

    def _check(self, agent: Agent, verb: str, topic: Name) -> None:
        if topic.is_instance:
            raise Refused(Code.INVALID_NAME, f"{topic} names an instance; a type or topic has 3 segments")
        self._check_registered(agent)
        if not self._rules.allows(verb, agent.name, topic):
            raise Refused(Code.NOT_PERMITTED, f"{verb} {topic}")

    def _check_registered(self, agent: Agent) -> None:
        if not agent.registered:
            raise Refused(Code.NOT_REGISTERED, str(agent.name))

    def _join(self, agent: Agent, entry: InstanceEntry, *, listed: bool = True) -> list[Presence]:
        agent.entries[entry.name.type_name] = entry
        self._subscriptions.occupy(entry, agent)
        return self._subscriptions.enlist(entry) if listed else []

    def _stop_watching(self, agent: Agent) -> None:
        for topic in list(agent.watches):
            self.unwatch(agent, topic)

    def _held(self, agent: Agent) -> Held:
        return self._connections.links[agent.link]


def _is_of(organization: str, member: InstanceEntry | None) -> bool:
    return member is not None and member.agent is not None and member.agent.name.organization == organization
