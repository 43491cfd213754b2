"""DANGER: bare primitives. Only the modules of this package use them, and each use is in `proto/e2e.md`.

PyNaCl (libsodium) does X25519 and Ed25519, always: libraries disagree about odd keys, so one judges everywhere.
BLAKE2b is the standard library's. ML-KEM-768 is `cryptography`'s and is missing where that is too old.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from nacl import bindings
from nacl.exceptions import BadSignatureError

from agpd.crypto.errors import Cause, DecryptionFailed, SuiteRefused, UntrustedKey

try:  # since 47
    from cryptography.hazmat.primitives.asymmetric import mlkem
except ImportError:  # pragma: no cover
    mlkem = None  # type: ignore[assignment]

Chance = Callable[[int], bytes]
"""Gives that many random bytes. `os.urandom`, except in tests."""

KEY_BYTES = 32
HASH_BYTES = 32
SIGNATURE_BYTES = 64
KEM_SEED_BYTES = 64
KEM_PUBLIC_BYTES = 1184
KEM_CIPHERTEXT_BYTES = 1088


def digest(data: bytes) -> bytes:
    """H: BLAKE2b of 32 bytes."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


def derive(key: bytes, number: int, context: bytes, size: int = KEY_BYTES) -> bytes:
    """KDF, which is libsodium's crypto_kdf: the salt is the number, the personalisation eight bytes of context."""
    return hashlib.blake2b(
        key=key, salt=number.to_bytes(16, "little"), person=context + bytes(8), digest_size=size
    ).digest()


def same(one: bytes, other: bytes) -> bool:
    """Are they equal? Takes as long either way."""
    return hmac.compare_digest(one, other)


def public_of(secret: bytes) -> bytes:
    """The X25519 public key."""
    return bindings.crypto_scalarmult_base(secret)


def exchange(secret: bytes, public: bytes) -> bytes:
    """X25519. Raises `DecryptionFailed` where the result would be zero: the other key is no key."""
    try:
        return bindings.crypto_scalarmult(secret, public)
    except RuntimeError:
        raise DecryptionFailed from None


def signing_pair(seed: bytes) -> tuple[bytes, bytes]:
    """Ed25519: public key of 32 bytes, secret key of 64."""
    return bindings.crypto_sign_seed_keypair(seed)


def sign(secret: bytes, label: bytes, body: bytes) -> bytes:
    """Ed25519 over the label and H(body)."""
    return bindings.crypto_sign(label + digest(body), secret)[:SIGNATURE_BYTES]


def verify(public: bytes, label: bytes, body: bytes, signature: bytes) -> None:
    """Raises `UntrustedKey(SIGNATURE)`."""
    if (
        len(signature) != SIGNATURE_BYTES
    ):  # libsodium takes them joined: a longer one would lend to the message
        raise UntrustedKey("a signature is wrong", Cause.SIGNATURE)
    try:
        bindings.crypto_sign_open(signature + label + digest(body), public)
    except (BadSignatureError, ValueError):
        raise UntrustedKey("a signature is wrong", Cause.SIGNATURE) from None


def has_kem() -> bool:
    """Is ML-KEM-768 there, so that suite 2 can be spoken?"""
    return mlkem is not None


def kem_private(seed: bytes) -> Any:
    """The ML-KEM-768 private key of a seed of 64 bytes. Raises `SuiteRefused`."""
    if mlkem is None:  # pragma: no cover
        raise SuiteRefused("this needs a newer version of the package cryptography")
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed)


def kem_public_of(private: Any) -> bytes:
    """Its encapsulation key, 1,184 bytes."""
    return private.public_key().public_bytes_raw()  # type: ignore[no-any-return]


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A fresh shared secret and its ciphertext. Raises `SuiteRefused`, `UntrustedKey` for what is no such key."""
    if mlkem is None:  # pragma: no cover
        raise SuiteRefused("this needs a newer version of the package cryptography")
    try:
        shared, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise UntrustedKey("an ML-KEM key is none") from None
    return shared, ciphertext


def decapsulate(private: Any, ciphertext: bytes) -> bytes:
    """The shared secret; another one if the ciphertext was altered. Raises `DecryptionFailed` for a wrong length."""
    try:
        return private.decapsulate(ciphertext)  # type: ignore[no-any-return]
    except ValueError:
        raise DecryptionFailed from None
