"""A gateway in memory with two clients, shared by the SDK's tests."""

from collections.abc import AsyncIterator

import pytest

import agpd_client as agp
from agpd.config import Config, Grant, Limits, Listen
from agpd_client.testing import MemoryGateway


@pytest.fixture
async def server() -> AsyncIterator[MemoryGateway]:
    config = Config(
        listen=Listen(plaintext=True),
        limits=Limits(frame_limit_bytes=64 * 1024),
        grants=(Grant(subject="acme/*", verb="observe", object="acme/prod/*"),),
    )
    async with MemoryGateway(config) as gateway:
        yield gateway


@pytest.fixture
async def near(server: MemoryGateway) -> AsyncIterator[agp.Gateway]:
    async with server.connect(agent="acme/prod/me") as gateway:
        yield gateway


@pytest.fixture
async def far(server: MemoryGateway) -> AsyncIterator[agp.Gateway]:
    async with server.connect() as gateway:
        yield gateway
