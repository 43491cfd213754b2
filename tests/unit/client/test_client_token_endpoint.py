"""client/agpd_client/token_endpoint.py: against a real HTTPS server of the test's own."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwk, jws

import agpd_client as agp
from agpd.names import parse_pattern
from agpd.transport.pki import Authority
from agpd_client.credentials import ClientCredentials, Issued
from agpd_client.token_endpoint import ASSERTION_LIFE_S, TokenEndpoint, assertion

GOOD = {"access_token": "t1", "token_type": "Bearer", "expires_in": 600}


class Desk:
    """A token endpoint that answers what it is told to, and keeps what it was asked."""

    def __init__(self, directory: Path) -> None:
        authority = Authority.create(directory, "test", time.time())
        pair = authority.issue_gateway(["127.0.0.1"], directory / "gateway", time.time())
        self.agent = authority.issue_agent(parse_pattern("acme/*"), directory / "agent", time.time())
        self.ca = directory / "ca.pem"
        self.status, self.body = 200, json.dumps(GOOD).encode()
        self.asked: list[tuple[str, Any, dict[str, list[str]], bytes]] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                der = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
                desk.asked.append((self.path, self.headers, parse_qs(body), der))
                self.send_response(desk.status)
                if desk.status == 307:
                    self.send_header("Location", "https://evil.example/")
                self.send_header("Content-Length", str(len(desk.body)))
                self.end_headers()
                self.wfile.write(desk.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(pair.certificate, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def issuer(self) -> str:
        return f"https://127.0.0.1:{self.server.server_port}/t/acme"

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.agent.certificate, self.agent.key)
        return context

    def endpoint(self, secret: str | None = None, **fields: Any) -> TokenEndpoint:
        return TokenEndpoint(ClientCredentials(self.issuer, "a:b", secret, **fields), self.context)

    def answer(self, status: int, body: object) -> None:
        self.status, self.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def desk_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("pki"))
    yield desk
    desk.close()


@pytest.fixture
def desk(desk_of_all: Desk) -> Desk:
    desk_of_all.asked.clear()
    desk_of_all.answer(200, GOOD)
    return desk_of_all


async def test_by_secret(desk: Desk) -> None:
    assert await desk.endpoint("s+ /é", scope="agp:publish:acme/*").fetch() == Issued("t1", 600)
    (path, headers, form, der), *_ = desk.asked
    assert path == "/t/acme/oauth2/token"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    # RFC 6749 section 2.3.1: each part is encoded as in a form before they are joined.
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:s%2B+%2F%C3%A9"
    assert form == {"grant_type": ["client_credentials"], "scope": ["agp:publish:acme/*"]}
    assert der  # the connection's certificate is shown


async def test_by_certificate(desk: Desk) -> None:
    await desk.endpoint().fetch()
    _, headers, form, der = desk.asked[0]
    assert "Authorization" not in headers
    assert form == {"grant_type": ["client_credentials"], "client_id": ["a:b"]}
    assert der


@pytest.mark.parametrize("algorithm", ["Ed25519", "ES256"])
async def test_by_private_key(desk: Desk, tmp_path: Path, algorithm: str) -> None:
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if algorithm == "Ed25519"
        else ec.generate_private_key(ec.SECP256R1())
    )
    file = pem(tmp_path, key)
    await desk.endpoint(private_key=file).fetch()
    await desk.endpoint(private_key=file).fetch()
    texts = [form["client_assertion"][0] for _, _, form, _ in desk.asked]
    public = (jwk.OKPKey if algorithm == "Ed25519" else jwk.ECKey).import_key(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    claims = []
    for text in texts:
        signed = jws.deserialize_compact(text, public, algorithms=[algorithm])
        assert signed.headers()["alg"] == algorithm
        claims.append(json.loads(signed.payload))
    assert claims[0]["jti"] != claims[1]["jti"]
    one = claims[0]
    assert (one["iss"], one["sub"], one["aud"]) == ("a:b", "a:b", desk.issuer)
    assert one["exp"] - one["iat"] == ASSERTION_LIFE_S


def pem(directory: Path, key: Any) -> Path:
    file = directory / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    other = pem(tmp_path, rsa.generate_private_key(65537, 2048))
    broken = tmp_path / "broken.pem"
    broken.write_text("no key")
    for file in (other, broken, tmp_path / "absent.pem"):
        with pytest.raises(agp.Unauthorized, match=file.name):
            assertion("a", "b", file, 1.0)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": "invalid_client", "error_description": "who?"}, agp.Unauthorized),
        (400, {"error": "invalid_scope"}, agp.Unauthorized),
        (404, b"<html>", agp.Unauthorized),
        (307, b"", agp.Unauthorized),  # nobody is followed with a secret
        (429, {"error": "temporarily_unavailable"}, agp.ConnectError),
        (503, b"", agp.ConnectError),
        (200, b"no JSON", agp.Unauthorized),
        (200, [], agp.Unauthorized),
        (200, {"access_token": "x" * 4000}, agp.Unauthorized),
        (200, b"[" * 60_000, agp.Unauthorized),
    ],
)
async def test_answers_without_a_token(desk: Desk, status: int, body: object, error: type[Exception]) -> None:
    desk.answer(status, body)
    with pytest.raises(error) as caught:
        await desk.endpoint("s3cret").fetch()
    assert type(caught.value) is error
    assert "s3cret" not in str(caught.value)
    if isinstance(body, dict) and "error" in body:
        assert body["error"] in str(caught.value)


@pytest.mark.parametrize("life", [None, "600", -1, 0, 1e300, [600]])
async def test_a_life_that_is_none_is_not_known(desk: Desk, life: object) -> None:
    desk.answer(200, GOOD | {"expires_in": life})
    assert await desk.endpoint("s").fetch() == Issued("t1", None)


async def test_nobody_there() -> None:
    credentials = ClientCredentials("http://127.0.0.1:9/t/acme", "a", "s3cret")
    with pytest.raises(agp.ConnectError, match=r"127\.0\.0\.1:9"):
        await TokenEndpoint(credentials, ssl.create_default_context).fetch()


async def test_a_server_of_another_authority_gets_no_secret(desk: Desk) -> None:
    endpoint = TokenEndpoint(ClientCredentials(desk.issuer, "a", "s"), ssl.create_default_context)
    with pytest.raises(agp.Unauthorized, match="certificate of the token endpoint"):
        await endpoint.fetch()
    assert desk.asked == []
