"""The tables of a result: what was measured stands in them, what was not is a dash, what failed is not published."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def performance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "scripts/performance.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sent(cpu_s: float, deliveries: int = 1000) -> dict[str, float]:
    return {
        "messages": 1000,
        "messages_per_s": 50_000.0,
        "received_received": deliveries,
        "received_deliveries_per_s": 70_000.0,
        "received_gateway_cpu_s": cpu_s,
    }


def test_the_limit_is_the_relay_of_the_same_run(performance: ModuleType) -> None:
    got = {"unicast/256/plain/raw": sent(0.0003), "unicast/256/plain/relay": sent(0.0002)}
    lines = performance.limit(got)
    assert lines[2] == "| plaintext | 0.20 | 0.30 | 1.5 |"
    assert lines[3] == "| mutual TLS | - | - | - |"


def test_broadcast_is_shown_for_each_delivery(performance: ModuleType) -> None:
    lines = performance.deliveries({"broadcast-1000/256/plain/raw": sent(0.1, 1_000_000)})
    assert lines[-1] == "| 1 to 1000, plaintext | 70,000 | 0.100 |"
    assert lines[2] == "| 1 to 16, plaintext | - | - |"


def test_what_was_not_measured_is_a_dash(performance: ModuleType) -> None:
    got = {"unicast/16/tls/raw": sent(0.0005)}
    assert performance.gateway(got)[2] == "| unicast, 16 B | - | - | 50,000 | 0.50 |"


def test_a_run_with_a_failed_case_is_not_published(
    performance: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    case = {"name": "unicast/16/tls/raw", "failed": "3 lost", "measured": {}}
    path.write_text(json.dumps({"load": [case]}))
    monkeypatch.setattr("sys.argv", ["performance.py", str(path)])
    with pytest.raises(SystemExit, match="unicast/16/tls/raw"):
        performance.main()


def test_only_what_stands_between_the_markers_is_replaced(performance: ModuleType) -> None:
    text = "before\n<!-- performance: x -->\nold\n<!-- /performance: x -->\nafter"
    filled = performance.fill(text, "x", ["a", "b"])
    assert filled == "before\n<!-- performance: x -->\n\na\nb\n\n<!-- /performance: x -->\nafter"
    assert performance.fill(filled, "x", ["a", "b"]) == filled
    with pytest.raises(SystemExit, match="0 places"):
        performance.fill(text, "y", [])
