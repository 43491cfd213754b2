"""The command skeleton: what is listed, what is loaded, and how errors end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from agpd.cli.lazy import Lazy, LazyGroup
from agpd.cli.main import AGPCTL, AGPD, agpctl, agpd
from agpd.config import Config, to_toml
from agpd.hotpath import COMPILED

HEAVY = {"rich", "cryptography", "uvloop", "msgspec", "asyncio", "ssl", "logging", "agpd_client"}
HEAVY |= {"httpx2", "yaml", "sqlalchemy", "starlette", "grpc", "joserfc"}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """No setting of the developer's own environment reaches the tests."""
    for variable in list(os.environ):
        if variable.startswith("AGPD_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return CliRunner()


@pytest.mark.parametrize(("group", "lazy"), [(agpd, AGPD), (agpctl, AGPCTL)])
def test_help_lists_every_command_without_importing_it(
    runner: CliRunner, group: LazyGroup, lazy: dict[str, Lazy]
) -> None:
    answer = runner.invoke(group, ["--help"])
    assert answer.exit_code == 0
    for name, place in lazy.items():
        assert f"  {name} " in answer.output
        assert place.help in answer.output


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter loads for `code`."""
    code = f"import json, sys\nbefore = set(sys.modules)\ntry:\n    {code}\nexcept SystemExit: pass\n"
    code += "print('\\n' + json.dumps([name.partition('.')[0] for name in set(sys.modules) - before]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["agpd", "agpctl"])
def test_help_loads_nothing_heavy(command: str) -> None:
    loaded = loaded_by(f"from agpd.cli.main import {command}; {command}(['--help'])")
    assert "click" in loaded
    assert not loaded & HEAVY


def test_commands_of_the_control_plane_do_not_load_the_server() -> None:
    """They start in a fraction of a second; the database alone takes another one."""
    loaded = loaded_by("from agpd.cli.main import agpctl; agpctl(['get', '--help'])")
    assert "httpx2" in loaded
    assert not loaded & {
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "grpc",
        "alembic",
        "joserfc",
        "cryptography",
        "yaml",
    }


def test_control_a_command_that_reads_settings_loads_them() -> None:
    assert "msgspec" in loaded_by("from agpd.cli.main import agpd; agpd(['--print-config'])")


def test_no_command_shows_the_help_and_fails(runner: CliRunner) -> None:
    for group in (agpd, agpctl):
        answer = runner.invoke(group, [])
        assert answer.exit_code == 2
        assert "Commands:" in answer.output


def test_version(runner: CliRunner) -> None:
    for group, name in ((agpd, "agpd"), (agpctl, "agpctl")):
        output = runner.invoke(group, ["--version"]).output
        assert output.startswith(f"{name}, version 0.")
        assert output.endswith(f", hot path {'compiled' if COMPILED else 'in Python'}\n")


def test_print_config(runner: CliRunner) -> None:
    assert runner.invoke(agpd, ["--print-config"]).output.rstrip() == to_toml(Config()).rstrip()
    Path("a.toml").write_text("[log]\nlevel = 'error'\n")
    changed = runner.invoke(
        agpd,
        ["--config", "a.toml", "--set", "listen.native=[::1]:1", "--print-config"],
        env={"AGPD_LOG__FORMAT": "json"},
    ).output
    for line in ('level = "error"', 'native = "[::1]:1"', 'format = "json"'):
        assert line in changed.splitlines()
    assert runner.invoke(agpd, ["config", "show"], env={"AGPD_CONFIG": "a.toml"}).output == changed.replace(
        '"[::1]:1"', '"127.0.0.1:7420"'
    ).replace('"json"', '"text"')


def test_options_before_the_command_are_not_silently_ignored(runner: CliRunner) -> None:
    for options in (["--config", "a.toml"], ["--set", "log.level=debug"]):
        answer = runner.invoke(agpd, [*options, "config", "show"])
        assert answer.exit_code == 2
        assert "after the command, such as: agpd serve --config FILE" in answer.output
    assert runner.invoke(agpd, ["config", "show", "--set", "log.level=debug"]).exit_code == 0


def test_config_show_tells_origins(runner: CliRunner) -> None:
    answer = runner.invoke(agpd, ["config", "show", "--origin", "--set", "log.level=debug"])
    rows = dict(line.split(maxsplit=1) for line in answer.output.splitlines())
    assert rows["log.level"] == "--set log.level"
    assert rows["tls.key"] == "default"


def test_config_check(runner: CliRunner) -> None:
    bad = runner.invoke(agpd, ["config", "check"])
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert bad.stderr.startswith("Error: TLS needs tls.certificate, tls.key, tls.ca")
    assert len(bad.stderr.splitlines()) == 1
    good = runner.invoke(agpd, ["config", "check", "--set", "listen.plaintext=true"])
    assert (good.exit_code, good.output) == (0, "the configuration is good\n")


def test_config_show_hides_the_password_of_the_database(runner: CliRunner) -> None:
    for command in (["config", "show"], ["--print-config"]):
        answer = runner.invoke(
            agpd, command, env={"AGPD_CONTROL__DATABASE": "postgresql://me:hunter2@host/name"}
        )
        assert 'database = "postgresql://me:***@host/name"' in answer.output
        assert "hunter2" not in answer.output
