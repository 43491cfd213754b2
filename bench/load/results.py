"""Result files: medians of repeated runs with the card of the machine; tables of one, and of two compared."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from bench.load.card import Card
from bench.load.cases import Case

DIRECTORY = Path(__file__).parent.parent / "results"


class Entry(msgspec.Struct, kw_only=True):
    """One case: the median of each measurement over its runs. `runs` are how many; `failed` says why, if one did."""

    name: str
    runs: int
    failed: str = ""
    measured: dict[str, Any] = {}


class Result(msgspec.Struct, kw_only=True):
    """A file in `bench/results`. `micro` are nanoseconds of the micro benchmarks, by name.

    `generator` says what sent and counted prebuilt frames.
    """

    card: Card
    repeat: int
    load: list[Entry]
    generator: str = "agpctl bench --raw"
    micro: dict[str, float] = {}


def medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each measurement; what is no number is taken from the first run."""
    return {
        name: statistics.median(run[name] for run in runs) if isinstance(value, int | float) else value
        for name, value in runs[0].items()
    }


def write(result: Result, directory: Path = DIRECTORY) -> Path:
    """To a file named by date and commit."""
    directory.mkdir(parents=True, exist_ok=True)
    stamp = result.card.date.replace(":", "").replace("+0000", "Z")
    path = directory / f"{stamp}-{result.card.commit.rstrip('+')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return path


def read(path: Path) -> Result:
    """Raises `msgspec.DecodeError`, `OSError`."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def latest(directory: Path = DIRECTORY) -> list[Path]:
    """All results of `make bench` (their names begin with a date), the newest last."""
    return sorted(directory.glob("[0-9]*.json"))


def headline(entry: Entry) -> tuple[float, float | None, str]:
    """Events per second, gateway CPU in microseconds for each, and the latencies of a requester."""
    measured = entry.measured
    if "requests_per_s" in measured:
        times = " / ".join(f"{measured[name]:,.0f}" for name in ("p50_us", "p99_us", "p999_us"))
        return measured["requests_per_s"], measured["cpu_us_per_request"], times
    cpu = measured["received_gateway_cpu_s"]
    per_message = None if cpu is None else cpu / measured["messages"] * 1e6
    return measured["messages_per_s"], per_message, ""


def table(result: Result) -> Table:
    """For people."""
    shown = Table(title=f"{result.card.cpu}, {result.card.python} ({result.card.optimised})")
    shown.add_column("case")
    for title in ("msg/s", "deliveries/s", "gateway CPU s per million", "p50 / p99 / p99.9 µs"):
        shown.add_column(title, justify="right")
    for entry in result.load:
        if entry.failed:
            shown.add_row(entry.name, f"[red]failed: {entry.failed}[/red]")
            continue
        rate, cpu, times = headline(entry)
        deliveries = entry.measured.get("received_deliveries_per_s")
        shown.add_row(
            entry.name,
            f"{rate:,.0f}",
            "" if deliveries is None else f"{deliveries:,.0f}",
            "" if cpu is None else f"{cpu:.2f}",
            times,
        )
    for name, ns in result.micro.items():
        shown.add_row(name, f"{1e9 / ns:,.0f}", "", "", f"{ns:,.0f} ns each")
    return shown


def compared(before: Result, after: Result) -> Table:
    """Ratios after / before; above 1 is more messages, more processor time, longer."""
    shown = Table(
        title=f"{before.card.commit} ({before.card.date}) → {after.card.commit} ({after.card.date})"
    )
    shown.add_column("case")
    for title in ("msg/s", "gateway CPU", "p50", "p99"):
        shown.add_column(title, justify="right")
    olds = {entry.name: entry for entry in before.load if not entry.failed}
    for entry in after.load:
        old = olds.get(entry.name)
        if old is not None and not entry.failed:
            shown.add_row(entry.name, *ratios(old, entry))
    for name, ns in after.micro.items():
        if name in before.micro:
            shown.add_row(name, _ratio(before.micro[name], ns), "", "", "")
    return shown


def ratios(old: Entry, new: Entry) -> list[str]:
    """Of rate, processor time, p50 and p99; empty where there is none."""
    (old_rate, old_cpu, _), (new_rate, new_cpu, _) = headline(old), headline(new)
    times = [_ratio(new.measured.get(name), old.measured.get(name)) for name in ("p50_us", "p99_us")]
    return [_ratio(new_rate, old_rate), _ratio(new_cpu, old_cpu), *times]


def _ratio(new: float | None, old: float | None) -> str:
    return f"{new / old:.2f}" if new is not None and old else ""


def entry(case: Case, runs: Sequence[dict[str, Any]]) -> Entry:
    """The entry of a case that succeeded."""
    return Entry(name=case.name, runs=len(runs), measured=medians(runs))
