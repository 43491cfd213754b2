"""Logging in by each way, and who one is then."""

import os
import pty
import stat
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scenarios.ctl import Ctl
from scenarios.dev import DEADLINE_S, environment

from agpd.cli.contexts import Context


def secret_of(ctl: Ctl, client: str) -> str:
    return (ctl.state / f"{client}.secret").read_text().strip()


def login(ctl: Ctl, client: str, *more: str) -> list[str]:
    where = ["login", "--context", client, "--server", ctl.server, "--tenant", "acme", "--client", client]
    return [*where, "--ca", str(ctl.state / "ca.pem"), *more]


@pytest.mark.parametrize("way", ["file", "stdin", "environment"])
def test_a_secret_becomes_a_token_and_is_not_kept(ctl: Ctl, way: str) -> None:
    secret = secret_of(ctl, "acme.admin")
    if way == "file":
        said = ctl(*login(ctl, "acme.admin", "--secret-file", str(ctl.state / "acme.admin.secret")))
    elif way == "stdin":
        said = ctl(*login(ctl, "acme.admin", "--secret-file", "-"), stdin=f"{secret}\n")
    else:
        said = ctl(*login(ctl, "acme.admin"), AGP_CLIENT_SECRET=secret)
    assert said == f"logged in to {ctl.server} as acme.admin (admin of acme), context acme.admin\n"
    assert ctl.contexts.selected() == "acme.admin"
    kept = ctl.contexts.load("acme.admin")
    assert kept.refresh_token
    assert kept.secret_file == ""
    for path in ctl.contexts.path("x").parent.iterdir():
        assert secret not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ctl.json("whoami")["role"] == "admin"


def test_the_secret_is_asked_for_without_echo(ctl: Ctl) -> None:
    secret = secret_of(ctl, "acme.admin")
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from agpd.cli.main import agpctl; agpctl()", *login(ctl, "acme.admin")],
        env=environment(ctl.state.parent) | ctl.environ,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    shown = read_until(primary, b"Secret of acme.admin: ")
    while termios.tcgetattr(primary)[3] & termios.ECHO:  # it is switched off after the prompt
        os.sched_yield()
    os.write(primary, f"{secret}\n".encode())
    shown += read_until(primary, b"context acme.admin")
    assert process.wait(DEADLINE_S) == 0
    os.close(primary)
    assert secret.encode() not in shown
    assert b"logged in to" in shown


def read_until(terminal: int, end: bytes) -> bytes:
    data = b""
    while end not in data:
        data += os.read(terminal, 1000)
    return data


def test_without_a_terminal_it_says_how_to_give_the_secret(ctl: Ctl) -> None:
    assert "give --secret-file FILE" in ctl.fails(*login(ctl, "acme.admin"))


def test_a_wrong_secret_leaves_everything_as_it_was(ctl: Ctl) -> None:
    said = ctl.fails(*login(ctl, "acme.admin", "--secret-file", "-"), stdin="agps_wrong")
    assert "does not accept the client acme.admin" in said
    assert "agps_wrong" not in said
    assert (ctl.contexts.names(), ctl.contexts.selected()) == (["dev"], "dev")
    assert "the secret is empty" in ctl.fails(*login(ctl, "acme.admin", "--secret-file", "-"), stdin="\n")


def test_an_agents_client_is_no_administrator(ctl: Ctl) -> None:
    secret = ctl("create", "client", "acme.login-bot", "--agent", "acme/demo/bot")
    ctl(*login(ctl, "acme.login-bot", "--secret-file", "-"), stdin=secret)
    assert ctl.json("whoami")["role"] == "agent"
    assert "NOT_PERMITTED: " in ctl.fails("get", "clients")


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_key(ctl: Ctl, tmp_path: Path, kind: str) -> None:
    made = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    key = write_key(tmp_path / "own.key", made)
    client = f"acme.login-{kind}"
    ctl("create", "client", client, "--agent", "acme/demo/bot", "--jwks", key, "--admin")
    ctl(*login(ctl, client, "--private-key", key))
    kept = ctl.contexts.load(client)
    assert (kept.private_key, kept.refresh_token) == (key, "")
    ctl.contexts.cache(client).unlink()
    assert ctl.json("whoami") == {
        "context": client,
        "server": ctl.server,
        "organization": "acme",
        "pattern": "acme/demo/bot",
        "role": "admin",
        "label": client,
        "client": client,
    }
    other = write_key(tmp_path / "other.key", ed25519.Ed25519PrivateKey.generate())
    assert "does not accept the client" in ctl.fails(*login(ctl, client, "--private-key", other))


def test_a_certificate(ctl: Ctl, tmp_path: Path) -> None:
    ctl("pki", "issue", "agent", "acme/demo/bot", "--dir", str(ctl.state), "--out", str(tmp_path / "bot"))
    certificate, key = str(tmp_path / "bot.pem"), str(tmp_path / "bot.key")
    ctl("create", "client", "acme.login-tls", "--agent", "acme/demo/bot", "--certificate", certificate)
    ctl(*login(ctl, "acme.login-tls", "--tls", "--certificate", certificate, "--key", key))
    assert ctl.json("whoami")["client"] == "acme.login-tls"
    ctl.contexts.cache("acme.login-tls").unlink()
    assert ctl.json("whoami")["client"] == "acme.login-tls"
    # Its tokens are bound to the certificate: without it they are worth nothing.
    unbound = Context(server=ctl.server, ca=str(ctl.state / "ca.pem"), tenant="acme", client="acme.login-tls")
    ctl.contexts.save("unbound", unbound)
    ctl.contexts.cache("unbound").write_bytes(ctl.contexts.cache("acme.login-tls").read_bytes())
    assert "not logged in" in ctl.fails("--context", "unbound", "whoami")


def test_logging_in_again_needs_no_options(admin: Ctl) -> None:
    before = admin.contexts.load("acme")
    secret = secret_of(admin, "acme.admin")
    admin("login", "--server", admin.server, "--tenant", "acme", AGP_CLIENT_SECRET=secret)
    after = admin.contexts.load("acme")
    assert after.ca == before.ca
    assert after.refresh_token != before.refresh_token
    assert admin.contexts.names() == ["acme", "dev"]


def test_what_is_missing_is_said(ctl: Ctl) -> None:
    assert "--client is missing" in ctl.fails("login", "--server", ctl.server, "--tenant", "acme")
    missing = ctl.fails("login", "--context", "new", "--client", "x", "--tenant", "acme")
    assert "--server is missing: agpctl login --server https://HOST:7421" in missing
