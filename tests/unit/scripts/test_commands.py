"""The page of the commands is what their help says now."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def commands() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commands", ROOT / "scripts/commands.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh_and_has_every_command(commands: ModuleType) -> None:
    assert commands.main(["--check"]) == 0
    for name in ("agpd serve", "agpd config show", "agpctl pki issue agent", "agpctl pub", "agpctl watch"):
        assert f"\n## {name}\n" in commands.page()


def test_control_a_stale_page_is_found_and_written(
    commands: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "PAGE", tmp_path / "commands.md")
    assert commands.main(["--check"]) == 1
    assert "is stale: run scripts/commands.py" in capsys.readouterr().err
    assert commands.main([]) == 0
    assert commands.main(["--check"]) == 0
