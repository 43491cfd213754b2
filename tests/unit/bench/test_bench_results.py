"""Medians, result files, tables and ratios of the suite."""

import io
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.load import results
from bench.load.__main__ import main
from bench.load.card import Card, card
from bench.load.cases import By, Case, cases
from bench.load.results import Entry, Result

RR = {"requests_per_s": 100.0, "cpu_us_per_request": 4.0, "p50_us": 10.0, "p99_us": 20.0, "p999_us": 30.0}
PUB = {
    "messages_per_s": 50.0,
    "messages": 1000,
    "received_gateway_cpu_s": 0.002,
    "received_deliveries_per_s": 60.0,
}


def a_card(commit: str, date: str) -> Card:
    made = card(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    made.commit, made.date = commit, date
    return made


def a_result(commit: str, rate: float, failed: str = "") -> Result:
    load = [
        Entry(name="rr", runs=3, measured=RR | {"requests_per_s": rate}),
        Entry(name="pub", runs=3, measured=PUB, failed=failed),
    ]
    return Result(
        card=a_card(commit, f"2026-01-0{commit}"), repeat=3, load=load, micro={"split": 100.0 * rate}
    )


def shown(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    return out.getvalue()


def test_the_median_is_of_each_measurement() -> None:
    runs = [
        {"a": 3.0, "b": 1, "c": None, "d": "x"},
        {"a": 1.0, "b": 9, "c": None, "d": "x"},
        {"a": 2.0, "b": 5, "c": None, "d": "x"},
    ]
    assert results.medians(runs) == {"a": 2.0, "b": 5, "c": None, "d": "x"}


def test_the_card_says_what_it_was_measured_on() -> None:
    made = card(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert made.date == "2026-01-02T03:04:05+00:00"
    assert made.python.startswith("CPython 3.")
    assert made.openssl.startswith("OpenSSL ")
    assert made.cores >= 1
    assert all((made.cpu, made.kernel, made.commit, made.uvloop, made.optimised))


def test_a_result_reads_back(tmp_path: Path) -> None:
    result = a_result("1", 100.0)
    path = results.write(result, tmp_path)
    assert results.read(path) == result
    assert results.latest(tmp_path) == [path]


def test_the_table_shows_rates_processor_time_and_failures() -> None:
    text = shown(results.table(a_result("1", 100.0)))
    assert "10 / 20 / 30" in text
    assert "2.00" in text  # 2 ms for 1000 messages are 2 s for a million
    assert "60" in text
    assert "failed: 3 lost" in shown(results.table(a_result("1", 100.0, failed="3 lost")))


def test_ratios_are_new_by_old_and_skip_what_failed() -> None:
    before, after = a_result("1", 100.0), a_result("2", 150.0)
    assert results.ratios(before.load[0], after.load[0]) == ["1.50", "1.00", "1.00", "1.00"]
    assert "pub" in shown(results.compared(before, after))
    assert "pub" not in shown(results.compared(before, a_result("2", 150.0, failed="lost")))


def test_compare_takes_two_files_or_the_last_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "latest", lambda: sorted(tmp_path.glob("*.json")))
    runner = CliRunner()
    assert runner.invoke(main, ["compare"]).exit_code == 2
    for result in (a_result("1", 100.0), a_result("2", 150.0)):
        results.write(result, tmp_path)
    assert runner.invoke(main, ["compare"]).exit_code == 0
    assert runner.invoke(main, ["compare", *map(str, sorted(tmp_path.glob("*.json")))]).exit_code == 0


def test_the_suite_covers_what_it_claims() -> None:
    all_cases = cases()
    names = [case.name for case in all_cases]
    assert len(set(names)) == len(names)
    for pattern in ("unicast", "anycast", "broadcast", "rr-1", "rr-64"):
        for size in (16, 256, 4096, 65536):
            assert {f"{pattern}/{size}/{carrier}/raw" for carrier in ("plain", "tls")} <= set(names)
    assert {"unicast/256/plain/relay", "unicast/256/tls/relay", "broadcast-1000/256/plain/raw"} <= set(names)
    assert "unicast/256/tls/sdk" in names
    assert "rr-1/256/tls/sdk" in names
    assert Case("pub", "broadcast", 16, False, By.RAW, 10, 1, 16).deliveries == 160


def test_without_the_native_generator_the_cases_are_the_same_but_for_the_relay() -> None:
    with_it, without = ({case.name for case in cases(native=native)} for native in (True, False))
    assert with_it - without == {"unicast/256/plain/relay", "unicast/256/tls/relay"}
    assert without < with_it
    assert not any(case.native for case in cases(native=False))


def test_a_result_of_before_the_native_generator_reads_as_one_of_agpctl(tmp_path: Path) -> None:
    old = msgspec.to_builtins(a_result("1", 100.0))
    del old["generator"], old["card"]["hot_path"]
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(old))
    assert results.read(path).generator == "agpctl bench --raw"
