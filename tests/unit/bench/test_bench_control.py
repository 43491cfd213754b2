"""`make bench-control`: its parts measure what they say, on a small registry."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agpd.config import Control as Settings
from bench.control import __main__ as control
from bench.control import service

COUNT = 60


async def test_registration_and_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SEARCHES", 3)
    measured = await service.measure(Settings(state_directory=str(tmp_path)), COUNT)
    assert measured["registrations_per_s"] > 0
    assert measured["find"].keys() == measured["find_while_registering"].keys() == service.QUERIES.keys()
    assert all(0 < times["p50_ms"] <= times["max_ms"] for times in measured["find"].values())


def test_quantiles_are_milliseconds() -> None:
    assert service.quantiles([0.001 * n for n in range(100, 0, -1)]) == {
        "p50_ms": 51.0,
        "p99_ms": 100.0,
        "max_ms": 100.0,
    }


def test_requests_over_https(tmp_path: Path) -> None:
    with control._gateway(tmp_path) as (_, http):
        argv = [
            sys.executable,
            "-m",
            "bench.control.load",
            http,
            tmp_path,
            0.3,
            "token=0",
            "register=50",
            "find=20",
        ]
        prepared = subprocess.run(
            list(map(str, argv)), capture_output=True, text=True, timeout=60, check=False
        )
        assert "namespace acme/bench" in prepared.stderr  # nobody has made it
        made: dict[str, Any] = control._json("bench.control.load", http, tmp_path, 0.3, "token=0", "find=20")
    assert made["token"]["per_s"] > 0
    assert made["find"]["per_s"] > 0
