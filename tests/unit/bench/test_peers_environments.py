"""What cannot be had is absent, with the reason."""

import sys
from pathlib import Path

import pytest

from bench.peers import environments
from bench.peers.catalogue import SYSTEMS
from bench.peers.environments import Absent


def test_the_project_has_its_own_environment() -> None:
    assert environments.python("") == Path(sys.executable)
    assert environments.versions(SYSTEMS[0]) == {}


def test_an_environment_is_made_once_its_requirements_can_be_installed_and_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "HERE", tmp_path)
    (tmp_path / "requirements").mkdir()
    requirements = tmp_path / "requirements/one.txt"
    requirements.write_text("./no-such-directory\n")
    with pytest.raises(Absent, match="no-such-directory"):
        environments.python("one")
    requirements.write_text("# changed\n")
    found = environments.python("one")
    assert environments.call([str(found), "-c", "import sys; print(sys.prefix)"]).strip() == str(
        tmp_path / ".venvs/one"
    )
    (found.parent / "marker").touch()
    assert environments.python("one") == found
    assert (found.parent / "marker").exists()
