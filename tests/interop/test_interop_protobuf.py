"""The generated code and what is made of it, with the oldest and the newest protobuf that agpd may be installed with.

What a parser accepts is decided by protobuf as much as by us, so the tests of messages run there too.
"""

import os
import subprocess
from pathlib import Path

import pytest
from wheels import python

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("5.29", "7.36")
MESSAGES = [f"tests/unit/wire/test_{name}.py" for name in ("agp", "hashes", "slim", "wire_tunnel")]
LOAD = """
import grpc, google.protobuf
from google.protobuf.internal import api_implementation
from agpd._proto import agp_pb2, control_pb2, control_pb2_grpc, gateway_pb2, gateway_pb2_grpc, slim_pb2
assert control_pb2_grpc.RegistryStub(grpc.insecure_channel("127.0.0.1:1"))
assert gateway_pb2_grpc.GatewayStub(grpc.insecure_channel("127.0.0.1:1"))
print(google.protobuf.__version__, api_implementation.Type())
"""


def run(version: str, *arguments: str) -> str:
    """What Python says in the environment with this protobuf."""
    done = subprocess.run(
        [str(python(f"protobuf-{version}")), "-W", "error", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_generated_code_loads(version: str) -> None:
    found, implementation = run(version, "-c", LOAD).split()
    assert found.startswith(f"{version}.")
    assert implementation == "upb"


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_are_taken_apart_and_put_together_as_here(version: str) -> None:
    assert "passed" in run(version, "-m", "pytest", "-q", "-p", "no:cacheprovider", *MESSAGES)
