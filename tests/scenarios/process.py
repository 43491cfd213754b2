"""A gateway in a process of its own, for tests of what only processes, sockets and signals show.

`gateway(directory, ...)` starts one and ends it. Nothing here waits a fixed time: every wait is for a line of the
log, a state of the process or its end, with a deadline.
"""

import json
import os
import re
import resource
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agpd.names import parse_pattern
from agpd.transport.pki import Authority, Pair

COMMAND = [sys.executable, "-c", "from agpd.cli.main import agpd; agpd()", "serve"]
DEADLINE_S = 15.0
QUICK_END: dict[str, object] = {"drain_timeout_ms": 50, "linger_timeout_ms": 300}
PAGE = os.sysconf("SC_PAGE_SIZE")
# As many workers has a gateway for which nothing else is said.
workers = 1
# Those that run now.
alive: list["GatewayProcess"] = []
_ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\d+)")

Settings = Mapping[str, Mapping[str, object]]


class Timeout(AssertionError):
    """What was waited for has not happened in time."""


class Log:
    """The lines of a gateway's log as they come, each a JSON object."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.records: list[dict[str, Any]] = []
        self.stray: list[str] = []  # what is no event of ours: warnings, tracebacks
        self._changed = threading.Condition()
        self._ended = False
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                try:
                    self.records.append(json.loads(line))
                except ValueError:
                    self.stray.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def find(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The records of this event that have these fields."""
        wanted = {"event": event, **fields}
        return [one for one in self.records if wanted.items() <= one.items()]

    def wait(
        self, event: str, *, count: int = 1, deadline_s: float = DEADLINE_S, **fields: object
    ) -> dict[str, Any]:
        """The `count`-th such record; waits for it. Raises `Timeout`."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self.find(event, **fields)) >= count or self._ended, deadline_s
            )
            found = self.find(event, **fields)
        if len(found) < count:
            raise Timeout(f"no {event} {fields} in the log: {self.records[-10:]} {self.stray}")
        return found[count - 1]

    def faults(self) -> list[object]:
        """Everything that no gateway may log: errors, tracebacks, warnings of libraries."""
        return [one for one in self.records if one["level"] in ("error", "critical")] + self.stray

    def close(self) -> None:
        self._thread.join(DEADLINE_S)


class GatewayProcess:
    """A running gateway."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = Log(process)
        self.address = self._address()

    def _address(self) -> tuple[str, int]:
        found = _ADDRESS.search(json.dumps(self.log.wait("listening")))
        assert found is not None
        return found[1], int(found[2])

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def rss_bytes(self) -> int:
        """Resident memory, that of workers included."""
        pids = [self.pid, *self.workers()]
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * PAGE

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end."""
        return self.process.wait(deadline_s)

    def stop(self) -> dict[str, Any]:
        """SIGTERM; returns the last line of the log, with the counters."""
        self.signal(signal.SIGTERM)
        assert self.exit_code() == 0, self.log.stray
        return self.log.wait("stopped")

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        assert self.process.stderr is not None
        self.process.stderr.close()


def _toml(settings: Settings) -> str:
    # JSON's strings, numbers, true and false are TOML's.
    return "\n".join(
        line
        for section, values in settings.items()
        for line in [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    )


@contextmanager
def gateway(
    directory: Path,
    world: "World | None" = None,
    *,
    host: str = "127.0.0.1",
    descriptors: int | None = None,
    prefix: list[str] | None = None,
    **sections: Mapping[str, object],
) -> Iterator[GatewayProcess]:
    """A gateway process with these sections of settings: mutual TLS with the files of `world`, or plaintext.

    `descriptors` is its limit of open files, `prefix` a command to start it under. At the end it must not have
    logged a fault.
    """
    settings: dict[str, dict[str, object]] = {key: dict(value) for key, value in sections.items()}
    listen = {"native": f"{host}:0", "plaintext": world is None, "plaintext_anywhere": host != "127.0.0.1"}
    listen |= {"workers": workers, "grpc": ""}
    settings["listen"] = listen | settings.get("listen", {})
    settings["log"] = {"format": "json"} | settings.get("log", {})
    settings["limits"] = QUICK_END | settings.get("limits", {})
    if world is not None:
        settings["tls"] = world.settings() | settings.get("tls", {})
    file = directory / "agpd.toml"
    file.write_text(_toml(settings))

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = subprocess.Popen(
        [*(prefix or []), *COMMAND, "--config", str(file)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=limit,
    )
    running = None
    try:
        running = GatewayProcess(process)
        alive.append(running)
        yield running
        assert running.log.faults() == [], running.log.faults()
    finally:
        if running is not None:
            alive.remove(running)
            running.end()
        else:
            process.kill()
            process.wait()


class World:
    """An authority on disk with a gateway's certificate; agents' are issued on demand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority.create(directory, "world", time.time())
        hosts = ["localhost", "127.0.0.1"]
        self.gateway = self.authority.issue_gateway(hosts, directory / "gateway", time.time())

    def settings(self) -> dict[str, object]:
        """The section `tls` of a gateway of this world."""
        pair, ca, crl = self.gateway, self.directory / "ca.pem", self.directory / "crl.pem"
        return {"certificate": str(pair.certificate), "key": str(pair.key), "ca": str(ca), "crl": str(crl)}

    def issue(self, pattern: str, file: str, life_s: float = 3600.0) -> Pair:
        """A certificate for these names."""
        return self.authority.issue_agent(parse_pattern(pattern), self.directory / file, time.time(), life_s)

    def context(self, pair: Pair | None) -> ssl.SSLContext:
        """A client's context with this certificate, or with none."""
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context
