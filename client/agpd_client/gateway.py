"""`connect`: a gateway as the agents of this process see it."""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from agpd import __version__, names
from agpd_client.agent import Agent, full_name
from agpd_client.backoff import Clock
from agpd_client.credentials import Asked, ClientCredentials, Fixed, Source, TokenFunction, chosen
from agpd_client.default_agent import DefaultAgent
from agpd_client.dial import Options
from agpd_client.errors import AgpError, InvalidName, checked
from agpd_client.events import Event, State, Statistics
from agpd_client.inbox import INBOX_LIMIT, Feed, Policy
from agpd_client.token_endpoint import TokenEndpoint
from agpd_client.transports.address import DEFAULT_URL, parse_url
from agpd_client.transports.carrier import Carrier
from agpd_client.transports.tls import PathLike
from agpd_client.uplink import DRAIN_TIMEOUT_S, Uplink

if TYPE_CHECKING:
    import types

    from agpd_client.registry import Registry

Result = TypeVar("Result")
BUFFER_BYTES = 4 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0


def connect(
    url: str | None = None,
    *,
    certificate: PathLike | None = None,
    key: PathLike | None = None,
    ca: PathLike | None = None,
    name: str | None = None,
    agent: str | None = None,
    control: str | None = None,
    credentials: ClientCredentials | None = None,
    token: str | TokenFunction | None = None,
    reconnect: bool = True,
    connect_timeout: float = CONNECT_TIMEOUT_S,
    buffer_bytes: int = BUFFER_BYTES,
    chance: random.Random | None = None,
) -> "Gateway":
    """A gateway object, not yet connected: `async with agp.connect() as gateway`, or `await gateway.open()`.

    `url`: `agp://host:port` (TLS), `agp+tcp://host:port` (plaintext), through gRPC `agp+grpc://host:port` (TLS) and
    `agp+grpc+tcp://host:port` (plaintext), or `local://name` (in this process); left out, AGP_URL, else
    agp://127.0.0.1:7420.
    `certificate`, `key`, `ca`: PEM files; left out, AGP_CERTIFICATE, AGP_KEY and AGP_CA, else on loopback the files of
    `agpd dev`. Through gRPC an access token may take the place of certificate and key. `name` is shown in the gateway's
    log. `agent` names the default agent, as which the gateway object itself sends and receives. `control` is
    `host:port` of the control plane, for `gateway.registry`; left out, AGP_CONTROL, else the gateway's host with port
    46357. `credentials` gets access tokens, and renews them; `token` is one, or a function that returns one, which may
    be async; both left out, AGP_TOKEN, else AGP_ISSUER with AGP_CLIENT_ID and AGP_CLIENT_SECRET, else there is no
    token. `buffer_bytes` bounds what is kept for sending, while the carrier is full or there is no connection. `chance`
    spreads reconnects and renewals.
    Raises `ValueError` for a wrong URL or credentials that cannot be used.
    """
    address = parse_url(url or os.environ.get("AGP_URL") or DEFAULT_URL)
    return assemble(
        Carrier(address, certificate, key, ca),
        name=name,
        agent=agent,
        control=control,
        tokens=chosen(credentials, token, {} if address.carrier == "local" else os.environ),
        reconnect=reconnect,
        connect_timeout=connect_timeout,
        buffer_bytes=buffer_bytes,
        chance=chance,
    )


def assemble(
    carrier: Carrier,
    *,
    name: str | None = None,
    agent: str | None = None,
    control: str | None = None,
    tokens: ClientCredentials | str | TokenFunction | None = None,
    reconnect: bool = True,
    connect_timeout: float = CONNECT_TIMEOUT_S,
    buffer_bytes: int = BUFFER_BYTES,
    chance: random.Random | None = None,
    clock: Clock | None = None,
) -> "Gateway":
    """A gateway object over this carrier; `clock` times reconnects and renewals, `tokens` is where access tokens come
    from, the rest is as for `connect`.
    """
    client = f"agpd-python/{__version__}" + (f" {name}" if name else "")
    options = Options(
        reconnect,
        connect_timeout,
        buffer_bytes,
        client[:255],
        chance or random.SystemRandom(),
        clock or Clock(),
        control,
        source_of(tokens, carrier),
    )
    default = None if agent is None else full_name(agent, None)
    return Gateway(Uplink(carrier, options), default)


def source_of(tokens: ClientCredentials | str | TokenFunction | None, carrier: Carrier) -> Source | None:
    """Where the tokens come from that a connection over this carrier shows."""
    if tokens is None:
        return None
    if isinstance(tokens, ClientCredentials):
        return TokenEndpoint(tokens, carrier.context)
    return Fixed(tokens) if isinstance(tokens, str) else Asked(tokens)


