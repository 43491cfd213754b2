"""Where the gateway is: `agp://host:port` (TLS), `agp+tcp://host:port` (plaintext), `local://name` (this process), and
through gRPC `agp+grpc://host:port` (TLS), `agp+grpc+tcp://host:port` (plaintext).
"""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_URL = "agp://127.0.0.1:7420"
DEFAULT_PORT = 7420
GRPC_PORT = 46357
SCHEMES = {
    "agp": "tls",
    "agp+tcp": "tcp",
    "agp+grpc": "tunnel",
    "agp+grpc+tcp": "tunnel+tcp",
    "local": "local",
}
SHAPES = (
    "agp://host:port, agp+tcp://host:port (plaintext), agp+grpc://host:port (through gRPC), "
    "agp+grpc+tcp://host:port (through gRPC, plaintext) or local://name"
)


class Address(NamedTuple):
    """`carrier` is one of the values of `SCHEMES`; for local the `host` is the name."""

    carrier: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.carrier == "local":
            return f"local://{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As users write it."""
        scheme = next(scheme for scheme, carrier in SCHEMES.items() if carrier == self.carrier)
        return str(self) if self.carrier == "local" else f"{scheme}://{self}"

    @property
    def is_tunnel(self) -> bool:
        """Is the native protocol carried in gRPC?"""
        return self.carrier in ("tunnel", "tunnel+tcp")

    @property
    def has_tls(self) -> bool:
        """Is it over TLS?"""
        return self.carrier in ("tls", "tunnel")

    @property
    def is_loopback(self) -> bool:
        """Does it stay on this machine?"""
        return self.carrier == "local" or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Is it this machine? Names other than localhost are not looked up: no."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_url(url: str) -> Address:
    """Raises `ValueError` that shows how to write it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"gateway URL {url!r}: {error}; write agp://host:port") from None
    carrier = SCHEMES.get(parts.scheme)
    if carrier is None:
        raise ValueError(f"gateway URL {url!r}: write {SHAPES}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"gateway URL {url!r}: nothing may follow or precede host and port")
    if carrier == "local":
        return Address(carrier, parts.netloc, 0)
    if not parts.hostname:
        raise ValueError(f"gateway URL {url!r} names no host; write agp://host:port")
    address = Address(carrier, parts.hostname, DEFAULT_PORT if port is None else port)
    return address._replace(port=GRPC_PORT) if port is None and address.is_tunnel else address
