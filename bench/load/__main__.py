"""`make bench` and `make bench-compare`.

python -m bench.load run [--repeat N] [--only TEXT] [--output DIRECTORY]
python -m bench.load compare [A B]
"""

import contextlib
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from bench.load import generator, results
from bench.load.card import card
from bench.load.cases import By, Case, cases
from bench.load.run import RunFailed, Running, gateway, relay, run

_console = Console(width=120)


@click.group()
def main() -> None:
    """Measure the gateway under load, and compare results."""


@main.command("run")
@click.option("--repeat", type=click.IntRange(1), default=5, envvar="BENCH_REPEAT", show_envvar=True)
@click.option("--only", default="", help="Cases whose name contains this.")
@click.option("--micro/--no-micro", default=True, help="Run the micro benchmarks too.")
@click.option("--output", type=click.Path(path_type=Path), default=results.DIRECTORY)
def run_(repeat: int, only: str, micro: bool, output: Path) -> None:
    """Run the suite and write the medians to a file. A run that lost messages fails the whole."""
    machine = card(datetime.now(UTC))
    why_not = generator.build()
    chosen = [case for case in cases(native=not why_not) if only in case.name]
    by = f"agpctl bench --raw, because {why_not}" if why_not else "agpload"
    _console.print(f"prebuilt frames by {by}")
    result = results.Result(card=machine, repeat=repeat, generator=by, load=_load(chosen, repeat))
    if micro:
        result.micro = _micro()
    path = results.write(result, output)
    _console.print(results.table(result))
    _console.print(msgspec.to_builtins(machine))
    _console.print(f"written to {path}")
    if any(entry.failed for entry in result.load):
        sys.exit(1)


@main.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
def compare(files: tuple[Path, ...]) -> None:
    """Show the ratios of two results; without arguments, of the last two."""
    pair = list(files) or results.latest()[-2:]
    if len(pair) != 2:
        raise click.UsageError("name two result files, or measure twice: make bench")
    _console.print(results.compared(results.read(pair[0]), results.read(pair[1])))


def _load(chosen: list[Case], repeat: int) -> list[results.Entry]:
    """A new gateway for each carrier; the repetitions of a case follow each other."""
    entries = []
    with tempfile.TemporaryDirectory() as directory:
        for directory_or_none in (None, Path(directory)):
            ours = [case for case in chosen if case.tls is (directory_or_none is not None)]
            if ours:
                with gateway(directory_or_none) as running:
                    entries += [_entry(case, running, repeat) for case in ours]
    return entries


def _entry(case: Case, running: Running, repeat: int) -> results.Entry:
    done: list[dict[str, Any]] = []
    try:
        with _measured(case, running) as measured:
            for _ in range(repeat):
                done.append(run(case, measured))
    except (RunFailed, subprocess.TimeoutExpired) as error:
        _console.print(f"[red]{case.name}: {error}[/red]")
        return results.Entry(name=case.name, runs=len(done), failed=str(error))
    entry = results.entry(case, done)
    rate, cpu, times = results.headline(entry)
    _console.print(f"{case.name:<28} {rate:>12,.0f} /s  {cpu or 0:>8.2f} µs  {times}")
    return entry


def _measured(case: Case, running: Running) -> contextlib.AbstractContextManager[Running]:
    """What the case goes through. The gateway made the certificates that a relay uses, and is idle meanwhile."""
    return relay(running.directory) if case.by is By.RELAY else contextlib.nullcontext(running)


def _micro() -> dict[str, float]:
    """Median nanoseconds of the micro benchmarks, by name."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "micro.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "bench/micro", "-q", "--benchmark-enable"),
                *("--benchmark-only", "--benchmark-max-time=0.3", f"--benchmark-json={file}"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found = msgspec.json.decode(file.read_bytes())["benchmarks"]
    return {each["name"]: each["stats"]["median"] * 1e9 for each in found}


if __name__ == "__main__":
    main()
