"""Key pairs. They never show a secret, and refuse to be copied or pickled.

Erasing means dropping every reference at once: Python copies bytes, and PyNaCl takes keys only as such. Nothing more is
promised.
"""

from typing import Any, NoReturn

from agpd.crypto import hazmat
from agpd.crypto.hazmat import Chance


class Secret:
    """Base of whatever holds a key."""

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, not shown>"

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys and cannot be pickled")

    def __copy__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys and cannot be copied")

    def __deepcopy__(self, _: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys and cannot be copied")


class SigningKey(Secret):
    """Ed25519. `public` has 32 bytes."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = hazmat.signing_pair(seed)

    @classmethod
    def generate(cls, chance: Chance) -> "SigningKey":
        """A new one."""
        return cls(chance(hazmat.KEY_BYTES))

    def sign(self, label: bytes, body: bytes) -> bytes:
        """64 bytes over the label and H(body)."""
        return hazmat.sign(self._secret, label, body)

    def seed(self) -> bytes:
        """DANGER: the secret, to be written to a file that only its owner can read."""
        return self._secret[: hazmat.KEY_BYTES]


class ExchangeKey(Secret):
    """X25519. `public` has 32 bytes."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.public = hazmat.public_of(secret)

    @classmethod
    def generate(cls, chance: Chance) -> "ExchangeKey":
        """A new one."""
        return cls(chance(hazmat.KEY_BYTES))

    def exchange(self, public: bytes) -> bytes:
        """The shared secret. Raises `DecryptionFailed` for a public key that is none."""
        return hazmat.exchange(self._secret, public)

    def secret(self) -> bytes:
        """DANGER: the secret."""
        return self._secret


class KemKey(Secret):
    """ML-KEM-768. `public` is the encapsulation key of 1,184 bytes. Raises `SuiteRefused` where there is no ML-KEM."""

    __slots__ = ("_private", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._private = hazmat.kem_private(seed)
        self.public = hazmat.kem_public_of(self._private)

    @classmethod
    def generate(cls, chance: Chance) -> "KemKey":
        """A new one."""
        return cls(chance(hazmat.KEM_SEED_BYTES))

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret; another one if the ciphertext was altered. Raises `DecryptionFailed`."""
        return hazmat.decapsulate(self._private, ciphertext)

    def seed(self) -> bytes:
        """DANGER: the secret."""
        return self._seed
