"""The demo, as `make demo` runs it."""

import time
from pathlib import Path

from scenarios.dev import environment, run

BOUND_S = 20.0


def test_every_step_happens(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run("-m", "examples.workflow", env=environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 10 steps in" in done.stdout
    assert time.monotonic() - began < BOUND_S


def test_control_a_missing_reviewer_is_named_and_ends_it_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run("-m", "examples.workflow", "--without", "reviewer-2", env=environment(tmp_path))
    assert done.returncode == 1
    assert "1 of 2 acme/docs/reviewer came in 5 s" in done.stdout
    assert "no   anycast: each reviewer got some of the drafts" in done.stdout
    assert time.monotonic() - began < BOUND_S
