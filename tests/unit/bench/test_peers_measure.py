"""agpd measured by its own client and by agpload, in small: everything arrives, and every figure is there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import environments, measure, suite
from bench.peers.catalogue import SYSTEMS
from bench.peers.environments import Absent
from bench.peers.servers import Failed, Server, started

FIGURES = {
    "messages",
    "expected",
    "lost",
    "seconds",
    "deliveries_per_s",
    "cpu_us_per_delivery",
    "sender_cpu_us_per_message",
    "receiver_cpu_us_per_delivery",
}


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files = suite.files(tmp_path_factory.mktemp("pki")) if request.param == "tls" else None
    with started(SYSTEMS[0], files) as made:
        yield made


@pytest.mark.parametrize(("pattern", "expected"), [("unicast", 500), ("anycast", 500), ("broadcast", 1500)])
def test_clients(server: Server, pattern: str, expected: int) -> None:
    measured = measure.clients(server, pattern, 3, 500, 1)
    assert measured.keys() == FIGURES
    assert (measured["messages"], measured["expected"], measured["lost"]) == (500, expected, 0)
    assert measured["deliveries_per_s"] == pytest.approx(expected / measured["seconds"])
    assert all(value > 0 for name, value in measured.items() if name != "lost")


def test_requests(server: Server) -> None:
    measured = measure.requests(server, 100)
    assert (measured["messages"], measured["lost"]) == (100, 0)
    assert 0 < measured["p50_us"] <= measured["p99_us"]


@pytest.mark.parametrize(("pattern", "expected"), [("unicast", 40_000), ("broadcast", 640_000)])
def test_native_load(server: Server, pattern: str, expected: int) -> None:
    try:
        measured = measure.native(server, pattern, 40_000, 1)
    except Absent as error:
        pytest.skip(str(error))
    assert (measured["messages"], measured["expected"], measured["lost"]) == (40_000, expected, 0)
    assert 0 < measured["cpu_us_per_delivery"] < 1000


def test_a_server_that_is_gone_fails_the_run(server: Server, tmp_path: Path) -> None:
    gone = server._replace(at=server.at._replace(ports=(1,), directory=str(tmp_path)))
    with pytest.raises(Failed, match=r"receiver: .*ConnectError"):
        measure.clients(gone, "unicast", 1, 10, 1)
    if shutil.which("make") and shutil.which("cc"):
        with pytest.raises((Failed, Absent), match=r"sink: |make: "):
            measure.native(gone, "unicast", 10, 1)


def test_a_generator_that_cannot_be_started_fails_the_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "native", lambda name: str(tmp_path))
    with pytest.raises(Failed, match=r"agpload: .*Permission denied"):
        measure.native(server, "unicast", 10, 1)
