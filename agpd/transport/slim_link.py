"""The gateway's part in the key agreement of a SLIM link.

Nothing here encrypts: the key is for signing headers (`wire.slim.Mac`).
"""

from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agpd.errors import Code, Fatal
from agpd.wire.slim import Mac, Negotiation, derive_key, negotiation_reply

try:  # not in the oldest versions of cryptography that will do
    from cryptography.hazmat.primitives.asymmetric import mlkem
except ImportError:
    mlkem = None  # type: ignore[assignment]


class Agreed(NamedTuple):
    """What a negotiation ends with: the answer to send, and the MAC of the link from then on."""

    reply: bytes
    mac: Mac


def agree(asked: Negotiation, version: str, private: X25519PrivateKey | None = None) -> Agreed:
    """Answer a negotiation. `version` is the gateway's; `private` is made for this link unless a test brings one.

    A client that sends no ML-KEM key gets a link without; one that does gets a hybrid one, or none at all.

    Raises `Fatal(MALFORMED_FRAME)` for a key that is none, and `Fatal(UNSUPPORTED_VERSION)` if the client wants a
    hybrid link and the installed `cryptography` has no ML-KEM.
    """
    private = private or X25519PrivateKey.generate()
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(asked.public_key))
    except ValueError:  # a point of low order: the secret would be known to everybody
        raise Fatal(Code.MALFORMED_FRAME, "the public key is none") from None
    kem_secret, kem_ciphertext = _encapsulated(asked.kem_key) if asked.kem_key else (b"", b"")
    reply = negotiation_reply(asked, private.public_key().public_bytes_raw(), version, kem_ciphertext)
    return Agreed(reply, Mac(derive_key(secret, asked.link_id, kem_secret), asked.link_id))


def _encapsulated(kem_key: bytes) -> tuple[bytes, bytes]:
    """A secret for the owner of this key, and the ciphertext that tells it."""
    try:
        if mlkem is None:
            raise UnsupportedAlgorithm("no ML-KEM")
        return mlkem.MLKEM768PublicKey.from_public_bytes(kem_key).encapsulate()
    except UnsupportedAlgorithm:
        raise Fatal(Code.UNSUPPORTED_VERSION, "no ML-KEM in this gateway's cryptography") from None
    except ValueError:
        raise Fatal(Code.MALFORMED_FRAME, "the ML-KEM key is none") from None
