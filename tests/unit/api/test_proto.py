"""What is generated from the proto files is what is committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "proto.sh"
PROTOS = ("agp", "control", "gateway", "slim")
STUBS = ("control", "gateway")
FILES = {f"{name}_pb2.{suffix}" for name in PROTOS for suffix in ("py", "pyi")} | {
    f"{name}_pb2_grpc.py" for name in STUBS
}


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
    return read(output)


def read(directory: Path) -> dict[str, str]:
    """All generated files below a directory."""
    files = (directory / "agpd" / "_proto").glob("*_pb2*")
    return {file.name: file.read_text() for file in files if file.suffix in (".py", ".pyi")}


def committed() -> dict[str, str]:
    return read(ROOT)


def test_what_is_committed_is_what_make_proto_writes(tools: Path, tmp_path: Path) -> None:
    generated = generate(ROOT, tools, tmp_path)
    assert set(generated) == FILES
    assert generated == committed()


def test_every_proto_file_is_generated_from() -> None:
    assert {file.stem for file in (ROOT / "proto").rglob("*.proto")} == set(PROTOS)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("agpd/control/v1/control.proto", "string next = 2", "string next = 3"),
        ("agpd/v1/gateway.proto", "bytes frames = 1", "bytes frames = 2"),
        ("agp.proto", "Content msg = 4", "Content msg = 3"),
        ("slim.proto", "Content msg = 3", "Content msg = 4"),
    ],
)
def test_control_another_proto_file_gives_something_else(
    tools: Path, tmp_path: Path, file: str, before: str, after: str
) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    proto = tmp_path / "proto" / file
    assert before in proto.read_text()
    proto.write_text(proto.read_text().replace(before, after, 1))
    generated = generate(tmp_path, tools, tmp_path / "out")
    assert [name for name in FILES if generated[name] != committed()[name]] == [f"{proto.stem}_pb2.py"]
