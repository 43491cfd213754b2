"""Access tokens on live connections: what one adds to a certificate, and when the connection must end with it.

Nothing here parses a token: `verify` and `is_revoked` come from the control plane, and are plain functions in memory.
A client's secret, which some protocols show instead of a token, is verified beside the event loop: `enter` waits.
"""

import dataclasses
import math
from collections.abc import Awaitable, Callable
from typing import Any

from agpd.errors import Code, Refused
from agpd.gateway.principal import Access, Principal, narrower

GRACE_S = 2.0  # for a renewal that is under way when the token ends

Verify = Callable[[str, str], Access]
Enter = Callable[[str, str], Awaitable[Access]]


# Is it revoked? It is asked only of what `Verify` and `Enter` have returned, whose whole type is not known here.
IsRevoked = Callable[[Any], bool]


async def _enter_nothing(client: str, secret: str) -> Access:
    raise Refused(
        Code.INVALID_TOKEN,
        "this gateway has no control plane: connect with a client certificate alone, or set control.enabled = true",
    )


class Tokens:
    """How tokens are judged at this gateway.

    `verify(text, thumbprint)` judges a token shown with the certificate of this `x5t#S256`, or raises
    `Refused(INVALID_TOKEN)`. `enter(client, secret)` judges a client's secret, and may raise `TOO_MANY_REQUESTS` and
    `UNAVAILABLE` too. `clock` returns Unix seconds.
    """

    def __init__(
        self,
        verify: Verify,
        is_revoked: IsRevoked,
        clock: Callable[[], float],
        enter: Enter = _enter_nothing,
    ) -> None:
        self._verify = verify
        self._is_revoked = is_revoked
        self._clock = clock
        self._enter = enter

    def authenticate(self, text: str, principal: Principal) -> Principal:
        """The peer with this token instead of the one it had. Raises `Refused(INVALID_TOKEN)`."""
        return self._narrowed(principal, self._verify(text, principal.thumbprint))

    def holder(self, text: str) -> Principal:
        """Who has this token and no certificate. Raises `Refused(INVALID_TOKEN)`."""
        access = self._verify(text, "")
        return self._narrowed(_without_certificate(access, f"token for {access.pattern}"), access)

    async def client(self, id_: str, secret: str, principal: Principal | None) -> Principal:
        """The client that shows its secret, beside the certificate of `principal` if there is one. Raises `Refused`."""
        access = await self._enter(id_, secret)
        return self._narrowed(principal or _without_certificate(access, f"client {id_}"), access)

    def _narrowed(self, principal: Principal, access: Access) -> Principal:
        if access.expires <= self._clock():
            raise Refused(Code.INVALID_TOKEN, "it has ended")
        if narrower(principal.pattern, access.pattern) is None:
            raise Refused(
                Code.INVALID_TOKEN, f"it speaks as {access.pattern}, the certificate as {principal.pattern}"
            )
        if principal.access is not None and access.issued < principal.access.issued:
            raise Refused(Code.INVALID_TOKEN, "it is older than the one that this connection has")
        return dataclasses.replace(principal, access=access)

    def seconds_left(self, principal: Principal) -> int:
        """How long the peer's token holds, rounded up; 0 without one, or if it holds as long as the connection."""
        if principal.access is None or math.isinf(principal.access.expires):
            return 0
        return max(0, math.ceil(principal.access.expires - self._clock()))

    def verdict(self, principal: Principal) -> Code | None:
        """Why a connection of this peer must end, if it must."""
        access = principal.access
        if access is None:
            return None
        if self._is_revoked(access):
            return Code.TOKEN_REVOKED
        return Code.TOKEN_EXPIRED if self._clock() > access.expires + GRACE_S else None


def _without_certificate(access: Access, label: str) -> Principal:
    return Principal(access.pattern, b"", 0, math.inf, label)


def _verify_nothing(text: str, thumbprint: str) -> Access:
    raise Refused(
        Code.INVALID_TOKEN,
        "this gateway has no control plane: connect without a token, or set control.enabled = true",
    )


NO_TOKENS = Tokens(_verify_nothing, lambda access: False, lambda: 0.0)
"""A gateway without control plane: none is accepted."""
