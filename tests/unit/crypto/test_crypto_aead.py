"""agpd/crypto/aead.py: both libraries give the same bytes, and those that others give."""

import os
import random
import subprocess
import sys

import pytest
from crypto_vectors import load, raw
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings

from agpd.crypto import aead
from agpd.crypto.aead import NaclCipher
from agpd.crypto.errors import DecryptionFailed

BACKENDS = [NaclCipher, ChaCha20Poly1305]
# A million takes minutes: AGPD_AEAD_ROUNDS=1000000.
ROUNDS = int(os.environ.get("AGPD_AEAD_ROUNDS", "2000"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_wycheproof(backend):
    wrong = 0
    for test in load("wycheproof_chacha20_poly1305"):
        key, nonce, associated, message, ciphertext, tag = raw(test, "key", "iv", "aad", "msg", "ct", "tag")
        if len(nonce) != 12:  # neither takes them, and there are none here
            continue
        if test["result"] == "valid":
            assert backend(key).encrypt(nonce, message, associated) == ciphertext + tag
            assert aead.open_(backend(key), nonce, ciphertext + tag, associated) == message
        else:
            wrong += 1
            with pytest.raises(DecryptionFailed):
                aead.open_(backend(key), nonce, ciphertext + tag, associated)
    assert wrong > 20


def test_rfc_8439():
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    associated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    for backend in BACKENDS:
        assert backend(key).encrypt(nonce, text, associated)[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_both_give_the_same_bytes():
    chance = random.Random(8439)
    for _ in range(ROUNDS):
        key, nonce = chance.randbytes(32), chance.randbytes(12)
        data, associated = chance.randbytes(chance.randrange(600)), chance.randbytes(chance.randrange(90))
        sealed = NaclCipher(key).encrypt(nonce, data, associated)
        assert ChaCha20Poly1305(key).encrypt(nonce, data, associated) == sealed
        position = chance.randrange(len(sealed))
        broken = bytearray(sealed)
        broken[position] ^= 1 << chance.randrange(8)
        for backend in BACKENDS:
            assert backend(key).decrypt(nonce, sealed, associated) == data
            with pytest.raises(DecryptionFailed):
                aead.open_(backend(key), nonce, bytes(broken), associated)


def test_xchacha20_poly1305_of_wycheproof():
    """What secretstream is made of."""
    decrypt = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt
    for test in load("wycheproof_xchacha20_poly1305"):
        key, nonce, associated, message, ciphertext, tag = raw(test, "key", "iv", "aad", "msg", "ct", "tag")
        if test["result"] == "valid":
            assert decrypt(ciphertext + tag, associated, nonce, key) == message
        elif len(nonce) == 24:
            with pytest.raises(aead.Failures):
                decrypt(ciphertext + tag, associated, nonce, key)


@pytest.mark.parametrize("size", [0, 1, 15])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_shorter_than_a_tag_does_not_open(backend, size):
    with pytest.raises(DecryptionFailed):
        aead.open_(backend(bytes(32)), bytes(12), bytes(size), b"")


@pytest.mark.parametrize(("setting", "expected"), [("nacl", "nacl"), ("", "cryptography")])
def test_the_library_is_chosen_when_the_module_is_loaded(setting, expected):
    done = subprocess.run(
        [sys.executable, "-c", "from agpd.crypto import aead; print(aead.backend(), aead.make(bytes(32)))"],
        env={**os.environ, "AGPD_AEAD": setting},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0] == expected
    assert "00" * 8 not in done.stdout
