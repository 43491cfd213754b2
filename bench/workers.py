"""What workers cost and bring: processor time of the routing process and of all, with 1, 2 and more workers.

    python -m bench.workers [COUNT]

Messages of 256 bytes, each to a random one of 16 receivers, a broadcast to 16, and requests one at a time, with the
load generator in C (bench/load/native), in plaintext and with mutual TLS. COUNT messages in each run, 1,000,000 if
it is not given. Prints one line for each run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agpd.transport.pki import development
from bench.load import generator

WORKERS = (1, 2)
TICKS = os.sysconf("SC_CLK_TCK")
NAME = "acme/bench/sink"
READY = "listening"


class Place:
    """A running gateway."""

    def __init__(self, pid: int, options: list[str]) -> None:
        self.pid, self.options = pid, options

    def cpu_s(self) -> tuple[float, float]:
        """Processor time of the process that routes, and of all."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        times = [_cpu_s(pid) for pid in [self.pid, *map(int, children)]]
        return times[0], sum(times)


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


@contextmanager
def gateway(workers: int, directory: Path | None) -> Iterator[Place]:
    """`agpd serve` on a free port, in plaintext or with certificates that are made in `directory`."""
    settings = {
        "listen.native": "127.0.0.1:0",
        "listen.grpc": "",
        "log.format": "json",
        "limits.drain_timeout_ms": "100",
    }
    files: list[str] = []
    if directory is None:
        settings["listen.plaintext"] = "true"
    else:
        made = development(directory, time.time())
        tls = {"certificate": made.certificate, "key": made.key, "ca": made.ca, "accept_any_name": "true"}
        settings |= {f"tls.{name}": str(value) for name, value in tls.items()}
        files = [f"--ca={made.ca}", f"--cert={directory}/agent.pem", f"--key={directory}/agent.key"]
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "agpd", "serve", "--workers", str(workers), *sets]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = map(json.loads, process.stderr)
        address = next(line["address"] for line in lines if line["event"] == READY)
        options = [f"--port={address.rpartition(':')[2]}"]
        yield Place(process.pid, options + [word for file in files for word in file.split("=")])
        process.terminate()
        for _ in process.stderr:
            pass


def _run(*words: str) -> dict[str, Any]:
    done = subprocess.run([generator.program("agpload"), *words], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def _beside(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A side that has said that it is ready."""
    command = [generator.program("agpload"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        yield process
        process.terminate()


def load(place: Place, pattern: str, count: int) -> dict[str, float]:
    """Microseconds of processor time per delivery, in the process that routes and in all, and deliveries per second."""
    deliveries = count * 16 if pattern == "broadcast" else count
    common = [NAME, *place.options, "--pattern", pattern]
    with _beside("sink", *common, "--connections", "16", "--count", str(deliveries)) as sink:
        before = place.cpu_s()
        _run("pour", *common, "--receivers", "16", "--count", str(count), "--size", "256")
        output, _ = sink.communicate(timeout=120)
        used = [now - then for now, then in zip(place.cpu_s(), before, strict=True)]
    result = json.loads(output)
    routing, total = (1e6 * each / deliveries for each in used)
    return {"routing_us": routing, "total_us": total, "per_s": result["received"] / result["seconds"]}


def requests(place: Place, count: int) -> dict[str, float]:
    """Latencies, in microseconds, of requests one at a time."""
    with _beside("rr", NAME, *place.options, "--serve", "--connections", "1"):
        result = _run("rr", NAME, *place.options, "--count", str(count))
    return {name: result[name] for name in ("p50_us", "p99_us")}


def main(count: int) -> None:
    """Every run once."""
    for tls in (False, True):
        for workers in WORKERS:
            with (
                tempfile.TemporaryDirectory() as name,
                gateway(workers, Path(name) if tls else None) as place,
            ):
                found = {
                    "unicast": load(place, "unicast", count),
                    "broadcast": load(place, "broadcast", count // 8),
                    "requests": requests(place, 3000),
                }
            for what, figures in found.items():
                text = "  ".join(f"{key}={value:,.2f}" for key, value in figures.items())
                print(f"{'tls' if tls else 'plaintext':9} workers={workers} {what:9} {text}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
