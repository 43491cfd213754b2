"""Where credentials come from, and what a bad file is answered with."""

from pathlib import Path

import pytest

from agpd_client.errors import ConnectError, Unauthorized
from agpd_client.transports.address import Address
from agpd_client.transports.tls import Credentials, client_context, credentials, development_directory, read

HERE, AWAY = Address("tls", "127.0.0.1", 7420), Address("tls", "gw.example", 7420)


def test_arguments_outrank_the_environment() -> None:
    environ = {"AGP_CERTIFICATE": "c", "AGP_KEY": "k", "AGP_CA": "a"}
    assert credentials(AWAY, None, Path("mine"), None, environ) == ("c", "mine", "a")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match=r"key \(AGP_KEY\) is missing"):
        credentials(HERE, "c", None, "a", {})
    with pytest.raises(Unauthorized, match="agpctl pki issue agent"):
        credentials(AWAY, None, None, None, {})
    with pytest.raises(ConnectError, match="agpd dev"):
        credentials(HERE, None, None, None, {"AGPD_STATE_DIR": str(tmp_path)})


def test_in_a_tunnel_a_token_may_take_the_place_of_the_certificate(tmp_path: Path) -> None:
    here, away = Address("tunnel", "127.0.0.1", 1), Address("tunnel", "gw.example", 1)
    assert credentials(away, None, None, None, {}) == ("", "", "")
    assert credentials(away, None, None, "a", {}) == ("", "", "a")
    assert credentials(away, "c", "k", None, {}) == ("c", "k", "")
    assert credentials(here, None, None, None, {"AGP_CA": "a"}) == ("", "", "a")
    for address in (here, away):
        with pytest.raises(Unauthorized, match=r"key \(AGP_KEY\)"):
            credentials(address, "c", None, "a", {})
    with pytest.raises(Unauthorized, match=r"ca \(AGP_CA\) is missing"):
        credentials(here, "c", "k", None, {})
    with pytest.raises(ConnectError, match="agpd dev"):
        credentials(here, None, None, None, {"AGPD_STATE_DIR": str(tmp_path)})
    context = client_context(Credentials("", "", ""))
    assert context.check_hostname
    assert read(Credentials("", "", "")).certificate == b""


def test_development_files_are_for_loopback(tmp_path: Path) -> None:
    directory = development_directory({"AGPD_STATE_DIR": str(tmp_path)})
    directory.mkdir()
    (directory / "agent.pem").touch()
    found = credentials(HERE, None, None, None, {"AGPD_STATE_DIR": str(tmp_path)})
    assert found.ca == str(directory / "ca.pem")
    assert development_directory({}).name == "dev"


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match=r"authority file .*none\.pem"):
        client_context(Credentials("c", "k", str(tmp_path / "none.pem")))


def test_what_files_hold_is_read_and_not_shown(tmp_path: Path) -> None:
    names = ("certificate", "key", "ca")
    for name in names:
        (tmp_path / name).write_text(f"-{name}-")
    files = Credentials(*(str(tmp_path / name) for name in names))
    pem = read(files)
    assert (pem.certificate, pem.key, pem.ca) == (b"-certificate-", b"-key-", b"-ca-")
    assert pem == read(files)
    assert "-key-" not in repr(pem)
    (tmp_path / "key").unlink()
    with pytest.raises(Unauthorized, match=r"cannot read .*key"):
        read(files)
