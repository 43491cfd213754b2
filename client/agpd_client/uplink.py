"""Keeps one connection to the gateway alive: connects again, restores what the agents had, then sends what waited."""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from agpd.errors import Code, code_of
from agpd.names import Pattern
from agpd.wire import frames
from agpd.wire.frames import Body, Frame, Kind, encode
from agpd_client.backlog import Backlog
from agpd_client.backoff import Backoff
from agpd_client.connection import Connection
from agpd_client.delivery import Delivery
from agpd_client.dial import Dialer, Options
from agpd_client.errors import AgpError, Closed, Timeout, TokenExpired, Unauthorized, is_permanent
from agpd_client.errors import refusal as refused_with
from agpd_client.events import Connected, Disconnected, Dropped, Event, Refused, State, Statistics
from agpd_client.extras import registry_class
from agpd_client.inbox import Feed, Valve
from agpd_client.routes import Route, Routes
from agpd_client.tokens import Tokens
from agpd_client.transports.carrier import Carrier
from agpd_client.transports.control import control_address

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.registry import Registry

CLOSE_TIMEOUT_S = 2.0
DRAIN_TIMEOUT_S = 5.0
EVENTS_LIMIT = 1024
WRITE_LIMIT_BYTES = 1024 * 1024  # of the carrier's own buffer


