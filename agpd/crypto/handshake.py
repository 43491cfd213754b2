"""The first message and its answer: Noise IK round a signed payload. `proto/e2e.md` section 6.

What is here only writes and reads; whether to believe it, `sealing` decides.
"""

from collections.abc import Callable
from typing import NamedTuple

from agpd.crypto import hazmat, layout, noise, vouch
from agpd.crypto.errors import Cause, DecryptionFailed, Malformed, SuiteRefused, UntrustedKey
from agpd.crypto.hazmat import HASH_BYTES, KEM_CIPHERTEXT_BYTES, KEY_BYTES, SIGNATURE_BYTES, Chance
from agpd.crypto.headers import CHAIN_HASHED, ENROL, Header, Kind
from agpd.crypto.keys import ExchangeKey, Secret, SigningKey
from agpd.crypto.layout import Reader
from agpd.crypto.noise import Handshake
from agpd.crypto.prekeys import CLASSICAL, HYBRID, ID_BYTES, Bundle, Prekey
from agpd.crypto.vouch import Chain

FIRST_LABEL = b"agpd-msg1-v1"
ANSWER_LABEL = b"agpd-msg2-v1"
_PROLOGUE = b"AGPE2E/1"
_PROTOCOLS = {CLASSICAL: noise.IK, HYBRID: noise.IKPSK1}
_LABELS = {int(Kind.FIRST): FIRST_LABEL, int(Kind.ANSWER): ANSWER_LABEL}

Encapsulate = Callable[[bytes], tuple[bytes, bytes]]


class Identity(Secret):
    """An instance's own keys, in memory only. `chain` is None until a key daemon has vouched for them."""

    __slots__ = ("chain", "exchange", "name", "signing")

    def __init__(
        self, name: str, signing: SigningKey, exchange: ExchangeKey, chain: Chain | None = None
    ) -> None:
        self.name = name
        self.signing = signing
        self.exchange = exchange
        self.chain = chain

    @classmethod
    def generate(cls, name: str, chance: Chance) -> "Identity":
        """New keys, not yet vouched for."""
        return cls(name, SigningKey.generate(chance), ExchangeKey.generate(chance))


class View(NamedTuple):
    """What the sender knows of the directory of the receiver's organization."""

    version: int
    head: bytes


class Received(NamedTuple):
    """A first message or an answer that has opened. Nothing in it is proved before `check_signature`.

    One of `chain`, `chain_hash` and `enrolling` (a bare public key) is there.
    """

    header: Header
    noise: Handshake
    ephemeral: bytes
    chain: Chain | None
    chain_hash: bytes
    enrolling: bytes
    view: View
    rest: bytes
    signed: bytes
    signature: bytes

    def check_signature(self, signing: bytes) -> None:
        """Raises `UntrustedKey(SIGNATURE)`."""
        hazmat.verify(signing, _LABELS[self.header.kind], self.signed, self.signature)

    def check_exchange_key(self, chain: Chain) -> None:
        """Is the initiator's key of Noise the certified one? Raises `UntrustedKey`."""
        if not hazmat.same(self.noise.remote_static, chain.instance.exchange):
            raise UntrustedKey("the key of the handshake is not the certified one", Cause.CHAIN)

    def __repr__(self) -> str:
        return f"<{Kind(self.header.kind).name} from {self.header.source}>"


def write_first(
    identity: Identity,
    header: bytes,
    suite: int,
    flags: int,
    bundle: Bundle,
    rest: bytes,
    view: View,
    chance: Chance,
    encapsulate: Encapsulate = hazmat.encapsulate,
) -> tuple[bytes, Handshake]:
    """A first message sealed to a proved bundle, and the state that awaits its answer."""
    shared, kem_ciphertext = encapsulate(bundle.kem) if suite == HYBRID else (b"", b"")
    state = Handshake(
        _PROTOCOLS[suite],
        _prologue(suite, kem_ciphertext),
        identity.exchange,
        ephemeral=ExchangeKey.generate(chance),
        responder_static=bundle.exchange,
        psk=_psk(shared),
    )
    tokens = state.write_tokens()
    if flags & ENROL:
        chain = identity.signing.public
    else:
        assert identity.chain is not None, "an instance that nobody vouches for can only enrol"
        chain = identity.chain.hash if flags & CHAIN_HASHED else identity.chain.raw
    payload = _payload(identity.signing, FIRST_LABEL, state, header, chain, view, rest)
    sealed = state.write_payload(payload)
    return header + bundle.id + kem_ciphertext + tokens + sealed, state


