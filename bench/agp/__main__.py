"""`make bench-agp`: what an AGP message costs a gateway, beside a bare relay on grpc.aio and the wheel's own gateway.

    python -m bench.agp [--repeat N] [--seconds S] [--output DIRECTORY]

The same load goes to each in turn, round by round; the figures are medians. Processor time is that of the gateway's
process, user and system.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec

from bench.load.card import card
from bench.load.results import DIRECTORY
from bench.peers import servers, suite
from bench.peers.at import Files
from bench.peers.catalogue import System
from bench.peers.environments import Absent
from bench.peers.servers import Failed

SIZE_BYTES = 256
LOAD_TIMEOUT_S = 120.0
# pattern, senders, receivers, many messages in a DATA frame, how many are under way
CASES: dict[str, tuple[str, int, int, bool, int]] = {
    "unicast": ("unicast", 1, 1, False, 512),
    "unicast, packed": ("unicast", 1, 1, True, 512),
    "anycast, 4 to 1 of 16": ("anycast", 4, 16, False, 512),
    "broadcast to 16": ("broadcast", 1, 16, False, 64),
}
SYSTEMS = (
    System("agpd", "agpd", "", 0, 0, 0, module="agpd_grpc", binary="python"),
    System("relay", "bare relay on grpc.aio", "", 0, 0, 0, module="agprelay", environment="grpcaio"),
    System("agp", "gateway of agp-bindings 0.3.5", "", 0, 0, 0, environment="agp"),
)


@click.command()
@click.option("--repeat", type=click.IntRange(1), default=3, envvar="BENCH_REPEAT", show_envvar=True)
@click.option("--seconds", type=click.FloatRange(0.1), default=1.5, help="Of each case.")
@click.option("--output", type=click.Path(path_type=Path), default=DIRECTORY)
def main(repeat: int, seconds: float, output: Path) -> None:
    """Measure, print a table, and write the figures."""
    machine = card(datetime.now(UTC))
    with tempfile.TemporaryDirectory() as directory:
        carriers = {"plain": None, "tls": suite.files(Path(directory))}
        rounds = [found for _ in range(repeat) for found in one_round(carriers, seconds)]
    entries = summed(rounds)
    for line in table(entries):
        click.echo(line)
    path = output / f"agp-{machine.date.replace(':', '').replace('-', '')[:15]}-{machine.commit[:12]}.json"
    result = {
        "card": msgspec.to_builtins(machine),
        "repeat": repeat,
        "size_bytes": SIZE_BYTES,
        "entries": entries,
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(f"written to {path}")


def one_round(carriers: dict[str, Files | None], seconds: float) -> Iterator[dict[str, Any]]:
    """Each system once on each carrier."""
    for carrier, files in carriers.items():
        for system in SYSTEMS:
            try:
                for case, figures in measured(system, files, seconds).items():
                    yield {"system": system.label, "carrier": carrier, "case": case, **figures}
            except (Absent, Failed, subprocess.SubprocessError) as error:
                click.echo(f"{system.label}, {carrier}: {error}", err=True)


def measured(system: System, files: Files | None, seconds: float) -> dict[str, dict[str, float]]:
    """All cases on one gateway. Raises `Absent`, `Failed`, `SubprocessError`."""
    with servers.started(system, files) as server:
        options = {"pid": server.pid, "cases": list(CASES.values()), "seconds": seconds, "size": SIZE_BYTES}
        argv = [sys.executable, "-m", "bench.agp.load", server.at.encode(), json.dumps(options)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False)
    said = [line[1:] for line in done.stdout.splitlines() if line.startswith("@")]
    if not said:
        raise Failed(f"the load failed: {(done.stderr.strip() or 'without a word').splitlines()[-1]}")
    found = json.loads(said[-1])
    return {case: found[str(place)] for place, case in enumerate(CASES)}


def summed(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The median of each figure over the rounds, and what was lost in all of them."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for each in rounds:
        groups.setdefault((each["carrier"], each["case"], each["system"]), []).append(each)
    return [
        {
            "carrier": carrier,
            "case": case,
            "system": system,
            "cpu_us_per_message": median(each["cpu_us_per_message"] for each in group),
            "messages_per_s": median(each["messages_per_s"] for each in group),
            "lost": sum(each["lost"] for each in group),
        }
        for (carrier, case, system), group in groups.items()
    ]


def table(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Microseconds of processor time for a message, and messages in a second."""
    labels = [system.label for system in SYSTEMS]
    yield f"| {SIZE_BYTES} bytes, µs a message (msg/s) | {' | '.join(labels)} |"
    yield "|---|" + "--:|" * len(labels)
    found = {(each["carrier"], each["case"], each["system"]): each for each in entries}
    for carrier in dict.fromkeys(each["carrier"] for each in entries):
        for case in CASES:
            cells = [_cell(found.get((carrier, case, label))) for label in labels]
            yield f"| {case}, {carrier} | {' | '.join(cells)} |"


def _cell(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "-"
    lost = f", {entry['lost']:,} lost" if entry["lost"] else ""
    return f"{entry['cpu_us_per_message']:.1f} ({entry['messages_per_s']:,.0f}{lost})"


if __name__ == "__main__":
    main()
