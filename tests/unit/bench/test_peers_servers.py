"""Processes of a run: what they say, why they failed, and that none is left."""

import os
import socket
import sys
from pathlib import Path

import pytest

from bench.peers.at import HOST, At, Files
from bench.peers.catalogue import SYSTEMS, System
from bench.peers.servers import Failed, free_ports, process, started


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_only_marked_lines_are_said(tmp_path: Path) -> None:
    with process(program("print('noise'); print('@ready'); print('@{\"a\": 1}')"), "one", tmp_path) as made:
        assert made.said(10) == "ready"
        assert made.result(10) == {"a": 1}


def test_a_process_that_ends_fails_with_its_last_words(tmp_path: Path) -> None:
    text = "import sys; print('first', file=sys.stderr); sys.exit('no such thing')"
    with process(program(text), "one", tmp_path) as made, pytest.raises(Failed, match="one: no such thing"):
        made.said(10)


def test_a_process_that_says_nothing_in_time_fails_and_is_ended(tmp_path: Path) -> None:
    with process(program("input()"), "one", tmp_path) as made:
        with pytest.raises(Failed, match="nothing within 0 s"):
            made.said(0.01)
        pid = made.pid
    assert not alive(pid)


def test_it_is_told_to_begin(tmp_path: Path) -> None:
    with process(program("print('@' + input())"), "one", tmp_path) as made:
        made.tell()
        assert made.said(10) == "go"


def test_what_is_no_object_is_no_result(tmp_path: Path) -> None:
    with (
        process(program("print('@half an {')"), "one", tmp_path) as made,
        pytest.raises(Failed, match="half an"),
    ):
        made.result(10)


def test_a_program_that_is_absent_fails(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="No such file"), process(["/no/such/program"], "one", tmp_path):
        pass


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(6)
    assert len(set(ports)) == 6
    for port in ports:
        with socket.socket() as listening:
            listening.bind((HOST, port))


def test_the_server_listens_during_the_block_and_not_after() -> None:
    with started(SYSTEMS[0], None) as server:
        socket.create_connection((HOST, server.at.port), timeout=5).close()
        assert alive(server.pid)
    assert not alive(server.pid)
    assert not Path(server.at.directory).exists()


def test_a_server_that_does_not_start_fails_with_the_reason(tmp_path: Path) -> None:
    broken = SYSTEMS[0]._replace(binary="no-such-program")
    with pytest.raises(Failed, match=r"agpd-server: .*no-such-program"), started(broken, None):
        pass
    tmp_path.chmod(0o755)
    files = Files(*(str(tmp_path / name) for name in Files._fields))
    with pytest.raises(Failed, match=r"agpd-server: .* open to other users"), started(SYSTEMS[0], files):
        pass


@pytest.mark.parametrize("files", [None, Files("ca", "a", "b", "c", "d")])
def test_where_a_server_is_survives_the_command_line(files: Files | None) -> None:
    at = At((1, 2), "/tmp/x", files)
    assert At.decode(at.encode()) == at
    assert (at.port, at.address) == (1, "127.0.0.1:1")


def test_every_system_has_its_file_with_the_functions_that_are_called() -> None:
    for system in SYSTEMS:
        text = (Path(__file__).parents[3] / f"bench/peers/systems/{system.file}.py").read_text()
        wanted = ["def server(at" if system.binary else "async def serve(at"]
        if system.client:
            wanted += [f"async def {name}(at" for name in ("receiving", "sending", "answering", "asking")]
        assert [name for name in wanted if name not in text] == []


def test_keys_are_unique_and_environments_are_pinned() -> None:
    assert len({system.key for system in SYSTEMS}) == len(SYSTEMS)
    directory = Path(__file__).parents[3] / "bench/peers/requirements"
    for name in {system.environment for system in SYSTEMS if system.environment} | {"plots"}:
        lines = (directory / f"{name}.txt").read_text().split()
        assert lines
        assert all("==" in line for line in lines)


def test_carriers_follow_from_the_protection() -> None:
    plain = System("a", "A", "", 1, 1, 1, secure="")
    assert (plain.carriers, plain.carrier) == (("plain",), "plain")
    assert plain._replace(secure="CURVE").carriers == ("plain", "tls")
    assert plain._replace(secure="CURVE").carrier == "tls"
