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
# With workers the one who keeps up has bytes under way too when the budget of all outboxes is enforced, and may be cut.
ALONE = {"test_many_who_never_read_cannot_take_the_memory"}


@pytest.fixture(scope="module", autouse=True)
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many workers the gateways of this module have."""
    harness.workers = process.workers = getattr(request, "param", 1)
    yield process.workers
    # One that is left would be taken for the other way too: its fixture has to ask for `workers`.
    assert not process.alive, "a gateway outlives the way it was started for"
    harness.workers = process.workers = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ in BOTH_WAYS:
        ways = {"alone": 1} if metafunc.function.__name__ in ALONE else {"alone": 1, "workers": COUNT}
        metafunc.parametrize("workers", ways.values(), ids=ways, indirect=True, scope="module")
