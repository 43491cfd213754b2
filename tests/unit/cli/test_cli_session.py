"""Tokens of a context: kept, renewed in time, and by one process at a time."""

import concurrent.futures
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from scenarios.ctl import Ctl

from agpd.cli.contexts import Context, Contexts
from agpd.cli.session import LEFT_S, Declined, Session, Token, whole


class Issuer(http.server.ThreadingHTTPServer):
    """A token endpoint whose refresh tokens can be used once; `asked` has the forms."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.refresh = "r0"
        self.lock = threading.Lock()

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.asked.append(form)
            if form["grant_type"] == "refresh_token":
                if form["refresh_token"] != self.refresh:
                    return 400, {"error": "invalid_grant", "error_description": "used before"}
                self.refresh = f"r{len(self.asked)}"
            scope = form.get("scope", "agp:publish:acme/*")
            if "agp:admin" in scope:
                return 400, {"error": "invalid_scope"}
            token = {"access_token": f"a{len(self.asked)}", "expires_in": 600, "scope": scope}
            return 200, token | {"refresh_token": self.refresh}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        assert isinstance(self.server, Issuer)
        status, value = self.server.answer({name: values[0] for name, values in parse_qs(body).items()})
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def contexts(tmp_path: Path, issuer: Issuer) -> Contexts:
    found = Contexts(tmp_path)
    server = f"http://127.0.0.1:{issuer.server_port}"
    found.save("one", Context(server=server, tenant="acme", client="bot", refresh_token="r0"))
    return found


@pytest.fixture
def http_client() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as client:
        yield client


def test_a_token_is_kept_until_shortly_before_its_end(
    contexts: Contexts, issuer: Issuer, http_client: httpx2.Client
) -> None:
    now = 1000.0
    session = Session("one", contexts, http_client, lambda: now)
    assert session.token() == "a1"
    now = 1000.0 + 600 - LEFT_S - 1
    assert session.token() == "a1"
    now += 2
    assert session.token() == "a2"
    assert [form["refresh_token"] for form in issuer.asked] == ["r0", "r1"]
    assert contexts.load("one").refresh_token == "r2"


def test_a_refused_one_is_renewed_unless_another_has_done_so(
    contexts: Contexts, http_client: httpx2.Client
) -> None:
    session = Session("one", contexts, http_client, lambda: 0.0)
    assert session.token() == "a1"
    assert session.renew(refused="a1") == "a2"
    assert session.renew(refused="a1") == "a2"


def test_processes_at_once_use_a_refresh_token_once(contexts: Contexts, issuer: Issuer) -> None:
    def token(_: int) -> str:
        with httpx2.Client(trust_env=False) as client:
            return Session("one", contexts, client, time.time).token()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(token, range(8))) == {"a1"}
    assert len(issuer.asked) == 1


def test_a_used_refresh_token_says_to_log_in(
    contexts: Contexts, issuer: Issuer, http_client: httpx2.Client
) -> None:
    issuer.refresh = "another"
    with pytest.raises(
        Declined, match=r"\(used before\): agpctl login --server .* --tenant acme --client bot"
    ):
        Session("one", contexts, http_client, time.time).token()


def test_all_that_a_client_may_have(contexts: Contexts, issuer: Issuer, http_client: httpx2.Client) -> None:
    context = contexts.load("one")
    token = whole(http_client, context, 0.0, "offline_access", "secret")
    assert [form.get("scope") for form in issuer.asked] == [
        None,
        "agp:publish:acme/* agp:admin offline_access",
        "agp:publish:acme/* offline_access",
    ]
    assert token.scope == "agp:publish:acme/* offline_access"
    assert all("secret" not in str(form) for form in issuer.asked)


def test_tokens_are_never_printed() -> None:
    assert "abc" not in repr(Token(access_token="abc", refresh_token="abc"))


def test_a_damaged_cache_is_no_harm(admin: Ctl) -> None:
    admin.contexts.cache("acme").write_text("{")
    assert admin.json("whoami")["client"] == "acme.admin"
