"""The one error catalogue.

Every refusal and every end of a connection has a `Code`. The native frame carries its number, the SDK's
exceptions, gRPC and HTTP statuses and the table in `docs/reference/errors.md` follow from `CATALOGUE`.
"""

import enum
from typing import NamedTuple


class Fault(enum.Enum):
    """Whose fault it is: who has to change something."""

    NOBODY = "nobody"
    SENDER = "sender"
    RECEIVER = "receiver"
    GATEWAY = "gateway"


class Code(enum.IntEnum):
    """What went wrong. Numbers are on the wire (`proto/native.md` section 9) and never change meaning."""

    OK = 0
    # names and handles
    INVALID_NAME = 100
    NAME_TAKEN = 101
    TAKEN_OVER = 102
    UNKNOWN_HANDLE = 103
    NOT_REGISTERED = 104
    # resources of the control plane
    NOT_FOUND = 110
    ALREADY_EXISTS = 111
    CONFLICT = 112
    INVALID_REQUEST = 113
    # routing
    NO_ROUTE = 200
    RECEIVER_FULL = 201
    TOO_LONG_FOR_RECEIVER = 202
    UNAVAILABLE = 210
    # permission
    NOT_PERMITTED = 300
    INVALID_TOKEN = 301
    # limits
    TOO_MANY_AGENTS = 400
    TOO_MANY_SUBSCRIPTIONS = 401
    TOO_MANY_HANDLES = 402
    TOO_MANY_ROUTES = 403
    TOO_MANY_WATCHES = 404
    QUOTA_EXCEEDED = 410
    TOO_MANY_REQUESTS = 411
    # ends of connections
    GOODBYE = 500
    SHUTTING_DOWN = 501
    UNSUPPORTED_VERSION = 510
    MALFORMED_FRAME = 511
    FRAME_TOO_LARGE = 512
    UNKNOWN_KIND = 513
    ILLEGAL_MOVE = 514
    FOREIGN_SOURCE = 515
    HANDSHAKE_TIMEOUT = 520
    FRAME_TIMEOUT = 521
    PING_TIMEOUT = 522
    SLOW_CONSUMER = 523
    UNAUTHENTICATED = 530
    CERTIFICATE_REVOKED = 531
    CERTIFICATE_EXPIRED = 532
    TOKEN_EXPIRED = 533
    TOKEN_REVOKED = 534
    TENANT_SUSPENDED = 535
    TOO_MANY_CONNECTIONS = 540
    OVERLOADED = 541
    INTERNAL = 550
    CONNECTION_LOST = 560
    # within the SDK, never on the wire
    NO_ANSWER = 600
    HANDLER_FAILED = 601
    UNREADABLE = 602
    INBOX_FULL = 603
    NOT_INSTALLED = 604


class Entry(NamedTuple):
    """What a code means. `grpc` and `http` are status names and numbers of those protocols."""

    fault: Fault
    fatal: bool  # the connection ends
    retry: bool  # the same act may succeed later
    grpc: str
    http: int
    meaning: str
    remedy: str


_S, _R, _G, _N = Fault.SENDER, Fault.RECEIVER, Fault.GATEWAY, Fault.NOBODY

