"""Fetch the keys of another issuer, without being led astray: by addresses inside, redirects, or endless answers."""

import asyncio
import ipaddress
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

import httpx2

from agpd.control import jose, strict_json
from agpd.errors import Code, Refused

ANSWER_LIMIT_BYTES = 256 * 1024
TIMEOUT_S = 10.0
KEYS_LIMIT = 64
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")

Keys = dict[str, tuple[str, jose.Key]]
"""kid -> algorithm, key"""


class FetchFailed(Exception):
    """The keys could not be had; the text says why."""


def check_uri(uri: str, internal: bool) -> SplitResult:
    """`https://host[:port]/path`; `http://` on loopback with `internal`. Raises `Refused(INVALID_REQUEST)`."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Refused(Code.INVALID_REQUEST, f"{uri!a} is no URL") from None
    secure = parts.scheme == "https" or (parts.scheme == "http" and internal and _is_loopback(host or ""))
    if not secure or not host or parts.username is not None or parts.fragment or not uri.isascii():
        raise Refused(Code.INVALID_REQUEST, f"{uri!a}: write https://host/path, without user and fragment")
    return parts


async def fetch_keys(uri: str, internal: bool, context: ssl.SSLContext | None = None) -> Keys:
    """The keys for signatures at a JWKS URI; those of other uses and algorithms are left out.

    `internal`: also from addresses that are not public. Raises `FetchFailed`.
    """
    try:
        parts = check_uri(uri, internal)
        async with asyncio.timeout(TIMEOUT_S):
            address = await _resolve(parts, internal)
            return _keys(await _get(parts, address, context))
    except TimeoutError:
        raise FetchFailed(f"no answer within {TIMEOUT_S:.0f} seconds") from None
    except (OSError, httpx2.HTTPError) as error:
        raise FetchFailed(str(error) or type(error).__name__) from None
    except Refused as error:
        raise FetchFailed(error.detail) from None


async def _resolve(parts: SplitResult, internal: bool) -> str:
    """The address to connect to: the name is looked up once, so that what was checked is what is used."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not internal and not all(_is_public(address) for address in addresses):
        raise FetchFailed(
            "its host has an address that is not public; only operators may allow that (`internal`)"
        )
    return addresses[0]


async def _get(parts: SplitResult, address: str, context: ssl.SSLContext | None) -> bytes:
    host = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    url = parts._replace(netloc=host + port).geturl()
    body = bytearray()
    async with (
        httpx2.AsyncClient(
            verify=context or ssl.create_default_context(),
            follow_redirects=False,
            timeout=TIMEOUT_S,
            trust_env=False,
        ) as client,
        client.stream(
            "GET",
            url,
            headers={"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity"},
            extensions={"sni_hostname": parts.hostname},
        ) as response,
    ):
        if response.status_code != 200:
            raise FetchFailed(f"it answers with status {response.status_code}")
        async for part in response.aiter_raw():
            body += part
            if len(body) > ANSWER_LIMIT_BYTES:
                raise FetchFailed(f"its answer is longer than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def _keys(body: bytes) -> Keys:
    document = strict_json.loads(body, limit=ANSWER_LIMIT_BYTES, depth=8)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_LIMIT:
        raise FetchFailed(f"its answer is no JWKS of at most {KEYS_LIMIT} keys")
    keys: Keys = {}
    for value in listed:
        try:
            algorithm, key = jose.import_public(value)
        except Refused:  # for encryption, or of an algorithm that is not accepted
            continue
        keys[str(value.get("kid", ""))] = (algorithm, key)
    if not keys:
        raise FetchFailed("none of its keys can be used")
    return keys


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            parsed = inner
        elif parsed not in _UNICAST:  # addresses of old, and of translators inside, count as global elsewhere
            return False
    return parsed.is_global and not parsed.is_multicast
