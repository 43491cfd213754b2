"""scripts/compile_hotpath.py and hatch_build.py: the package is built with a C compiler and without one."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from unit.hotpath.both import needs_compiled

ROOT = Path(__file__).parents[3]
EXTENSION = "agpd/hotpath/_compiled."

pytestmark = pytest.mark.skipif(
    find_spec("hatchling") is None or find_spec("Cython") is None, reason="needs hatchling and Cython"
)


def build(directory: Path, **environment: str) -> tuple[str, list[str], str]:
    """Name of the wheel, what is in it, and what was said."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    (wheel,) = directory.glob("*.whl")
    return wheel.name, zipfile.ZipFile(wheel).namelist(), done.stdout + done.stderr


@needs_compiled
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_with_a_compiler_the_wheel_is_of_this_interpreter_and_has_the_extension(tmp_path):
    name, files, _ = build(tmp_path)
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert f"-{tag}-{tag}-" in name
    assert len([file for file in files if file.startswith(EXTENSION)]) == 1
    assert {"agpd/hotpath/_pure.py", "agpd_client/__init__.py"} < set(files)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CC": "/bin/false"}, "/bin/false failed"),
        ({"CC": "/nowhere/cc"}, "no C compiler: /nowhere/cc"),
        ({"AGPD_BUILD_PURE": "1"}, ""),
    ],
)
def test_without_one_the_wheel_is_pure(tmp_path, environment, said):
    name, files, output = build(tmp_path, **environment)
    assert name.endswith("-py3-none-any.whl")
    assert not [file for file in files if file.startswith(EXTENSION)]
    assert "agpd/hotpath/_pure.py" in files
    assert said in output
