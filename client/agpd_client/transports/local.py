"""A gateway in this process and loop: the same name is the same gateway, which lives while somebody uses it."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agpd_client.testing import MemoryGateway


class _Key(NamedTuple):
    loop: int
    name: str


_shared: "dict[_Key, Lease]" = {}


class Lease:
    """A gateway and how many connections use it."""

    def __init__(self, key: _Key, gateway: "MemoryGateway") -> None:
        self.gateway = gateway
        self.loop = asyncio.get_running_loop()
        self._key = key
        self.users = 1

    async def release(self) -> None:
        """One user less; the last one ends the gateway."""
        self.users -= 1
        if not self.users:
            del _shared[self._key]
            await self.gateway.close()


def lease(name: str) -> Lease:
    """The gateway of this name on the running loop, made if there is none."""
    from agpd_client.testing import (
        MemoryGateway,
    )  # the server, which a client of a remote gateway does not need

    key = _Key(id(asyncio.get_running_loop()), name)
    found = _shared.get(key)
    # A loop that was closed without closing its gateways may have left its id to a new one.
    if found is not None and found.loop is asyncio.get_running_loop():
        found.users += 1
        return found
    found = _shared[key] = Lease(key, MemoryGateway())
    return found
