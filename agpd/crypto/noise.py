"""DANGER: Noise (revision 34), `Noise_IK_25519_ChaChaPoly_BLAKE2b` and `Noise_IKpsk1_…`, and nothing else of it.

A message is written and read in two halves, tokens and payload, so that the caller can take the handshake hash in
between and sign it with the payload (`proto/e2e.md` 6.4).
"""

import hashlib
import hmac
import struct

from agpd.crypto import aead, hazmat
from agpd.crypto.aead import TAG_BYTES
from agpd.crypto.errors import DecryptionFailed
from agpd.crypto.keys import ExchangeKey, Secret

IK = b"Noise_IK_25519_ChaChaPoly_BLAKE2b"
IKPSK1 = b"Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b"

_MESSAGES = {
    IK: (("e", "es", "s", "ss"), ("e", "ee", "se")),
    IKPSK1: (("e", "es", "s", "ss", "psk"), ("e", "ee", "se")),
}
_NONCE = struct.Struct("<4xQ").pack
_KEY = hazmat.KEY_BYTES


def _hkdf(chaining: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Noise's HKDF over HMAC-BLAKE2b."""
    secret = hmac.digest(chaining, material, "blake2b")
    found, last = [], b""
    for number in range(1, outputs + 1):
        last = hmac.digest(secret, last + bytes([number]), "blake2b")
        found.append(last)
    return found


class Handshake(Secret):
    """One side of one handshake. `hash` is h as it stands; `remote_static` the peer's static key, once known.

    Every error of reading is `DecryptionFailed`.
    """

    __slots__ = (
        "_chaining",
        "_ephemeral",
        "_is_initiator",
        "_is_psk",
        "_key",
        "_messages",
        "_nonce",
        "_psk",
        "_remote_ephemeral",
        "_static",
        "hash",
        "remote_static",
    )

    def __init__(
        self,
        protocol: bytes,
        prologue: bytes,
        static: ExchangeKey,
        *,
        ephemeral: ExchangeKey,
        responder_static: bytes | None = None,
        psk: bytes = b"",
    ) -> None:
        """The initiator is who knows `responder_static`; for a responder `static` is the key that was addressed."""
        self._is_psk = protocol == IKPSK1
        self._messages = list(_MESSAGES[protocol])
        self._static = static
        self._ephemeral = ephemeral
        self._psk = psk
        self._is_initiator = responder_static is not None
        self.remote_static = responder_static or b""
        self._remote_ephemeral = b""
        self._key = b""
        self._nonce = 0
        self.hash = protocol.ljust(64, b"\0")  # both names are shorter than the hash
        self._chaining = self.hash
        self._mix_hash(prologue)
        self._mix_hash(static.public if responder_static is None else responder_static)

    def write_tokens(self) -> bytes:
        """The next message up to its payload."""
        out = b""
        for token in self._messages.pop(0):
            if token == "e":  # noqa: S105
                out += self._ephemeral.public
                self._mix_ephemeral(self._ephemeral.public)
            elif token == "s":  # noqa: S105
                out += self._encrypt(self._static.public)
            else:
                self._mix_token(token)
        return out

    def write_payload(self, payload: bytes) -> bytes:
        """The rest of that message."""
        return self._encrypt(payload)

    def read_tokens(self, message: bytes) -> int:
        """Read a message up to its payload; where that begins."""
        position = 0
        for token in self._messages.pop(0):
            if token == "e":  # noqa: S105
                self._remote_ephemeral = message[:_KEY]
                position = _KEY
                if len(self._remote_ephemeral) != _KEY:
                    raise DecryptionFailed
                self._mix_ephemeral(self._remote_ephemeral)
            elif token == "s":  # noqa: S105
                end = position + _KEY + TAG_BYTES
                self.remote_static = self._decrypt(message[position:end])
                position = end
            else:
                self._mix_token(token)
        return position

    def read_payload(self, sealed: bytes) -> bytes:
        """Open the rest of that message."""
        return self._decrypt(sealed)

    def clone(self) -> "Handshake":
        """A copy to read with, so that a forgery does not spend the state."""
        other = Handshake.__new__(Handshake)
        for name in Handshake.__slots__:
            setattr(other, name, getattr(self, name))
        other._messages = list(self._messages)
        return other

    def split(self) -> tuple[bytes, bytes]:
        """The keys from initiator to responder and back, after the last message. The state is gone then."""
        one, two = _hkdf(self._chaining, b"", 2)
        self.drop()
        return one[:_KEY], two[:_KEY]

    def drop(self) -> None:
        """Forget all keys."""
        self._chaining = self._key = self._psk = b""
        del self._ephemeral, self._static

    def _mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.blake2b(self.hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._chaining, key = _hkdf(self._chaining, material, 2)
        self._key, self._nonce = key[:_KEY], 0

    def _mix_ephemeral(self, public: bytes) -> None:
        self._mix_hash(public)
        if self._is_psk:
            self._mix_key(public)

    def _mix_token(self, token: str) -> None:
        if token == "psk":  # noqa: S105
            self._chaining, mixed, key = _hkdf(self._chaining, self._psk, 3)
            self._mix_hash(mixed)
            self._key, self._nonce = key[:_KEY], 0
            return
        # The first letter is the initiator's key, the second the responder's.
        mine, theirs = (token[0], token[1]) if self._is_initiator else (token[1], token[0])
        own = self._ephemeral if mine == "e" else self._static
        self._mix_key(own.exchange(self._remote_ephemeral if theirs == "e" else self.remote_static))

    def _encrypt(self, plain: bytes) -> bytes:
        sealed = aead.make(self._key).encrypt(_NONCE(self._nonce), plain, self.hash)
        self._nonce += 1
        self._mix_hash(sealed)
        return sealed

    def _decrypt(self, sealed: bytes) -> bytes:
        plain = aead.open_(aead.make(self._key), _NONCE(self._nonce), sealed, self.hash)
        self._nonce += 1
        self._mix_hash(sealed)
        return plain
