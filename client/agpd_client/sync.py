"""The same verbs without `await`: for scripts, Flask, Jupyter. `from agpd_client import sync`; `sync.connect(...)`.

One background thread runs the event loop of all gateways, so it works whether or not the calling thread has a running
loop. Calls may come from any thread but that one; a call that is interrupted (Ctrl-C) is cancelled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from agpd_client import gateway as asynchronous
from agpd_client.agent import Agent as AsyncAgent
from agpd_client.blocking import Source, call, wait
from agpd_client.events import Event, State, Statistics
from agpd_client.handlers import CONCURRENCY
from agpd_client.inbox import INBOX_LIMIT, Policy
from agpd_client.message import Message as AsyncMessage
from agpd_client.presence import Presence
from agpd_client.presence import Watch as AsyncWatch
from agpd_client.sending import ANY, REQUEST_TIMEOUT_S, several
from agpd_client.subscription import Subscription as AsyncSubscription
from agpd_client.sync_registry import Registration, Registry
from agpd_client.uplink import DRAIN_TIMEOUT_S

# Going to the other thread and back takes 50 µs or more: `publish_many` does it once for so many messages.
GROUP = 256
Function = TypeVar("Function", bound=Callable[..., Any])


class Message:
    """See `agpd_client.Message`."""

    def __init__(self, inner: AsyncMessage[Any]) -> None:
        self._inner = inner
        self.source = inner.source
        self.destination = inner.destination
        self.fanout = inner.fanout
        self.id = inner.id
        self.is_request = inner.is_request
        self.dropped = inner.dropped
        self.body = inner.body
        self.content_type = inner.content_type
        self.headers = inner.headers
        self.decode = inner.decode

    @property
    def data(self) -> Any:
        """The payload as a Python value."""
        return self._inner.data

    def reply(self, data: Any, *, headers: dict[str, str] | None = None) -> None:
        """Answer the request."""
        wait(self._inner.reply(data, headers=headers))


class Subscription(Source[Message]):
    """See `agpd_client.Subscription`."""

    def __init__(self, inner: AsyncSubscription[Any]) -> None:
        self._inner = inner
        self.topic = inner.topic

    @property
    def dropped(self) -> int:
        """Messages lost in its queue."""
        return self._inner.dropped

    def receive(self, *, timeout: float | None = None) -> Message:
        """The next message to the topic."""
        return Message(wait(self._inner.receive(timeout=timeout)))

    def close(self) -> None:
        """Unsubscribe."""
        wait(self._inner.close())

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watch(Source[Presence]):
    """See `agpd_client.Watch`; made open."""

    def __init__(self, inner: AsyncWatch) -> None:
        self._inner = inner
        wait(inner.open())

    @property
    def present(self) -> frozenset[str]:
        """Who is there now."""
        return self._inner.present

    def receive(self, *, timeout: float | None = None) -> Presence:
        """The next change."""
        return wait(self._inner.receive(timeout=timeout))

    def close(self) -> None:
        """End."""
        wait(self._inner.close())

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Verbs(Source[Message]):
    """What agents and the gateway object have in common."""

    _inner: AsyncAgent | asynchronous.Gateway

    def publish(
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
        send = self._inner.publish
        return wait(send(to, data, fanout=fanout, confirm=confirm, headers=headers, ttl=ttl, timeout=timeout))

    def publish_many(
        self,
        to: str,
        items: Iterable[Any],
        *,
        fanout: int = ANY,
        headers: dict[str, str] | None = None,
        ttl: float | None = None,
    ) -> int:
        """Send many messages; how many there were.

        This thread takes them from `items`, 256 before it sends: if yours come slowly, `publish` each.
        """

        def send(group: list[Any]) -> int:
            return wait(self._inner.publish_many(to, group, fanout=fanout, headers=headers, ttl=ttl))

        count, group = 0, list[Any]()
        try:
            for data in several(items):
                group.append(data)
                if len(group) == GROUP:
                    whole, group = group, []
                    count += send(whole)
        finally:
            count += send(group)  # also if `items` raises: those before it are sent
        return count

    def request(
        self,
        to: str,
        data: Any,
        *,
        timeout: float = REQUEST_TIMEOUT_S,
        type: Any = None,  # noqa: A002  (the word of the API)
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Ask one instance; the data of its answer."""
        return wait(self._inner.request(to, data, timeout=timeout, type=type, headers=headers))

    def receive(self, *, timeout: float | None = None, type: Any = None) -> Message:  # noqa: A002
        """The next message."""
        return Message(wait(self._inner.receive(timeout=timeout, type=type)))

    def subscribe(
        self,
        topic: str,
        *,
        type: Any = None,  # noqa: A002
        limit: int | None = None,
        policy: Policy | None = None,
    ) -> Subscription:
        """Become an instance of a topic."""
        return Subscription(wait(self._inner.subscribe(topic, type=type, limit=limit, policy=policy)))

    def unsubscribe(self, topic: str) -> None:
        """Be an instance of the topic no more."""
        wait(self._inner.unsubscribe(topic))

    def observe(
        self, pattern: str, *, limit: int | None = None, policy: Policy | None = None
    ) -> Subscription:
        """Get a copy of every message to a namespace."""
        return Subscription(wait(self._inner.observe(pattern, limit=limit, policy=policy)))

    def set_route(self, pattern: str, via: "Agent | str | None" = None) -> None:
        """Say who gets what nobody takes."""
        wait(self._inner.set_route(pattern, via._inner if isinstance(via, Agent) else via))

    def remove_route(self, pattern: str) -> None:
        """Take a route back."""
        wait(self._inner.remove_route(pattern))

    def watch(self, type_name: str) -> Watch:
        """Who is there of a type; a context manager and an iterator."""
        return Watch(wait(call(self._inner.watch, type_name)))

    def on_request(
        self,
        function: Any = None,
        /,
        *,
        concurrency: int = CONCURRENCY,
        type: Any = None,  # noqa: A002
    ) -> Any:
        """Decorator: this function answers requests, in a thread; it may use the blocking API."""

        def install(function: Function) -> Function:
            wait(call(self._inner.on_request(concurrency=concurrency, type=type), function))
            return function

        return install if function is None else install(function)

    def onboard(
        self,
        *,
        identity: str,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        capabilities: Sequence[str] = (),
        card: Mapping[str, Any] | None = None,
        public_keys: Mapping[str, str] | None = None,
    ) -> Registration:
        """Register with the control plane; renewed in the background."""
        return Registration(
            wait(
                self._inner.onboard(
                    identity=identity,
                    description=description,
                    labels=labels,
                    capabilities=capabilities,
                    card=card,
                    public_keys=public_keys,
                )
            )
        )

    def close(self) -> None:
        """End."""
        wait(self._inner.close())


