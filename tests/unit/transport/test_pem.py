"""PEM files: errors that name the fix, modes that hold whatever the umask is."""

import os
import threading

import pytest
from certificate_world import leaf, signer, uri
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agpd.transport import pem
from agpd.transport.pem import (
    PkiError,
    issued_by,
    key_pem,
    load_certificate,
    load_key,
    locked,
    make_directory,
    write_atomically,
)

CA = signer()


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    directory = tmp_path / "a"
    make_directory(directory)
    write_atomically(directory / "key", b"secret", 0o600)
    write_atomically(directory / "certificate", b"public", 0o644)
    assert (mode(directory), mode(directory / "key"), mode(directory / "certificate")) == (
        0o700,
        0o600,
        0o644,
    )


def test_a_directory_that_others_can_look_into_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(PkiError, match="chmod 700"):
        make_directory(tmp_path)
    tmp_path.chmod(0o700)
    make_directory(tmp_path)


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PkiError, match="not a directory"):
        make_directory(tmp_path / "file")
    with pytest.raises(PkiError, match="cannot make"):
        make_directory(tmp_path / "file" / "below")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "file"
    write_atomically(path, b"old", 0o600)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pem.os, "fsync", fail)
    with pytest.raises(PkiError, match=r"cannot write .*file: No space left"):
        write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_key_comes_back_and_must_be_plain_p256_and_closed_to_others(tmp_path):
    path, key = tmp_path / "key", ec.generate_private_key(ec.SECP256R1())
    write_atomically(path, key_pem(key), 0o600)
    assert load_key(path).public_key() == key.public_key()
    path.chmod(0o640)
    with pytest.raises(PkiError, match="chmod 600"):
        load_key(path)
    for other in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        data = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(path, data, 0o600)
        with pytest.raises(PkiError, match="not a P-256 key"):
            load_key(path)
    write_atomically(path, b"junk", 0o600)
    with pytest.raises(PkiError, match="no plain private key"):
        load_key(path)
    path.unlink()
    with pytest.raises(PkiError, match="cannot read"):
        load_key(path)


def test_a_certificate_comes_back_or_the_error_names_the_file(tmp_path):
    path = tmp_path / "certificate"
    path.write_bytes(CA.certificate.public_bytes(Encoding.PEM))
    assert load_certificate(path) == CA.certificate
    path.write_text("junk")
    with pytest.raises(PkiError, match="no certificate in PEM form"):
        load_certificate(path)
    with pytest.raises(PkiError, match="cannot read"):
        load_certificate(tmp_path / "missing")


def test_issued_by_looks_at_the_signature_and_not_at_the_name():
    certificate = x509.load_der_x509_certificate(leaf(CA, uri("agp://acme/dev/writer")))
    assert issued_by(certificate, CA.certificate)
    assert not issued_by(certificate, signer().certificate)
    assert not issued_by(certificate, signer("another").certificate)


def test_the_lock_keeps_others_out(tmp_path):
    order, waiting = [], threading.Event()

    def other():
        waiting.set()
        with locked(tmp_path):
            order.append("other")

    with locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        waiting.wait()
        with locked(tmp_path, "another"):
            thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
