"""What agents ask of the gateway, whichever dialect they ask in: one function for each.

Each raises `Refused` before anything has changed. What it returns is for the caller to answer with; presence is told
by the caller, after its answer. The native protocol's answers are in `verbs.py`, other dialects' in `foreign.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agpd.errors import Code, Refused
from agpd.gateway.dialects import dialect_of
from agpd.routing.subscriptions import Presence
from agpd.wire import frames
from agpd.wire.frames import Kind

if TYPE_CHECKING:
    from agpd.gateway.hub import Hub
    from agpd.gateway.link import Entry, Link
    from agpd.names import Name, Pattern
    from agpd.routing.connections import Agent


class Registered(NamedTuple):
    """A new agent, and whom to tell."""

    agent: Agent
    presence: list[Presence]


def register(hub: Hub, link: Link, name: Name, *, takeover: bool, listed: bool = True) -> Registered:
    """Bind an agent's name to the connection. `takeover`: an agent that has it loses it; `listed`: see `Router`."""
    if dialect_of(name) is not link.dialect:
        raise Refused(Code.INVALID_NAME, f"{name}: instances that begin so belong to another dialect")
    hub.admission.check_register(link, name)
    if hub.router.agent(name) is None:  # else it is taken over
        hub.quotas.check_agents(name.organization, hub.router.usage(name.organization).agents)
    registration = hub.router.register(link, name, takeover, listed=listed)
    agent = registration.agent
    if registration.displaced is not None:
        _displace(registration.displaced)
    if registration.evicted is not None:
        _evict(hub, registration.evicted, agent)
    number = agent.entry.number
    link.sources[number] = agent
    link.former_sources.discard(number)
    hub.types_changed()
    return Registered(agent, registration.presence)


def _displace(agent: Agent) -> None:
    link: Link = agent.link  # type: ignore[assignment]
    link.give_up(agent.entry.number)
    body = frames.Refusal(Code.TAKEN_OVER)
    link.send(frames.encode(Kind.ENDED, body, destination=agent.entry.number))


def _evict(hub: Hub, loser: Agent, owner: Agent) -> None:
    """The address that `loser` held by a subscription has its owner now."""
    link: Link = loser.link  # type: ignore[assignment]
    hub.announce(link, owner.entry)
    refusal = frames.Refusal(Code.TAKEN_OVER, str(owner.name), count=0)
    here, there = loser.entry.number, owner.entry.number
    link.send(frames.encode(Kind.REFUSED, refusal, destination=here, source=there))


def unregister(hub: Hub, link: Link, agent: Agent) -> list[Presence]:
    """Give an agent's name back."""
    presence = hub.router.unregister(agent)
    link.give_up(agent.entry.number)
    return presence


def subscribe(hub: Hub, link: Link, agent: Agent, topic: Name, *, instance: str = "") -> list[Presence]:
    """Let the agent take part in a type or topic; `instance`: see `Router.subscribe`."""
    check_scope(link.principal.permits("subscribe", topic), f"subscribe {topic}")
    if topic == agent.name.type_name:
        presence = hub.router.enlist(agent)
    else:
        if topic not in agent.entries:
            _check_room(hub, link, agent)
        presence = hub.router.subscribe(agent, topic, instance)
    link.stay_home(agent.entry.number, agent.entries[topic].number)
    hub.types_changed()
    return presence


def unsubscribe(hub: Hub, agent: Agent, topic: Name) -> list[Presence]:
    """Undo it; with the agent's own type it is still reached by its full name."""
    if topic == agent.name.type_name:
        return hub.router.delist(agent)
    return hub.router.unsubscribe(agent, topic)


def observe(hub: Hub, link: Link, agent: Agent, pattern: Pattern) -> None:
    """Send the agent a copy of what is addressed to the types of a namespace."""
    check_scope(link.principal.permits_pattern("observe", pattern), f"observe {pattern}")
    if pattern not in agent.observing:
        _check_room(hub, link, agent)
    hub.router.observe(agent, pattern)


def _check_room(hub: Hub, link: Link, agent: Agent) -> None:
    """For one more subscription, on the connection and in the organization."""
    limit = hub.admission.limits.subscriptions_per_connection
    hub.admission.check_room(hub.router.counts(link).subscriptions, limit, Code.TOO_MANY_SUBSCRIPTIONS)
    organization = agent.name.organization
    hub.quotas.check_subscriptions(organization, hub.router.usage(organization).subscriptions)


def open_name(hub: Hub, link: Link, agent: Agent, name: Name) -> Entry:
    """The entry of a name, if the agent may send there; the connection holds it from now on, once."""
    may = link.principal.permits
    check_scope(may("publish", name) or may("request", name), f"publish {name}")
    entry = hub.router.pin(agent, name)
    if entry.number in link.opened:
        hub.router.unpin(entry)  # one pin for each link is enough
        return entry
    try:
        limit = hub.admission.limits.handles_per_connection
        hub.admission.check_room(len(link.opened), limit, Code.TOO_MANY_HANDLES)
    except Refused:
        hub.router.unpin(entry)
        raise
    link.opened[entry.number] = entry
    hub.types_changed()
    return entry


def shut(hub: Hub, link: Link, number: int) -> None:
    """Give a handle back. One that is not open is no error: it may have died meanwhile."""
    entry = link.opened.pop(number, None)
    if entry is not None:
        link.forget_destination(number)
        hub.router.unpin(entry)


def check_scope(permitted: bool, what: str) -> None:
    """Raises `Refused(NOT_PERMITTED)`: the token does not go so far."""
    if not permitted:
        raise Refused(Code.NOT_PERMITTED, f"the scopes of the token do not allow to {what}")
