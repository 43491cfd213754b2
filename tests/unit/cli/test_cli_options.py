"""`--config` and `--set` give a command what `agpd.config.load` takes."""

from pathlib import Path

import click
from click.testing import CliRunner

from agpd.cli.options import config_options


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
