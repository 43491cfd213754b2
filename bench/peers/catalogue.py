"""The systems that are compared, and how much each is given to do."""

from typing import NamedTuple

RECEIVERS = 16
SIZE_BYTES = 256
PATTERNS = ("unicast", "broadcast")
WITH_ANYCAST = (*PATTERNS, "anycast")
MUTUAL = "mutual TLS"


class System(NamedTuple):
    """A row of the comparison.

    `client`: how its client is used; empty, it has none. `load`, `sent` and `asked`: messages that make about a
    second for the load, its client, and requests. `patterns`: what it can do. `module`: its file, if not named as
    `key`. `environment`: its requirement file; empty, the project's own. `binary`: the server's program; empty, it
    is hosted in Python. `package`: of Debian, with that program. `native`: its protocol in agpload; empty, its own
    client is the load. `secure`: what its connections are protected by; empty, by nothing.
    """

    key: str
    label: str
    client: str
    load: int
    sent: int
    asked: int
    patterns: tuple[str, ...] = PATTERNS
    module: str = ""
    environment: str = ""
    binary: str = ""
    package: str = ""
    native: str = ""
    secure: str = MUTUAL

    @property
    def file(self) -> str:
        """Its module in `bench.peers.systems`."""
        return self.module or self.key

    @property
    def carriers(self) -> tuple[str, ...]:
        """How it can be run."""
        return ("plain", "tls") if self.secure else ("plain",)

    @property
    def carrier(self) -> str:
        """How its clients are compared: protected, where it can be."""
        return self.carriers[-1]


SYSTEMS = (
    System(
        "agpd",
        "agpd",
        "its SDK, `await agent.publish()`",
        *(800_000, 300_000, 1000, WITH_ANYCAST),
        binary="python",
        native="agpd",
    ),
    System("relay", "C relay (the limit)", "", 800_000, 0, 0, ("unicast",), binary="relay", native="agpd"),
    System(
        "nats-debian",
        "NATS, Debian's",
        "nats-py, `await client.publish()`",
        *(300_000, 80_000, 1000, WITH_ANYCAST),
        module="nats",
        environment="nats",
        binary="nats-server",
        package="nats-server",
        native="nats",
    ),
    System(
        "nats",
        "NATS",
        "nats-py, `await client.publish()`",
        *(300_000, 80_000, 1000, WITH_ANYCAST),
        environment="nats",
        binary="nats-server",
        native="nats",
    ),
    System(
        "redis",
        "Redis",
        "redis-py, asyncio, hiredis, pipelines of 100",
        *(300_000, 50_000, 1000),
        environment="redis",
        binary="redis-server",
        package="redis-server",
        native="redis",
    ),
    System(
        "mosquitto",
        "Mosquitto",
        "aiomqtt, `await client.publish()`, QoS 0",
        *(60_000, 4_000, 500, WITH_ANYCAST),
        environment="mosquitto",
        binary="mosquitto",
        package="mosquitto",
        native="mqtt",
    ),
    System(
        "zmq",
        "ZeroMQ proxy",
        "pyzmq, blocking sockets",
        *(100_000, 100_000, 1000, WITH_ANYCAST),
        environment="zmq",
        secure="CURVE",
    ),
    System(
        "zenoh",
        "Zenoh router",
        "eclipse-zenoh, `publisher.put()`, callbacks",
        *(300_000, 300_000, 1000),
        environment="zenoh",
    ),
    System(
        "grpcaio",
        "grpc.aio relay",
        "grpc.aio, one stream for each client",
        *(6_000, 6_000, 500, WITH_ANYCAST),
        environment="grpcaio",
    ),
    System(
        "slim",
        "SLIM node",
        "slim-bindings, sessions without retransmission",
        *(3_000, 2_500, 300),
        environment="slim",
    ),
    System(
        "slim-0.3",
        "SLIM node, 0.3",
        "slim-bindings, fire and forget",
        *(6_000, 6_000, 500, WITH_ANYCAST),
        module="agp",
        environment="slim-0.3",
    ),
    System(
        "agp",
        "AGP gateway",
        "agp-bindings, fire and forget",
        *(6_000, 6_000, 500, WITH_ANYCAST),
        environment="agp",
    ),
    System(
        "autogen",
        "AutoGen gRPC host",
        "autogen-ext workers, `publish_message()`, `send_message()`",
        *(2_500, 2_500, 500),
        environment="autogen",
        secure="",
    ),
)


def chosen(keys: str) -> list[System]:
    """The systems with these keys (separated by commas), agpd always; all for an empty text.

    Raises `ValueError`.
    """
    wanted = {key.strip() for key in keys.split(",") if key.strip()}
    unknown = wanted - {system.key for system in SYSTEMS}
    if unknown:
        known = ", ".join(system.key for system in SYSTEMS)
        raise ValueError(f"no system {', '.join(sorted(unknown))}; there are {known}")
    return [system for system in SYSTEMS if not wanted or system.key in wanted | {"agpd"}]
