"""What is kept in memory follows the database: reload soon after a change."""

import asyncio
from collections.abc import Awaitable, Callable

from agpd.errors import Refused

RETRY_S = 1.0


class Following:
    """Runs `reload` soon after `mark`, one run at a time; what is marked during a run leads to one more.

    While the database does not answer it tries again each second.
    """

    def __init__(self, reload: Callable[[], Awaitable[None]]) -> None:
        self._reload = reload
        self._marked = False
        self._task: asyncio.Task[None] | None = None

    def mark(self) -> None:
        """Something has changed."""
        self._marked = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def settled(self) -> None:
        """Wait until everything marked has been reloaded."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._marked:
            self._marked = False
            try:
                await self._reload()
            except Refused:
                self._marked = True
                await asyncio.sleep(RETRY_S)
