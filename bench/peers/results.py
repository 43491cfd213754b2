"""Result files of the comparison."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.load.card import Card

DIRECTORY = Path(__file__).parent.parent / "results"


class Peer(msgspec.Struct, kw_only=True):
    """A system: `versions` of what took part, or why it is `absent`. `secure`: what protects it; empty, nothing.

    `load` is what its server was loaded by; `hosted`: the server runs in a Python process.
    """

    key: str
    label: str
    secure: str
    client: str
    load: str = ""
    hosted: bool = False
    versions: dict[str, str] = {}
    absent: str = ""


class Entry(msgspec.Struct, kw_only=True):
    """A case of a system: medians over the `runs` that succeeded; without one, no figures.

    `failed` is why the last of the `failures` happened, `lost` the share of deliveries that never came.
    `cpu_us_per_delivery` is the processor time of the server.
    """

    system: str
    carrier: str
    case: str
    runs: int
    failures: int = 0
    failed: str = ""
    lost: float = 0.0
    measured: dict[str, float] = {}


class Result(msgspec.Struct, kw_only=True):
    """A file `bench/results/peers-*.json`."""

    card: Card
    repeat: int
    peers: list[Peer]
    entries: list[Entry]

    def entry(self, system: str, carrier: str, case: str) -> Entry | None:
        """The one with this key."""
        for each in self.entries:
            if (each.system, each.carrier, each.case) == (system, carrier, case):
                return each
        return None

    def figure(self, system: str, carrier: str, case: str, name: str) -> float | None:
        """A median; None if it was not measured."""
        found = self.entry(system, carrier, case)
        return None if found is None else found.measured.get(name)


def medians(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of each measurement."""
    return {name: float(statistics.median(run[name] for run in runs)) for name in runs[0]}


def stem(result: Result) -> str:
    """The name of its files, by date and commit."""
    date = result.card.date.replace(":", "").replace("+0000", "Z")
    return f"peers-{date}-{result.card.commit.rstrip('+')}"


def write(result: Result, directory: Path = DIRECTORY) -> Path:
    """To its JSON file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{stem(result)}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return path


def read(path: Path) -> Result:
    """Raises `msgspec.DecodeError`, `OSError`."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def latest(directory: Path = DIRECTORY) -> Path | None:
    """The newest of the files."""
    return max(directory.glob("peers-*.json"), default=None)
