"""Asking a token endpoint for a token (RFC 6749 section 4.4), proving who asks (RFC 6749 2.3.1, 7523, 8705)."""

import asyncio
import base64
import json
import os
import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from agpd.errors import Code
from agpd_client.credentials import ClientCredentials, Issued, checked_token
from agpd_client.errors import AgpError, ConnectError, Unauthorized

TIMEOUT_S = 5.0
ANSWER_LIMIT_BYTES = 64 * 1024
ASSERTION_LIFE_S = 60
LIFE_LIMIT_S = 1e9
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenEndpoint:
    """That of the issuer of some credentials. `context` makes the TLS context, with the connection's certificate."""

    renews = True

    def __init__(
        self,
        credentials: ClientCredentials,
        context: Callable[[], ssl.SSLContext],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._context = context
        self._clock = clock
        self._url = f"{credentials.issuer.rstrip('/')}/oauth2/token"

    async def fetch(self) -> Issued:
        """A token. Raises `ConnectError` if a later try may succeed, `Unauthorized` if not."""
        return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> Issued:
        form, headers = self._request()
        try:
            status, body = self._post(urlencode(form).encode(), headers)
        except ssl.SSLCertVerificationError as error:
            raise Unauthorized(
                f"the certificate of the token endpoint {self._url} is not accepted: {error.verify_message}; "
                "pass ca= / --ca with its authority"
            ) from error
        except OSError as error:
            raise ConnectError(f"no token from {self._url}: {error.strerror or error}") from error
        answer = _object(body)
        if status != 200:
            raise self._refusal(status, answer)
        life = answer.get("expires_in")
        if not isinstance(life, int | float) or not 0 < life < LIFE_LIMIT_S:
            life = None
        return Issued(checked_token(answer.get("access_token")), life)

    def _request(self) -> tuple[dict[str, str], dict[str, str]]:
        given = self._credentials
        form = {"grant_type": "client_credentials"}
        if given.scope:
            form["scope"] = given.scope
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if given.client_secret is not None:
            pair = f"{quote_plus(given.client_id)}:{quote_plus(given.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            return form, headers
        form["client_id"] = given.client_id
        if given.private_key is not None:
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = assertion(
                given.client_id, given.issuer, Path(os.fspath(given.private_key)), self._clock()
            )
        return form, headers

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer. Redirects are not followed. Raises `OSError`."""
        from http import client  # its import takes long, and most programs do not need it

        parts = urlsplit(self._url)
        host = parts.hostname or ""
        connection = (
            client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=self._context())
            if parts.scheme == "https"
            else client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        )
        try:
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_LIMIT_BYTES)
        except client.HTTPException as error:
            raise ConnectionError(f"no answer of HTTP ({type(error).__name__})") from error
        finally:
            connection.close()

    def _refusal(self, status: int, answer: dict[str, Any]) -> AgpError:
        error, detail = (str(answer.get(name, ""))[:500] for name in ("error", "error_description"))
        text = f"{self._url} gives {self._credentials.client_id} no token: {error or f'HTTP {status}'}"
        text += f" ({detail})" if detail else ""
        if status == 429 or status >= 500:
            return ConnectError(text)
        return Unauthorized(text, code=Code.UNAUTHENTICATED)


def assertion(client_id: str, audience: str, key_file: Path, now: float) -> str:
    """A JWT that proves that we hold the key (RFC 7523). Raises `Unauthorized` that names the file."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "it is no PEM file of a key without password"
        )
        raise Unauthorized(f"cannot use the private key {key_file}: {reason}") from None
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFE_S,
        "jti": secrets.token_hex(16),
    }
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signed = _signing_input("Ed25519", claims)
        signature = key.sign(signed.encode())
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        signed = _signing_input("ES256", claims)
        signature = _p256(key, signed.encode())
    else:
        raise Unauthorized(f"cannot use the private key {key_file}: it is neither an Ed25519 nor a P-256 key")
    return f"{signed}.{_base64url(signature)}"


def _p256(key: Any, data: bytes) -> bytes:
    """A signature as JWS wants it: both numbers in 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    first, second = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return first.to_bytes(32, "big") + second.to_bytes(32, "big")


def _signing_input(algorithm: str, claims: dict[str, Any]) -> str:
    header = {"alg": algorithm, "typ": "JWT"}
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object; empty if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
