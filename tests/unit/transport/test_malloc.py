"""Large buffers that come and go cost no page faults once the process keeps their memory."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from agpd.transport import malloc
from agpd.transport.malloc import keep_large_buffers

PROGRAM = """
import resource
from agpd.transport.malloc import keep_large_buffers
{setting}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def burst():
    return sum(len(buffer) for buffer in [bytes(300_000) + b"x" for _ in range(16)])
for _ in range(5):
    burst()
before = faults()
for _ in range(20):
    burst()
print(faults() - before)
"""


def faults(setting: str) -> int:
    """Page faults of 20 bursts of 16 buffers in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setting=setting)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_buffers_are_kept() -> None:
    assert faults("assert keep_large_buffers()") < 1000


def test_control_without_the_setting_every_burst_faults() -> None:
    assert faults("") > 5000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not keep_large_buffers()


def test_a_refused_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda name, value: 0))
    assert not keep_large_buffers()
