"""The workers of a gateway: starts them, replaces those that end, passes words on to all of them.

Every worker has a listening socket of its own on the one address (SO_REUSEPORT). The sockets stay open here as well,
so that clients who come while a worker is being replaced are served by the new one.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from agpd.config import Config, split_address
from agpd.errors import ConfigError
from agpd.telemetry.logs import event
from agpd.transport.sockets import bind
from agpd.transport.workers import codec
from agpd.transport.workers.channel import HubTrunk
from agpd.transport.workers.gate import Gate
from agpd.transport.workers.process import Start
from agpd.transport.workers.trunk import pair

BACKOFF_S = 0.1
BACKOFF_LIMIT_S = 5.0
HEALTHY_S = 30.0  # who lived so long is replaced without a pause worth mentioning
EXIT_LIMIT_S = 2.0  # a worker that does not end for so long after its trunk is killed
STOP_LIMIT_S = 1.0  # so much of the time to drain a worker may take to stop listening

_log = logging.getLogger("agpd.workers")


class WorkerError(ConfigError):
    """A worker has ended before it listened, while the gateway was starting."""


class Worker:
    """One process, from its start to its end."""

    def __init__(
        self,
        number: int,
        make_protocol: Callable[[], asyncio.Protocol],
        gate: Gate,
        on_change: Callable[[], None],
    ):
        loop = asyncio.get_running_loop()
        self.number = number
        # Each is True, or False if the worker ended before.
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.stopped: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        self._reloads: deque[Callable[[bool], None]] = deque()
        self.trunk = HubTrunk(
            loop.call_soon,
            make_protocol,
            gate,
            on_word=self._heard,
            on_change=on_change,
            on_broken=self._broken,
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, listener: socket.socket, start: bytes) -> None:
        """Start the process; it is not `ready` yet. Raises `OSError`."""
        ours, theirs = pair()
        try:
            with theirs:
                self._process = _spawn(self.number, theirs.fileno(), listener.fileno())
        except OSError:
            ours.close()
            raise
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self.trunk, sock=ours)
        self.trunk.send(codec.frame(codec.START, 0, start))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def tell(self, kind: int, value: int = 0) -> None:
        """Say something that concerns no channel."""
        self.trunk.send(codec.frame(kind, value))

    def reload(self, done: Callable[[bool], None]) -> None:
        """Let it read its certificates again. `done` is told whether it could; whoever has ended need not any more."""
        self._reloads.append(done)
        self.tell(codec.RELOAD)

    def _heard(self, kind: int, value: int) -> None:
        if kind == codec.READY:
            _settle(self.ready, True)
        elif kind == codec.STOPPED:
            _settle(self.stopped, True)
        elif kind == codec.RELOADED and self._reloads:
            self._reloads.popleft()(bool(value))

    def _broken(self) -> None:
        for future in (self.ready, self.stopped, self.ended):
            _settle(future, future is self.ended)
        while self._reloads:
            self._reloads.popleft()(True)

    def cut(self) -> None:
        """Let it go: it ends when its trunk does."""
        self.trunk.cut()

    async def reap(self) -> int:
        """Once it has `ended`: wait for the end of its process, for a bounded time. Returns the exit code."""
        assert self._process is not None
        if not await _exits(self._process.pid, EXIT_LIMIT_S):
            self._process.kill()
            await _exits(self._process.pid, None)
        return self._process.wait()


def _spawn(number: int, trunk: int, listener: int) -> subprocess.Popen[bytes]:
    """Start the process of a worker with these descriptors. It finds what this process would import."""
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return subprocess.Popen(  # noqa: S603 - the interpreter that runs us, and numbers
        [sys.executable, "-P", "-m", "agpd.transport.workers", str(number), str(trunk), str(listener)],
        pass_fds=(trunk, listener),
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )


def _settle(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


async def _exits(pid: int, within_s: float | None) -> bool:
    """Wait for the end of a child that was not waited for yet."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[bool] = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, _settle, exited, True)
    try:
        await asyncio.wait((exited,), timeout=within_s)
        return exited.done()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        exited.cancel()


