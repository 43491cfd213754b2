"""The command: it writes figures and tables, and leaves no process behind when it is ended."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.peers import results

ROOT = Path(__file__).parents[3]


def command(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "bench.peers", "--no-plots", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def runs(pid: int) -> bool:
    """A killed process whose parent has gone may wait for init to take note of it: state Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_run_writes_its_figures_and_tables(tmp_path: Path) -> None:
    done = command("--peers", "agpd", "--repeat", "1", "--share", "0.0005", "--output", str(tmp_path))
    out, _ = done.communicate(timeout=120)
    assert done.returncode == 0, out
    path = results.latest(tmp_path)
    assert path is not None
    found = results.read(path)
    assert [peer.key for peer in found.peers] == ["agpd"]
    assert len(found.entries) == 7
    assert not any(each.failures or each.lost for each in found.entries)
    text = path.with_suffix(".md").read_text()
    assert text in out
    assert "Every system took part, and nothing failed." in text


def test_a_wrong_key_is_an_error_of_usage(tmp_path: Path) -> None:
    done = command("--peers", "rabbit", "--output", str(tmp_path))
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 2
    assert "no system rabbit" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_started_is_ended_with_it(tmp_path: Path, number: signal.Signals) -> None:
    with command("--peers", "agpd", "--share", "0.0005", "--output", str(tmp_path)) as running:
        assert running.stdout is not None
        for line in running.stdout:
            # The server of this carrier has cases left, so it is there.
            if "load-unicast" in line:
                break
        started = children(running.pid)
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert started
    deadline = time.monotonic() + 20
    while any(runs(pid) for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.01)
