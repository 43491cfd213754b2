"""A gateway with a control plane, for the tests of its interfaces."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenarios.control_world import ControlWorld, control_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlWorld]:
    """With TLS; the tenants acme and globex are there."""
    async with control_world(tmp_path) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        yield world
