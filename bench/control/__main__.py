"""`make bench-control`: writes bench/results/control-DATE-COMMIT.json and prints it. About four minutes.

    python -m bench.control [AGENTS]

`DATABASE=postgresql://...` measures the services on that database as well, which must be empty. The data plane is
measured without and with load of the control plane in turn, in one run: this machine's ratio of both is the result.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.load import generator
from bench.load.card import card
from bench.load.cases import By, Case
from bench.load.results import DIRECTORY
from bench.load.run import Running
from bench.load.run import run as run_case

AGENTS = 100_000
ROUNDS = 3
STEADY = ("token=20", "register=100", "find=50")
PAIR = Case("rr", "", 256, True, By.NATIVE, 40_000, 1, 1, 1)
LOAD_S = 30.0
TOKENS_S = 10.0
TIMEOUT_S = 600.0


def _json(*arguments: object) -> Any:
    """What one of our programs prints."""
    argv = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _gateway(directory: Path) -> Iterator[tuple[Running, int]]:
    """A gateway on the database in `directory`, and its HTTP port."""
    argv = [sys.executable, "-m", "bench.control.serve", str(directory)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        native, http = map(int, process.stdout.readline().split())
        yield Running(process.pid, native, directory), http
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def _load(http: int, directory: Path) -> Iterator[dict[str, Any]]:
    """A steady load of the control plane meanwhile; what it took is in the mapping after the block."""
    argv = [sys.executable, "-m", "bench.control.load", str(http), str(directory), str(LOAD_S), *STEADY]
    measured: dict[str, Any] = {}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # ready
        yield measured
        measured.update(json.loads(process.communicate(timeout=2 * LOAD_S)[0]))
    finally:
        process.kill()
        process.communicate()


def beside(running: Running, http: int, directory: Path) -> dict[str, Any]:
    """Requests through the data plane, without and with load: medians of their percentiles, and the ratios."""
    names = ("p50_us", "p99_us", "p999_us")
    quiet = [run_case(PAIR, running) for _ in range(ROUNDS)]
    with _load(http, directory) as with_load:
        loaded = [run_case(PAIR, running) for _ in range(ROUNDS)]
    quiet += [run_case(PAIR, running) for _ in range(ROUNDS)]
    medians = {
        kind: {name: round(median(each[name] for each in runs), 1) for name in names}
        for kind, runs in (("without", quiet), ("with", loaded))
    }
    ratios = {name: round(medians["with"][name] / medians["without"][name], 2) for name in names}
    return {"requests": medians, "ratio": ratios, "load": list(STEADY), "control_plane": with_load}


def measure(directory: Path, agents: int) -> dict[str, Any]:
    """Everything, with the card of the machine."""
    found: dict[str, Any] = {"card": msgspec.to_builtins(card(datetime.now(UTC))), "agents": agents}
    found["sqlite"] = _json("bench.control.service", directory, agents)
    if url := os.environ.get("DATABASE"):
        with tempfile.TemporaryDirectory() as other:
            found["postgresql"] = _json("bench.control.service", other, agents, url)
    if problem := generator.build():
        raise SystemExit(f"the data plane cannot be measured: {problem}")
    with _gateway(directory) as (running, http):
        for kind in ("token", "register", "find"):
            found[f"https_{kind}"] = _json("bench.control.load", http, directory, TOKENS_S, f"{kind}=0")[kind]
        found["data_plane"] = beside(running, http, directory)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        result = measure(Path(directory), int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS)
    stamp = result["card"]["date"].replace(":", "").replace("+0000", "Z")
    path = DIRECTORY / f"control-{stamp}-{result['card']['commit'].rstrip('+')}.json"
    text = json.dumps(result, indent=2) + "\n"
    path.write_text(text)
    print(text + str(path))


if __name__ == "__main__":
    main()
