"""A configuration becomes an accept path: in the gateway's one process, or in each of its workers."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from agpd.config import Config
from agpd.telemetry.logs import event
from agpd.transport.listener import Listener
from agpd.transport.tls import Certificates, OptionalClients

_log = logging.getLogger("agpd.gateway")


def certificates(config: Config, clock: Callable[[], float]) -> Certificates | None:
    """What the files on disk say, None for plaintext. `clock` returns Unix seconds. Raises `TlsConfigError`."""
    if config.listen.plaintext:
        return None
    tls = config.tls
    return Certificates(
        Path(tls.certificate),
        Path(tls.key),
        [Path(tls.ca)] if tls.ca else [],
        Path(tls.crl) if tls.crl else None,
        clock=clock,
        tenant_cas={organization: Path(file) for organization, file in tls.tenant_cas.items()},
        accept_any_name=tls.accept_any_name,
    )


def listener(
    config: Config,
    sock: socket.socket,
    make_protocol: Callable[[], asyncio.BaseProtocol],
    *,
    trust: Certificates | OptionalClients | None,
    accepting: Callable[[], bool],
    share: int = 1,
) -> Listener:
    """The listener of one of `share` processes, which divide the limits before the handshake among them."""
    limits = config.limits
    return Listener(
        sock,
        make_protocol,
        certificates=trust,
        accepting=accepting,
        on_refused=lambda reason: event(_log, logging.DEBUG, "connection refused", reason=reason),
        prehandshake_limit=part(limits.prehandshake_connections, share),
        prehandshake_per_ip_limit=part(limits.prehandshake_per_ip, share),
        tls_handshake_timeout_s=limits.tls_handshake_timeout_ms / 1000,
        tls_handshakes_per_second=part(limits.tls_handshakes_per_second, share),
    )


def part(limit: int, share: int) -> int:
    """One part of a limit of the whole gateway, rounded up: 1 stays 1."""
    return -(-limit // share)
