"""`agpd bootstrap`: the first operator, offline and under a running gateway."""

from pathlib import Path

from click.testing import CliRunner, Result
from scenarios.dev import environment

from agpd.cli.main import agpd


def bootstrap(directory: Path, *options: str) -> Result:
    env = {name: value for name, value in environment(directory).items() if name.startswith("AGPD_")}
    config = directory / "agpd.toml"
    config.write_text(f'[control]\nenabled = true\nstate_directory = "{directory}/state"\n')
    return CliRunner(env=env).invoke(agpd, ["bootstrap", "--config", str(config), *options])


def test_the_secret_is_printed_once_and_alone(tmp_path: Path) -> None:
    first = bootstrap(tmp_path)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("agps_")
    assert len(first.stdout.splitlines()) == 1
    assert "the client agpd.operator of the tenant agpd is an operator" in first.stderr
    second = bootstrap(tmp_path)
    assert (second.exit_code, second.stdout) == (2, "")
    assert "there is an operator already, agpd.operator" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_reset(tmp_path: Path) -> None:
    secrets = {bootstrap(tmp_path).stdout, bootstrap(tmp_path, "--reset").stdout}
    assert len(secrets) == 2
    other = bootstrap(tmp_path, "--reset", "--client", "agpd.second")
    assert "the client agpd.second of the tenant agpd" in other.stderr
