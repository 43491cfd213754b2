"""Starts the server of a system on loopback, and any other process of a run; ends them in every case."""

import contextlib
import importlib
import json
import queue
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers import environments
from bench.peers.at import HOST, At, Files
from bench.peers.catalogue import System

ROOT = Path(__file__).parent.parent.parent
PORTS = 6
START_TIMEOUT_S = 20.0
END_TIMEOUT_S = 3.0


class Failed(Exception):
    """A process of a run failed, said nothing in time, or ended too early; the text says which and why."""


class Server(NamedTuple):
    """A server that accepts connections."""

    system: System
    at: At
    pid: int


class Process:
    """A process that says `@...` lines; its error output is kept for the reason of a failure."""

    def __init__(self, argv: list[str], name: str, directory: Path) -> None:
        self.name = name
        self._errors = directory / f"{name}.stderr"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                argv,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for text in lines:
                if text.startswith("@"):
                    self._lines.put(text[1:].strip())
        self._lines.put(None)

    def said(self, timeout_s: float) -> str:
        """Its next line. Raises `Failed`."""
        try:
            text = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise Failed(f"{self.name}: nothing within {timeout_s:.0f} s") from None
        if text is None:
            raise Failed(f"{self.name}: {self.reason()}")
        return text

    def result(self, timeout_s: float) -> dict[str, Any]:
        """Its next line, which is an object. Raises `Failed`."""
        text = self.said(timeout_s)
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Failed(f"{self.name}: no result but {text[:100]}") from None
        return found

    def tell(self) -> None:
        """Give it a line: it may begin. Raises `Failed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed(f"{self.name}: {self.reason()}") from None

    def reason(self) -> str:
        """What it said last on standard error, or how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"ended with code {self._process.returncode}"

    def end(self) -> None:
        """End it, if need be by force."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._reader.join(END_TIMEOUT_S)


@contextlib.contextmanager
def process(argv: list[str], name: str, directory: Path) -> Iterator[Process]:
    """A process for the length of the block. Raises `Failed`."""
    try:
        made = Process(argv, name, directory)
    except OSError as error:
        raise Failed(f"{name}: {error}") from None
    try:
        yield made
    finally:
        made.end()


def worker(system: System, role: str, at: At, options: Mapping[str, Any]) -> list[str]:
    """The command of a side (see `bench.peers.worker`). Raises `environments.Absent`."""
    interpreter = str(environments.python(system.environment))
    return [interpreter, "-m", "bench.peers.worker", system.file, role, at.encode(), json.dumps(options)]


@contextlib.contextmanager
def started(system: System, files: Files | None) -> Iterator[Server]:
    """Its server, listening on free ports of loopback; with `files` under TLS.

    Raises `Failed`, `environments.Absent`.
    """
    with tempfile.TemporaryDirectory(prefix=f"bench-{system.key}-") as name:
        at = At(free_ports(PORTS), name, files)
        argv = _command(system, at)
        with process(argv, f"{system.key}-server", Path(name)) as made:
            if system.binary:
                _listening(made, at.port)
            else:
                made.said(START_TIMEOUT_S)
            yield Server(system, at, made.pid)


def _command(system: System, at: At) -> list[str]:
    if not system.binary:
        return worker(system, "serve", at, {})
    module = importlib.import_module(f"bench.peers.systems.{system.file}")
    argv: list[str] = module.server(at, environments.program(system))
    return argv


def _listening(made: Process, port: int) -> None:
    """Until it accepts connections. Raises `Failed`."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if not made.running:
            raise Failed(f"{made.name}: {made.reason()}")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise Failed(f"{made.name}: does not listen after {START_TIMEOUT_S:.0f} s") from None
            time.sleep(0.01)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return tuple(each.getsockname()[1] for each in sockets)
