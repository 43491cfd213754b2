"""Where the gateway is: `agp://host:port` (TLS), `agp+tcp://host:port` (plaintext), `local://name` (this process)."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_URL = "agp://127.0.0.1:7420"
DEFAULT_PORT = 7420
SCHEMES = {"agp": "tls", "agp+tcp": "tcp", "local": "local"}


class Address(NamedTuple):
    """`carrier` is tls, tcp or local; for local the `host` is the name."""

    carrier: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.carrier == "local":
            return f"local://{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

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
        raise ValueError(
            f"gateway URL {url!r}: write agp://host:port, agp+tcp://host:port (plaintext) or local://name"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"gateway URL {url!r}: nothing may follow or precede host and port")
    if carrier == "local":
        return Address(carrier, parts.netloc, 0)
    if not parts.hostname:
        raise ValueError(f"gateway URL {url!r} names no host; write agp://host:port")
    return Address(carrier, parts.hostname, DEFAULT_PORT if port is None else port)
