"""An identity provider like Keycloak, over real HTTPS: keys of three kinds at a JWKS URI, and tokens of theirs."""

import asyncio
import functools
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trustme
from joserfc import jwk
from oauth_world import signed

from agpd.control import jose

REALM = "https://sso.example/realms/main"


@functools.cache
def _rsa_key() -> jose.Key:
    """One for all tests: it takes a while to make."""
    return jwk.RSAKey.generate_key(2048)


class Provider:
    """`answer` makes the bytes of each HTTP answer; it may be replaced."""

    def __init__(self, authority: trustme.CA) -> None:
        self.keys: dict[str, jose.Key] = {
            "RS256": _rsa_key(),
            "ES256": jwk.ECKey.generate_key("P-256"),
            "Ed25519": jwk.OKPKey.generate_key("Ed25519"),
        }
        self.port = 0
        self.requests: list[bytes] = []
        self.answer = self.jwks
        self.gate = asyncio.Event()
        self.gate.set()
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)

    @property
    def uri(self) -> str:
        return f"https://localhost:{self.port}/certs"

    def jwks(self) -> bytes:
        """As Keycloak answers: with a key for encryption too."""
        keys: list[dict[str, Any]] = [
            {**key.as_dict(private=False), "kid": f"kid-{name}", "use": "sig", "alg": name}
            for name, key in self.keys.items()
        ]
        rsa = self.keys["RS256"].as_dict(private=False)
        keys.append({**rsa, "kid": "enc", "use": "enc", "alg": "RSA-OAEP"})
        return ok(json.dumps({"keys": keys}).encode())

    def token(
        self, algorithm: str = "RS256", header: dict[str, object] | None = None, **claims: object
    ) -> str:
        full = {
            "iss": REALM,
            "aud": ["account", "https://gateway.example:7421/t/acme"],
            "sub": "8d5a0b6e-0f3c-4a50-9d1e-1f1d2c3b4a59",
            "azp": "writer",
            "typ": "Bearer",
            "iat": 1_800_000_000,
            "exp": 1_800_000_300,
            "jti": "onrtac:1",
            "scope": "openid profile agp:publish:acme/prod/* agp:admin",
            "realm_access": {"roles": ["agp:watch:acme/*", "offline_access"]},
            **claims,
        }
        full = {name: value for name, value in full.items() if value is not None}
        kid = {"kid": f"kid-{algorithm}", "typ": "JWT"}
        return signed(self.keys[algorithm], full, algorithm, **{**kid, **(header or {})})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self.gate.wait()
            writer.write(self.answer())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    authority = trustme.CA()
    one = Provider(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=context)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        one.gate.set()
        server.close()