class Gateway(DefaultAgent):
    """The connection to a gateway, and the agents on it. An async context manager.

    When the connection is lost it comes back by itself: agents, subscriptions, routes and watches are restored, then
    what was published meanwhile is sent. What waits for an answer then fails with `Closed`. What cannot come back (a
    refused certificate, a name that is not permitted) ends the object: every call raises why.

    All agents share one connection: an inbox that is full and has the policy `block` holds up all of them.
    """

    def __init__(self, uplink: Uplink, default: str | None) -> None:
        self._uplink = uplink
        self._default_name = default
        self._default: Agent | None = None
        self._making = asyncio.Lock()

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._uplink.state

    @property
    def error(self) -> AgpError | None:
        """What ended the gateway object for good."""
        return self._uplink.error

    @property
    def statistics(self) -> Statistics:
        """Counts since the object was made."""
        return self._uplink.statistics

    @property
    def may_speak_as(self) -> str:
        """The pattern of names that the certificate allows; empty before the first connection."""
        return self._uplink.may_speak_as

    @property
    def registry(self) -> "Registry":
        """The registered agents of the control plane: `find`, `get`, `watch`, `register`, `deregister`.

        Nothing is connected before the first call. Raises `NotInstalled` without `pip install 'agpd[registry]'`.
        """
        return self._uplink.registry()

    async def open(self) -> "Gateway":
        """Connect. Raises `ConnectError`, `Unauthorized`, and if a default agent is named what refuses its name."""
        await self._uplink.open()
        if self._default_name is not None:
            try:
                await self.default_agent()
            except BaseException:
                await self.close()
                raise
        return self

    async def close(self) -> None:
        """Send what is queued, say goodbye, end all agents. May be called again."""
        for agent in list(self._uplink.agents.values()):
            if agent.handler is not None:
                await agent.handler.close()
        try:
            await self._uplink.close_registry()
        finally:
            await self._uplink.close()

    async def drain(self, timeout: float | None = DRAIN_TIMEOUT_S) -> None:
        """Refuse new requests, then wait until handlers are done and the gateway has read everything sent so far.

        Raises `Timeout`. Afterwards `close`: nothing is lost.
        """
        self._uplink.check_loop()
        await self._uplink.quiet(timeout)

    async def __aenter__(self) -> "Gateway":
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "types.TracebackType | None",
    ) -> None:
        await self.close()

    async def create_agent(
        self,
        name: str,
        *,
        instance: str | None = None,
        inbox_limit: int = INBOX_LIMIT,
        inbox_policy: Policy = "block",
    ) -> Agent:
        """Register an instance of the type `name`, under a new UUID unless `instance` (or a full name) is given.

        `inbox_limit`: messages. When the inbox is full, `block` pauses reading from the gateway (for all agents of
        this object; a pause over 10 s costs the connection), `drop_oldest` and `drop_new` drop and count, `error`
        drops and lets the next receive raise `Backpressure`.
        """
        self._uplink.check_loop()
        agent = Agent(self._uplink, full_name(name, instance), inbox_limit, inbox_policy)
        if agent.name in self._uplink.agents:
            raise InvalidName(f"{agent.name} is already an agent of this gateway object")
        await agent.register()
        return agent

    async def renew_token(self) -> float:
        """Get another access token and show it now, instead of when it is due: the seconds that it holds.

        For what has changed of the client's rights. The connection goes on, with the old token if there is no other.
        Raises `Unauthorized`, `ConnectError`.
        """
        self._uplink.check_loop()
        return await self._uplink.tokens.renew_now(await self._uplink.ready())

    def events(self) -> "Events":
        """What happens from now on: an async iterator of `Connected`, `Disconnected`, `Refused`, `Dropped`.

        It ends after the final `Disconnected`. Beyond 1024 unread events the oldest are dropped.
        """
        return Events(self._uplink)

    async def default_agent(self) -> Agent:
        """The agent as which the gateway object itself sends and receives; made at first use."""
        if self._default is None:
            async with self._making:
                if self._default is None:
                    self._default = await self.create_agent(self._default_name or self._only_name())
        return self._default

    def present_default(self) -> Agent:
        """The default agent, which has been made already. Raises `InvalidName` if it has not."""
        if self._default is None:
            raise InvalidName(
                "the default agent is not there yet: pass connect(agent='organization/namespace/type'), "
                "or call `await gateway.default_agent()` first"
            )
        return self._default

    def _only_name(self) -> str:
        self._uplink.check_loop()
        allowed = checked(names.parse_pattern, self._uplink.may_speak_as)
        if len(allowed.prefix) < 3:
            raise InvalidName(
                f"the certificate allows {allowed} and does not say which agent this is: "
                "pass connect(agent='organization/namespace/type')"
            )
        return str(allowed)


class Events:
    """Async iterator of what happens."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._feed: Feed[Event] = uplink.feed()

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._feed.get()
        except AgpError:
            raise StopAsyncIteration from None

    async def receive(self, *, timeout: float | None = None) -> Event:
        """The next event, within `timeout` seconds. Raises `Timeout`, and after the end what caused it."""
        return await self._feed.get(timeout)

    def close(self) -> None:
        """Keep no more events."""
        self._uplink.forget_feed(self._feed)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
