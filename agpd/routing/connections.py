"""Who is connected: agent -> link, and link -> what it holds.

The second table is what makes the end of a connection cost what the connection held and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from agpd.names import Name, Pattern

if TYPE_CHECKING:
    from agpd.routing.routes import Route
    from agpd.routing.subscriptions import InstanceEntry, Namespace, TypeEntry


# Agents whose instance begins so get messages from each other alone: what they say is meant for nobody else.
SEPARATE_INSTANCE = "slim-"


class Link(Protocol):
    """What routing knows of a link: its identity (links are compared and hashed by it), and one question."""

    @property
    def full(self) -> bool:
        """Is the outbox over its mark? Such a link is chosen last."""
        ...

    @property
    def hears_itself(self) -> bool:
        """Do agents of this link reach each other through the gateway? Else nothing goes back to where it came from."""
        ...


class Agent:
    """An agent that lives on one link. It never moves: a takeover makes a new `Agent`.

    `entries` holds the addresses it is reached by, keyed by type or topic, its own type included.
    `routes` are the routes that go through it, whoever set them. `separate`: see `SEPARATE_INSTANCE`.
    """

    __slots__ = ("entries", "entry", "link", "name", "observing", "routes", "separate", "watches")

    def __init__(self, name: Name, link: Link, entry: InstanceEntry) -> None:
        self.name = name
        self.link = link
        self.entry = entry
        self.separate = name.instance.startswith(SEPARATE_INSTANCE)
        self.entries: dict[Name, InstanceEntry] = {}
        self.observing: dict[Pattern, Namespace] = {}
        self.routes: dict[Route, None] = {}
        self.watches: dict[Name, TypeEntry] = {}

    @property
    def registered(self) -> bool:
        """False for ever once it was unregistered, displaced or detached."""
        return self.entry.agent is self

    def reaches(self, other: Agent) -> bool:
        """Does the other one get what this one sends?"""
        return other is not self and other.link is not self.apart and other.separate is self.separate

    @property
    def apart(self) -> Link | None:
        """The link that gets nothing of what this agent sends; None if only the agent itself gets nothing."""
        return None if self.link.hears_itself else self.link

    def __repr__(self) -> str:
        return f"<Agent {self.name}>"


class Counts(NamedTuple):
    """How much a link holds. `subscriptions` are topics and observed namespaces, without the own types."""

    agents: int
    subscriptions: int
    routes: int
    watches: int


class Usage:
    """What one organization holds over all links. `subscriptions` as in `Counts`."""

    __slots__ = ("agents", "subscriptions")

    def __init__(self) -> None:
        self.agents = 0
        self.subscriptions = 0


NO_USAGE = Usage()


class Held:
    """What one link holds: its agents, the routes set over it, and running sums over its agents."""

    __slots__ = ("agents", "routes", "subscriptions", "watches")

    def __init__(self) -> None:
        self.agents: dict[Name, Agent] = {}
        self.routes: dict[Route, None] = {}
        self.subscriptions = 0
        self.watches = 0

    def counts(self) -> Counts:
        return Counts(len(self.agents), self.subscriptions, len(self.routes), self.watches)


class Connections:
    """The two tables. Each operation is O(1)."""

    def __init__(self) -> None:
        self.links: dict[Link, Held] = {}
        self.agents: dict[Name, Agent] = {}
        self._usage: dict[str, Usage] = {}

    def attach(self, link: Link) -> None:
        """Know a link. Attaching it again changes nothing."""
        self.links.setdefault(link, Held())

    def detach(self, link: Link) -> None:
        """Forget a link that holds no agents any more."""
        held = self.links.pop(link)
        assert not held.agents, "a link is detached after its agents"

    def add(self, agent: Agent) -> None:
        """Put an agent on its link, which must be attached (else `KeyError`)."""
        self.links[agent.link].agents[agent.name] = agent
        self.agents[agent.name] = agent
        self._usage.setdefault(agent.name.organization, Usage()).agents += 1

    def remove(self, agent: Agent) -> None:
        """Take an agent off its link."""
        del self.links[agent.link].agents[agent.name]
        del self.agents[agent.name]
        usage = self._usage[agent.name.organization]
        usage.agents -= 1
        if not usage.agents:
            del self._usage[agent.name.organization]

    def subscribed(self, agent: Agent, change: int) -> None:
        """An agent has so many subscriptions more, or less."""
        self.links[agent.link].subscriptions += change
        self._usage[agent.name.organization].subscriptions += change

    def usage(self, organization: str) -> Usage:
        """What an organization holds."""
        return self._usage.get(organization, NO_USAGE)
