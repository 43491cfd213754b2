"""Discovery: agents are found by organization, namespace, type, labels, capabilities, liveness and words.

Everybody finds the agents of its own organization. Of others it finds those that the policy lets some name of the
caller watch, publish to or ask; nothing else exists for it: the answer, and the work done for it, depend on what it may
see.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from agpd.control import finding
from agpd.control.caller import Caller, Role, missing
from agpd.control.checks import check_texts, page_size, split_name
from agpd.control.finding import Place, Scope, Wanted
from agpd.control.resources import Agent, Page, Query
from agpd.control.rows import PART, agent_name, agents_named, agents_numbered, with_instances
from agpd.control.store import Store
from agpd.control.watching import Feed, Sight, Watch, may_see
from agpd.errors import Code, Refused
from agpd.names import Name, parse_type

PAGE_LIMIT_BYTES = 1024 * 1024  # of descriptions and cards; a page ends behind it


class Discovery:
    """Methods raise `Refused`: NOT_FOUND, INVALID_NAME, INVALID_REQUEST, UNAVAILABLE."""

    def __init__(self, store: Store, feed: Feed, policy: Callable[[], Sight], page_limit: int) -> None:
        self._store = store
        self._feed = feed
        self._policy = policy
        self._page_limit = page_limit

    async def find(self, caller: Caller, query: Query, *, after: str = "", limit: int = 0) -> Page[Agent]:
        """The agents of which everything in the query holds, with their instances.

        `after` is the `next` of the page before. A page may have less than `limit` before the last: large cards.
        """
        size = page_size(limit, self._page_limit, after)
        within, want, start = self._scopes(caller, query), finding.wanted(query), finding.place(after)
        policy = self._policy()
        found: list[tuple[Place, Agent]] = []
        part = _Part([], more=bool(within))
        while part.more and len(found) <= size and not (part.heavy and found):
            count = size + 1 - len(found)
            part = await self._store.read(partial(_read, want=want, within=within, start=start, count=count))
            found += [(at, agent) for at, agent in part.found if may_see(policy, caller, agent_name(agent))]
            start = part.found[-1][0] if part.found else start
        shown = found[:size]
        more = len(found) > size or part.more
        return Page(items=[agent for _, agent in shown], next=str(shown[-1][0]) if more and shown else "")

    async def get(self, caller: Caller, type: str, identity: str) -> Agent:  # noqa: A002
        """One agent, with its instances."""
        name = parse_type(type).at(*split_name(identity, "identity"))
        # What is not visible is looked for as well, where nothing is: the answer takes as long.
        sought = name if may_see(self._policy(), caller, name) else name._replace(instance="")
        found = await self._store.read(partial(_read_one, name=sought))
        if found is None:
            raise missing(f"agent {type}/{identity}")
        return found

    def watch(self, caller: Caller, query: Query) -> Watch:
        """What changes from now on; find first what there is. See `Watch`, which is to be closed.

        `registered`, `started` and `stopped` are told of agents of which the query holds, `changed` and `deregistered`
        of all with these names: what an agent was before is not known.
        """
        _check(query)
        return self._feed.watch(caller, query)

    def _scopes(self, caller: Caller, query: Query) -> list[Scope]:
        """Where to search. Raises `Refused(INVALID_REQUEST)`."""
        _check(query)
        visible: list[tuple[str, ...]] = [()]
        if caller.role is not Role.OPERATOR:
            others = self._policy().visible_patterns(caller.pattern)
            visible = [(caller.organization,), *(pattern.prefix for pattern in others)]
        within = finding.scopes(visible, (query.organization, query.namespace, query.type))
        if query.text and any(not scope.prefix for scope in within):
            raise Refused(Code.INVALID_REQUEST, "text is searched for in one organization: name it")
        return within


class _Part(NamedTuple):
    """Agents with their places; are there more; was it cut because they are large?"""

    found: list[tuple[Place, Agent]]
    more: bool
    heavy: bool = False


def _check(query: Query) -> None:
    check_texts(query)
    for segment in (query.organization, query.namespace, query.type):
        if segment:
            split_name(segment, "segment")


def _read(
    connection: Connection, want: Wanted, within: Sequence[Scope], start: Place | None, count: int
) -> _Part:
    places = finding.find(connection, want, within, start, count)
    by_number = {place.id: place for place in places}
    found: list[tuple[Place, Agent]] = []
    weight = 0
    for first in range(0, len(places), PART):
        numbers = [place.id for place in places[first : first + PART]]
        for number, agent in agents_numbered(connection, numbers):
            found.append((by_number[number], agent))
            weight += len(agent.description) + (len(msgspec.json.encode(agent.card)) if agent.card else 0)
            if weight > PAGE_LIMIT_BYTES:
                return _Part(found, more=True, heavy=True)
    return _Part(found, more=len(places) == count)


def _read_one(connection: Connection, name: Name) -> Agent | None:
    found = with_instances(connection, list(agents_named(connection, [name]).values()))
    return found[0].agent if found else None
