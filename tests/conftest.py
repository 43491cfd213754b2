"""Puts this directory on the path, for `scenarios.harness`; property tests have no deadline on shared machines."""

from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
