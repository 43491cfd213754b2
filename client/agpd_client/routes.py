"""Routes: which agent of this connection carries what nobody else takes (`proto/native.md` 7.6)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from agpd import names
from agpd.names import Name, Pattern
from agpd.wire import frames
from agpd_client.errors import NotPermitted, checked

if TYPE_CHECKING:
    from agpd_client.agent import Agent


class Route(NamedTuple):
    """What matches `pattern` and nobody takes goes to the agent `via`, for the senders of its organization."""

    pattern: Pattern
    via: str

    @property
    def organization(self) -> str:
        """Whose messages the route is for."""
        return self.via.partition("/")[0]

    @property
    def body(self) -> frames.Route:
        """What SET_ROUTE carries."""
        return frames.Route(str(self.pattern), self.via)


class Routes:
    """The routes of one gateway object, as the gateway keeps them: one per organization and pattern.

    A route is in force from the gateway's OK until the connection or its agent ends. One that is not is kept: it is
    asked for again at the next reconnect, or when its agent is registered again.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[str, Pattern], Route] = {}
        self._in_force: set[Route] = set()

    def put(self, route: Route) -> None:
        """The gateway has set it; it replaces the one of the same pattern."""
        self.remove(route.organization, route.pattern)
        self._all[route.organization, route.pattern] = route
        self._in_force.add(route)

    def remove(self, organization: str, pattern: Pattern) -> None:
        """It is not wanted any more."""
        route = self._all.pop((organization, pattern), None)
        if route is not None:
            self._in_force.discard(route)

    def forget(self, via: str) -> None:
        """The agent was closed, and its routes with it."""
        for route in [route for route in self._all.values() if route.via == via]:
            self.remove(route.organization, route.pattern)

    def suspend(self, via: str | None = None) -> None:
        """The agent has lost its name, or (None) the connection has ended: nothing comes by its routes."""
        self._in_force = {route for route in self._in_force if via is not None and route.via != via}

    def lapse(self, via: str, pattern: str) -> None:
        """The gateway has ended the route to this agent: it is asked for again at the next reconnect."""
        self._in_force = {
            route for route in self._in_force if (route.via, str(route.pattern)) != (via, pattern)
        }

    def waiting(self, via: str) -> list[Route]:
        """Routes to this agent that are not in force."""
        return [route for route in self._all.values() if route.via == via and route not in self._in_force]

    def matching(self, name: Name) -> list[Route]:
        """Routes in force for this destination, the longest pattern first."""
        found = [route for route in self._in_force if route.pattern.matches(name)]
        return sorted(found, key=lambda route: -len(route.pattern.prefix))


def carrier(agent: "Agent", via: "Agent | str | None", agents: "Mapping[str, Agent]") -> str:
    """The full name of the agent that a route set by `agent` leads to; `agents` are those of this connection.

    Raises `InvalidName`, and `NotPermitted` for an agent that the gateway would not take either.
    """
    if via is None:
        return agent.name
    name = via if isinstance(via, str) else via.name
    organization = checked(names.parse_instance, name).organization
    if name not in agents or (not isinstance(via, str) and agents[name] is not via):
        raise NotPermitted(
            f"a route leads to an agent of the same connection, and {name} is none of this gateway object: "
            "let it set the route itself with `await agent.set_route(pattern)`"
        )
    if organization != agent.name.partition("/")[0]:
        raise NotPermitted(
            f"{agent.name} sets routes for its own organization, and {name} is of another: let it set the route itself"
        )
    return name
