"""`gateway.registry`: agents that are registered with the control plane, found by what they are and can do.

Over gRPC, `agpd.control.v1`; the only module of the SDK that sees the generated code.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from agpd._proto import control_pb2 as messages
from agpd._proto import control_pb2_grpc as services
from agpd.errors import Code
from agpd_client.errors import AgpError, Closed
from agpd_client.inbox import Feed
from agpd_client.registered import RegisteredAgent, RegisteredInstance, RegistryEvent
from agpd_client.transports.address import Address
from agpd_client.transports.rpc import Rpc
from agpd_client.transports.tls import Pem

TIMEOUT_S = 10.0
EVENTS_LIMIT = 1024


class Owned(Protocol):
    """What lives on a registry and has to end before it."""

    async def close(self) -> None:
        """End; may be called again."""


class _Stubs(NamedTuple):
    registry: Any
    discovery: Any


def _stubs(channel: Any) -> _Stubs:
    return _Stubs(services.RegistryStub(channel), services.DiscoveryStub(channel))  # type: ignore[no-untyped-call]


class Registry:
    """What is registered, as far as this connection's certificate and token may see it.

    Calls take `timeout` in seconds and raise `NotFound`, `NotPermitted`, `InvalidRequest`, `Unauthorized`,
    `LimitReached`, `Unavailable`, `ConnectError`, `Timeout`.
    """

    def __init__(self, address: Address, pem: Callable[[], Pem | None], token: Callable[[], str]) -> None:
        self.address = address
        self._rpc: Rpc[_Stubs] = Rpc(address, pem, token, _stubs)
        self.owned: set[Owned] = set()

    def find(
        self,
        *,
        organization: str = "",
        namespace: str = "",
        type: str = "",  # noqa: A002  (the word of the API)
        labels: Mapping[str, str] | None = None,
        capability: str | Sequence[str] = (),
        live: bool = False,
        text: str = "",
        timeout: float = TIMEOUT_S,
    ) -> "Found":
        """Agents of which all that is given holds: every label, every capability, every word of `text`.

        `namespace` and `type` are segments of a name. `live`: an instance runs. Nothing is asked before the
        answer is read: `await` it for a list, `async for` over it, or `await found.first()`.
        """
        query = _query(organization, namespace, type, labels, capability, live, text)
        return Found(self._rpc, query, timeout)

    async def get(self, type: str, identity: str, *, timeout: float = TIMEOUT_S) -> RegisteredAgent:  # noqa: A002
        """One agent. Raises `NotFound`."""
        key = messages.AgentKey(type=type, identity=identity)
        return _agent(await self._rpc.call(lambda stubs: stubs.discovery.Get, key, timeout))

    def watch(
        self,
        *,
        organization: str = "",
        namespace: str = "",
        type: str = "",  # noqa: A002  (the word of the API)
        labels: Mapping[str, str] | None = None,
        capability: str | Sequence[str] = (),
        live: bool = False,
        text: str = "",
        timeout: float = TIMEOUT_S,
    ) -> "RegistryWatch":
        """Changes of such agents from now on: an async context manager and iterator of `RegistryEvent`.

        Who enters the watch and then asks `find` misses nothing. `timeout`: for the beginning.
        """
        query = _query(organization, namespace, type, labels, capability, live, text)
        return RegistryWatch(self._rpc, query, timeout, self.owned)

    async def register(
        self,
        type: str,  # noqa: A002  (the word of the API)
        identity: str,
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        capabilities: Sequence[str] = (),
        card: Mapping[str, Any] | None = None,
        public_keys: Mapping[str, str] | None = None,
        create: bool = False,
        timeout: float = TIMEOUT_S,
    ) -> RegisteredAgent:
        """Register or replace an agent without running it; `create`: raise `AlreadyExists` instead of replacing."""
        agent = messages.Agent(
            type=type,
            identity=identity,
            description=description,
            labels=labels or {},
            capabilities=capabilities,
            card="" if card is None else json.dumps(card),
            public_keys=public_keys or {},
        )
        request = messages.RegisterRequest(agent=agent, create=create)
        return _agent(await self._rpc.call(lambda stubs: stubs.registry.Register, request, timeout))

    async def deregister(self, type: str, identity: str, *, timeout: float = TIMEOUT_S) -> None:  # noqa: A002
        """Remove the agent and its instances from the registry. Raises `NotFound`."""
        key = messages.AgentKey(type=type, identity=identity)
        await self._rpc.call(lambda stubs: stubs.registry.Deregister, key, timeout)

    async def start(
        self,
        type: str,  # noqa: A002  (the word of the API)
        identity: str,
        instance: str,
        *,
        timeout: float = TIMEOUT_S,
    ) -> RegisteredInstance:
        """The instance of this full name runs; it has to say so again before it `expires`."""
        request = messages.StartRequest(type=type, identity=identity, instance=instance)
        return _instance(await self._rpc.call(lambda stubs: stubs.registry.Start, request, timeout))

    async def heartbeat(self, instance: str, *, timeout: float = TIMEOUT_S) -> RegisteredInstance:
        """The instance still runs. Raises `NotFound` if it was taken for gone."""
        key = messages.InstanceKey(instance=instance)
        return _instance(await self._rpc.call(lambda stubs: stubs.registry.Heartbeat, key, timeout))

    async def stop(self, instance: str, *, timeout: float = TIMEOUT_S) -> None:
        """The instance runs no more."""
        key = messages.InstanceKey(instance=instance)
        await self._rpc.call(lambda stubs: stubs.registry.Stop, key, timeout)

    async def close(self) -> None:
        """End all watches, tell that the instances stop, end all calls."""
        await asyncio.gather(*(each.close() for each in list(self.owned)))
        await self._rpc.close()


class Found:
    """The answer to `find`, read page by page."""

    def __init__(self, rpc: Rpc[_Stubs], query: Any, timeout: float) -> None:
        self._rpc = rpc
        self._query = query
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[RegisteredAgent]:
        after = ""
        while True:
            page = await self._page(after, 0)
            for agent in page.items:
                yield _agent(agent)
            after = page.next
            if not after:
                return

    def __await__(self) -> Generator[Any, None, list[RegisteredAgent]]:
        return self.all().__await__()

    async def first(self) -> RegisteredAgent | None:
        """One of them, if there is any."""
        page = await self._page("", 1)
        return _agent(page.items[0]) if page.items else None

    async def all(self) -> list[RegisteredAgent]:
        """A list of them."""
        return [agent async for agent in self]

    async def _page(self, after: str, limit: int) -> Any:
        request = messages.FindRequest(query=self._query, after=after, limit=limit)
        return await self._rpc.call(lambda stubs: stubs.discovery.Find, request, self._timeout)


class RegistryWatch:
    """Changes of the registry, in order.

    It ends with an error when the connection to the control plane is lost, when the access token that it began with
    has ended, or when events were read too slowly to be kept: watch again, then find again, for what happened
    meanwhile is not told.
    """

    def __init__(self, rpc: Rpc[_Stubs], query: Any, timeout: float, owned: set[Owned]) -> None:
        self._rpc = rpc
        self._query = query
        self._timeout = timeout
        self._owned = owned
        self._events: Feed[RegistryEvent] = Feed()
        self._taken = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin. Raises `NotPermitted`, `LimitReached`, `ConnectError`, and what else refuses it."""
        if self._reader is not None:
            return
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.ensure_future(self._read(accepted))
        self._owned.add(self)
        try:
            await accepted
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End. Iteration then ends after what has been told. May be called again."""
        self._owned.discard(self)
        self._events.fail(Closed("the watch was closed"))
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def receive(self, *, timeout: float | None = None) -> RegistryEvent:
        """The next change, within `timeout` seconds. Raises `Timeout`, and what has ended the watch."""
        await self.open()
        event = await self._events.get(timeout)
        self._taken.set()
        return event

    async def __aenter__(self) -> "RegistryWatch":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> "RegistryWatch":
        return self

    async def __anext__(self) -> RegistryEvent:
        try:
            return await self.receive()
        except Closed as error:
            if error.code is Closed.default:
                raise StopAsyncIteration from None
            raise

    async def _read(self, accepted: "asyncio.Future[None]") -> None:
        def begin() -> None:
            if not accepted.done():
                accepted.set_result(None)

        stream = self._rpc.stream(lambda stubs: stubs.discovery.Watch, self._query, self._timeout, begin)
        try:
            async with contextlib.aclosing(stream):
                async for event in stream:
                    self._events.put(RegistryEvent(kind=event.kind, agent=_agent(event.agent)))
                    await self._room()
            error: AgpError = Closed(
                "the control plane has ended the watch: it stops, or the access token that the watch began with has "
                "ended; watch again, then find again",
                code=Code.SHUTTING_DOWN,
            )
        except AgpError as reason:
            error = reason
        self._owned.discard(self)
        self._events.fail(error)
        if not accepted.done():
            accepted.set_exception(error)

    async def _room(self) -> None:
        """Read no more than is taken: the control plane bounds what waits there."""
        while len(self._events.items) >= EVENTS_LIMIT:
            self._taken.clear()
            await self._taken.wait()


def _query(
    organization: str,
    namespace: str,
    kind: str,
    labels: Mapping[str, str] | None,
    capability: str | Sequence[str],
    live: bool,
    text: str,
) -> Any:
    return messages.Query(
        organization=organization,
        namespace=namespace,
        type=kind,
        labels=labels or {},
        capabilities=[capability] if isinstance(capability, str) else capability,
        live=live,
        text=text,
    )


def _instance(found: Any) -> RegisteredInstance:
    return RegisteredInstance(name=found.name, since=found.since, expires=found.expires)


def _agent(found: Any) -> RegisteredAgent:
    return RegisteredAgent(
        type=found.type,
        identity=found.identity,
        description=found.description,
        labels=dict(found.labels),
        capabilities=tuple(found.capabilities),
        card=json.loads(found.card) if found.card else None,
        public_keys=dict(found.public_keys),
        created=found.created,
        updated=found.updated,
        instances=tuple(map(_instance, found.instances)),
    )
