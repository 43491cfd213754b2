"""What `agpd dev` prints is true: its program runs, and others learn what they need."""

from pathlib import Path

import pytest
from scenarios.dev import dev, run

from agpd.cli import welcome


def test_dev_prints_a_program_that_runs(tmp_path: Path) -> None:
    for options in ([], ["--plaintext"]):
        with dev(tmp_path, *options) as env:
            plaintext = bool(options)
            port = int(env["AGP_URL"].rpartition(":")[2])
            assert env["AGP_URL"] == welcome.gateway_url(port, plaintext)
            text = printed(port, None if plaintext else tmp_path / "dev", str(tmp_path))
            program = text.partition("From Python:\n")[2].partition("From two other terminals:")[0]
            done = run("-c", program, env=env | {"AGP_URL": "agp://127.0.0.1:9"})  # it names its gateway
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith(" says hello\n")


NOTHING = welcome.Control()


def printed(port: int, directory: Path | None, state: str | None, control: welcome.Control = NOTHING) -> str:
    return "\n".join(part.plain for part in welcome._parts(port, directory, state, control))


def test_dev_says_what_others_need_to_know() -> None:
    usual = printed(7420, Path("/state/dev"), None)
    assert "agp.connect()" in usual
    assert "--url" not in usual
    assert "AGPD_STATE_DIR" not in usual
    assert "For development only" in usual
    assert "certificates in /state/dev" in usual
    elsewhere = printed(7000, Path("/state/dev"), "/state")
    assert 'agp.connect("agp://127.0.0.1:7000")' in elsewhere
    assert "agpctl sub acme/demo/chat --url agp://127.0.0.1:7000" in elsewhere
    assert "export AGPD_STATE_DIR='/state'" in elsewhere
    plain = printed(7420, None, "/state")
    assert 'agp.connect("agp+tcp://127.0.0.1:7420")' in plain
    assert "nothing is encrypted" in plain
    assert "AGPD_STATE_DIR" not in plain


def test_it_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    welcome.welcome(7420, None, welcome.Control())
    assert "agpd is running at agp+tcp://127.0.0.1:7420" in capsys.readouterr().out


def test_where_the_registry_is_is_said_where_it_is_not_looked_for() -> None:
    usual = welcome.Control("https://127.0.0.1:7421", "dev")
    assert "AGP_CONTROL" not in printed(7420, Path("/state/dev"), None, usual)
    elsewhere = usual._replace(registry="127.0.0.1:7002")
    assert "export AGP_CONTROL=127.0.0.1:7002 " in printed(7000, Path("/state/dev"), None, elsewhere)


def test_the_control_plane_is_shown_with_what_agpctl_needs() -> None:
    server = "https://127.0.0.1:7421"
    own = printed(7420, Path("/state/dev"), None, welcome.Control(server, "dev"))
    assert f"The control plane, at {server}:" in own
    assert "agpctl get agents\n" in own
    assert "agpctl sub acme/demo/chat\n" in own
    other = printed(7420, Path("/state/dev"), None, welcome.Control(server, "prod"))
    assert "agpctl get agents --context dev\n" in other
    assert "agpctl sub acme/demo/chat --context dev\n" in other
    none = printed(7420, Path("/state/dev"), None, welcome.Control(context="prod", lacking="grpc"))
    assert "No control plane: it needs `pip install 'agpd[server]'`." in none
    assert "agpctl sub acme/demo/chat --url agp://127.0.0.1:7420\n" in none
    assert "over gRPC" not in none
    without = printed(7420, Path("/state/dev"), None, welcome.Control(lacking="h2", without_grpc="h2"))
    assert "Nothing is served over gRPC: it needs `pip install 'agpd[grpc]'`." in without
