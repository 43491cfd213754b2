"""The services of gRPC that carry messages."""

import time
from collections.abc import Mapping

from agpd.config import Config
from agpd.gateway.hub import Hub
from agpd.transport import agp, slim, tunnel
from agpd.transport.callers import Callers, Identify
from agpd.transport.dialects import Dialects
from agpd.transport.grpc import Service


def data_plane(config: Config, hub: Hub, identify: Identify | None) -> tuple[Dialects, Mapping[str, Service]]:
    """What the sessions of dialects share, and the services by their paths.

    `identify` tells whom a client certificate (DER) stands for; None: plaintext.
    """
    callers = Callers(hub, identify, config.control.unauthenticated_per_second, time.monotonic)
    dialects = Dialects(config, hub, callers)
    return dialects, {
        tunnel.PATH: tunnel.tunnel(hub, callers),
        agp.PATH: lambda call: agp.AgpSession(call, dialects),
        slim.PATH: lambda call: slim.SlimSession(call, dialects),
    }
