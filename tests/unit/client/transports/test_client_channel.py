"""Channels of gRPC."""

import os
from pathlib import Path

import pytest
from scenarios.control_world import control_world

from agpd_client.transports.address import Address
from agpd_client.transports.channel import grpc, open_channel
from agpd_client.transports.tls import Pem


def test_forks_and_chatter_of_grpc_are_off() -> None:
    assert os.environ["GRPC_ENABLE_FORK_SUPPORT"] == "0"
    assert os.environ["GRPC_VERBOSITY"]


@pytest.mark.parametrize("plaintext", [True, False])
async def test_a_channel_with_and_without_tls(tmp_path: Path, plaintext: bool) -> None:
    async with control_world(tmp_path, plaintext=plaintext) as world:
        host, _, port = world.grpc_address.partition(":")
        pem = None if plaintext else Pem(b"", b"", (world.directory / "ca.pem").read_bytes())
        channel = open_channel(Address("tcp" if plaintext else "tls", host, int(port)), pem)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/no.Service/Method")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await channel.close()
