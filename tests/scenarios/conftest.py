"""Scenarios that are played twice: with one process, and with workers."""

from collections.abc import Iterator

import harness
import process
import pytest

COUNT = 2
BOTH_WAYS = {
    "test_drain",
    "test_half_open",
    "test_hostile",
    "test_one_turn",
    "test_patterns",
    "test_reload",
    "test_sdk_verbs",
    "test_sizes",
    "test_slow_consumer",
}


@pytest.fixture(scope="module", autouse=True)
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many workers the gateways of this module have."""
    harness.workers = process.workers = getattr(request, "param", 1)
    yield process.workers
    harness.workers = process.workers = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ in BOTH_WAYS:
        metafunc.parametrize("workers", [1, COUNT], ids=["alone", "workers"], indirect=True, scope="module")