class Pool:
    """The workers of one gateway. Make it on the running loop, `start`, wait for `ready`; `stop` it, then `end` it.

    `make_protocol` makes the protocol of each client. `accepting` says whether new clients are welcome; it is asked
    whenever one has come or gone, and in `check`. Raises `BindError`.
    """

    def __init__(
        self,
        config: Config,
        make_protocol: Callable[[], asyncio.Protocol],
        accepting: Callable[[], bool],
    ) -> None:
        loop = asyncio.get_running_loop()
        count = config.listen.workers
        self._start = msgspec.json.encode(Start(config, count))
        self._make_protocol = make_protocol
        self._gate = Gate(loop.call_later)
        self._accepting = accepting
        self._told = True  # what the workers think of `accepting`
        self._sockets = _bind(*split_address(config.listen.native), count)
        self._ready: list[asyncio.Future[None]] = [loop.create_future() for _ in self._sockets]
        self._workers: dict[int, Worker] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()  # nobody is replaced any more
        self.address: tuple[str, int] = self._sockets[0].getsockname()[:2]

    def start(self) -> None:
        """Start all."""
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(place)) for place in range(len(self._sockets))]

    async def ready(self) -> None:
        """Wait until all listen. Raises `WorkerError` if one has ended instead."""
        await asyncio.gather(*self._ready)

    def check(self) -> None:
        """Tell the workers whether new clients are welcome, if that has changed."""
        now = self._accepting()
        if now != self._told:
            self._told = now
            for worker in self._workers.values():
                worker.tell(codec.ACCEPTING, now)

    def reload(self, done: Callable[[int], None]) -> None:
        """Let all read their certificates again; `done` is then told how many could not."""
        left, failed = len(self._workers), 0
        if not left:
            done(0)

        def one(good: bool) -> None:
            nonlocal left, failed
            left -= 1
            failed += not good
            if not left:
                done(failed)

        for worker in list(self._workers.values()):
            worker.reload(one)

    async def stop(self) -> None:
        """Stop listening, and replace nobody any more. Clients stay connected. Idempotent."""
        self._over.set()
        for worker in self._workers.values():
            worker.tell(codec.STOP)
        if self._workers:
            await asyncio.wait([worker.stopped for worker in self._workers.values()], timeout=STOP_LIMIT_S)
        self._close()

    async def end(self) -> None:
        """End the processes; whoever is still connected is cut."""
        self._over.set()
        for worker in self._workers.values():
            worker.cut()
        if self._keepers:
            await asyncio.wait(self._keepers)
        self._close()

    def _close(self) -> None:
        for sock in self._sockets:
            sock.close()

    async def _keep(self, place: int) -> None:
        """Have a worker in this place until the end."""
        loop = asyncio.get_running_loop()
        pause_s = BACKOFF_S
        while not self._over.is_set():
            began = loop.time()
            await self._live(place)
            if self._over.is_set():
                return
            if not self._ready[place].done():
                problem = f"worker {place + 1} ended before it listened; its log says why"
                self._ready[place].set_exception(WorkerError(problem))
                return
            pause_s = BACKOFF_S if loop.time() - began > HEALTHY_S else min(2 * pause_s, BACKOFF_LIMIT_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause_s)

    async def _live(self, place: int) -> None:
        """The life of one worker."""
        worker = Worker(place + 1, self._make_protocol, self._gate, self.check)
        try:
            await worker.start(self._sockets[place], self._start)
        except OSError as error:
            event(_log, logging.WARNING, "worker not started", worker=worker.number, problem=str(error))
            return
        self._workers[place] = worker
        if self._over.is_set():
            worker.cut()
        if not self._told:
            worker.tell(codec.ACCEPTING, False)
        if await worker.ready:
            event(_log, logging.INFO, "worker listens", worker=worker.number, pid=worker.pid)
            if not self._ready[place].done():
                self._ready[place].set_result(None)
        await worker.ended
        del self._workers[place]
        code = await worker.reap()
        if not self._over.is_set():
            event(
                _log,
                logging.WARNING,
                "worker ended",
                worker=worker.number,
                pid=worker.pid,
                exit=code,
                connections=worker.trunk.cut_off,
            )


def _bind(host: str, port: int, count: int) -> list[socket.socket]:
    """Listening sockets on one address. Raises `BindError`."""
    if port:  # sharing would succeed without a word where another gateway shares it already
        bind(host, port).close()
    first = bind(host, port, reuse_port=True)
    port = first.getsockname()[1]
    return [first, *(bind(host, port, reuse_port=True) for _ in range(count - 1))]
