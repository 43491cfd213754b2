"""The import contracts of pyproject.toml hold, and a forbidden import breaks them."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES_AND_KEYS = (
    "cryptography.exceptions",
    "cryptography.x509",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.asymmetric.mlkem",  # agreement on a key; what it is for is the module's to say
    "cryptography.hazmat.primitives.asymmetric.x25519",
    "cryptography.hazmat.primitives.hashes",
    "cryptography.hazmat.primitives.serialization",
)


def lint(directory: Path) -> "subprocess.CompletedProcess[str]":
    """import-linter over the packages and the contracts in a directory."""
    program = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    path = os.pathsep.join([str(directory), str(directory / "client")])
    return subprocess.run(
        [*program, "--no-cache"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "10 kept, 0 broken" in done.stdout


def test_control_forbidden_imports_break_them(tmp_path: Path) -> None:
    for package in ("agpd", "client/agpd_client"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    wrong = {
        "agpd/names.py": "import agpd.wire.frames",
        "agpd/routing/fanout.py": "import time",
        "agpd/gateway/budget_too.py": "import cryptography",
        "agpd/transport/sockets.py": "import nacl",
        "agpd/errors.py": "import agpd_client.errors",
        "client/agpd_client/backoff.py": "import agpd.gateway.outbox\nimport agpd_client.connection",
        "client/agpd_client/errors.py": "import agpd_client.backoff",
        "agpd/control/peek.py": "import agpd.crypto.sealing",
        "agpd/crypto/clock.py": "import time",
        "agpd/api/twin.py": "import agpd._proto.control_pb2",
    }
    for file, line in wrong.items():
        with (tmp_path / file).open("a") as module:
            module.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "0 kept, 10 broken" in done.stdout, done.stdout


def imported(source: str) -> Iterable[str]:
    """Full names of what a module imports; `from a import b` is `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def beyond_certificates(source: str) -> list[str]:
    """What it imports of cryptography beside certificates and keys."""
    return [
        name
        for name in imported(source)
        if name.split(".")[0] == "cryptography"
        and not any(f"{name}.".startswith(f"{allowed}.") for allowed in CERTIFICATES_AND_KEYS)
    ]


def test_the_transport_uses_certificates_and_keys_of_cryptography_but_no_cipher() -> None:
    modules = [file.read_text() for file in (ROOT / "agpd/transport").glob("*.py")]
    assert any("cryptography" in module for module in modules)
    assert [name for module in modules for name in beyond_certificates(module)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import cryptography",
        "import cryptography.fernet",
        "from cryptography import fernet",
        "from cryptography.hazmat.primitives import ciphers",
        "from cryptography.hazmat.primitives.ciphers.aead import AESGCM",
        "def late():\n    from cryptography.hazmat.primitives.ciphers import Cipher",
    ],
)
def test_control_a_cipher_is_found(line: str) -> None:
    assert beyond_certificates(line)
