"""What a decision of the routing core costs, by the number of other subscriptions and by fan-out.

The tables hold 1,000 links with agents of 100 subscriptions each, spread over 1,000 topics: up to a million
subscriptions. What is measured goes to a type of its own with four members, so equal figures in all sizes
mean that a look-up does not depend on what else is subscribed.
"""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from agpd.names import Name
from agpd.routing.connections import Agent
from agpd.routing.router import Router

SIZES = (10**3, 10**5, 10**6)
TOPICS_PER_AGENT = 100


class Pipe:
    __slots__ = ("full", "hears_itself")

    def __init__(self) -> None:
        self.full = False
        self.hears_itself = True


def a_router(subscriptions: int) -> tuple[Router, list[Pipe]]:
    router = Router(itertools.count(1).__next__, random.Random(1).randrange, lambda *_: False)
    links = [Pipe() for _ in range(1000)]
    for link in links:
        router.attach(link)
    topics = [Name("acme", "docs", f"topic{number}") for number in range(1000)]
    for number in range(subscriptions // TOPICS_PER_AGENT):
        agent = router.register(links[number % 1000], Name("acme", "docs", "crowd", f"c{number}")).agent
        for step in range(TOPICS_PER_AGENT - 1):
            router.subscribe(agent, topics[(number * 7 + step) % 1000])
    return router, links


class Table:
    """A populated router, its sender, and a type `few` of four on four links."""

    def __init__(self, subscriptions: int) -> None:
        self.router, self.links = a_router(subscriptions)
        self.sender = self.agent("user", 0)
        for number in range(4):
            self.agent("few", number)

    def agent(self, kind: str, number: int) -> Agent:
        link = self.links[number % 1000]
        return self.router.register(link, Name("acme", "docs", kind, f"u{number}")).agent

    def entry(self, kind: str, instance: str = "") -> Any:
        return self.router.pin(self.sender, Name("acme", "docs", kind, instance))


@pytest.fixture(scope="module", params=SIZES)
def table(request: pytest.FixtureRequest) -> Table:
    return Table(request.param)


@pytest.fixture(scope="module")
def crowd() -> Table:
    """A type of 1,000 members on 1,000 links, and little else."""
    table = Table(0)
    for number in range(1000):
        table.agent("many", number)
    return table


def test_unicast(benchmark: Callable[..., Any], table: Table) -> None:
    assert benchmark(table.router.decide, table.sender, table.entry("few", "u1"), 0).count == 1


def test_anycast(benchmark: Callable[..., Any], table: Table) -> None:
    assert benchmark(table.router.decide, table.sender, table.entry("few"), 1).count == 1


def test_broadcast(benchmark: Callable[..., Any], table: Table) -> None:
    assert benchmark(table.router.decide, table.sender, table.entry("few"), 0).count == 4


def test_register_and_unregister(benchmark: Callable[..., Any], table: Table) -> None:
    link, name = table.links[0], Name("acme", "docs", "writer", "u1")

    def come_and_go() -> None:
        table.router.unregister(table.router.register(link, name).agent)
        table.router.take_dead()

    benchmark(come_and_go)


@pytest.mark.parametrize("fanout", [1, 16, 1000, 0])
def test_fanout_among_1000(benchmark: Callable[..., Any], crowd: Table, fanout: int) -> None:
    decision = benchmark(crowd.router.decide, crowd.sender, crowd.entry("many"), fanout)
    assert decision.count == (fanout or 1000)


def test_version_of_a_type(benchmark: Callable[..., Any], crowd: Table) -> None:
    """What it costs to see that a kept audience still holds."""
    entry = crowd.entry("many")
    benchmark(lambda: entry.version)
