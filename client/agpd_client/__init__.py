"""The Python SDK of agpd: `import agpd_client as agp`."""

from agpd.errors import Code
from agpd_client import sync
from agpd_client.agent import Agent
from agpd_client.credentials import ClientCredentials
from agpd_client.errors import (
    AgpError,
    AlreadyExists,
    Backpressure,
    Closed,
    ConnectError,
    DecodeError,
    InvalidName,
    InvalidRequest,
    LimitReached,
    MessageTooLarge,
    NameTaken,
    NoRoute,
    NotFound,
    NotInstalled,
    NotPermitted,
    ReceiverFull,
    RemoteError,
    Timeout,
    TokenExpired,
    Unauthorized,
    Unavailable,
)
from agpd_client.events import (
    Connected,
    Disconnected,
    Dropped,
    Event,
    Refused,
    State,
    Statistics,
    TokenNotRenewed,
    TokenRenewed,
)
from agpd_client.gateway import Gateway, connect, run
from agpd_client.message import Context, Message
from agpd_client.onboarding import Registration
from agpd_client.presence import Presence, Watch
from agpd_client.registered import RegisteredAgent, RegisteredInstance, RegistryEvent
from agpd_client.sending import ALL, ANY
from agpd_client.subscription import Subscription

__all__ = [
    "ALL",
    "ANY",
    "Agent",
    "AgpError",
    "AlreadyExists",
    "Backpressure",
    "ClientCredentials",
    "Closed",
    "Code",
    "ConnectError",
    "Connected",
    "Context",
    "DecodeError",
    "Disconnected",
    "Dropped",
    "Event",
    "Gateway",
    "InvalidName",
    "InvalidRequest",
    "LimitReached",
    "Message",
    "MessageTooLarge",
    "NameTaken",
    "NoRoute",
    "NotFound",
    "NotInstalled",
    "NotPermitted",
    "Presence",
    "ReceiverFull",
    "Refused",
    "RegisteredAgent",
    "RegisteredInstance",
    "Registration",
    "RegistryEvent",
    "RemoteError",
    "State",
    "Statistics",
    "Subscription",
    "Timeout",
    "TokenExpired",
    "TokenNotRenewed",
    "TokenRenewed",
    "Unauthorized",
    "Unavailable",
    "Watch",
    "connect",
    "run",
    "sync",
]
