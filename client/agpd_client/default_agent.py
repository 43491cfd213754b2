"""The verbs of an agent on the gateway object itself: one default agent does them."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from agpd_client.agent import Agent
from agpd_client.errors import Closed
from agpd_client.handlers import CONCURRENCY
from agpd_client.inbox import Policy
from agpd_client.message import Message
from agpd_client.onboarding import Registration
from agpd_client.presence import Watch
from agpd_client.sending import ANY, REQUEST_TIMEOUT_S
from agpd_client.subscription import Subscription

Function = TypeVar("Function", bound=Callable[..., Any])
Data = TypeVar("Data")


class DefaultAgent:
    """See `Agent` for what each verb does. `default_agent` makes the agent at the first use of one."""

    async def default_agent(self) -> Agent:
        """The agent behind these verbs."""
        raise NotImplementedError

    def present_default(self) -> Agent:
        """The agent behind these verbs, which has been made already."""
        raise NotImplementedError

    async def publish(
        self,
        to: str,
        data: Any,
        *,
        fanout: int = ANY,
        confirm: bool = False,
        headers: dict[str, str] | None = None,
        ttl: float | None = None,
        timeout: float | None = REQUEST_TIMEOUT_S,
    ) -> int | None:
        """Send a message."""
        agent = await self.default_agent()
        return await agent.publish(
            to, data, fanout=fanout, confirm=confirm, headers=headers, ttl=ttl, timeout=timeout
        )

    async def publish_many(
        self,
        to: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        fanout: int = ANY,
        headers: dict[str, str] | None = None,
        ttl: float | None = None,
    ) -> int:
        """Send many messages; how many there were."""
        agent = await self.default_agent()
        return await agent.publish_many(to, items, fanout=fanout, headers=headers, ttl=ttl)

    @overload
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: type[Data],
        headers: dict[str, str] | None = None,
    ) -> Data: ...
    @overload
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: None = None,
        headers: dict[str, str] | None = None,
    ) -> Any: ...
    async def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: Any = None,  # noqa: A002  (the word of the API)
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Ask one instance; the data of its answer."""
        agent = await self.default_agent()
        return await agent.request(to, data, timeout=timeout, type=type, headers=headers)

    async def request_message(
        self, to: str, data: Any, *, timeout: float = REQUEST_TIMEOUT_S, headers: dict[str, str] | None = None
    ) -> Message[Any]:
        """Ask one instance; its answer."""
        return await (await self.default_agent()).request_message(to, data, timeout=timeout, headers=headers)

    @overload
    async def receive(self, *, timeout: float | None = None, type: None = None) -> Message[Any]: ...
    @overload
    async def receive(self, *, timeout: float | None = None, type: type[Data]) -> Message[Data]: ...
    async def receive(self, *, timeout: float | None = None, type: Any = None) -> Message[Any]:  # noqa: A002
        """The next message."""
        return await (await self.default_agent()).receive(timeout=timeout, type=type)

    def __aiter__(self) -> "DefaultAgent":
        return self

    async def __anext__(self) -> Message[Any]:
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
        """Become an instance of a topic."""
        agent = await self.default_agent()
        subscription: Subscription[Any] = await agent.subscribe(topic, type=type, limit=limit, policy=policy)
        return subscription

    async def unsubscribe(self, topic: str) -> None:
        """Be an instance of the topic no more."""
        await (await self.default_agent()).unsubscribe(topic)

    async def observe(
        self, pattern: str, *, limit: int | None = None, policy: Policy | None = None
    ) -> Subscription[Any]:
        """Get a copy of every message to a namespace."""
        return await (await self.default_agent()).observe(pattern, limit=limit, policy=policy)

    async def set_route(self, pattern: str, via: Agent | str | None = None) -> None:
        """Say who gets what nobody takes."""
        await (await self.default_agent()).set_route(pattern, via)

    async def remove_route(self, pattern: str) -> None:
        """Take a route back."""
        await (await self.default_agent()).remove_route(pattern)

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
        """Register with the control plane."""
        agent = await self.default_agent()
        return await agent.onboard(
            identity=identity,
            description=description,
            labels=labels,
            capabilities=capabilities,
            card=card,
            public_keys=public_keys,
        )

    def watch(self, type_name: str) -> Watch:
        """Who is there of a type."""
        return self.present_default().watch(type_name)

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
        """Decorator: this function answers requests to the default agent."""
        install = self.present_default().on_request(concurrency=concurrency, type=type)
        return install if function is None else install(function)
