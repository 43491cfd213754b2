"""Signed tokens (JWS in compact form), taken apart strictly before any cryptography.

A token's header chooses nothing: the caller finds the key by `kid` among its own and says which algorithm belongs to
it. `jwk`, `jku`, `x5u` and `x5c` are never looked at, and a token that names critical extensions is refused.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

from agpd.control import strict_json
from agpd.errors import Code, Refused

TOKEN_LIMIT_BYTES = 3072
DEPTH = 8
KEY_TYPES = {"Ed25519": "OKP", "ES256": "EC", "ES384": "EC", "RS256": "RSA", "PS256": "RSA"}
"""The algorithms that a token may be signed with. All are asymmetric."""
RSA_BITS = range(2048, 4097)
RSA_CHARACTERS = range(342, 684)
"""Of the modulus as base64url; looked at before the key is made."""

Key = jwk.OKPKey | jwk.ECKey | jwk.RSAKey
Algorithm = Literal["Ed25519", "ES256"]

_PART = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token that has the right shape. Nothing in it is proved."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def key_id(self) -> str:
        """`kid`; empty without one."""
        return str(self.header.get("kid", ""))


def parse(text: str, limit: int = TOKEN_LIMIT_BYTES) -> Parsed:
    """Take a token of at most `limit` characters apart. Raises `Refused(INVALID_TOKEN)`."""
    if len(text) > limit:
        raise refused(f"it has {len(text)} characters, at most {limit} are allowed")
    parts = text.split(".")
    if len(parts) != 3:
        raise refused("it is no JWT of three parts")
    header, claims = (_object(_decode(part)) for part in parts[:2])
    _decode(parts[2])
    if "crit" in header:
        raise refused("its header demands extensions that are not known here")
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("kid", ""), str):
        raise refused("its header has no algorithm, or a wrong key id")
    return Parsed(text, header, claims)


def check_signature(token: Parsed, algorithm: str, key: Key) -> None:
    """Raises `Refused(INVALID_TOKEN)` unless the token was signed with this algorithm and key."""
    if token.header["alg"] != algorithm:
        raise refused("its algorithm is not that of its key")
    try:
        jws.deserialize_compact(token.text, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise refused("its signature is wrong") from None


def sign(header: dict[str, Any], claims: dict[str, Any], algorithm: str, key: Key) -> str:
    """A token in compact form."""
    full = {"alg": algorithm, **header}
    return jws.serialize_compact(full, msgspec.json.encode(claims), key, algorithms=[algorithm])


def generate(algorithm: Algorithm) -> Key:
    """A new private key."""
    return jwk.OKPKey.generate_key("Ed25519") if algorithm == "Ed25519" else jwk.ECKey.generate_key("P-256")


def import_public(value: Any, algorithm: str = "") -> tuple[str, Key]:
    """The algorithm and public key of a JWK; `algorithm` if it names none. Private parts are dropped.

    Raises `Refused(INVALID_REQUEST)`: no key for signatures, too short, or of an algorithm that is not accepted.
    """
    if not isinstance(value, dict) or value.get("kty") not in KEY_TYPES.values():
        raise Refused(Code.INVALID_REQUEST, "a key is no JWK for signatures: use OKP, EC or RSA keys")
    if value["kty"] == "RSA" and len(str(value.get("n", ""))) not in RSA_CHARACTERS:
        raise Refused(Code.INVALID_REQUEST, "an RSA key must have 2048 to 4096 bits")
    try:
        given = jwk.import_key({name: part for name, part in value.items() if name != "key_ops"})
    except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise Refused(Code.INVALID_REQUEST, f"a key cannot be read: {type(error).__name__}") from None
    if not isinstance(given, Key) or given.get("use", "sig") != "sig":
        raise Refused(Code.INVALID_REQUEST, "a key is not for signatures")
    name = given.alg or algorithm or _algorithm_of(given)
    if name == "EdDSA" and given.get("crv") == "Ed25519":
        name = "Ed25519"  # as RFC 8037 called it before RFC 9864
    if KEY_TYPES.get(name) != given.key_type or _algorithm_of(given) not in (name, _sibling(name)):
        raise Refused(Code.INVALID_REQUEST, f"a key does not fit the algorithm; use {', '.join(KEY_TYPES)}")
    members = ("kty", "crv", "x", "y", "n", "e")
    key = jwk.import_key(
        {part: value for part, value in given.as_dict(private=False).items() if part in members}
    )
    assert isinstance(key, Key)
    return name, key


def public_jwk(key: Key, **more: str) -> dict[str, Any]:
    """The public part as a JWK with these members beside."""
    return {**key.as_dict(private=False), **more}


def number(claims: dict[str, Any], name: str) -> float | None:
    """A claim that is a date (Unix seconds); None if absent. Raises `Refused(INVALID_TOKEN)`."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise refused(f"its {name} is no date")
    return float(value)


def text(claims: dict[str, Any], name: str) -> str:
    """A claim that must be a text and not empty. Raises `Refused(INVALID_TOKEN)`."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise refused(f"its {name} is missing or no text")
    return value


def thumbprint(der: bytes) -> str:
    """`x5t#S256` of a certificate (RFC 8705): base64url of the SHA-256 of its DER."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def refused(detail: str) -> Refused:
    """The refusal of a token."""
    return Refused(Code.INVALID_TOKEN, detail)


def _decode(part: str) -> bytes:
    """base64url without padding, in its one spelling."""
    if not _PART.match(part) or len(part) % 4 == 1:
        raise refused("a part of it is no base64url")
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise refused("a part of it is no base64url in its one spelling")
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(data, limit=TOKEN_LIMIT_BYTES * 4, depth=DEPTH)
    except Refused as error:
        raise refused(error.detail) from None
    if not isinstance(value, dict):
        raise refused("a part of it is no JSON object")
    return value


def _algorithm_of(key: Key) -> str:
    if isinstance(key, jwk.RSAKey):
        return "RS256" if key.public_key.key_size in RSA_BITS else ""
    return {"Ed25519": "Ed25519", "P-256": "ES256", "P-384": "ES384"}.get(str(key.get("crv")), "")


def _sibling(name: str) -> str:
    """Any RSA key serves both paddings."""
    return "RS256" if name == "PS256" else name


def import_private(value: dict[str, Any]) -> Key:
    """A private key of ours, from the JWK that `generate` made."""
    key = jwk.import_key(value)
    assert isinstance(key, Key)
    return key
