"""`agpd serve` and `agpd dev` as processes: what they say, what signals do, how they end."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.dev import environment, run
from scenarios.process import World, gateway

import agpd_client as agp
from agpd.cli import serve, welcome
from agpd.config import Config, ConfigError, Listen
from agpd.hotpath import COMPILED

TIMEOUT_S = 15.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with gateway(tmp_path) as running:
        assert running.log.wait("listening", tls=False)["address"] == "{}:{}".format(*running.address)
        running.signal(number)
        assert running.exit_code() == 0
        assert running.log.wait("stopping")["signal"] == number.name
        running.log.wait("stopped")


async def test_it_drains_until_agents_have_left(tmp_path: Path) -> None:
    with gateway(tmp_path, limits={"drain_timeout_ms": 60_000}) as running:
        async with agp.connect("agp+tcp://{}:{}".format(*running.address), reconnect=False) as connected:
            await connected.create_agent("acme/demo/agent")
            running.signal(signal.SIGTERM)
            running.log.wait("stopping")
            assert running.process.poll() is None
        assert running.exit_code() == 0
        running.log.wait("stopped")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with gateway(tmp_path, limits={"drain_timeout_ms": 60_000, "hello_timeout_ms": 60_000}) as running:
        with socket.create_connection(running.address, TIMEOUT_S):
            # The connection is counted once another one behind it has been served to its end.
            with socket.create_connection(running.address, TIMEOUT_S) as other:
                other.sendall(b"\0\0\0\1")
                while other.recv(4096):
                    pass
            running.signal(signal.SIGTERM)
            running.log.wait("stopping")
            running.signal(signal.SIGTERM)
            assert running.exit_code(5) == 1
        assert not running.log.find("stopped")


def test_hangup_reads_certificates_again(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    with gateway(tmp_path, world, tls={"reload_check_s": 3600.0}) as running:
        assert running.log.wait("listening", tls=True, hot_path="compiled" if COMPILED else "python")
        assert not running.log.find("certificates reloaded")
        running.signal(signal.SIGHUP)
        running.log.wait("certificates reloaded")
        running.stop()


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with gateway(tmp_path) as running:
            assert sock.recv(100) == b"READY=1"
            running.stop()
            assert sock.recv(100) == b"STOPPING=1"


def test_an_abstract_socket_is_told_and_an_absent_one_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"agpd-test-{os.getpid()}"
        sock.settimeout(TIMEOUT_S)
        sock.bind(f"\0{name}")
        serve.notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert sock.recv(100) == b"READY=1"
    serve.notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
    assert "systemd was not told READY=1" in caplog.text
    caplog.clear()
    serve.notify("READY=1", {})
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "TLS needs tls.certificate"),
        (["--set", "listen.plaintext=true", "--set", "listen.native=203.0.113.1:1"], "listen.plaintext on"),
        (["--set", "tls.certificate=a", "--set", "tls.key=b", "--set", "tls.ca=c"], "a"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(tmp_path: Path, options: list[str], problem: str) -> None:
    done = run("-m", "agpd", "serve", *options, env=environment(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use(tmp_path: Path) -> None:
    with gateway(tmp_path) as running:
        done = run("-m", "agpd", "dev", "--port", str(running.address[1]), env=environment(tmp_path))
        assert done.returncode == 2
        assert "is in use" in done.stderr
        assert done.stdout == ""


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_of_descriptors_is_raised(
    tmp_path: Path, limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    with gateway(tmp_path, limits={"connections": 10}) as running:
        assert resource.prlimit(running.pid, resource.RLIMIT_NOFILE) == (limits[1], limits[1])
        assert not running.log.find(
            "too few file descriptors for limits.connections; raise LimitNOFILE or ulimit -n"
        )
        running.stop()


def test_too_few_descriptors_are_said(tmp_path: Path) -> None:
    with gateway(tmp_path, descriptors=512, limits={"connections": 500}) as running:
        warning = "too few file descriptors for limits.connections; raise LimitNOFILE or ulimit -n"
        assert running.log.wait(warning, descriptors=512, connections=500)["level"] == "warning"
        running.stop()


def test_run_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    async def ready(running: object) -> None:
        welcome.welcome(7420, None, welcome.Control())
        os.kill(os.getpid(), signal.SIGTERM)

    config = Config(listen=Listen(native="127.0.0.1:0", grpc="", plaintext=True))
    assert serve.run(config, ready) == 0
    assert "agpd is running at agp+tcp://127.0.0.1:7420" in capsys.readouterr().out
    with pytest.raises(ConfigError):
        serve.run(Config(), ready)


def test_python_m_agpd() -> None:
    done = subprocess.run([sys.executable, "-m", "agpd", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("agpd, version")
