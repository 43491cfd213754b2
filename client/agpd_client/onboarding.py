"""An agent that is registered with the control plane, and says that it runs for as long as it does."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from agpd.errors import Code
from agpd_client.backoff import Backoff
from agpd_client.errors import AgpError, NotFound, is_permanent
from agpd_client.events import Refused
from agpd_client.registered import RegisteredAgent, RegisteredInstance

if TYPE_CHECKING:
    from agpd_client.registry import Registry
    from agpd_client.uplink import Uplink

STOP_TIMEOUT_S = 2.0
# Of its life. Two heartbeats may be lost before the instance is taken for gone.
RENEW_AFTER = 1 / 3


class Registration:
    """What `Agent.onboard` gives: the agent's entry and its running instance, renewed until it is closed.

    `agent` is the entry as it was registered, `instance` the last answer about the instance. `error` is what has ended
    the renewing for good, such as somebody's `deregister`; it is told as an event too. Messages go on meanwhile.
    """

    def __init__(
        self, uplink: "Uplink", registry: "Registry", agent: RegisteredAgent, instance: RegisteredInstance
    ) -> None:
        self.agent = agent
        self.instance = instance
        self.error: AgpError | None = None
        self._uplink = uplink
        self._registry = registry
        self._life_s = instance.expires - instance.since
        self._backoff = Backoff(uplink.options.chance)
        self._renewing = asyncio.ensure_future(self._renew_always())
        self._ending: asyncio.Task[None] | None = None
        registry.owned.add(self)

    async def close(self) -> None:
        """The instance runs no more; its agent stays registered. May be called again."""
        self.end()
        if self._ending is not None:
            await asyncio.wait([self._ending])

    def end(self) -> None:
        """As `close`, without waiting for it."""
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._finish())

    async def _renew_always(self) -> None:
        while self.error is None:
            await self._uplink.options.clock.sleep(self._life_s * RENEW_AFTER)
            await self._renew()

    async def _renew(self) -> None:
        """Until it has worked, or never can."""
        while True:
            try:
                self.instance = await self._again()
            except AgpError as error:
                # A token is renewed by itself: the next one may be accepted.
                if is_permanent(error) and error.code is not Code.INVALID_TOKEN:
                    self._give_up(error)
                    return
                await self._uplink.options.clock.sleep(self._backoff.delay())
            else:
                self._backoff = Backoff(self._uplink.options.chance)
                return

    async def _again(self) -> RegisteredInstance:
        try:
            return await self._registry.heartbeat(self.instance.name)
        except NotFound:  # no heartbeat came in time, or the control plane has begun anew
            return await self._registry.start(self.agent.type, self.agent.identity, self.instance.name)

    def _give_up(self, error: AgpError) -> None:
        self.error = error
        name = f"{self.agent.type}/{self.agent.identity}"
        self._uplink.tell(Refused(error.code, str(error), self.instance.name, name, 0))

    async def _finish(self) -> None:
        self._renewing.cancel()
        await asyncio.wait([self._renewing])
        with contextlib.suppress(AgpError):  # whatever the reason: it expires by itself
            await self._registry.stop(self.instance.name, timeout=STOP_TIMEOUT_S)
        self._registry.owned.discard(self)
