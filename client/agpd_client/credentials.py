"""What a connection gets its access tokens from: client credentials, a token, or a function that returns one."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from agpd.errors import Code
from agpd_client.errors import AgpError, ConnectError, Unauthorized
from agpd_client.transports.address import is_loopback
from agpd_client.transports.tls import PathLike

TokenFunction = Callable[[], str | Awaitable[str]]
TOKEN_LIMIT = 3072


class Issued(NamedTuple):
    """A fresh token. `life_s`: seconds that it holds; None if it is not known."""

    text: str
    life_s: float | None

    def __repr__(self) -> str:
        return f"Issued(life_s={self.life_s})"


class Source(Protocol):
    """Where tokens come from. `renews`: may another one be asked for when one has ended?"""

    renews: bool

    async def fetch(self) -> Issued:
        """A token. Raises `ConnectError` if a later try may succeed, `Unauthorized` if not."""


@dataclass(frozen=True)
class ClientCredentials:
    """A client of an organization, as its administrator has made it.

    `issuer`: `https://host:port/t/organization`. The client proves itself by `client_secret`, or by `private_key`, a
    PEM file with an Ed25519 or P-256 key, or, with neither, by the certificate of the connection. `scope`: words such
    as `agp:publish:acme/prod/*`; empty: all that the client may have. Raises `ValueError` for what cannot be used.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    private_key: PathLike | None = None
    scope: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.issuer)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if not secure or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(
                f"issuer {self.issuer!r}: write https://host:port/t/organization; http only to this machine"
            )
        if not self.client_id:
            raise ValueError("client credentials need a client_id")
        if self.client_secret is not None and self.private_key is not None:
            raise ValueError("give client_secret or private_key, not both")


class Fixed:
    """One token, for as long as it holds."""

    renews = False

    def __init__(self, text: str) -> None:
        self._text = checked_token(text)

    async def fetch(self) -> Issued:
        """The token."""
        return Issued(self._text, None)


class Asked:
    """Whatever a function returns, which is called whenever a token is needed."""

    renews = True

    def __init__(self, function: TokenFunction) -> None:
        self._function = function

    async def fetch(self) -> Issued:
        """Call it, and wait if it has to be waited for."""
        try:
            found = self._function()
            text = await found if inspect.isawaitable(found) else found
        except AgpError:
            raise
        except Exception as error:
            # Code of the program: whatever it raises, a later call may succeed. Its text may hold secrets.
            raise ConnectError(
                f"the function that returns the token raised {type(error).__name__}"
            ) from error
        return Issued(checked_token(text), None)


def checked_token(text: object) -> str:
    """The text. Raises `Unauthorized` for what cannot be a token, without showing it."""
    if not isinstance(text, str) or not text or len(text) > TOKEN_LIMIT or not text.isascii():
        what = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
        raise Unauthorized(
            f"a token is 1 to {TOKEN_LIMIT} ASCII characters, this is {what}", code=Code.INVALID_TOKEN
        )
    return text


def chosen(
    credentials: ClientCredentials | None,
    token: str | TokenFunction | None,
    environ: Mapping[str, str],
) -> ClientCredentials | str | TokenFunction | None:
    """The arguments, else AGP_TOKEN, else AGP_ISSUER with AGP_CLIENT_ID and AGP_CLIENT_SECRET. Raises `ValueError`."""
    if credentials is not None and token is not None:
        raise ValueError("give credentials or token, not both")
    if credentials is not None or token is not None:
        return token if credentials is None else credentials
    if text := environ.get("AGP_TOKEN"):
        return text
    issuer, client_id = environ.get("AGP_ISSUER"), environ.get("AGP_CLIENT_ID")
    if not issuer or not client_id:
        return None
    return ClientCredentials(issuer, client_id, environ.get("AGP_CLIENT_SECRET") or None)
