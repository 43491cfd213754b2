"""Listening sockets, peers' addresses, and what a failed handshake means."""

import errno
import socket
import ssl

from agpd.errors import ConfigError

FAILURES = (
    "timeout",
    "no_certificate",
    "revoked",
    "expired",
    "crl",
    "untrusted",
    "certificate",
    "tls",
    "lost",
)
"""How a handshake fails. A closed set, fit for the label of a metric."""

# X509_V_ERR_* of OpenSSL; 3 is the missing list, 8, 11 and 12 are lists that cannot be used.
_VERIFICATION = {23: "revoked", 9: "expired", 10: "expired"}
_VERIFICATION |= dict.fromkeys((3, 8, 11, 12), "crl") | dict.fromkeys((7, 18, 19, 20, 21), "untrusted")
_MAPPED_IPV4 = bytes(10) + b"\xff\xff"


class BindError(ConfigError):
    """The address cannot be listened on. The text says why and the way out."""


def bind(host: str, port: int, *, reuse_port: bool = False, backlog: int = 4096) -> socket.socket:
    """A listening, non-blocking TCP socket. An IPv6 address serves IPv6 only. Raises `BindError`."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise BindError(
            f"{where}: {host} cannot be looked up ({error.strerror}); write an address"
        ) from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise BindError(f"{where} {_bind_problem(error, port)}") from error
    sock.setblocking(False)
    return sock


def _bind_problem(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"is in use: stop what listens there (`ss -ltnp 'sport = :{port}'` shows it), or choose another"
        )
    if error.errno == errno.EACCES:
        return "needs a privilege: choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "is not an address of this machine: `ip address` shows those it has"
    return f"cannot be listened on: {error.strerror}"


def source_of(address: tuple[str, int] | tuple[str, int, int, int]) -> bytes:
    """What counts as one peer address: an IPv4 address (mapped ones too), or the /64 of an IPv6 address.

    Whoever has one IPv6 address has its 2^64 neighbours as well.
    """
    host = address[0]
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED_IPV4) else packed[:8]


def failure_of(error: OSError) -> str:
    """Why a handshake failed: one of `FAILURES`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, "certificate")
    if isinstance(error, ssl.SSLError):
        return "no_certificate" if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else "tls"
    # uvloop and asyncio abort a handshake that takes too long with this one.
    return "timeout" if isinstance(error, ConnectionAbortedError) else "lost"
