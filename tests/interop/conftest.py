"""All tests here run real clients of others against a gateway in a process: `make interop`."""

from collections.abc import Iterator
from pathlib import Path

import gateways
import pytest
from gateways import Agpd
from lab import Lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agpd]:
    """A gateway in plaintext that all tests of a module use who have nothing against company."""
    with gateways.agpd(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
def _workers() -> Iterator[Lab]:
    with Lab("") as lab:
        yield lab


@pytest.fixture
def lab(common: Agpd, _workers: Lab) -> Iterator[Lab]:
    """Agents of any wheel at the common gateway; their streams are closed after the test."""
    lab = _workers.at(common.url)
    yield lab
    lab.leave_all()
