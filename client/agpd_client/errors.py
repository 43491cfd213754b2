"""Every exception of the SDK. Each has a `code` of the one catalogue, and a text that names the way out."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

from agpd.errors import CATALOGUE, Code, describe
from agpd.errors import Refused as _RefusedHere

Parsed = TypeVar("Parsed")


class AgpError(Exception):
    """Base of all errors of the SDK; also the class of refusals that have none of their own."""

    default: ClassVar[Code] = Code.INTERNAL

    def __init__(self, text: str, *, code: Code | None = None) -> None:
        super().__init__(text)
        self.code = self.default if code is None else code


class ConnectError(AgpError):
    """The gateway cannot be reached."""

    default = Code.CONNECTION_LOST


class Unauthorized(AgpError):
    """The gateway does not accept the certificate, or the SDK not the gateway's."""

    default = Code.UNAUTHENTICATED


class TokenExpired(Unauthorized):
    """The access token of the connection has ended, and there was no other in time."""

    default = Code.TOKEN_EXPIRED


class NotPermitted(AgpError):
    """The certificate or the grants do not allow this act."""

    default = Code.NOT_PERMITTED


class NoRoute(AgpError):
    """Nobody answers to the destination."""

    default = Code.NO_ROUTE


class Timeout(AgpError, TimeoutError):
    """Nothing came within the time given."""

    default = Code.NO_ANSWER


class Backpressure(AgpError):
    """An inbox with the policy `error` was full; the messages that did not fit are lost."""

    default = Code.INBOX_FULL


class MessageTooLarge(AgpError):
    """The message does not fit into a frame of this gateway."""

    default = Code.FRAME_TOO_LARGE


class Closed(AgpError):
    """The connection, the gateway or the agent has ended. For an act that was under way the outcome is unknown."""

    default = Code.GOODBYE


class NameTaken(AgpError):
    """Another connection holds the agent's name, or has taken it over."""

    default = Code.NAME_TAKEN


class ReceiverFull(AgpError):
    """The receiver does not read fast enough; the message was dropped."""

    default = Code.RECEIVER_FULL


class LimitReached(AgpError):
    """A limit of the connection: agents, subscriptions, handles, routes, watches."""

    default = Code.TOO_MANY_AGENTS


class DecodeError(AgpError):
    """A payload does not have the type that was asked for; the text names the path within it."""

    default = Code.UNREADABLE


class InvalidName(AgpError, ValueError):
    """A name or pattern does not follow the grammar."""

    default = Code.INVALID_NAME


class NotFound(AgpError):
    """The registry has no such thing, or none that you may see."""

    default = Code.NOT_FOUND


class AlreadyExists(AgpError):
    """The registry has one of that name already."""

    default = Code.ALREADY_EXISTS


class InvalidRequest(AgpError, ValueError):
    """What was asked of the registry does not have the shape that it must have; the text names the field."""

    default = Code.INVALID_REQUEST


class Unavailable(AgpError):
    """The control plane cannot answer now; the same may succeed later."""

    default = Code.UNAVAILABLE


class NotInstalled(AgpError, ImportError):
    """A part of agpd that is installed apart is missing; the text says how to install it."""

    default = Code.NOT_INSTALLED


class RemoteError(AgpError):
    """The handler at the other side raised. `type` is the name of its exception, `message` its text."""

    default = Code.HANDLER_FAILED

    def __init__(self, type: str, message: str) -> None:  # noqa: A002  (the word of the API)
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message


_CLASSES: dict[Code, type[AgpError]] = {
    Code.INVALID_NAME: InvalidName,
    Code.NAME_TAKEN: NameTaken,
    Code.TAKEN_OVER: NameTaken,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.INVALID_REQUEST: InvalidRequest,
    Code.UNAVAILABLE: Unavailable,
    Code.NO_ROUTE: NoRoute,
    Code.RECEIVER_FULL: ReceiverFull,
    Code.TOO_LONG_FOR_RECEIVER: MessageTooLarge,
    Code.NOT_PERMITTED: NotPermitted,
    Code.TOO_MANY_AGENTS: LimitReached,
    Code.TOO_MANY_SUBSCRIPTIONS: LimitReached,
    Code.TOO_MANY_HANDLES: LimitReached,
    Code.TOO_MANY_ROUTES: LimitReached,
    Code.TOO_MANY_WATCHES: LimitReached,
    Code.QUOTA_EXCEEDED: LimitReached,
    Code.TOO_MANY_REQUESTS: LimitReached,
    Code.FRAME_TOO_LARGE: MessageTooLarge,
    Code.UNAUTHENTICATED: Unauthorized,
    Code.CERTIFICATE_REVOKED: Unauthorized,
    Code.CERTIFICATE_EXPIRED: Unauthorized,
    Code.INVALID_TOKEN: Unauthorized,
    Code.TOKEN_REVOKED: Unauthorized,
    Code.TENANT_SUSPENDED: Unauthorized,
    Code.TOKEN_EXPIRED: TokenExpired,
}


def refusal(code: Code, detail: str = "") -> AgpError:
    """The exception for one refused act."""
    return _CLASSES.get(code, AgpError)(describe(code, detail), code=code)


def ending(code: Code, detail: str = "") -> AgpError:
    """The exception for the end of a connection."""
    return _CLASSES.get(code, Closed)(describe(code, detail), code=code)


def told(code: Code, text: str, default: type[AgpError] = AgpError) -> AgpError:
    """The exception for a refusal that says all of its text itself; `default`: for codes without class of their own."""
    return _CLASSES.get(code, default)(text, code=code)


def not_installed(error: ImportError, what: str) -> AgpError | None:
    """What to raise for a part of the SDK that needs gRPC; None: another module is missing. `what` needs it."""
    if (error.name or "").partition(".")[0] not in ("grpc", "google"):
        return None
    return NotInstalled(f"{what}, which is not installed ({error}): pip install 'agpd[registry]'")


def is_permanent(error: AgpError) -> bool:
    """Would the same happen at every new connection?"""
    return not isinstance(error, ConnectError) and not (
        CATALOGUE[error.code].retry or error.code is Code.GOODBYE
    )


def checked(parse: Callable[[str], Parsed], text: str) -> Parsed:
    """`parse(text)` of `agpd.names`. Raises `InvalidName`."""
    try:
        return parse(text)
    except _RefusedHere as error:
        raise InvalidName(str(error)) from None
