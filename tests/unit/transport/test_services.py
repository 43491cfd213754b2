"""agpd/transport/services.py: what of gRPC carries messages."""

from agpd.app import memory_gateway
from agpd.config import Config, Listen
from agpd.transport import agp, slim, tunnel
from agpd.transport.grpc_front import GrpcFront
from agpd.transport.services import data_plane


async def test_the_tunnel_and_the_dialects_are_served() -> None:
    config = Config(listen=Listen(plaintext=True))
    async with memory_gateway(config) as gateway:
        dialects, services = data_plane(config, gateway.hub, None)
        assert set(services) == {tunnel.PATH, agp.PATH, slim.PATH}
        assert dialects.hub is gateway.hub
        front = GrpcFront(config, lambda: 0)
        front.carry(gateway.hub, None)
        assert front.server.paths == sorted(services)
