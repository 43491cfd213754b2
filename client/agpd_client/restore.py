"""Coming back: the connection, the agents, their subscriptions, routes and watches, then the messages that waited."""

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from agpd.wire.frames import Body, Frame, Kind, Named, Present, decode
from agpd_client.connection import Connection
from agpd_client.errors import AgpError, Closed, NameTaken, is_permanent
from agpd_client.events import Refused
from agpd_client.requests import Accept
from agpd_client.routes import Route

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.presence import Watch
    from agpd_client.uplink import Uplink


# How long a name may be held by our own earlier connection that the gateway has not yet found dead.
NAME_TAKEN_PATIENCE_S = 120.0


async def come_back(uplink: "Uplink") -> None:
    """Connect and restore, again and again with growing delays, until it stands or can never."""
    clock = uplink.options.clock
    began = clock.now()
    while True:
        await clock.sleep(uplink.backoff.delay())
        try:
            connection = await uplink.establish()
            await restore(uplink, connection)
            await send_backlog(uplink, connection)
        except AgpError as error:
            uplink.give_up_connection()
            taken = isinstance(error, NameTaken) and clock.now() - began < NAME_TAKEN_PATIENCE_S
            if is_permanent(error) or (isinstance(error, NameTaken) and not taken):
                uplink.end(error)
                return
            continue
        if not connection.is_closed:
            uplink.statistics.reconnects += 1
            uplink.stands(connection)
            return


async def restore(uplink: "Uplink", connection: Connection) -> None:
    """Register every agent again, then what each had; all requests of a step are sent before the first answer.

    Raises the refusal of a name. A subscription or watch that is now refused ends with its error, and is told as an
    event; a refused route is told too, and kept for the next time.
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
    for route in uplink.routes.waiting(agent.name):
        accept = functools.partial(_routed, uplink, route)
        await _ask(uplink, connection, agent, Kind.SET_ROUTE, route.body, str(route.pattern), accept)
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


def _routed(uplink: "Uplink", route: Route, _: Frame) -> None:
    uplink.route_set(route)


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
