"""The key of the control plane: it seals what the database must not show, and the head of the audit log.

Whoever can read or write the database but lacks this key can neither read what is sealed nor forge a seal.
"""

import hashlib
import hmac
import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agpd.errors import ConfigError

KEY_BYTES = 32
NONCE_BYTES = 12
RECIPE = b"\x01"  # ChaCha20-Poly1305, a nonce by chance, the purpose as associated data


class Sealer:
    """Seals and authenticates bytes under one key. `purpose` keeps what is made for one use from another."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._cipher = ChaCha20Poly1305(_derived(key, b"agpd seal"))
        self._mac_key = _derived(key, b"agpd mac")

    @classmethod
    def open(cls, path: Path) -> "Sealer":
        """With the key in a file, which is made if there is none. Raises `ConfigError`."""
        try:
            if not path.exists():
                make_directory(path.parent)
                _make_key(path)
            return cls(_read_key(path))
        except OSError as error:
            raise ConfigError(
                f"cannot open the key {path}: {error.strerror}; control.state_directory says where it is kept"
            ) from error

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Encrypt and authenticate: 29 bytes longer than `data`."""
        nonce = os.urandom(NONCE_BYTES)
        return RECIPE + nonce + self._cipher.encrypt(nonce, data, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed for this purpose. Raises `ConfigError`: altered, or sealed with another key."""
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            if sealed[:1] != RECIPE or len(nonce) < NONCE_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(nonce, rest, purpose.encode())
        except InvalidTag:
            raise ConfigError(
                f"{purpose} in the database cannot be opened: it was altered, or sealed with another key; "
                "bring back the control.key that belongs to this database"
            ) from None

    def mac(self, data: bytes, purpose: str) -> bytes:
        """32 bytes that only holders of the key can make for `data` and `purpose`."""
        text = len(purpose).to_bytes(2, "big") + purpose.encode() + data
        return hmac.digest(self._mac_key, text, "sha256")


def make_directory(path: Path) -> None:
    """Make a directory that only its owner may enter, and those above it; one that is there stays as it is."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def _derived(key: bytes, use: bytes) -> bytes:
    return hmac.digest(key, use, hashlib.sha256)


def _make_key(path: Path) -> None:
    """Complete or not at all, also when two start at once: the first one's is kept."""
    number, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(number, "wb") as file:
            os.fchmod(number, 0o600)
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(number)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        os.unlink(draft)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"{path} is no regular file; name another control.state_directory")
        if state.st_mode & 0o077:
            raise ConfigError(f"others may read or change the key {path}: chmod 600 {path}")
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} is no key of {KEY_BYTES} bytes; bring it back from a backup")
    return key
