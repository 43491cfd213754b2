"""The examples as strictly typed user code: what the SDK says about its types is enough for mypy and pyright."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRONG = """
import agpd_client as agp

async def main(agent: agp.Agent) -> None:
    number: int = (await agent.receive(type=str)).data
    print(number)
"""


def mypy(*paths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", *paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def pyright(directory: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "include": [os.path.relpath(path, directory) for path in paths],
        "extraPaths": [str(ROOT), str(ROOT / "client")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--project", str(directory), "--pythonpath", sys.executable]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    return str(path)


def test_mypy(wrong: str) -> None:
    done = mypy("examples")
    assert done.returncode == 0, done.stdout
    assert "Incompatible types in assignment" in mypy(wrong).stdout  # the control


def test_pyright(tmp_path: Path, wrong: str) -> None:
    done = pyright(tmp_path, str(ROOT / "examples"))
    assert done.returncode == 0, done.stdout
    assert 'not assignable to declared type "int"' in pyright(tmp_path, wrong).stdout  # the control
