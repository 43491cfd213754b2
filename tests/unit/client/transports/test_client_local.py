"""`local://name`: the same name is the same gateway, as long as somebody uses it."""

import asyncio

import pytest

import agpd_client as agp
from agpd_client.transports import local

ME, READER = "acme/prod/me", "acme/prod/reader"


async def test_local_urls_share_by_name() -> None:
    async with (
        agp.connect("local://a") as one,
        agp.connect("local://a") as two,
        agp.connect("local://b") as far,
    ):
        reader = await one.create_agent(READER)
        assert await (await two.create_agent(ME)).publish(reader.name, 1, confirm=True) == 1
        with pytest.raises(agp.NoRoute):
            await (await far.create_agent(ME)).publish(reader.name, 1, confirm=True)
    assert not local._shared


def test_a_loop_that_left_its_gateway_behind_does_not_give_it_to_the_next() -> None:
    async def left() -> local.Lease:
        return local.lease("left")

    async def found() -> local.Lease:
        key = local._Key(id(asyncio.get_running_loop()), "left")
        local._shared[key] = old
        lease = local.lease("left")
        await lease.release()
        return lease

    old = asyncio.run(left())
    local._shared.clear()
    assert asyncio.run(found()) is not old
    local._shared.clear()
