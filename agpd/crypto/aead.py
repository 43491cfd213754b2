"""ChaCha20-Poly1305 (RFC 8439) by either library: the same bytes, checked by a differential test.

PyNaCl is the reference. `cryptography` needs a third of the time for a short message and is taken where it is there;
the choice falls once, when the module is loaded (`AGPD_AEAD=nacl` forces the reference), never per message.
"""

import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings
from nacl.exceptions import CryptoError as NaclError

from agpd.crypto.errors import DecryptionFailed

TAG_BYTES = 16


class Cipher(Protocol):
    """One key. A nonce has 12 bytes and is used once."""

    def encrypt(self, nonce: bytes, data: bytes, associated: bytes, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated: bytes, /) -> bytes:
        """Raises one of `Failures`."""
        ...


class NaclCipher:
    """By libsodium."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, nonce: bytes, data: bytes, associated: bytes, /) -> bytes:
        """Ciphertext and tag."""
        return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(data, associated, nonce, self._key)

    def decrypt(self, nonce: bytes, data: bytes, associated: bytes, /) -> bytes:
        """The plaintext. Raises one of `Failures`."""
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(data, associated, nonce, self._key)

    def __repr__(self) -> str:
        return "<cipher>"


Failures = (InvalidTag, NaclError, ValueError)
"""What the ciphers raise for data that do not open."""


def make(key: bytes) -> Cipher:
    """A cipher by the library that was chosen."""
    return _make(key)


def open_(cipher: Cipher, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    """The plaintext. Raises `DecryptionFailed`."""
    try:
        return cipher.decrypt(nonce, data, associated)
    except Failures:
        raise DecryptionFailed from None


def backend() -> str:
    """The library in use."""
    return "nacl" if _make is NaclCipher else "cryptography"


_make: type[NaclCipher] | type[ChaCha20Poly1305] = (
    NaclCipher if os.environ.get("AGPD_AEAD") == "nacl" else ChaCha20Poly1305
)
