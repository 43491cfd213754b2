"""What is written from code is what the code says now."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from agpd.config import KINDS, Config, read
from agpd.errors import Code

ROOT = Path(__file__).parents[3]


@pytest.fixture
def reference() -> ModuleType:
    """A copy of the script of its own for each test."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_written_files_are_fresh(reference: ModuleType) -> None:
    assert reference.stale() == [], "run scripts/reference.py"


def test_control_a_stale_or_absent_file_is_found_and_written(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "proto").mkdir()
    (tmp_path / "proto/native.md").write_text(
        "before\n<!-- codes: generated -->\nstale row\n<!-- /codes -->\nafter\n"
    )
    assert reference.main(["--check"]) == 1
    assert "docs/reference/errors.md is stale: run scripts/reference.py" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    protocol = (tmp_path / "proto/native.md").read_text()
    assert "| 200 | NO_ROUTE |" in protocol
    assert "stale row" not in protocol
    assert protocol.startswith("before\n")
    assert protocol.endswith("<!-- /codes -->\nafter\n")
    page = tmp_path / "docs/reference/errors.md"
    page.write_text(page.read_text() + "edited by hand\n")
    assert reference.stale() == ["docs/reference/errors.md"]


def test_the_pages_name_every_setting_and_every_code(reference: ModuleType) -> None:
    configuration, errors = reference.configuration(), reference.errors()
    for name in KINDS:
        assert f"| `{name.partition('.')[2]}` |" in configuration or f"## [[{name}]]" in configuration
    for code in Code:
        assert f"| {code.value} | `{code.name}` |" in errors


def test_the_example_is_a_file_that_changes_nothing(reference: ModuleType, tmp_path: Path) -> None:
    assert read(ROOT / "agpd.example.toml", {}, []) == Config()
    uncommented = "".join(
        line[1:] if line[0] == "#" and line[1] != " " else line
        for line in reference.example().splitlines(keepends=True)
        if line.strip()
    )
    assert len(tomllib.loads(uncommented)["grants"]) == 1
    (tmp_path / "all.toml").write_text(uncommented)
    config = read(tmp_path / "all.toml", {}, [])
    assert (config.limits, config.outbox, config.tls) == (Config().limits, Config().outbox, Config().tls)
    assert config.grants[0].verb == "publish"


def test_the_protocol_names_only_codes_that_travel(reference: ModuleType) -> None:
    protocol, catalogue = reference.native(), reference.errors()
    assert f"| {Code.CONNECTION_LOST.value} | CONNECTION_LOST |" in protocol
    for code in (Code.NO_ANSWER, Code.HANDLER_FAILED, Code.UNREADABLE, Code.INBOX_FULL, Code.NOT_INSTALLED):
        assert code.name not in protocol
        assert f"| {code.value} | `{code.name}` |" in catalogue
