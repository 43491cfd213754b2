"""What happens to a gateway object beside messages: `async for event in gateway.events()`."""

import dataclasses
import enum
from typing import NamedTuple

import msgspec

from agpd.errors import Code
from agpd_client.errors import AgpError


class State(enum.Enum):
    """How a gateway object stands."""

    NEW = "new"  # not yet opened
    CONNECTED = "connected"
    DRAINING = "draining"  # the gateway has asked us to leave, or drain() was called
    DISCONNECTED = "disconnected"  # connecting again
    CLOSED = "closed"


class Connected(NamedTuple):
    """The connection stands; after a reconnect everything has been restored."""

    gateway: str
    reconnects: int


class Disconnected(NamedTuple):
    """The connection has ended. `final`: nothing will bring it back, every call raises `error`."""

    error: AgpError
    final: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Messages that nobody waited for, or a state that could not be restored, were refused."""

    code: Code
    detail: str
    agent: str  # full name of the sender, empty if it is gone
    destination: str  # as far as it is still known
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """The gateway dropped messages for this connection because it did not read them in time."""

    count: int


class TokenRenewed(NamedTuple):
    """The connection has a new access token, which holds so many seconds."""

    expires_s: float


class TokenNotRenewed(NamedTuple):
    """No new access token could be got, or it was not accepted; it is tried again until the connection ends."""

    error: AgpError


Event = Connected | Disconnected | Refused | Dropped | TokenRenewed | TokenNotRenewed


class Statistics(msgspec.Struct):
    """Counts since the gateway object was made."""

    received: int = 0  # messages put into a queue or handed to a handler
    dropped_here: int = 0  # by the policy of an inbox
    dropped_at_gateway: int = 0
    refused: int = 0  # messages that nobody waited for
    expired: int = 0
    unreadable: int = 0  # envelopes that do not decode
    strays: int = 0  # deliveries and answers nobody here waits for (any more)
    reconnects: int = 0
