"""agpd/transport/slim_link.py: the golden vector, the hybrid key, keys that are none."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agpd._proto import slim_pb2 as pb
from agpd.errors import Code, Fatal
from agpd.transport import slim_link
from agpd.wire.slim import Mac, Negotiation, derive_key

LINK_ID = "00112233-4455-4677-8899-aabbccddeeff"
A = X25519PrivateKey.from_private_bytes(bytes(range(0x01, 0x21)))
B = X25519PrivateKey.from_private_bytes(bytes(range(0x21, 0x41)))
PUBLIC_A = bytes.fromhex("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")
PUBLIC_B = bytes.fromhex("5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b")
KEY = bytes.fromhex("2d923c084c8b8a57832fc413c1214c178eef128da2bb25b0fe25e0d55a6e31ea")


def asked(public_key: bytes = PUBLIC_A, kem_key: bytes = b"") -> Negotiation:
    return Negotiation(LINK_ID, "1.0.0", public_key, 2, "node", kem_key)


def replied(agreed: slim_link.Agreed) -> pb.Negotiation:
    return pb.Message.FromString(agreed.reply).link.link_negotiation


def test_the_golden_vector():
    agreed = slim_link.agree(asked(), "0.1.0", B)
    assert replied(agreed).public_key == PUBLIC_B
    assert agreed.mac.of(b"tail") == Mac(KEY, LINK_ID).of(b"tail")


def test_the_client_comes_to_the_same_key():
    agreed = slim_link.agree(asked(), "0.1.0")
    secret = A.exchange(X25519PublicKey.from_public_bytes(replied(agreed).public_key))
    assert agreed.mac.of(b"tail") == Mac(derive_key(secret, LINK_ID), LINK_ID).of(b"tail")


def test_each_link_has_a_key_of_its_own():
    first, second = (slim_link.agree(asked(), "0.1.0") for _ in range(2))
    assert replied(first).public_key != replied(second).public_key
    assert first.mac.of(b"tail") != second.mac.of(b"tail")


@pytest.mark.parametrize("point", [0, 1])
def test_a_point_of_low_order_is_refused(point):
    with pytest.raises(Fatal) as raised:
        slim_link.agree(asked(point.to_bytes(32, "little")), "0.1.0")
    assert raised.value.code is Code.MALFORMED_FRAME


@pytest.mark.skipif(slim_link.mlkem is None, reason="the installed cryptography has no ML-KEM")
def test_a_client_with_an_ml_kem_key_gets_a_hybrid_link():
    kem = slim_link.mlkem.MLKEM768PrivateKey.generate()
    agreed = slim_link.agree(asked(kem_key=kem.public_key().public_bytes_raw()), "0.1.0", B)
    ciphertext = replied(agreed).kem_payload
    assert len(ciphertext) == 1088
    key = derive_key(A.exchange(B.public_key()), LINK_ID, kem.decapsulate(ciphertext))
    assert agreed.mac.of(b"tail") == Mac(key, LINK_ID).of(b"tail")


@pytest.mark.skipif(slim_link.mlkem is None, reason="the installed cryptography has no ML-KEM")
def test_an_ml_kem_key_that_is_none_is_refused():
    with pytest.raises(Fatal) as raised:
        slim_link.agree(asked(kem_key=b"\xff" * 1184), "0.1.0")
    assert raised.value.code is Code.MALFORMED_FRAME


def test_without_ml_kem_no_hybrid_link_is_promised(monkeypatch):
    monkeypatch.setattr(slim_link, "mlkem", None)
    with pytest.raises(Fatal) as raised:
        slim_link.agree(asked(kem_key=b"k" * 1184), "0.1.0")
    assert raised.value.code is Code.UNSUPPORTED_VERSION
