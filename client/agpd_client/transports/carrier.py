"""Connecting a protocol to the gateway at an address."""

import asyncio
import os
import ssl
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from agpd_client.errors import ConnectError, not_installed
from agpd_client.transports import local, tls
from agpd_client.transports.address import DEFAULT_URL, Address, parse_url
from agpd_client.transports.buffered import Buffered

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.Protocol)
_warned: set[Address] = set()


class Carrier:
    """How to reach one gateway, again and again. `lease` keeps a gateway in this process alive until `release`."""

    def __init__(
        self,
        address: Address,
        certificate: tls.PathLike | None = None,
        key: tls.PathLike | None = None,
        ca: tls.PathLike | None = None,
    ) -> None:
        self.address = address
        self._files = (certificate, key, ca)
        self._lease: local.Lease | None = None
        self._context: ssl.SSLContext | None = None
        self._pem: tls.Pem | None = None  # what that was made of

    async def connect(
        self, make_protocol: Callable[[], AnyProtocol], timeout: float, token: str = ""
    ) -> AnyProtocol:
        """A connected protocol, within `timeout` seconds. `token` says who we are where no certificate does.

        Raises `ConnectError`, `Unauthorized`, `NotInstalled`; `Closed` if the gateway has ended what had begun.
        """
        if self.address.carrier == "local":
            if self._lease is None:
                self._lease = local.lease(self.address.host)
            protocol = make_protocol()
            self._lease.gateway.attach(protocol)
            return protocol
        files = self.credentials()
        context = None if files is None else self.context()
        try:
            async with asyncio.timeout(timeout):
                return await self._dial(make_protocol, files, context, token)
        except TimeoutError:
            raise ConnectError(
                f"no answer from {self.address} within {timeout} s: is a gateway there?"
            ) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise ConnectError(
                f"{self.address} ended the connection during the TLS handshake: is a gateway there?"
            ) from error
        except ssl.SSLError as error:
            raise tls.explain(error, self.address, files) from error
        except OSError as error:
            raise _unreachable(self.address, error) from error

    async def release(self) -> None:
        """Nothing will be connected any more."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    def describe(self) -> str:
        """The files in use, for errors that come after the handshake."""
        files = self.credentials()
        if files is None:
            return ""
        return f" (certificate {files.certificate or 'none'}, authorities {files.ca or 'of the system'})"

    def credentials(self) -> tls.Credentials | None:
        """The files to use now; None for carriers without TLS. Raises `Unauthorized`, `ConnectError`."""
        if not self.address.has_tls:
            return None
        return tls.credentials(self.address, *self._files, os.environ)

    def context(self) -> ssl.SSLContext:
        """To other ports of the gateway: as we connect to it, or, where that is not over TLS, as browsers do.

        It stays the same until `refresh`, so that a token is bound to the certificate of the connection it is for.
        Raises `Unauthorized`, `ConnectError`.
        """
        if self._context is None:
            files = self.credentials()
            context = ssl.create_default_context() if files is None else tls.client_context(files)
            self._pem = None if files is None else tls.read(files)
            self._context = context
        return self._context

    def pem(self) -> tls.Pem | None:
        """What `context` has loaded; None for carriers without TLS. Raises `Unauthorized`, `ConnectError`."""
        self.context()
        return self._pem

    def refresh(self) -> None:
        """The next connection, and the tokens for it, use the files as they are then."""
        self._context = None

    async def _dial(
        self,
        make_protocol: Callable[[], AnyProtocol],
        files: tls.Credentials | None,
        context: ssl.SSLContext | None,
        token: str,
    ) -> AnyProtocol:
        host, port = self.address.host, self.address.port
        if context is None:
            warn_of_plaintext(self.address)
        if self.address.is_tunnel:
            certified = files is None or bool(files.certificate)
            shown = "" if certified else token
            return await _tunnel().connect(self.address, files, shown, make_protocol)  # type: ignore[no-any-return]
        protocol = make_protocol()
        await asyncio.get_running_loop().create_connection(
            lambda: Buffered(protocol), host, port, ssl=context
        )
        return protocol


def _tunnel() -> ModuleType:
    """`agpd_client.transports.tunnel`. Raises `NotInstalled` that says what to install."""
    try:
        from agpd_client.transports import tunnel
    except ImportError as error:
        if (absent := not_installed(error, "agp+grpc:// goes through gRPC")) is None:
            raise
        raise absent from error
    return tunnel


def warn_of_plaintext(address: Address) -> None:
    """Once for each address that is not on this machine."""
    if not address.is_loopback and address not in _warned:
        _warned.add(address)
        warnings.warn(
            f"{address.url} is plaintext: everyone on the way can read and change it; "
            f"use {'agp+grpc' if address.is_tunnel else 'agp'}:// for TLS",
            stacklevel=2,
        )


def _way_out(address: Address) -> str:
    if not address.is_loopback:
        return "is it running, and is the port right?"
    mend = "" if address == parse_url(DEFAULT_URL) else ", or mend the address"
    return f"start one with `agpd dev`{mend}"


def _unreachable(address: Address, error: OSError) -> ConnectError:
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ConnectError(f"no gateway at {address}: {_way_out(address)}")
    # asyncio's own text for a peer that leaves during the handshake is empty.
    problem = error.strerror or str(error) or "it was ended during the handshake: is a gateway there?"
    return ConnectError(f"no connection to {address}: {problem}")
