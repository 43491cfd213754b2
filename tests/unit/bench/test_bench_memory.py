"""bench/memory: small runs of every measurement, and the tables made of them."""

import gc
import json
from pathlib import Path

import pytest

from bench.memory import __main__ as memory
from bench.memory import page, subscriptions
from bench.memory.gateway import Pauses


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (200_000, [1000, 10_000, 100_000]),
        (100_500, [1000, 10_000, 100_000]),
        (20_000, [1000, 10_000, 19_000]),
        (10_500, [1000, 10_000]),
    ],
)
def test_as_many_connections_as_descriptors_allow(limit: int, wanted: list[int]) -> None:
    assert memory.levels(memory.LEVELS, limit) == wanted


@pytest.mark.parametrize("trace", [False, True], ids=["rss", "traced"])
def test_connections_cost_something(trace: bool) -> None:
    (each,) = memory.connections(None, [500], trace=trace).values()
    assert 2000 < each < 16_000


def test_tls_costs_more(tmp_path: Path) -> None:
    (each,) = memory.connections(tmp_path, [100]).values()
    assert 16_000 < each < 80_000


def test_pauses_are_those_of_the_collector() -> None:
    pauses = Pauses()
    gc.callbacks.append(pauses)
    try:
        gc.collect(1)
        gc.collect(2)
        gc.collect(2)
    finally:
        gc.callbacks.remove(pauses)
    report = pauses.report()
    assert [report[f"generation_{number}"]["count"] for number in (1, 2)] == [1, 2]
    assert 0 < report["generation_2"]["longest_ms"] <= report["generation_2"]["total_ms"]
    assert pauses.report()["generation_2"] == {"count": 0, "total_ms": 0, "longest_ms": 0}


async def test_messages_are_measured_beside_subscriptions(monkeypatch):
    monkeypatch.setattr(subscriptions, "SIZES", (1000, 2000))
    monkeypatch.setattr(subscriptions, "TURNS", 10)
    result = await subscriptions.measure()
    assert list(result) == ["unicast", "anycast", "broadcast"]
    for measured in result.values():
        assert list(measured["ns_per_message"]) == ["1000", "2000"]
        assert measured["ratio"] > 0
    assert gc.get_freeze_count() == 0


def test_the_tables_are_those_of_the_result() -> None:
    result = json.loads(memory.RESULTS.read_text())
    text = page.PAGE.read_text()
    for lines in (page.memory(result), page.collector(result), page.messages(result)):
        assert "\n".join(lines) in text
