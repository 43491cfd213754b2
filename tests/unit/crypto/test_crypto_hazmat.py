"""agpd/crypto/hazmat.py: the primitives give the answers that others give."""

import pytest
from crypto_vectors import DIRECTORY, load, raw

from agpd.crypto import hazmat
from agpd.crypto.errors import Cause, DecryptionFailed, UntrustedKey


def test_derive_is_crypto_kdf_of_libsodium():
    lines = (DIRECTORY / "kdf.txt").read_text().splitlines()
    key = bytes(range(32))
    for number, line in enumerate(lines[:10]):
        assert hazmat.derive(key, number, b"KDF test", 64).hex() == line
    for size in range(16, 65):
        assert hazmat.derive(key, size, b"KDF test", size).hex() == lines[10 + size]


def test_x25519_of_wycheproof():
    for test in load("wycheproof_x25519"):
        public, private, shared = raw(test, "public", "private", "shared")
        if shared == bytes(32):
            with pytest.raises(DecryptionFailed):
                hazmat.exchange(private, public)
        else:
            assert hazmat.exchange(private, public) == shared, test["tcId"]


def test_x25519_of_rfc_7748():
    k = u = bytes([9]) + bytes(31)
    for _ in range(1000):
        k, u = hazmat.exchange(k, u), k
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@pytest.mark.parametrize("order", [0, 1])
def test_a_key_of_small_order_is_no_key(order):
    with pytest.raises(DecryptionFailed):
        hazmat.exchange(bytes(range(32)), order.to_bytes(32, "little"))


def test_ed25519_of_wycheproof(monkeypatch):
    monkeypatch.setattr(
        hazmat, "digest", lambda data: data
    )  # the bare primitive: no hash, and no label below
    wrong = 0
    for test in load("wycheproof_ed25519"):
        public, message, signature = raw(test, "pk", "msg", "sig")
        if test["result"] == "valid":
            hazmat.verify(public, b"", message, signature)
        elif test["result"] == "invalid":  # of mixed order is acceptable: one library judges everywhere
            wrong += 1
            with pytest.raises(UntrustedKey):
                hazmat.verify(public, b"", message, signature)
    assert wrong > 50


def test_a_signature_holds_for_its_label_alone():
    public, secret = hazmat.signing_pair(bytes(32))
    signature = hazmat.sign(secret, b"agpd-cert-v1", b"body")
    hazmat.verify(public, b"agpd-cert-v1", b"body", signature)
    for label, body, cut in [
        (b"agpd-dir-v1", b"body", 64),
        (b"agpd-cert-v1", b"bodY", 64),
        (b"agpd-cert-v1", b"body", 63),
    ]:
        with pytest.raises(UntrustedKey) as refused:
            hazmat.verify(public, label, body, signature[:cut])
        assert refused.value.cause is Cause.SIGNATURE


def test_an_ed25519_key_of_small_order_verifies_nothing():
    """With OpenSSL such a key verifies; this is why one library judges everywhere."""
    for public in (bytes([1]) + bytes(31), bytes(32), bytes.fromhex("ec" + "ff" * 30 + "7f")):
        with pytest.raises(UntrustedKey):
            hazmat.verify(public, b"agpd-cert-v1", b"", bytes([1]) + bytes(63))


def test_ml_kem_768_of_the_known_answers():
    for test in load("ml_kem_768"):
        z, d, public, ciphertext, shared, bad, secret_of_bad = raw(
            test, "z", "d", "pk", "ct", "ss", "ct_n", "ss_n"
        )
        private = hazmat.kem_private(d + z)
        assert hazmat.kem_public_of(private) == public
        assert hazmat.decapsulate(private, ciphertext) == shared
        assert hazmat.decapsulate(private, bad) == secret_of_bad  # another secret, and no error


def test_what_is_encapsulated_is_decapsulated():
    private = hazmat.kem_private(bytes(64))
    shared, ciphertext = hazmat.encapsulate(hazmat.kem_public_of(private))
    assert hazmat.decapsulate(private, ciphertext) == shared
    assert len(ciphertext) == hazmat.KEM_CIPHERTEXT_BYTES


def test_a_wrong_ml_kem_key_or_ciphertext_is_refused():
    with pytest.raises(UntrustedKey):
        hazmat.encapsulate(b"\xff" * hazmat.KEM_PUBLIC_BYTES)
    with pytest.raises(DecryptionFailed):
        hazmat.decapsulate(hazmat.kem_private(bytes(64)), b"short")


def test_same():
    assert hazmat.same(b"a", b"a")
    assert not hazmat.same(b"a", b"b")
