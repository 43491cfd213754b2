"""The implementations of the hot path that are there, side by side, whatever `AGPD_PURE` says."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest

from agpd.hotpath import _pure

BUILT = find_spec("agpd.hotpath._compiled") is not None
# Typed as its twin: they have the same names.
compiled: ModuleType | None = import_module("agpd.hotpath._compiled") if BUILT else None

needs_compiled = pytest.mark.skipif(not BUILT, reason="the extension is not built here")
IMPLEMENTATIONS = [
    pytest.param(_pure, id="pure"),
    pytest.param(compiled, id="compiled", marks=needs_compiled),
]
