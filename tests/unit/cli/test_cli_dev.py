"""`agpd dev`: where it listens, what it seeds, and the context that it writes."""

import stat
import sys
from pathlib import Path

import pytest
from scenarios.ctl import Ctl
from scenarios.dev import dev, environment

from agpd.cli import dev as module
from agpd.cli.contexts import Context, Contexts
from agpd.config import Listen


def test_it_listens_on_loopback_with_certificates_of_its_own(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    config = module.dev_config(0, directory, plaintext=False, control=True)
    nowhere = "127.0.0.1:0"
    assert config.listen == Listen(native=nowhere, http=nowhere, grpc=nowhere)
    assert config.tls.accept_any_name
    assert config.control.state_directory == str(directory)
    first = Path(config.tls.certificate).read_bytes()
    assert module.dev_config(0, directory, plaintext=False, control=True) == config
    assert Path(config.tls.certificate).read_bytes() == first


def test_its_ports(tmp_path: Path) -> None:
    usual = module.dev_config(7420, tmp_path / "none", plaintext=True, control=False)
    assert usual.listen == Listen(plaintext=True)
    assert not usual.control.enabled
    other = module.dev_config(8000, tmp_path / "none", plaintext=True, control=True)
    assert (other.listen.http, other.listen.grpc) == ("127.0.0.1:8001", "127.0.0.1:8002")
    assert not (tmp_path / "none").exists()


def test_two_at_once_and_agpctl_just_works(tmp_path: Path) -> None:
    with dev(tmp_path / "one") as first, dev(tmp_path / "two", "--plaintext") as second:
        for environ, role in ((first, "operator"), (second, "admin")):
            state = Path(environ["AGPD_STATE_DIR"]) / "dev"
            ctl = Ctl({name: environ[name] for name in ("AGPD_STATE_DIR", "XDG_CONFIG_HOME")}, state, "")
            assert ctl.contexts.selected() == "dev"
            assert ctl.run("get", "agents").stderr == "no agents\n"
            assert ctl("get", "namespaces", "-o", "name") == "namespace/acme/demo\n"
            assert ctl.json("whoami")["role"] == role
            for client in ("agpd.dev", "acme.admin"):
                secret = state / f"{client}.secret"
                assert stat.S_IMODE(secret.stat().st_mode) == 0o600
                assert secret.read_text().startswith("agps_")


def test_started_again_it_keeps_what_is_there(tmp_path: Path) -> None:
    contexts = Contexts.of(environment(tmp_path))
    contexts.save("mine", Context(tenant="globex"))
    contexts.select("mine")
    secret = tmp_path / "dev/acme.admin.secret"
    with dev(tmp_path):
        first = secret.read_text()
    with dev(tmp_path):
        assert secret.read_text() == first
        assert contexts.selected() == "mine"
        assert contexts.names() == ["dev", "mine"]
    secret.unlink()
    with dev(tmp_path) as environ:
        assert secret.read_text() != first
        own = {name: environ[name] for name in ("AGPD_STATE_DIR", "XDG_CONFIG_HOME")}
        found = Ctl(own, tmp_path, "").json("get", "client", "acme.admin", "--context", "dev")
        assert len(found["secrets"]) == 1


def test_without_the_packages_it_runs_without_a_control_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.lacking() == ("", "")
    monkeypatch.delitem(sys.modules, "agpd.plane", raising=False)
    monkeypatch.setitem(sys.modules, "agpd.api.http", None)
    with pytest.raises(ModuleNotFoundError):  # of our own: a fault, not a package that is lacking
        module.lacking()


def test_without_the_packages_of_grpc_it_serves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h2", None)
    for name in ("agpd.transport.grpc_front", "agpd.transport.grpc", "agpd.wire.grpc", "agpd.wire.http2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert module.lacking().grpc == "h2"
    config = module.dev_config(0, tmp_path, plaintext=True, control=False, grpc=False)
    assert config.listen.grpc == ""
