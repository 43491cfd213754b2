"""An environment is made once, made again when its pins change, and absent with a reason when it cannot be."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.environments import Absent, call, made


def test_a_command_that_fails_is_the_reason() -> None:
    with pytest.raises(Absent, match=r"python.*: no way"):
        call([sys.executable, "-c", "import sys; sys.exit('no way')"])
    with pytest.raises(Absent, match="program: "):
        call(["/no/such/program"])
    with pytest.raises(Absent, match="timed out"):
        call([sys.executable, "-c", "input()"], 0.0)


def test_it_is_made_once_its_requirements_can_be_installed_and_then_kept(tmp_path: Path) -> None:
    requirements, directory = tmp_path / "one.txt", tmp_path / ".venvs/one"
    requirements.write_text("./no-such-directory\n")
    with pytest.raises(Absent, match="no-such-directory"):
        made(directory, requirements)
    requirements.write_text("# changed\n")
    found = made(directory, requirements)
    assert call([str(found), "-c", "import sys; print(sys.prefix)"]).strip() == str(directory)
    (found.parent / "marker").touch()
    assert made(directory, requirements) == found
    assert (found.parent / "marker").exists()
    requirements.write_text("# changed again\n")
    made(directory, requirements)
    assert not (found.parent / "marker").exists()


def test_two_who_want_it_at_once_wait_for_each_other(tmp_path: Path) -> None:
    requirements, directory = tmp_path / "one.txt", tmp_path / ".venvs/one"
    requirements.write_text("# nothing\n")
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: made(directory, requirements), range(2))
    assert first == second
    assert call([str(first), "-c", "print(1)"]) == "1\n"
