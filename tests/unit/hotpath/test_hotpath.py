"""agpd/hotpath/__init__.py: which implementation is taken."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

SHOW = "from agpd import hotpath; print(hotpath.COMPILED, hotpath.forward.__module__)"
BUILT = find_spec("agpd.hotpath._compiled") is not None


def show(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_environment_forces_the_pure_one():
    assert show({"AGPD_PURE": "1"}) == "False agpd.hotpath._pure"


@pytest.mark.skipif(not BUILT, reason="the extension is not built here")
@pytest.mark.parametrize("environment", [{}, {"AGPD_PURE": "0"}])
def test_the_compiled_one_is_taken_where_it_is_built(environment):
    assert show(environment) == "True agpd.hotpath._compiled"


def test_the_sdk_can_import_it_without_the_server():
    """No cryptography, no uvloop, nothing of the gateway."""
    script = "import sys, agpd.hotpath; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not [
        name for name in loaded if name.startswith(("agpd.gateway", "agpd.routing", "cryptography", "uvloop"))
    ]
