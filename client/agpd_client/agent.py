"""An agent: a name on the gateway, with an inbox."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident as _thread
from typing import TYPE_CHECKING, Any, TypeVar, overload

from agpd import names
from agpd.errors import Code
from agpd.wire.frames import Body, Frame, Kind, Named, encode
from agpd_client.errors import AgpError, Closed, InvalidName, NotPermitted, checked
from agpd_client.handlers import CONCURRENCY, Handler
from agpd_client.inbox import INBOX_LIMIT, Inbox, Policy
from agpd_client.message import Message
from agpd_client.onboarding import Registration
from agpd_client.presence import Watch
from agpd_client.requests import Accept
from agpd_client.routes import Route, carrier
from agpd_client.sending import Sender
from agpd_client.subscription import Subscription

if TYPE_CHECKING:
    from agpd_client.uplink import Uplink

Data = TypeVar("Data")
Function = TypeVar("Function", bound=Callable[..., Any])


class Agent(Sender):
    """One instance of a type. Made by `Gateway.create_agent`; an async context manager that ends it.

    `name` is the full name, `type_name` its first three segments, `instance` the fourth. Messages to the type, to the
    instance and to subscribed topics go to one inbox, which `receive` and `async for` read.
    """

    def __init__(self, uplink: "Uplink", name: str, inbox_limit: int, inbox_policy: Policy) -> None:
        self.name = name
        self.type_name, _, self.instance = name.rpartition("/")
        self.handle = 0
        self.inbox = Inbox(inbox_limit, inbox_policy, uplink.valve, uplink.statistics)
        self.subscriptions: dict[str, Subscription[Any]] = {}
        self.watches: dict[str, list[Watch]] = {}
        self.handler: Handler | None = None
        self.registration: Registration | None = None
        self._uplink = uplink
        self._error: AgpError | None = None
        self._defaults: tuple[int, Policy] = (inbox_limit, inbox_policy)

    # Receiving

    @overload
    async def receive(self, *, timeout: float | None = None, type: None = None) -> Message[Any]: ...
    @overload
    async def receive(self, *, timeout: float | None = None, type: type[Data]) -> Message[Data]: ...
    async def receive(self, *, timeout: float | None = None, type: Any = None) -> Message[Any]:  # noqa: A002
        """The next message, within `timeout` seconds (None: as long as it takes); its data then is a `type`.

        Raises `Timeout`, `Closed`, `Backpressure`.
        """
        self._uplink.check_loop()
        message = await self.inbox.get(timeout)
        if type is not None:
            message.expect(type)
        return message

    def __aiter__(self) -> "Agent":
        return self

    async def __anext__(self) -> Message[Any]:
        # Not by way of `receive`: each coroutine less is 90 ns for each message.
        inbox, uplink = self.inbox, self._uplink
        if inbox.items and not inbox.untold and _thread() == uplink.thread and uplink.is_running():
            return inbox.take()
        try:
            return await self.receive()
        except Closed as error:
            if error.code is Closed.default:
                raise StopAsyncIteration from None
            raise

    @overload
    async def subscribe(
        self, topic: str, *, type: None = None, limit: int | None = None, policy: Policy | None = None
    ) -> Subscription[Any]: ...
    @overload
    async def subscribe(
        self, topic: str, *, type: type[Data], limit: int | None = None, policy: Policy | None = None
    ) -> Subscription[Data]: ...
    async def subscribe(
        self,
        topic: str,
        *,
        type: Any = None,  # noqa: A002  (the word of the API)
        limit: int | None = None,
        policy: Policy | None = None,
    ) -> Subscription[Any]:
        """Become an instance of a topic. Its messages' data is a `type`; `limit` and `policy` are those of its queue.

        A topic that is already subscribed gives the same subscription. Raises `NotPermitted`, `LimitReached`.
        """
        checked(names.parse_type, topic)
        return await self._subscribe(topic, type, limit, policy)

    async def observe(
        self, pattern: str, *, limit: int | None = None, policy: Policy | None = None
    ) -> Subscription[Any]:
        """Get a copy of every message to a type or topic of a namespace, `org/ns/*`; only where granted."""
        if not pattern.endswith("/*") or len(checked(names.parse_pattern, pattern).prefix) != 2:
            raise InvalidName(f"{pattern!r}: an observer names a whole namespace, organization/namespace/*")
        return await self._subscribe(pattern, None, limit, policy)

    async def unsubscribe(self, topic: str) -> None:
        """Be an instance of the topic, or an observer, no more. The agent's own type only loses its queue."""
        self.check_loop()
        subscription = self.subscriptions.pop(topic, None)
        if subscription is None:
            return
        subscription.end(Closed(f"{topic} was unsubscribed"))
        self.rerouted()
        if topic != self.type_name:
            await self.settle(Kind.UNSUBSCRIBE, Named(topic))

    @overload
    def on_request(self, function: Function, /) -> Function: ...
    @overload
    def on_request(
        self, /, *, concurrency: int = CONCURRENCY, type: Any = None
    ) -> Callable[[Function], Function]: ...
    def on_request(
        self,
        function: Any = None,
        /,
        *,
        concurrency: int = CONCURRENCY,
        type: Any = None,  # noqa: A002
    ) -> Any:
        """Decorator: this function answers the agent's requests; what it returns is the reply.

        It takes the payload, as its first parameter's annotation (or `type`) says, and if it likes a `Context`. What
        it raises is the requester's `RemoteError`. At most `concurrency` run at once. A function that is not async
        runs in a thread. A later function replaces an earlier one.
        """

        def install(function: Function) -> Function:
            handler = Handler(self, function, type, concurrency, self._make_inbox(None, None))
            self.handler = handler
            # Whoever saw the agent come may have asked before there was a function to answer.
            for request in self.inbox.remove(lambda message: message.is_request):
                handler.take(request)
            return function

        return install if function is None else install(function)

    # Routes and presence

    async def set_route(self, pattern: str, via: "Agent | str | None" = None) -> None:
        """What matches `pattern` and nobody takes goes to the agent `via`, or to this one.

        `pattern`: `*`, `org/*`, `org/ns/*` or a type; the longest that matches counts, and a later route of the same
        pattern and organization replaces an earlier one. `via`: an `Agent` of this gateway object and organization,
        or its full name. The route ends with that agent, and is restored after a reconnect.
        Raises `InvalidName`, `NotPermitted`, `LimitReached`.
        """
        self.check_loop()
        parsed = checked(names.parse_pattern, pattern)
        route = Route(parsed, carrier(self, via, self._uplink.agents))
        await self.settle(Kind.SET_ROUTE, route.body, lambda _: self._uplink.route_set(route))

    async def remove_route(self, pattern: str) -> None:
        """Take a route of this agent's organization back; one that is not set is no error. Raises `InvalidName`."""
        parsed = checked(names.parse_pattern, pattern)
        organization = self.name.partition("/")[0]
        await self.settle(
            Kind.REMOVE_ROUTE,
            Named(str(parsed)),
            lambda _: self._uplink.route_removed(organization, parsed),
        )

    def watch(self, type_name: str) -> Watch:
        """Who is there of a type or topic: an async context manager and iterator of `Presence`."""
        checked(names.parse_type, type_name)
        return Watch(self, type_name)

    async def onboard(
        self,
        *,
        identity: str,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        capabilities: Sequence[str] = (),
        card: Mapping[str, Any] | None = None,
        public_keys: Mapping[str, str] | None = None,
    ) -> Registration:
        """Register with the control plane as this lasting identity of the type, and as running until the agent ends.

        What was registered under the identity before is replaced. The instance is renewed at a third of its life,
        through failures of the control plane, and stopped when the agent or the gateway object is closed. A second
        call takes the place of the first.
        Raises `NotInstalled`, and what `Registry.register` and `start` raise.
        """
        self.check_loop()
        if self._error is not None:
            raise self._error
        if self.registration is not None:
            await self.registration.close()
        registry = self._uplink.registry()
        agent = await registry.register(
            self.type_name,
            identity,
            description=description,
            labels=labels,
            capabilities=capabilities,
            card=card,
            public_keys=public_keys,
        )
        if any(instance.name == self.name for instance in agent.instances):
            await registry.stop(self.name)  # a process before us ran under this name and has not expired
        instance = await registry.start(self.type_name, identity, self.name)
        self.registration = Registration(self._uplink, registry, agent, instance)
        if self.inbox.error is not None:  # the agent has ended meanwhile
            await self.registration.close()
            raise self.inbox.error
        return self.registration

    # Life

    async def close(self) -> None:
        """Give the name back. Running request handlers are cancelled and their requesters told."""
        if self._error is not None:
            return
        self.check_loop()
        self._error = Closed(f"the agent {self.name} was closed")
        if self.handler is not None:
            await self.handler.close()
        if self.registration is not None:
            await self.registration.close()
        connection, handle = self._uplink.connection, self.handle
        self._uplink.unregistered(self)
        self._uplink.routes.forget(self.name)
        self._end(self._error)
        if connection is not None:
            connection.send(encode(Kind.UNREGISTER, source=handle, id=connection.next_id()))

    async def __aenter__(self) -> "Agent":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    # For the other parts of the SDK

    def check_loop(self) -> None:
        """Raises `RuntimeError` on another loop than the gateway object's."""
        self._uplink.check_loop()

    def is_here(self) -> bool:
        """Would `check_loop` raise nothing?"""
        return _thread() == self._uplink.thread and self._uplink.is_running()

    def rerouted(self) -> None:
        """Where messages go has changed."""
        self._uplink.rerouted()

    async def settle(self, kind: Kind, body: Body, accept: Accept | None = None) -> Frame:
        """A control request of this agent. Raises its refusal."""
        self.check_loop()
        if self._error is not None:
            raise self._error
        return await self._uplink.settle(kind, body, self, accept)

    def settle_later(self, kind: Kind, body: Body) -> None:
        """A control request whose answer does not matter."""
        connection = self._uplink.connection
        if connection is not None:
            connection.begin_call(kind, body, source=self.handle)

    async def register(self) -> None:
        """Take the name. Raises `NameTaken`, `NotPermitted`, `LimitReached`."""
        try:
            await self._uplink.settle(Kind.REGISTER, Named(self.name), None, self._registered)
        except NotPermitted as error:
            raise NotPermitted(f"{error}; this certificate allows {self._uplink.may_speak_as}") from None
        except BaseException:
            await self._abandon()
            raise

    def end(self, error: AgpError) -> None:
        """The name, or the gateway object, is lost."""
        if self._error is None:
            self._error = error
            self._end(error)

    def refuse_requests(self) -> None:
        """Requests that come from now on are answered with an error."""
        if self.handler is not None:
            self.handler.is_refusing = True

    async def idle(self) -> None:
        """Until no request handler runs."""
        if self.handler is not None:
            await self.handler.wait_idle()

    def presence(self, name: str, present: bool) -> None:
        """The gateway tells of an instance of a watched type."""
        for watch in self.watches.get(name.rpartition("/")[0], ()):
            watch.change(name, present)

    def _end(self, error: AgpError) -> None:
        if self.registration is not None:
            self.registration.end()
        self.inbox.fail(error)
        for subscription in self.subscriptions.values():
            subscription.end(error)
        for watches in self.watches.values():
            for watch in watches:
                watch.end(error)

    async def _abandon(self) -> None:
        """Creation was cancelled or failed: the gateway must not keep a name that nobody holds."""
        if self.handle:
            await self.close()
        self._error = Closed("the agent was never registered", code=Code.GOODBYE)

    def _registered(self, frame: Frame) -> None:
        if self._error is None:
            self._uplink.registered(self, frame.destination)
            self._uplink.ask_for_routes(self)
        else:
            self._uplink.decline(frame.destination)

    async def _subscribe(
        self, topic: str, kind: Any, limit: int | None, policy: Policy | None
    ) -> Subscription[Any]:
        self.check_loop()
        if self._error is not None:
            raise self._error
        if topic in self.subscriptions:
            return self.subscriptions[topic]
        subscription: Subscription[Any] = Subscription(
            self, topic, kind, lambda: self._make_inbox(limit, policy)
        )
        # Before the gateway knows: its first delivery may lie right behind its answer.
        self.subscriptions[topic] = subscription
        self.rerouted()
        if topic == self.type_name:
            return subscription
        try:
            await self.settle(Kind.SUBSCRIBE, Named(topic))
        except BaseException:
            self.subscriptions.pop(topic, None)
            self.rerouted()
            self.settle_later(Kind.UNSUBSCRIBE, Named(topic))
            raise
        return subscription

    def _make_inbox(self, limit: int | None, policy: Policy | None) -> Inbox:
        return Inbox(
            self._defaults[0] if limit is None else limit,
            self._defaults[1] if policy is None else policy,
            self._uplink.valve,
            self._uplink.statistics,
        )


def full_name(name: str, instance: str | None) -> str:
    """The full name of a new agent; a type gets a new UUID. Raises `InvalidName`."""
    parsed = checked(names.parse, name)
    if parsed.is_instance:
        if instance not in (None, parsed.instance):
            raise InvalidName(f"{name!r} names an instance already; leave out instance={instance!r}")
        return name
    return str(checked(names.parse_instance, f"{name}/{instance or uuid.uuid4()}"))


__all__ = ["INBOX_LIMIT", "Agent", "full_name"]
