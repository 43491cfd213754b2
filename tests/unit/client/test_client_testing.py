"""A gateway in memory: it lives as long as it is used; the fixture of the pytest plugin."""

from agpd_client.testing import MemoryGateway, agp_gateway

__all__ = ["agp_gateway"]  # the plugin's fixture
ME, READER = "acme/prod/me", "acme/prod/reader"


async def test_a_gateway_in_memory_ends_with_its_last_connection() -> None:
    server = MemoryGateway()
    one, two = server.connect(agent=ME), server.connect()
    await one.open()
    await two.open()
    running = server.server
    await one.close()
    assert server.server is running
    await two.close()
    assert server._server is None
    await server.close()


async def test_the_fixture_of_the_plugin(agp_gateway: MemoryGateway) -> None:
    async with agp_gateway.connect(agent=ME) as gateway:
        assert await gateway.publish((await gateway.create_agent(READER)).name, 1, confirm=True) == 1
