"""agpd/hotpath/__init__.py: which implementation is taken."""

import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from unit.hotpath.both import compiled, needs_compiled

SHOW = "from agpd import hotpath; print(hotpath.COMPILED, hotpath.forward.__module__)"
ROOT = Path(__file__).parents[3]
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


@needs_compiled
def test_what_is_compiled_is_what_stands_here():
    """After a pull the extension stays as it was until it is built again, and other tests would try the old one."""
    spec = spec_from_file_location("compile_hotpath", ROOT / "scripts/compile_hotpath.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    assert compiled is not None
    assert script.digest() == compiled.MADE_FROM, "run `make setup` or scripts/compile_hotpath.py"