def prekey_id(wire: bytes, header: Header) -> bytes:
    """The prekey that a first message names."""
    start = len(header.raw)
    return wire[start : start + ID_BYTES]


def ephemeral_of(wire: bytes, header: Header) -> bytes:
    """The ephemeral key of a first message, before anything is opened."""
    start = len(header.raw) + ID_BYTES + (KEM_CIPHERTEXT_BYTES if header.suite == HYBRID else 0)
    return wire[start : start + KEY_BYTES]


def read_first(wire: bytes, header: Header, prekey: Prekey, unused: ExchangeKey) -> Received:
    """Open a first message. `unused` will be the ephemeral key of the answer.

    Raises `DecryptionFailed`; `SuiteRefused` for a suite that the prekey does not offer.
    """
    reader = Reader(wire, len(header.raw) + ID_BYTES)
    suite = header.suite
    if suite not in _PROTOCOLS or suite > prekey.bundle.suite:
        raise SuiteRefused(f"suite {suite} is not one of this prekey")
    try:
        kem_ciphertext = reader.take(KEM_CIPHERTEXT_BYTES) if suite == HYBRID else b""
    except Malformed:
        raise DecryptionFailed from None
    shared = b"" if prekey.kem is None or suite != HYBRID else prekey.kem.decapsulate(kem_ciphertext)
    state = Handshake(
        _PROTOCOLS[suite],
        _prologue(suite, kem_ciphertext),
        prekey.exchange,
        ephemeral=unused,
        psk=_psk(shared),
    )
    return _read(state, header, reader.rest())


def write_answer(
    identity: Identity, header: bytes, received: Received, rest: bytes, view: View
) -> tuple[bytes, tuple[bytes, bytes], bytes]:
    """The answer to a first message, both keys of Noise's Split, and the final hash."""
    assert identity.chain is not None, "only a certified instance answers"
    state = received.noise
    tokens = state.write_tokens()
    payload = _payload(identity.signing, ANSWER_LABEL, state, header, identity.chain.raw, view, rest)
    sealed = state.write_payload(payload)
    return header + tokens + sealed, state.split(), state.hash


def read_answer(wire: bytes, header: Header, state: Handshake) -> Received:
    """Open an answer. Raises `DecryptionFailed`; the state is spent then."""
    return _read(state, header, wire[len(header.raw) :])


def _read(state: Handshake, header: Header, message: bytes) -> Received:
    start = state.read_tokens(message)
    handshake_hash = state.hash
    payload = state.read_payload(message[start:])
    reader = Reader(payload)
    try:
        header_hash = reader.take(HASH_BYTES)
        chain, chain_hash, enrolling = None, b"", b""
        if header.flags & ENROL:
            enrolling = reader.take(KEY_BYTES)
        elif header.flags & CHAIN_HASHED:
            chain_hash = reader.take(HASH_BYTES)
        else:
            chain = vouch.read_chain(reader)
        view = View(reader.number(8), reader.take(HASH_BYTES))
        end = reader.position
        signature = reader.take(SIGNATURE_BYTES)
        rest = reader.rest()
    except Malformed:
        raise DecryptionFailed from None
    if not hazmat.same(header_hash, hazmat.digest(header.raw)):
        raise DecryptionFailed
    signed = handshake_hash + payload[:end] + rest
    return Received(
        header, state, message[:KEY_BYTES], chain, chain_hash, enrolling, view, rest, signed, signature
    )


def _payload(
    key: SigningKey, label: bytes, state: Handshake, header: bytes, chain: bytes, view: View, rest: bytes
) -> bytes:
    front = hazmat.digest(header) + chain + layout.number(view.version, 8) + view.head
    return front + key.sign(label, state.hash + front + rest) + rest


def _prologue(suite: int, kem_ciphertext: bytes) -> bytes:
    return _PROLOGUE + layout.number(suite, 1) + hazmat.digest(kem_ciphertext)


def _psk(shared: bytes) -> bytes:
    return hazmat.derive(shared, 1, b"agpkem01") if shared else b""
