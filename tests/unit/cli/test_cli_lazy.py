"""Groups that import a command when it is called; errors of commands are one line."""

import sys

import click
import pytest
from click.testing import CliRunner

from agpd.cli.lazy import Lazy, LazyGroup
from agpd.config import Config, ConfigError, to_toml
from agpd.errors import Code, Refused


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("a\nb\x1b[31m\u2028c"), "Error: a b?[31m c"),
        (Refused(Code.NO_ROUTE, "acme/docs/writer"), "Error: NO_ROUTE: nobody is subscribed"),
    ],
)
def test_errors_of_a_command_are_one_line(runner: CliRunner, error: Exception, line: str) -> None:
    group = LazyGroup("test")

    @group.command()
    def fail() -> None:
        raise error

    answer = runner.invoke(group, ["fail"])
    assert answer.exit_code == 2
    assert answer.stderr.startswith(line)
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ModuleNotFoundError(name="agpd.none"), ModuleNotFoundError()]
)
def test_other_errors_are_not_hidden(runner: CliRunner, error: Exception) -> None:
    group = LazyGroup("test")

    @group.command()
    def fail() -> None:
        raise error

    assert runner.invoke(group, ["fail"]).exception is error


def test_a_missing_package_is_named_with_the_way_out(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = LazyGroup("test", lazy={"get": Lazy("agpd.cli.rest", "connected", "")})

    @group.command()
    def late() -> None:
        raise ModuleNotFoundError(name="yaml.nodes")

    monkeypatch.delitem(sys.modules, "agpd.cli.rest", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    for command, package in (("get", "httpx2"), ("late", "yaml")):
        answer = runner.invoke(group, [command])
        assert answer.exit_code == 2
        assert answer.stderr == f"Error: this needs the package {package}: pip install 'agpd[server]'\n"
    completing = click.Context(group, resilient_parsing=True)
    assert group.get_command(completing, "get") is None


def test_a_missing_module_of_our_own_is_not_silent_in_a_shell() -> None:
    group = LazyGroup("test", lazy={"get": Lazy("agpd.cli.none", "get", "")})
    with pytest.raises(ModuleNotFoundError):
        group.get_command(click.Context(group, resilient_parsing=True), "get")


def test_a_lazy_command_runs(runner: CliRunner) -> None:
    # The command keeps the help option of the first group that runs it: the same as in its own group.
    group = LazyGroup(
        "test",
        lazy={"shown": Lazy("agpd.cli.main", "show", "Another name for it.")},
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    assert runner.invoke(group, ["shown"]).output.rstrip() == to_toml(Config()).rstrip()
    assert group.list_commands(click.Context(group)) == ["shown"]
    assert "No such command 'absent'" in runner.invoke(group, ["absent"]).output
