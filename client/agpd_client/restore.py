"""After a reconnect: the agents, their subscriptions, routes and watches, then the messages that waited."""

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from agpd.wire.frames import Body, Frame, Kind, Named, Present, Route, decode
from agpd_client.connection import Connection
from agpd_client.errors import AgpError, Closed
from agpd_client.events import Refused
from agpd_client.requests import Accept

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.presence import Watch
    from agpd_client.uplink import Uplink


async def restore(uplink: "Uplink", connection: Connection) -> None:
    """Register every agent again, then what each had; all requests of a step are sent before the first answer.

    Raises the refusal of a name. A subscription, route or watch that is now refused ends with its error and is told
    as an event.
    """
    agents = list(uplink.agents.values())
    await _all(_register(uplink, connection, agent) for agent in agents)
    await _all(_state(uplink, connection, agent) for agent in agents)


async def _all(work: Any) -> None:
    """All of it together, in order of its beginning. The first error cancels the rest."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        for task in tasks:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _register(uplink: "Uplink", connection: Connection, agent: "Agent") -> None:
    await connection.call(
        Kind.REGISTER, Named(agent.name), accept=lambda frame: uplink.registered(agent, frame.destination)
    )


async def _state(uplink: "Uplink", connection: Connection, agent: "Agent") -> None:
    for topic, subscription in list(agent.subscriptions.items()):
        if topic != agent.type_name:
            error = await _ask(uplink, connection, agent, Kind.SUBSCRIBE, Named(topic), topic)
            if error is not None:
                agent.subscriptions.pop(topic, None)
                subscription.end(error)
    for pattern, (_, via) in list(agent.routes.items()):
        if await _ask(uplink, connection, agent, Kind.SET_ROUTE, Route(pattern, via), pattern) is not None:
            agent.routes.pop(pattern, None)
    for type_name, watches in list(agent.watches.items()):
        error = await _ask(
            uplink,
            connection,
            agent,
            Kind.WATCH,
            Named(type_name),
            type_name,
            functools.partial(_seen, watches),
        )
        if error is not None:
            for watch in list(watches):
                watch.end(error)


def _seen(watches: "list[Watch]", frame: Frame) -> None:
    names = decode(frame.body, Present).names
    for watch in watches:
        watch.snapshot(names)


async def _ask(
    uplink: "Uplink",
    connection: Connection,
    agent: "Agent",
    kind: Kind,
    body: Body,
    what: str,
    accept: Accept | None = None,
) -> AgpError | None:
    """The refusal, which is also told as an event."""
    try:
        await connection.call(kind, body, source=agent.handle, accept=accept)
    except Closed:
        raise
    except AgpError as error:
        uplink.tell(Refused(error.code, str(error), agent.name, what, 0))
        return error
    return None


async def send_backlog(uplink: "Uplink", connection: Connection) -> None:
    """Send in order what was published meanwhile; until it is empty, new messages queue behind it."""
    while (message := uplink.backlog.first()) is not None:
        try:
            if message.agent.name in uplink.agents:
                await message.agent.transmit(connection, message)
        except Closed:
            raise
        except AgpError as error:
            uplink.statistics.refused += 1
            uplink.tell(Refused(error.code, str(error), message.agent.name, message.to, 1))
        if connection.is_closed:
            return
        uplink.backlog.sent()
