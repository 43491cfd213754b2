"""A development gateway with its control plane, and agpctl for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.ctl import Ctl
from scenarios.dev import dev

from agpd.cli.contexts import Contexts


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ctl]:
    """Of one gateway for all tests; the context `dev`, an operator's, is selected."""
    directory = tmp_path_factory.mktemp("control")
    with dev(directory) as environ:
        contexts = Contexts.of(environ)
        assert contexts.selected() == "dev"
        own = {name: environ[name] for name in ("AGPD_STATE_DIR", "XDG_CONFIG_HOME")}
        yield Ctl(own, directory / "dev", contexts.load("dev").server)


@pytest.fixture
def ctl(running: Ctl, tmp_path: Path) -> Ctl:
    """With contexts of its own, of which `dev` is selected."""
    context = running.contexts.load("dev")
    own = Ctl(running.environ | {"XDG_CONFIG_HOME": str(tmp_path / "config")}, running.state, running.server)
    own.contexts.save("dev", context)
    own.contexts.select("dev")
    return own


@pytest.fixture
def admin(ctl: Ctl) -> Ctl:
    """Logged in as an administrator of acme, in the context `acme`."""
    login = [
        "login",
        "--context",
        "acme",
        "--server",
        ctl.server,
        "--tenant",
        "acme",
        "--client",
        "acme.admin",
    ]
    ctl(*login, "--ca", str(ctl.state / "ca.pem"), "--secret-file", str(ctl.state / "acme.admin.secret"))
    return ctl
