"""What is generated from the proto file is what is committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "proto.sh"
FILES = ("control_pb2.py", "control_pb2.pyi", "control_pb2_grpc.py")


@pytest.fixture(scope="module")
def tools() -> Path:
    """The virtual environment of the generator."""
    directory = Path(os.environ.get("PROTO_VENV", ROOT / ".venv-proto"))
    if not (directory / "bin" / "python").exists():
        made = subprocess.run(
            ["sh", str(SCRIPT), "--tools"],
            cwd=ROOT,
            env=os.environ | {"PROTO_VENV": str(directory), "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if made.returncode:
            pytest.skip(f"grpcio-tools 1.70.0 cannot be installed: {made.stderr[-300:]}")
    return directory


def generate(source: Path, tools: Path, output: Path) -> dict[str, str]:
    subprocess.run(
        ["sh", str(SCRIPT), str(output)],
        cwd=source,
        env=os.environ | {"PROTO_VENV": str(tools)},
        check=True,
        timeout=60,
    )
    return {name: (output / "agpd" / "_proto" / name).read_text() for name in FILES}


def committed() -> dict[str, str]:
    return {name: (ROOT / "agpd" / "_proto" / name).read_text() for name in FILES}


def test_what_is_committed_is_what_make_proto_writes(tools: Path, tmp_path: Path) -> None:
    assert generate(ROOT, tools, tmp_path) == committed()


def test_control_another_proto_file_gives_something_else(tools: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    file = tmp_path / "proto" / "agpd" / "control" / "v1" / "control.proto"
    file.write_text(file.read_text().replace("string next = 2", "string next = 3", 1))
    assert generate(tmp_path, tools, tmp_path / "out") != committed()