class Agent(_Verbs):
    """See `agpd_client.Agent`."""

    _inner: AsyncAgent

    def __init__(self, inner: AsyncAgent) -> None:
        self._inner = inner
        self.name = inner.name
        self.type_name = inner.type_name
        self.instance = inner.instance

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Gateway(_Verbs):
    """See `agpd_client.Gateway`; made open."""

    _inner: asynchronous.Gateway

    def __init__(self, inner: asynchronous.Gateway) -> None:
        self._inner = inner
        wait(inner.open())

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._inner.state

    @property
    def statistics(self) -> Statistics:
        """Counts since the object was made."""
        return self._inner.statistics

    @property
    def registry(self) -> Registry:
        """The registered agents of the control plane."""
        return Registry(wait(call(lambda: self._inner.registry)))

    def create_agent(
        self,
        name: str,
        *,
        instance: str | None = None,
        inbox_limit: int = INBOX_LIMIT,
        inbox_policy: Policy = "block",
    ) -> Agent:
        """Register an agent."""
        return Agent(
            wait(
                self._inner.create_agent(
                    name, instance=instance, inbox_limit=inbox_limit, inbox_policy=inbox_policy
                )
            )
        )

    def renew_token(self) -> float:
        """Get another access token and show it now: the seconds that it holds."""
        return wait(self._inner.renew_token())

    def events(self) -> Iterator[Event]:
        """What happens from now on."""
        events = wait(call(self._inner.events))
        return _events(events)

    def drain(self, timeout: float | None = DRAIN_TIMEOUT_S) -> None:
        """Refuse new requests and wait until all is done and sent."""
        wait(self._inner.drain(timeout))

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _events(events: asynchronous.Events) -> Iterator[Event]:
    while True:
        try:
            yield wait(events.__anext__())
        except StopAsyncIteration:
            return


def connect(url: str | None = None, **options: Any) -> Gateway:
    """Connect; the options are those of `agpd_client.connect`. Raises `ConnectError`, `Unauthorized`, `ValueError`."""
    return Gateway(asynchronous.connect(url, **options))
