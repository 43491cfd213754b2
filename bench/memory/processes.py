"""Starts the gateway and the crowds, and asks them."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class Talker:
    """A process that answers each line with one line of JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[str] = process.stdin
        self.output: IO[str] = process.stdout
        self.pid = process.pid

    def ask(self, question: str) -> dict[str, Any]:
        """Have it answered. Raises `RuntimeError` if the process has ended instead."""
        self._input.write(f"{question}\n")
        self._input.flush()
        line = self.output.readline()
        if not line:
            raise RuntimeError(f"ended while asked: {question}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def descriptors() -> int:
    """Raise the limit of open files for what is started, as far as it goes; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def talker(module: str, *arguments: str, trace: bool = False) -> Iterator[Talker]:
    """A process of this package; `trace`: with tracemalloc on. Ended with the block."""
    environ = os.environ | ({"PYTHONTRACEMALLOC": "1"} if trace else {})
    process = subprocess.Popen(
        ["nice", "-n", "5", sys.executable, "-m", f"bench.memory.{module}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        yield Talker(process)
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def gateway(directory: Path | None, *, trace: bool = False) -> Iterator[tuple[Talker, list[str]]]:
    """A gateway, and what `crowd` needs to reach it. With a directory: mutual TLS."""
    with talker("gateway", *([] if directory is None else [str(directory)]), trace=trace) as running:
        port = running.output.readline().strip()
        if not port:
            raise RuntimeError("the gateway did not start")
        files = []
        if directory is not None:
            files = [str(directory / name) for name in ("ca.pem", "agent.pem", "agent.key")]
        yield running, ["127.0.0.1", port, *files]


@contextlib.contextmanager
def crowd(where: list[str], number: int) -> Iterator[Talker]:
    """Clients of that gateway."""
    host, port, *files = where
    with talker("crowd", host, port, str(number), *files) as running:
        yield running
