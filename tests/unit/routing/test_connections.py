"""agpd/routing/connections.py: which link holds what."""

import pytest

from agpd.names import parse
from agpd.routing.connections import Agent, Connections
from agpd.routing.subscriptions import InstanceEntry, Tenant

NAME = parse("acme/docs/writer/u1")


class Pipe:
    full = False
    hears_itself = True


def an_agent(link: Pipe) -> Agent:
    return Agent(NAME, link, InstanceEntry(1, NAME, Tenant("acme"), None))


def test_an_agent_is_found_by_name_and_by_link() -> None:
    connections, link = Connections(), Pipe()
    connections.attach(link)
    agent = an_agent(link)
    connections.add(agent)
    assert connections.agents == {NAME: agent}
    assert connections.links[link].agents == {NAME: agent}
    connections.remove(agent)
    assert connections.agents == {}
    assert connections.links[link].agents == {}


def test_attaching_again_keeps_what_the_link_holds() -> None:
    connections, link = Connections(), Pipe()
    connections.attach(link)
    connections.add(an_agent(link))
    connections.attach(link)
    assert connections.links[link].counts() == (1, 0, 0, 0)


def test_counts_are_named_sums() -> None:
    connections, link = Connections(), Pipe()
    connections.attach(link)
    held = connections.links[link]
    held.subscriptions, held.watches = 3, 4
    counts = held.counts()
    assert (counts.agents, counts.subscriptions, counts.routes, counts.watches) == (0, 3, 0, 4)


def test_a_link_is_forgotten_once_empty() -> None:
    connections, link = Connections(), Pipe()
    connections.attach(link)
    agent = an_agent(link)
    connections.add(agent)
    with pytest.raises(AssertionError, match="after its agents"):
        connections.detach(link)
    connections = Connections()
    connections.attach(link)
    connections.detach(link)
    assert connections.links == {}


def test_an_agent_needs_an_attached_link() -> None:
    connections = Connections()
    with pytest.raises(KeyError):
        connections.add(an_agent(Pipe()))
    assert connections.agents == {}


def test_an_agent_is_registered_while_it_occupies_its_entry() -> None:
    agent, newer = an_agent(Pipe()), an_agent(Pipe())
    seen = []
    for holder in (None, agent, newer):
        agent.entry.agent = holder
        seen.append(agent.registered)
    assert seen == [False, True, False]
    assert repr(agent) == "<Agent acme/docs/writer/u1>"
