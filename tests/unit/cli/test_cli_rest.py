"""Requests to the control plane: what the user hears when it cannot be asked."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios.ctl import Ctl

from agpd.cli.contexts import Context


@pytest.fixture
def bare(tmp_path: Path) -> Ctl:
    """Without any context, and no gateway."""
    return Ctl({"XDG_CONFIG_HOME": str(tmp_path)}, tmp_path, "")


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """A server of something else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def asks(ctl: Ctl, context: Context) -> str:
    ctl.contexts.save("one", context)
    return ctl.fails("--context", "one", "whoami")


def test_no_context(bare: Ctl) -> None:
    assert "no context is selected: `agpctl login --server https://HOST:7421" in bare.fails("get", "agents")
    assert "there is no context 'x'; there are: none" in bare.fails("get", "agents", "--context", "x")
    assert "has no server: agpctl context add one --server" in asks(bare, Context(tenant="acme"))


def test_nobody_listens(bare: Ctl) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{sock.getsockname()[1]}"
        said = asks(bare, Context(server=server))
    assert said.startswith(f"Error: cannot reach {server}: ")
    assert "start a gateway with `agpd serve` (control.enabled) or `agpd dev`" in said


def test_a_certificate_that_is_not_trusted(ctl: Ctl) -> None:
    said = asks(ctl, Context(server=ctl.server))
    assert f"the certificate of {ctl.server} is not trusted: self-signed certificate" in said
    assert "name the gateway's authority with --ca" in said


def test_nobody_is_logged_in(ctl: Ctl) -> None:
    ca = str(ctl.state / "ca.pem")
    said = asks(ctl, Context(server=ctl.server, ca=ca, tenant="acme"))
    assert (
        said
        == f"Error: not logged in at {ctl.server}: agpctl login --server {ctl.server} --tenant acme --client ID"
    )
    said = asks(ctl, Context(server=ctl.server, ca=ca, tenant="acme", client="bot"))
    assert said == f"Error: not logged in: agpctl login --server {ctl.server} --tenant acme --client bot"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nhi",
            "answered 404 Not Found: is this an agpd?",
        ),
        (b"HTTP/1.1 500 x\r\ncontent-length: 4\r\n\r\nnull", "answered 500 x: is this an agpd?"),
        (b"SSH-2.0-x\r\n\r\n", "cannot reach"),
        (
            b'HTTP/1.1 409 x\r\n\r\n{"name":"A\\u001b[31m","message":"m","remedy":"r"}',
            "Error: A?[31m: m; r",
        ),
    ],
)
def test_something_else_listens(bare: Ctl, answer: bytes, problem: str) -> None:
    with serving(answer) as server:
        assert problem in asks(bare, Context(server=server))


def test_a_token_that_the_gateway_does_not_know_is_renewed(admin: Ctl) -> None:
    cache = admin.contexts.cache("acme")
    token = admin("token").strip()
    admin.run("token", "revoke", "--stdin", stdin=token)
    assert token in cache.read_text()
    assert admin.json("whoami")["client"] == "acme.admin"
    assert token not in cache.read_text()
