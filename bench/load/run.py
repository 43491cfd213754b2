"""Runs cases: a gateway, the receiving side and the sending side, each a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from bench.load import generator
from bench.load.cases import By, Case

NAME = "acme/bench/sink"
CASE_TIMEOUT_S = 120.0
GATEWAY_END_S = 10.0


class RunFailed(Exception):
    """A side of a run failed, or lost messages."""


class Running(NamedTuple):
    """A gateway or a relay that is being measured. `directory` holds its certificates; without one it is plaintext."""

    pid: int
    port: int
    directory: Path | None

    @property
    def options(self) -> list[str]:
        """How `agpctl bench` reaches it."""
        if self.directory is None:
            return ["--url", f"agp+tcp://127.0.0.1:{self.port}"]
        files = {"certificate": "agent.pem", "key": "agent.key", "ca": "ca.pem"}
        options = [word for name, file in files.items() for word in (f"--{name}", str(self.directory / file))]
        return ["--url", f"agp://127.0.0.1:{self.port}", *options]

    @property
    def native_options(self) -> list[str]:
        """How `agpload` reaches it."""
        return ["--port", str(self.port), *_files(self.directory, "agent")]


def _files(directory: Path | None, role: str) -> list[str]:
    if directory is None:
        return []
    return _words(ca=directory / "ca.pem", cert=directory / f"{role}.pem", key=directory / f"{role}.key")


def gateway(directory: Path | None) -> contextlib.AbstractContextManager[Running]:
    """A gateway, in plaintext, or with mutual TLS and its certificates in `directory`."""
    arguments = [] if directory is None else [str(directory)]
    return _running([sys.executable, "-m", "bench.load.serve", *arguments], directory)


def relay(directory: Path | None) -> contextlib.AbstractContextManager[Running]:
    """The relay in C, with the certificates that a gateway made in `directory`."""
    return _running([generator.program("relay"), *_files(directory, "gateway")], directory)


@contextlib.contextmanager
def _running(argv: list[str], directory: Path | None) -> Iterator[Running]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        port = _output(process).readline().strip()
        if not port.isdigit():
            raise RunFailed(f"{argv[0]} did not start: {port}")
        yield Running(process.pid, int(port), directory)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=GATEWAY_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _output(process: "subprocess.Popen[str]", error: bool = False) -> IO[str]:
    stream = process.stderr if error else process.stdout
    assert stream is not None
    return stream


def run(case: Case, running: Running) -> dict[str, Any]:
    """The measurements of one run of a case: those of the sender, and of the receivers with `received_` before.

    Raises `RunFailed`, also when messages were lost.
    """
    common = _common(case, running)
    measured = [*common, "--gateway-pid", str(running.pid)]
    if case.verb == "rr":
        with _started([*_tool(case, "rr"), *common, "--serve"]):
            return _result([*_tool(case, "rr"), *measured, *_requests(case)])
    receiver = [*_tool(case, "sink"), *measured, *_receivers(case)]
    with _started(receiver) as process:
        sent = _result([*_tool(case, "pour"), *measured, *_messages(case)])
        received = _finish(process, receiver)
    return sent | {f"received_{name}": value for name, value in received.items()}


def _common(case: Case, running: Running) -> list[str]:
    if case.native:
        return [NAME, *running.native_options]
    return [NAME, *running.options, "--json", *(["--raw"] if case.by is By.RAW else [])]


def _tool(case: Case, command: str) -> list[str]:
    if case.native:
        return [generator.program("agpload"), command]
    command = {"sink": "sub", "pour": "pub"}.get(command, command)
    return [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", "bench", command]


def _requests(case: Case) -> list[str]:
    words = _words(count=case.messages, size=case.size, concurrency=case.concurrency)
    return words + (_words(background_load=case.background) if case.background else [])


def _receivers(case: Case) -> list[str]:
    options = _words(count=case.deliveries, connections=case.receivers)
    return options + (_words(size=case.size, pattern=case.pattern) if case.native else [])


def _messages(case: Case) -> list[str]:
    return _words(
        count=case.messages,
        size=case.size,
        pattern=case.pattern,
        connections=case.senders,
        receivers=case.receivers,
    )


def _words(**options: object) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@contextlib.contextmanager
def _started(argv: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The other side, once it says that it is ready; ended with the block."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = _output(process, error=True).readline()
        if line.strip() != "ready":
            process.kill()
            out, error = process.communicate()
            raise RunFailed(f"{line}{error}{out}".strip())
        yield process
    finally:
        process.kill()
        process.communicate()


def _result(argv: list[str]) -> dict[str, Any]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=CASE_TIMEOUT_S, check=False)
    return _decode(argv, done.returncode, done.stdout, done.stderr)


def _finish(process: "subprocess.Popen[str]", argv: list[str]) -> dict[str, Any]:
    out, error = process.communicate(timeout=CASE_TIMEOUT_S)
    return _decode(argv, process.returncode, out, error)


def _decode(argv: list[str], code: int, out: str, error: str) -> dict[str, Any]:
    if code:
        raise RunFailed(f"{' '.join(argv)}: {error.strip() or f'exit code {code}'} {out}")
    return msgspec.json.decode(out, type=dict[str, Any])
