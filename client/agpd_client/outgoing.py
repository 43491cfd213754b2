"""Frames on their way out: collected, and written to the carrier once per turn of the loop."""

import asyncio

EARLY_WRITE_BYTES = 64 * 1024
# Producers let the loop turn at least this often.
MESSAGES_PER_TURN = 256


class Outgoing:
    """The sending half of one connection.

    `busy`: a producer has to go through `breathe()` before it sends more. `is_closed`: frames are thrown away.
    """

    def __init__(self) -> None:
        self.busy = False
        self.is_closed = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames: list[bytes] = []
        self._bytes = 0
        self._scheduled = False
        self._written = 0  # frames, in this turn of the loop
        self._is_calm = True  # no more than one frame in the last turn that had any
        self._paused = False
        self._waiters: list[asyncio.Future[None]] = []

    def attach(self, transport: asyncio.Transport) -> None:
        """Write here."""
        self._transport = transport

    def detach(self) -> None:
        """The carrier is gone."""
        self._transport = None

    def send(self, frame: bytes) -> None:
        """Queue a frame; it leaves at the end of this loop turn, or earlier if there is much."""
        if self.is_closed:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)
        if self._bytes >= EARLY_WRITE_BYTES or len(self._frames) >= MESSAGES_PER_TURN:
            self.busy = True
            self.flush()

    def urge(self, frame: bytes) -> None:
        """As `send` of a frame that somebody waits for: written at once if frames come one at a time.

        Under load this batches as `send` does; alone it saves a turn of the loop, 10 µs of a request's 170.
        """
        self.send(frame)
        if self._is_calm and not self._written and len(self._frames) == 1:
            self.flush()

    def flush(self) -> None:
        """Write now what is queued."""
        if self._frames and self._transport is not None:
            data = b"".join(self._frames)
            self._written += len(self._frames)
            self._frames.clear()
            self._bytes = 0
            self._transport.write(data)

    async def breathe(self) -> None:
        """Wait until a producer may go on: the loop has turned, and the carrier has room or is closed."""
        if not self._paused or self.is_closed:
            await asyncio.sleep(0)
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def pause(self) -> None:
        """The carrier's buffer is full."""
        self._paused = self.busy = True

    def resume(self) -> None:
        """There is room again."""
        self._paused = self.busy = False
        self._wake()

    def close(self) -> None:
        """Send nothing more; who waits for room is let go."""
        self.is_closed = True
        self._wake()

    def _end_turn(self) -> None:
        self._scheduled = False
        self.busy = self._paused
        self.flush()
        self._is_calm = self._written <= 1
        self._written = 0

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
