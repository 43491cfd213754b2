"""Grants and suspensions of a real control plane, felt by agents of the SDK over mutual TLS."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_world import OPERATOR, ControlWorld, control_world

import agpd_client as agp
from agpd.control.resources import Grant, Tenant
from agpd.errors import Code

FAR = "globex/api/search"
LIMIT_S = 5.0  # in which a suspension and a revocation take effect


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlWorld]:
    async with control_world(tmp_path) as world:
        for name in ("acme", "globex"):
            await world.tenant(name)
        yield world


def connect(world: ControlWorld, organization: str, **options: Any) -> agp.Gateway:
    pair = world.issue(f"{organization}/*")
    url = "agp://{}:{}".format(*world.gateway.address)
    return agp.connect(
        url, certificate=pair.certificate, key=pair.key, ca=world.directory / "ca.pem", **options
    )


async def agree(world: ControlWorld, verb: Any) -> list[Grant]:
    """Both organizations let acme do this to globex."""
    put = world.control.grants.put
    said = [
        await put(OPERATOR, Grant(tenant=tenant, subject="acme/*", verb=verb, object="globex/*"))
        for tenant in ("acme", "globex")
    ]
    await world.control.policies.settled()
    return said


async def until_refused(act: Any) -> None:
    """Do it again and again, as long as it takes to be refused."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            await act()
        except agp.NotPermitted:
            return
        assert time.monotonic() < deadline, "it is still allowed"
        await asyncio.sleep(0.01)


async def test_both_sides_open_and_either_closes(world: ControlWorld) -> None:
    async with connect(world, "acme") as near, connect(world, "globex") as far:
        asking, search = await near.create_agent("acme/prod/planner"), await far.create_agent(FAR)

        @search.on_request
        async def answer(text: str) -> str:
            return text.upper()

        for closing in (0, 1):
            with pytest.raises(agp.NotPermitted):
                await asking.request(FAR, "x")
            said = await agree(world, "request")
            assert await asking.request(FAR, "x") == "X"
            with pytest.raises(agp.NotPermitted):
                await asking.publish(FAR, "x", confirm=True)
            await world.control.grants.delete(OPERATOR, said[closing].id)
            await until_refused(lambda: asking.request(FAR, "x"))
            await world.control.grants.delete(OPERATOR, said[1 - closing].id)


async def test_a_suspended_tenant_is_cut_kept_out_and_cut_off(world: ControlWorld) -> None:
    await agree(world, "publish")
    async with connect(world, "acme") as near:
        sender = await near.create_agent("acme/prod/planner")
        far = connect(world, "globex")
        async with far:
            search = await far.create_agent(FAR)
            await sender.publish(FAR, 1, confirm=True)
            assert (await search.receive(timeout=5)).data == 1
            await world.control.tenants.put(OPERATOR, Tenant(name="globex", suspended=True))
            with pytest.raises(agp.AgpError) as caught:
                await search.receive(timeout=LIMIT_S)
            assert caught.value.code is Code.TENANT_SUSPENDED
        await until_refused(lambda: sender.publish(FAR, 2, confirm=True))
        with pytest.raises(agp.AgpError) as caught:
            async with connect(world, "globex"):
                pass
        assert caught.value.code is Code.TENANT_SUSPENDED
        await world.control.tenants.put(OPERATOR, Tenant(name="globex"))
        await world.control.policies.settled()
        async with connect(world, "globex") as far:
            search = await far.create_agent(FAR)
            await sender.publish(FAR, 3, confirm=True)
            assert (await search.receive(timeout=5)).data == 3