class Uplink:
    """The living part behind a `Gateway` object. `connection` is there while messages can be sent."""

    def __init__(self, carrier: Carrier, options: Options) -> None:
        self.options = options
        self.dialer = Dialer(carrier, options)
        self.backoff = Backoff(options.chance)
        self.tokens = Tokens(options.source, options.clock, options.chance, self.tell)
        self.agents: dict[str, Agent] = {}
        self.by_handle: dict[int, Agent] = {}
        self.routes = Routes()
        self.connection: Connection | None = None
        self.state = State.NEW
        self.error: AgpError | None = None
        self.statistics = Statistics()
        self.valve = Valve()
        self.backlog = Backlog(options.buffer_bytes)
        self.loop: asyncio.AbstractEventLoop | None = None
        # Where each message asks this instead of `check_loop`: before Python 3.12 `get_running_loop` is a system call.
        self.thread = 0
        self.is_running: Callable[[], bool] = bool
        self.may_speak_as = ""
        self._current: Connection | None = None  # also while it is being restored
        self._changed = asyncio.Event()
        self._feeds: list[Feed[Event]] = []
        self._ids: Iterator[int] = itertools.count(options.chance.getrandbits(62))
        self.next_id = self._ids.__next__
        self._registry: Registry | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    # What the parts of the SDK ask of it

    def check_loop(self) -> None:
        """Raises `RuntimeError` on any loop but the one that the gateway object was opened on."""
        if asyncio.get_running_loop() is not self.loop:
            if self.loop is None:
                raise RuntimeError("the gateway is not open: use `async with agp.connect(...) as gateway`")
            raise RuntimeError(
                "this gateway object belongs to another event loop; connect in this loop, or use agpd_client.sync"
            )

    async def ready(self) -> Connection:
        """The connection, once it stands and is restored. Raises what ended the gateway object."""
        while self.connection is None:
            if self.error is not None:
                raise self.error
            await self._changed.wait()
        return self.connection

    async def settle(
        self, kind: Kind, body: Body | None, agent: "Agent | None" = None, accept: Any = None
    ) -> Frame:
        """A control request that may safely be asked again when the connection is lost meanwhile."""
        while True:
            connection = await self.ready()
            try:
                return await connection.call(
                    kind, body, source=0 if agent is None else agent.handle, accept=accept
                )
            except Closed:
                if self.error is not None or self.connection is connection:
                    raise

    def feed(self) -> Feed[Event]:
        """A new queue of events."""
        feed: Feed[Event] = Feed(EVENTS_LIMIT)
        if self.error is not None:
            feed.fail(self.error)
        self._feeds.append(feed)
        return feed

    def forget_feed(self, feed: Feed[Event]) -> None:
        """Nobody reads it any more."""
        if feed in self._feeds:
            self._feeds.remove(feed)

    def tell(self, event: Event) -> None:
        """Put an event into every queue."""
        for feed in self._feeds:
            feed.put(event)

    def registry(self) -> "Registry":
        """The control plane's registry; made at first use. Raises `NotInstalled`, `ValueError`."""
        self.check_loop()
        if self._registry is None:
            if self.error is not None:
                raise self.error
            carrier = self.dialer.carrier
            address = control_address(carrier.address, self.options.control, os.environ)
            self._registry = registry_class()(address, carrier.pem, lambda: self.tokens.current)
        return self._registry

    async def close_registry(self) -> None:
        """The instances here run no more."""
        if self._registry is not None:
            await self._registry.close()

    def rerouted(self) -> None:
        """Agents, subscriptions or their queues have changed."""
        if self._current is not None:
            self._current.delivery.changed()

    def registered(self, agent: "Agent", handle: int) -> None:
        """The gateway knows the agent by this handle."""
        if self._current is None:
            return
        agent.handle = handle
        self.agents[agent.name] = agent
        self.by_handle[handle] = agent
        self._current.delivery.announce(handle, agent.name)
        self.rerouted()

    def decline(self, handle: int) -> None:
        """The gateway has registered an agent that nobody wants any more."""
        if self._current is not None:
            self._current.send(encode(Kind.UNREGISTER, source=handle, id=self.next_id()))

    def unregistered(self, agent: "Agent") -> None:
        """The agent is gone."""
        if self._current is not None:
            self._current.handles.forget_agent(agent.handle)
        if self.agents.get(agent.name) is agent:
            del self.agents[agent.name]
        self.by_handle.pop(agent.handle, None)
        self.rerouted()

    def route_set(self, route: Route) -> None:
        """The gateway has set it."""
        if route.via in self.agents:  # else it has died meanwhile
            self.routes.put(route)
            self.rerouted()

    def route_removed(self, organization: str, pattern: Pattern) -> None:
        """The gateway has removed it."""
        self.routes.remove(organization, pattern)
        self.rerouted()

    def ask_for_routes(self, agent: "Agent") -> None:
        """Set again, without waiting, the routes to this agent that are not in force; a refusal is an event."""
        for route in self.routes.waiting(agent.name):
            self._ask_for_route(route, agent)

    def _ask_for_route(self, route: Route, agent: "Agent") -> None:
        def answered(future: asyncio.Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, AgpError) and not isinstance(error, Closed):
                self.tell(Refused(error.code, str(error), agent.name, str(route.pattern), 0))

        if self._current is not None:
            accept = lambda _: self.route_set(route)  # noqa: E731
            future = self._current.begin_call(Kind.SET_ROUTE, route.body, source=agent.handle, accept=accept)
            future.add_done_callback(answered)

    # Life

    async def open(self) -> None:
        """Connect for the first time. Raises `ConnectError`, `Unauthorized`."""
        if self.state is not State.NEW:
            raise self.error or RuntimeError("this gateway object is already open")
        self._live_on(asyncio.get_running_loop())
        try:
            self.stands(await self.establish())
        except BaseException:
            self._live_on(None)
            await self.dialer.carrier.release()
            raise

    def _live_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.is_running = bool if loop is None else loop.is_running

    async def close(self) -> None:
        """Send what is queued, say goodbye, and wait (bounded) for the carrier's end."""
        if self.state is State.CLOSED or self.loop is None:
            return
        current = self._current
        self.end(Closed("the gateway object was closed", code=Code.GOODBYE))
        tasks = [task for task in (self._reconnecting, self._leaving) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.tokens.close()
        try:
            if current is not None:
                await _farewell(current)
        finally:
            await self.dialer.carrier.release()

    async def quiet(self, timeout: float | None) -> None:
        """Refuse new requests; wait until handlers are idle and the gateway has read everything. Raises `Timeout`."""
        for agent in self.agents.values():
            agent.refuse_requests()
        if self.state is State.CONNECTED:
            self.state = State.DRAINING
        try:
            async with asyncio.timeout(timeout):
                for agent in list(self.agents.values()):
                    await agent.idle()
                while len(self.backlog):
                    await self.backlog.room()
                await (await self.ready()).barrier()
        except TimeoutError:
            raise Timeout(f"not drained within {timeout} s; handlers are still running") from None

    async def establish(self) -> Connection:
        """A connection that has been welcomed, and is not yet told to anybody. Raises as `Dialer.dial`."""
        limit = min(self.options.buffer_bytes, WRITE_LIMIT_BYTES)

        def make(hello: frames.Hello) -> Connection:
            return Connection(
                self,
                lambda new: Delivery(self.agents, self.routes, self.statistics, new),
                self._ids,
                hello,
                limit,
            )

        connection = await self._dial(make)
        self.may_speak_as = connection.welcome.may_speak_as
        self._current = connection
        self.tokens.attach(connection, connection.welcome.token_expires_s)
        self.valve.attach(connection.pause_reading, connection.resume_reading, lambda: bool(connection.calls))
        return connection

    async def _dial(self, make: Callable[[frames.Hello], Connection]) -> Connection:
        """With the token that is kept; with a fresh one, if the gateway does not accept that any more."""
        self.dialer.carrier.refresh()
        kept = self.tokens.current
        token = await self.tokens.for_hello()
        try:
            return await self.dialer.dial(make, token)
        except Unauthorized as error:
            if error.code is not Code.INVALID_TOKEN or not self.tokens.discard() or token != kept:
                raise
        return await self.dialer.dial(make, await self.tokens.for_hello())

    def stands(self, connection: Connection) -> None:
        """Everything is restored: messages can be sent."""
        self.backoff.stands(self.options.clock.now())
        self.connection = connection
        self.state = State.CONNECTED
        self._changed.set()
        self.tell(Connected(connection.welcome.gateway, self.statistics.reconnects))

    def end(self, error: AgpError) -> None:
        """For good: everybody who waits gets the error."""
        if self.error is not None:
            return
        self.error = error
        self.tokens.detach()
        self.state = State.CLOSED
        self.connection = None
        self.valve.detach()
        self._changed.set()
        self.backlog.wake()
        for agent in list(self.agents.values()):
            agent.end(error)
        self.tell(Disconnected(error, True))
        for feed in self._feeds:
            feed.fail(error)

    # What the connection tells

    def lost(self, connection: Connection, error: AgpError) -> None:
        """The carrier has ended."""
        if connection is not self._current:
            return
        self.tokens.detach()
        was_standing = self.connection is connection
        self._current = self.connection = None
        self.valve.detach()
        self.by_handle.clear()
        self.routes.suspend()
        if self.error is not None or not was_standing:
            return
        self._disconnected(error)

    def _disconnected(self, error: AgpError) -> None:
        """Come back, or end for good if that is of no use or not wanted."""
        from agpd_client.restore import come_back

        ended_for_good = is_permanent(error) or (isinstance(error, TokenExpired) and not self.tokens.renew)
        if ended_for_good or not self.options.reconnect:
            self.end(error)
            return
        self.state = State.DISCONNECTED
        self.backoff.lost(self.options.clock.now())
        self._changed.clear()
        self.tell(Disconnected(error, False))
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.get_running_loop().create_task(come_back(self))

    def draining(self, connection: Connection) -> None:
        """The gateway asks us to leave."""
        if connection is self._current and self._leaving is None:
            self.state = State.DRAINING
            self._leaving = asyncio.get_running_loop().create_task(self._leave(connection))

    def refused(self, connection: Connection, frame: Frame, refusal: frames.Refusal) -> None:
        """Something that nobody waits for was refused."""
        self.statistics.refused += refusal.count
        names = connection.delivery.names
        if refusal.code == Code.TAKEN_OVER:
            self._evicted(frame.destination, names.get(frame.source, ""), refusal.detail)
        elif refusal.code == Code.NOT_PERMITTED and not refusal.count:
            self._forbidden(frame.destination, refusal.detail)
        self.tell(
            Refused(
                code_of(refusal.code),
                refusal.detail,
                names.get(frame.destination, ""),
                names.get(frame.source, ""),
                refusal.count,
            )
        )

    def _evicted(self, handle: int, address: str, detail: str) -> None:
        """The agent of that name has taken the address that a subscription held (`proto/native.md` 7.1)."""
        loser = self.by_handle.get(handle)
        subscription = loser and loser.subscriptions.pop(address.rpartition("/")[0], None)
        if subscription is not None:
            subscription.end(refused_with(Code.TAKEN_OVER, detail))
            self.rerouted()

    def _forbidden(self, handle: int, detail: str) -> None:
        """What an agent had asked for is not allowed any more: `verb name` (`proto/native.md` 7.8)."""
        agent = self.by_handle.get(handle)
        verb, _, what = detail.partition(" ")
        if agent is None:
            return
        error = refused_with(Code.NOT_PERMITTED, detail)
        if verb in ("subscribe", "observe"):
            subscription = agent.subscriptions.pop(what, None)
            if subscription is not None:
                subscription.end(error)
        elif verb == "watch":
            for watch in list(agent.watches.get(what, ())):
                watch.end(error)
        elif verb == "route":
            self.routes.lapse(agent.name, what)
        self.rerouted()

    def dropped(self, count: int) -> None:
        """The gateway has dropped messages for this connection."""
        self.statistics.dropped_at_gateway += count
        self.tell(Dropped(count))

    def calls_changed(self) -> None:
        """The first call has begun, or the last one has ended."""
        if self.valve.full:
            self.valve.update()

    def presence(self, agent: int, presence: frames.Presence) -> None:
        """An instance of a watched type has come or gone."""
        watcher = self.by_handle.get(agent)
        if watcher is not None:
            watcher.presence(presence.name, presence.present)

    def ended(self, agent: int, error: AgpError) -> None:
        """An agent has lost its name."""
        loser = self.by_handle.get(agent)
        if loser is not None:
            self.unregistered(loser)
            self.routes.suspend(loser.name)
            loser.end(error)

    # Coming back

    async def _leave(self, connection: Connection) -> None:
        """Finish what has begun, then say goodbye; the reconnect follows from the carrier's end."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                for agent in list(self.agents.values()):
                    await agent.idle()
                await connection.calls.wait_empty()
        except TimeoutError:
            pass  # bounded: what is left fails with an unknown outcome
        finally:
            self._leaving = None
        if self.connection is connection:
            self._current = self.connection = None  # from here on published messages wait for the next one
            self.routes.suspend()
            self.valve.detach()
            self._disconnected(Closed("the gateway is shutting down", code=Code.SHUTTING_DOWN))
        await _farewell(connection)

    def give_up_connection(self) -> None:
        """The one that is being restored is of no use."""
        self.by_handle.clear()
        self.routes.suspend()
        current, self._current = self._current, None
        if current is not None:
            current.close(Code.GOODBYE)
            current.abort()


async def _farewell(connection: Connection) -> None:
    connection.close(Code.GOODBYE)
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.shield(connection.gone)
    except TimeoutError:
        pass  # bounded: it is cut
    finally:
        connection.abort()
