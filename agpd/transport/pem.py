"""Certificates and keys as PEM files: read with errors that name the fix, written whole or not at all.

No file is ever open to more people than its mode says, whatever the umask, not even while it is written.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agpd.errors import ConfigError


class PkiError(ConfigError):
    """The authority cannot do that. The text says what is wrong and the way out."""


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate in the file, or `PkiError`."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise PkiError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise PkiError(f"{path} holds no certificate in PEM form: issue it again") from error


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in the file, or `PkiError`; a key that other users can read is refused."""
    try:
        if path.stat().st_mode & 0o077:
            raise PkiError(f"{path} is open to other users: run `chmod 600 {path}`")
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise PkiError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PkiError(f"{path} holds no plain private key in PEM form: move it away") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PkiError(f"{path} is not a P-256 key: move it away")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key in PKCS #8, without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Did this authority sign that certificate?"""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def make_directory(directory: Path) -> None:
    """Make a directory of mode 0700. Raises `PkiError` if there is one that other users can look into."""
    if not directory.exists():
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # another process may make it too
            directory.chmod(0o700)
        except OSError as error:
            raise PkiError(f"cannot make {directory}: {error.strerror}; choose another directory") from error
    elif not directory.is_dir():
        raise PkiError(f"{directory} is not a directory: choose another")
    elif directory.stat().st_mode & 0o077:
        raise PkiError(f"{directory} is open to other users: run `chmod 700 {directory}`, or choose another")


def write_atomically(path: Path, data: bytes, mode: int) -> None:
    """Replace the file, or make it and the directories above it. Raises `PkiError`.

    Readers see the old or the new content, after a crash too.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data, mode)
    except OSError as error:
        raise PkiError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(directory: Path, name: str = "lock") -> Iterator[None]:
    """Hold the directory's lock of this name; waits for other processes. Not reentrant."""
    descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
