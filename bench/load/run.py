"""Runs cases: a gateway, the receiving side and the sending side, each a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from bench.load.cases import Case

NAME = "acme/bench/sink"
CASE_TIMEOUT_S = 120.0


class RunFailed(Exception):
    """A side of a run failed, or lost messages."""


class Running(NamedTuple):
    """A gateway that is being measured."""

    pid: int
    options: list[str]


@contextlib.contextmanager
def gateway(directory: Path | None) -> Iterator[Running]:
    """A gateway, in plaintext, or with mutual TLS and its certificates in `directory`."""
    arguments = [] if directory is None else [str(directory)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load.serve", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = _output(process).readline().strip()
        if not port:
            raise RunFailed("the gateway did not start")
        yield Running(process.pid, _options(port, directory))
    finally:
        process.terminate()
        process.communicate()


def _options(port: str, directory: Path | None) -> list[str]:
    if directory is None:
        return ["--url", f"agp+tcp://127.0.0.1:{port}"]
    files = {"certificate": "agent.pem", "key": "agent.key", "ca": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(directory / file))]
    return ["--url", f"agp://127.0.0.1:{port}", *options]


def _output(process: "subprocess.Popen[str]", error: bool = False) -> IO[str]:
    stream = process.stderr if error else process.stdout
    assert stream is not None
    return stream


def run(case: Case, gateway: Running) -> dict[str, Any]:
    """The measurements of one run of a case: those of the sender, and of the receivers with `received_` before.

    Raises `RunFailed`, also when messages were lost.
    """
    common = [NAME, *gateway.options, "--json", *(["--raw"] if case.raw else [])]
    measured = [*common, "--gateway-pid", str(gateway.pid)]
    if case.verb == "rr":
        with _started(["rr", *common, "--serve"]):
            return _result(["rr", *measured, *_requests(case)])
    receiver = ["sub", *measured, "--count", str(case.deliveries), "--connections", str(case.receivers)]
    with _started(receiver) as process:
        sent = _result(["pub", *measured, *_messages(case)])
        received = _finish(process, receiver)
    return sent | {f"received_{name}": value for name, value in received.items()}


def _requests(case: Case) -> list[str]:
    return _words(count=case.messages, size=case.size, concurrency=case.concurrency)


def _messages(case: Case) -> list[str]:
    return _words(
        count=case.messages,
        size=case.size,
        pattern=case.pattern,
        connections=case.senders,
        receivers=case.receivers,
    )


def _words(**options: object) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _argv(arguments: list[str]) -> list[str]:
    return [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", "bench", *arguments]


@contextlib.contextmanager
def _started(arguments: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The other side, once it says that it is ready; ended with the block."""
    process = subprocess.Popen(_argv(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = _output(process, error=True).readline()
        if line.strip() != "ready":
            raise RunFailed(f"{arguments[0]}: {line}{_output(process, error=True).read()}".strip())
        yield process
    finally:
        process.kill()
        process.communicate()


def _result(arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        _argv(arguments), capture_output=True, text=True, timeout=CASE_TIMEOUT_S, check=False
    )
    return _decode(arguments, done.returncode, done.stdout, done.stderr)


def _finish(process: "subprocess.Popen[str]", arguments: list[str]) -> dict[str, Any]:
    out, error = process.communicate(timeout=CASE_TIMEOUT_S)
    return _decode(arguments, process.returncode, out, error)


def _decode(arguments: list[str], code: int, out: str, error: str) -> dict[str, Any]:
    if code:
        raise RunFailed(f"agpctl bench {' '.join(arguments)}: {error.strip() or f'exit code {code}'} {out}")
    return msgspec.json.decode(out, type=dict[str, Any])
