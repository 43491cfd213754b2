"""Tables from a result: figures, losses, failures, and where another is ahead. Result files; the script's pages."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.load.card import Card
from bench.peers import report, results
from bench.peers.results import Entry, Peer, Result

ROOT = Path(__file__).parents[3]
CARD = Card(
    date="2026-01-02T03:04:05+00:00",
    commit="abcdef123456+",
    cpu="A CPU",
    cores=2,
    kernel="6.0",
    python="CPython 3.11.7",
    optimised="PGO",
    uvloop="1",
    openssl="OpenSSL 3",
    load_average=0.1,
)


def peer(key: str, **fields: Any) -> Peer:
    made: dict[str, Any] = {"key": key, "label": key.title(), "secure": "mutual TLS", "client": "its client"}
    return Peer(**(made | fields))


def entry(system: str, case: str, carrier: str = "tls", **fields: Any) -> Entry:
    return Entry(system=system, carrier=carrier, case=case, runs=3, **fields)


@pytest.fixture
def result() -> Result:
    peers = [
        peer("agpd", load="agpload"),
        peer("relay", client="", load="agpload"),
        peer("fast", versions={"fastlib": "1.0", "fastd": "2.1"}, load="agpload"),
        peer("open", secure="", versions={"openlib": "3.0"}, hosted=True, load="its client"),
        peer("gone", absent="no gone-server"),
    ]
    entries = [
        entry("agpd", "load-unicast", measured={"cpu_us_per_delivery": 0.5}),
        entry("relay", "load-unicast", measured={"cpu_us_per_delivery": 0.1}),
        entry("fast", "load-unicast", measured={"cpu_us_per_delivery": 0.4}, lost=0.025),
        Entry(system="fast", carrier="plain", case="load-unicast", runs=0, failures=2, failed="it broke"),
        entry("agpd", "clients-unicast", measured={"deliveries_per_s": 1000.0, "cpu_us_per_delivery": 2.0}),
        entry("fast", "clients-unicast", measured={"deliveries_per_s": 900.0, "cpu_us_per_delivery": 2.0}),
        entry(
            "open",
            "clients-unicast",
            "plain",
            measured={"deliveries_per_s": 1500.0, "cpu_us_per_delivery": 30.0},
        ),
        entry("agpd", "requests", measured={"p50_us": 100.0, "p99_us": 200.0}),
        entry("fast", "requests", measured={"p50_us": 110.0, "p99_us": 150.0}, failures=1, failed="once"),
    ]
    return Result(card=CARD, repeat=3, peers=peers, entries=entries)


def test_processor_time_by_system(result: Result) -> None:
    assert report.cpu(result)[2:] == [
        "| Agpd | agpload | - | 0.50 | - | - | 2.00 |",
        "| Relay | agpload | - | 0.10 | - | - | - |",
        "| Fast 2.1 | agpload | failed | 0.40 (lost 2.5%) | - | - | 2.00 |",
        "| Open (openlib 3.0) | its client | - | - | - | - | 30 |",
    ]


def test_clients_over_what_they_are_protected_by(result: Result) -> None:
    assert report.clients(result)[2:] == [
        "| Agpd | its client (mutual TLS) | 1,000 | - | 100 | 200 |",
        "| Fast 2.1 | its client (mutual TLS) | 900 | - | 110 | 150 |",
        "| Open (openlib 3.0) | its client (plaintext) | 1,500 | - | - | - |",
    ]


def test_where_another_is_ahead_without_the_limit(result: Result) -> None:
    assert report.ahead(result) == [
        "- Fast 2.1: unicast, TLS, server µs: 0.40 against 0.50 (1.25 times)",
        "- Open (openlib 3.0): one to one, msg/s: 1,500 against 1,000 (1.50 times)",
        "- Fast 2.1: request p99, µs: 150 against 200 (1.33 times)",
    ]
    result.entries = [each for each in result.entries if each.system == "agpd"]
    assert report.ahead(result) == ["Nowhere in this run."]


def test_what_is_missing_and_why(result: Result) -> None:
    assert report.notes(result) == [
        "- Gone: left out: no gone-server",
        "- Fast, load-unicast, plain: failed 2 times of 2: it broke",
        "- Fast, requests, tls: failed 1 times of 4: once",
    ]


def test_the_summary_has_every_system_that_took_part(result: Result) -> None:
    rows = report.summary(result)
    assert rows[0].count("|") == rows[1].count("|") == rows[2].count("|")
    assert [line.split("|")[1].strip() for line in rows[2:]] == [
        "Agpd",
        "Relay",
        "Fast 2.1",
        "Open (openlib 3.0)",
    ]


def test_the_card_names_machine_and_versions(result: Result) -> None:
    text = "\n".join(report.card(result, "peers-x.json"))
    for part in (
        "A CPU, 2 cores",
        "agpd at abcdef123456+, its loop\nin Python",
        "Medians of rounds: 3",
        "peers-x.json",
        "| Fast | fastlib 1.0, fastd 2.1 |",
    ):
        assert part in text


def test_plots_have_all_values_and_say_what_is_unlike(result: Result) -> None:
    cpu, clients, latency = report.plots(result)
    assert [plot["key"] for plot in (cpu, clients, latency)] == ["cpu", "clients", "latency"]
    rows: Any = cpu["rows"]
    assert [row["label"] for row in rows] == ["Agpd", "Relay", "Fast", "Open, plaintext *"]
    assert [row["kind"] for row in rows] == ["ours", "limit", "", ""]
    assert rows[0]["values"] == {"unicast, TLS": 0.5, "unicast, plaintext": None}
    assert (clients["more_is_better"], latency["more_is_better"]) == (True, False)


def test_a_result_survives_its_file_and_the_newest_is_found(result: Result, tmp_path: Path) -> None:
    assert results.latest(tmp_path) is None
    path = results.write(result, tmp_path)
    assert path.name == "peers-2026-01-02T030405Z-abcdef123456.json"
    assert results.read(path) == result
    (tmp_path / "peers-2025-12-31T000000Z-x.json").touch()
    (tmp_path / "sizes.json").touch()
    assert results.latest(tmp_path) == path


def test_medians_of_each_measurement() -> None:
    assert results.medians([{"a": 1, "b": 5}, {"a": 9, "b": 4}, {"a": 2, "b": 6}]) == {"a": 2.0, "b": 5.0}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("comparison", ROOT / "scripts/comparison.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_script_fills_the_page_and_the_readme_and_nothing_else(result: Result) -> None:
    comparison = script()
    before = comparison.PAGE.read_text()
    after = comparison.page(before, result, "peers-x.json")
    assert "| Fast 2.1 | its client (mutual TLS) | 900 | - | 110 | 150 |" in after
    assert comparison.page(after, result, "peers-x.json") == after
    heads = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in after.splitlines() if line.startswith("#")] == heads
    readme = comparison.fill(comparison.README.read_text(), "table", report.summary(result))
    assert "| Agpd | - | 0.50 | 1,000 | - | 100 | 200 |" in readme


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="0 places marked"):
        script().fill("text", "card", [])