# fmt: off
CATALOGUE: dict[Code, Entry] = {
    Code.OK: Entry(_N, False, False, "OK", 200, "it worked", ""),
    Code.INVALID_NAME: Entry(
        _S, False, False, "INVALID_ARGUMENT", 400,
        "a name does not follow the grammar",
        "write organization/namespace/type, each of a-z 0-9 _ -, at most 63 characters",
    ),
    Code.NAME_TAKEN: Entry(
        _S, False, True, "ALREADY_EXISTS", 409,
        "another connection holds this agent name",
        "let the UUID be made anew at each start, or end the other connection",
    ),
    Code.TAKEN_OVER: Entry(
        _N, False, False, "ABORTED", 409,
        "a connection with a better right to the name took it over",
        "nothing: whoever sends to the name reaches that connection",
    ),
    Code.UNKNOWN_HANDLE: Entry(
        _S, False, True, "NOT_FOUND", 404,
        "the handle is not open on this connection",
        "open the name again",
    ),
    Code.NOT_REGISTERED: Entry(
        _S, False, False, "FAILED_PRECONDITION", 409,
        "the agent is not registered on this connection",
        "register the agent first",
    ),
    Code.NOT_FOUND: Entry(
        _S, False, False, "NOT_FOUND", 404,
        "there is no such thing, or none that you may see",
        "look at what there is with `agpctl get`",
    ),
    Code.ALREADY_EXISTS: Entry(
        _S, False, False, "ALREADY_EXISTS", 409,
        "there is one already",
        "choose another name, or replace it with `agpctl apply`",
    ),
    Code.CONFLICT: Entry(
        _S, False, True, "FAILED_PRECONDITION", 409,
        "something else stands in the way",
        "remove what depends on it first",
    ),
    Code.INVALID_REQUEST: Entry(
        _S, False, False, "INVALID_ARGUMENT", 400,
        "the request does not have the shape that it must have",
        "docs/reference/api.md and /v1/openapi.json have the shapes",
    ),
    Code.NO_ROUTE: Entry(
        _S, False, True, "UNAVAILABLE", 404,
        "nobody is subscribed to the destination and no route covers it",
        "start the receiver, or set a route for its name",
    ),
    Code.RECEIVER_FULL: Entry(
        _R, False, True, "RESOURCE_EXHAUSTED", 503,
        "the receiver does not read fast enough; the message was dropped",
        "slow down, or add instances of the receiving type",
    ),
    Code.TOO_LONG_FOR_RECEIVER: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 413,
        "the message is longer than its receiver takes",
        "send it in parts, or raise limits.frame_limit_bytes for receivers that speak the native protocol",
    ),
    Code.UNAVAILABLE: Entry(
        _G, False, True, "UNAVAILABLE", 503,
        "the database of the control plane does not answer",
        "try again later; look at the gateway's log",
    ),
    Code.NOT_PERMITTED: Entry(
        _S, False, False, "PERMISSION_DENIED", 403,
        "the certificate or the grants do not allow this",
        "use a certificate for that name, or ask for a grant",
    ),
    Code.INVALID_TOKEN: Entry(
        _S, False, False, "UNAUTHENTICATED", 401,
        "the access token is not accepted",
        "get a new one for this gateway with `agpctl token`, and show it on the connection it was issued to",
    ),
    Code.TOO_MANY_AGENTS: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 429,
        "the connection has reached its limit of agents",
        "open another connection, or raise agents_per_connection",
    ),
    Code.TOO_MANY_SUBSCRIPTIONS: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 429,
        "the connection has reached its limit of subscriptions",
        "unsubscribe, or raise subscriptions_per_connection",
    ),
    Code.TOO_MANY_HANDLES: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 429,
        "the connection has reached its limit of open handles",
        "shut handles that are no longer used, or raise handles_per_connection",
    ),
    Code.TOO_MANY_ROUTES: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 429,
        "the connection has reached its limit of routes",
        "remove routes, or raise routes_per_connection",
    ),
    Code.TOO_MANY_WATCHES: Entry(
        _S, False, False, "RESOURCE_EXHAUSTED", 429,
        "the connection has reached its limit of watches",
        "stop watching something, or raise watches_per_connection",
    ),
    Code.QUOTA_EXCEEDED: Entry(
        _S, False, True, "RESOURCE_EXHAUSTED", 429,
        "the organization has used up its quota",
        "use less, or let an operator raise the quotas of the tenant",
    ),
    Code.TOO_MANY_REQUESTS: Entry(
        _S, False, True, "RESOURCE_EXHAUSTED", 429,
        "more requests in a second than are served to one caller",
        "ask less often",
    ),
    Code.GOODBYE: Entry(_N, True, False, "OK", 200, "the peer closed the connection in order", ""),
    Code.SHUTTING_DOWN: Entry(
        _N, True, True, "UNAVAILABLE", 503, "the gateway is shutting down", "connect again; the SDK does so"
    ),
    Code.UNSUPPORTED_VERSION: Entry(
        _S, True, False, "FAILED_PRECONDITION", 400,
        "no protocol version in common",
        "use an SDK and a gateway whose versions overlap",
    ),
    Code.MALFORMED_FRAME: Entry(
        _S, True, False, "INVALID_ARGUMENT", 400,
        "a frame does not decode as its kind demands",
        "mend the client; proto/native.md has the layout",
    ),
    Code.FRAME_TOO_LARGE: Entry(
        _S, True, False, "RESOURCE_EXHAUSTED", 413,
        "a frame is longer than the announced limit",
        "send less in one message, or raise frame_limit_bytes on the gateway",
    ),
    Code.UNKNOWN_KIND: Entry(
        _S, True, False, "UNIMPLEMENTED", 400, "a frame kind that this version does not know", "mend the client"
    ),
    Code.ILLEGAL_MOVE: Entry(
        _S, True, False, "FAILED_PRECONDITION", 400,
        "a frame that is not allowed in this state of the session",
        "mend the client; proto/native.md section 4 has the table",
    ),
    Code.FOREIGN_SOURCE: Entry(
        _S, True, False, "PERMISSION_DENIED", 403,
        "a frame claims a source that is not registered on this connection",
        "send only as agents of this connection",
    ),
    Code.HANDSHAKE_TIMEOUT: Entry(
        _S, True, True, "DEADLINE_EXCEEDED", 408, "no complete hello in time", "connect again"
    ),
    Code.FRAME_TIMEOUT: Entry(
        _S, True, True, "DEADLINE_EXCEEDED", 408, "a frame was begun and not finished in time", "connect again"
    ),
    Code.PING_TIMEOUT: Entry(
        _S, True, True, "UNAVAILABLE", 408, "two pings were not answered", "connect again; look for a blocked event loop"
    ),
    Code.SLOW_CONSUMER: Entry(
        _R, True, True, "RESOURCE_EXHAUSTED", 429,
        "the connection did not take what was sent to it",
        "receive faster, or spread the load over more instances",
    ),
    Code.UNAUTHENTICATED: Entry(
        _S, True, False, "UNAUTHENTICATED", 401,
        "the client certificate does not say who this is",
        "issue one with `agpctl pki issue agent`; it needs exactly one agp:// URI",
    ),
    Code.CERTIFICATE_REVOKED: Entry(
        _S, True, False, "UNAUTHENTICATED", 401, "the client certificate has been revoked", "issue a new one"
    ),
    Code.CERTIFICATE_EXPIRED: Entry(
        _S, True, True, "UNAUTHENTICATED", 401,
        "the client certificate has ended",
        "renew it in time and connect again with the new one",
    ),
    Code.TOKEN_EXPIRED: Entry(
        _S, True, True, "UNAUTHENTICATED", 401,
        "the access token of the connection has ended and no new one came",
        "let the SDK renew it: pass connect(credentials=...) instead of a token",
    ),
    Code.TOKEN_REVOKED: Entry(
        _S, True, False, "UNAUTHENTICATED", 401,
        "the access token, or what it was issued for, has been revoked",
        "get new credentials from the administrator of the organization",
    ),
    Code.TENANT_SUSPENDED: Entry(
        _S, True, False, "PERMISSION_DENIED", 403,
        "the organization is suspended on this gateway",
        "ask its operator",
    ),
    Code.TOO_MANY_CONNECTIONS: Entry(
        _G, True, True, "RESOURCE_EXHAUSTED", 503,
        "the gateway holds as many connections as it may",
        "connect later, or raise connections",
    ),
    Code.OVERLOADED: Entry(
        _G, True, True, "RESOURCE_EXHAUSTED", 503, "the gateway is over its memory budget", "connect again later"
    ),
    Code.INTERNAL: Entry(
        _G, True, True, "INTERNAL", 500, "the gateway failed", "report it with the gateway's log"
    ),
    Code.CONNECTION_LOST: Entry(
        _N, True, True, "UNAVAILABLE", 503,
        "the connection ended without a word",
        "the SDK connects again; look at the network or the other side's log",
    ),
    Code.NO_ANSWER: Entry(
        _R, False, True, "DEADLINE_EXCEEDED", 504,
        "nothing came within the time given",
        "give it more time, or look whether the receiver works",
    ),
    Code.HANDLER_FAILED: Entry(
        _R, False, False, "UNKNOWN", 500, "the handler of the request raised", "look at the receiver's log"
    ),
    Code.UNREADABLE: Entry(
        _S, False, False, "INVALID_ARGUMENT", 400,
        "a payload does not have the type that was asked for",
        "let both sides agree on the type",
    ),
    Code.INBOX_FULL: Entry(
        _R, False, True, "RESOURCE_EXHAUSTED", 429,
        "an inbox was full and messages were lost",
        "receive faster, raise the limit or choose the policy 'block'",
    ),
    Code.NOT_INSTALLED: Entry(
        _S, False, False, "FAILED_PRECONDITION", 501,
        "a part of agpd that this needs is not installed",
        "install it: pip install 'agpd[registry]'",
    ),
}
# fmt: on


class AgpdError(Exception):
    """Base of every error of agpd that has a code."""

    def __init__(self, code: Code, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(describe(code, detail))


class Refused(AgpdError):
    """One act is refused; the connection goes on. Only codes that are not fatal."""


class Fatal(AgpdError):
    """The connection must end with this code."""


class ConfigError(Exception):
    """What the operator has written cannot be used: one line with the setting or file and the way out.

    It has no code because it never reaches a wire: it is raised before anything listens.
    """


def describe(code: Code, detail: str = "") -> str:
    """One line for people: code, meaning, what exactly, and the way out."""
    entry = CATALOGUE[code]
    text = f"{code.name}: {entry.meaning}"
    if detail:
        text += f" ({detail})"
    if entry.remedy:
        text += f"; {entry.remedy}"
    return text


def code_of(number: int) -> Code:
    """The code with this number; numbers that a newer peer may send and we do not know become `INTERNAL`."""
    try:
        return Code(number)
    except ValueError:
        return Code.INTERNAL


def missing_package(error: ModuleNotFoundError) -> str:
    """The package that is not installed; empty: a module of agpd is missing, which is a fault of its own."""
    package = (error.name or "").partition(".")[0]
    return "" if package in ("agpd", "agpd_client") else package
