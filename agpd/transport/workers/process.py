"""A worker: it listens, does the handshakes, encrypts and decrypts. What it carries is decided in the hub's process."""

import asyncio
import logging
import socket
import sys
import time

import msgspec
import uvloop

from agpd.config import Config
from agpd.telemetry import logs
from agpd.telemetry.logs import event
from agpd.transport import front
from agpd.transport.collector import Collector
from agpd.transport.listener import Listener
from agpd.transport.malloc import keep_large_buffers
from agpd.transport.tls import Certificates, TlsConfigError
from agpd.transport.workers import codec
from agpd.transport.workers.client import WorkerTrunk

_log = logging.getLogger("agpd.worker")


class Start(msgspec.Struct):
    """What a worker is told first."""

    config: Config
    workers: int


class Worker:
    """One worker on the running loop. `ended` is done when the hub has gone."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._number = number
        self._sock = sock
        self._loop = loop
        self._listener: Listener | None = None
        self._trust: Certificates | None = None
        self._accepting = True
        self._stopping: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        self.trunk = WorkerTrunk(
            loop.call_soon, loop.call_later, on_word=self._obey, on_broken=lambda: self.ended.set_result(None)
        )

    def _obey(self, kind: int, value: int, payload: bytes) -> None:
        if kind == codec.START:
            try:
                self._start(msgspec.json.decode(payload, type=Start))
            except TlsConfigError as error:  # they have changed since the gateway read them
                event(_log, logging.ERROR, "worker cannot start", problem=str(error))
                self.trunk.cut()
        elif kind == codec.ACCEPTING:
            self._accepting = bool(value)
        elif kind == codec.RELOAD:
            self.trunk.send(codec.frame(codec.RELOADED, self._reload()))
        elif kind == codec.STOP:
            self._stopping = self._loop.create_task(self._stop())

    def _start(self, start: Start) -> None:
        config = start.config
        logs.setup(config.log.level, config.log.format, sys.stderr, worker=self._number)
        self._trust = front.certificates(config, time.time)
        self._listener = front.listener(
            config,
            self._sock,
            self.trunk.client,
            trust=self._trust,
            accepting=lambda: self._accepting,
            share=start.workers,
        )
        self._listener.start()
        Collector(self._loop).start()
        self.trunk.send(codec.frame(codec.READY))

    def _reload(self) -> bool:
        try:
            if self._trust is not None:
                self._trust.reload()
        except TlsConfigError as error:
            event(_log, logging.ERROR, "certificates not reloaded", problem=str(error))
            return False
        return True

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        self.trunk.send(codec.frame(codec.STOPPED))


async def _work(number: int, trunk: int, listener: int) -> None:
    worker = Worker(number, socket.socket(fileno=listener))
    await asyncio.get_running_loop().create_unix_connection(
        lambda: worker.trunk, sock=socket.socket(fileno=trunk)
    )
    await worker.ended


def run(number: int, trunk: int, listener: int) -> None:
    """Be worker `number` until the hub ends. `trunk` and `listener` are inherited file descriptors."""
    keep_large_buffers()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(number, trunk, listener))
