"""`--config` and `--set` give a command what `agpd.config.load` takes; times are written with their unit."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agpd.cli.options import config_options, seconds


def given(*arguments: str, **environ: str) -> tuple[Path | None, tuple[str, ...]]:
    """What a command with these options gets."""
    got = []

    @click.command()
    @config_options
    def command(file: Path | None, sets: tuple[str, ...]) -> None:
        got.append((file, sets))

    assert CliRunner(env={"AGPD_CONFIG": None, **environ}).invoke(command, arguments).exit_code == 0
    return got[0]


def test_nothing_is_set_if_nothing_is_said() -> None:
    assert given() == (None, ())


def test_settings_may_be_repeated_and_keep_their_order() -> None:
    assert given("--set", "log.level=debug", "--set", "a.b=c=d") == (None, ("log.level=debug", "a.b=c=d"))


def test_the_file_comes_from_the_option_then_the_environment() -> None:
    assert given("--config", "a.toml", AGPD_CONFIG="b.toml")[0] == Path("a.toml")
    assert given(AGPD_CONFIG="b.toml")[0] == Path("b.toml")


@pytest.mark.parametrize(
    ("text", "expected"), [("90m", 5400.0), ("24h", 86_400.0), ("30d", 2_592_000.0), (None, 0.0)]
)
def test_times(text: str | None, expected: float) -> None:
    command = click.Command("test")
    assert seconds(click.Context(command), click.Option(["--life"]), text) == expected


@pytest.mark.parametrize("text", ["", "5", "0d", "-1d", "1.5h", "1w", "1000000d", "1d\n"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time such as 90m, 24h or 30d"):
        seconds(click.Context(click.Command("test")), click.Option(["--life"]), text)
