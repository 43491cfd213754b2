"""Puts this directory on the path, for `scenarios.harness`; property tests have no deadline on shared machines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from databases import Cluster

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Cluster]":
    """A PostgreSQL server for all tests of the session."""
    import databases

    found = databases.programs()
    if found is None:
        pytest.skip(databases.INSTALL)
    with databases.cluster(found) as cluster:
        yield cluster
