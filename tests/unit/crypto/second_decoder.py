"""A second reading of proto/e2e.md, which shares no code with agpd: by `cryptography` and the standard library alone.

Given the secrets of a receiver it opens what was sealed for it. ChaCha20 and secretstream are written out here.
"""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.poly1305 import Poly1305


class NotOpened(Exception):
    pass


def h32(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def kdf(key, number, context, size=32):
    return hashlib.blake2b(
        b"", key=key, salt=struct.pack("<QQ", number, 0), person=context + bytes(8), digest_size=size
    ).digest()


def dh(secret, public):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def public_of(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def check(public, label, body, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, label + h32(body))
    except InvalidSignature:
        raise NotOpened("signature") from None


def unseal(key, counter, data, associated):
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(4) + counter.to_bytes(8, "little"), data, associated)
    except InvalidTag:
        raise NotOpened("tag") from None


def unpad(plain):
    end = plain.rindex(b"\x80")
    if plain[end + 1 :].strip(b"\0"):
        raise NotOpened("padding")
    size = int.from_bytes(plain[1:3], "big")
    return plain[0], plain[3 : 3 + size], plain[3 + size : end]


def long_header(wire):
    """Its length, source and destination."""
    position = 36
    names = []
    for _ in range(2):
        size = wire[position]
        names.append(wire[position + 1 : position + 1 + size].decode())
        position += 1 + size
    return position, *names


def certificate(data):
    """(kind, name, ed25519, x25519, body, signature) and the rest."""
    kind, size = data[1], data[34]
    name = data[35 : 35 + size].decode()
    end = 35 + size + (64 if kind == 2 else 32)
    keys = data[35 + size : end]
    return (kind, name, keys[:32], keys[32:], data[:end], data[end : end + 64]), data[end + 64 :]


class Noise:
    """IK and IKpsk1, written down token by token."""

    def __init__(self, suite, kem_ciphertext, responder_public):
        name = (b"Noise_IK_25519_ChaChaPoly_BLAKE2b", b"Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b")[suite - 1]
        self.h = self.ck = name + bytes(64 - len(name))
        self.mix(b"AGPE2E/1" + bytes([suite]) + h32(kem_ciphertext))
        self.mix(responder_public)

    def mix(self, data):
        self.h = hashlib.blake2b(self.h + data).digest()

    def expand(self, material, count):
        prk = hmac.new(self.ck, material, hashlib.blake2b).digest()
        out, block = [], b""
        for number in range(count):
            block = hmac.new(prk, block + bytes([number + 1]), hashlib.blake2b).digest()
            out.append(block)
        return out

    def key(self, material):
        self.ck, key = self.expand(material, 2)
        self.k = key[:32]

    def open(self, data):
        plain = unseal(self.k, 0, data, self.h)
        self.mix(data)
        return plain


def open_first(wire, prekey_secret, kem_seed, root):
    """What a holder of the prekey reads: header names, plaintext, and the state for the answer."""
    start, source, destination = long_header(wire)
    suite, flags = wire[1], wire[3]
    rest = wire[start + 8 :]
    kem, rest = (rest[:1088], rest[1088:]) if suite == 2 else (b"", rest)
    noise = Noise(suite, kem, public_of(prekey_secret))
    e = rest[:32]
    noise.mix(e)
    if suite == 2:
        noise.key(e)
    noise.key(dh(prekey_secret, e))
    s = noise.open(rest[32:80])
    noise.key(dh(prekey_secret, s))
    if suite == 2:
        shared = MLKEM768PrivateKey.from_seed_bytes(kem_seed).decapsulate(kem)
        noise.ck, mixed, key = noise.expand(kdf(shared, 1, b"agpkem01"), 3)
        noise.mix(mixed)
        noise.k = key[:32]
    middle = noise.h
    payload = noise.open(rest[80:])
    signing, exchange, plain = payload_of(payload, wire[:start], middle, b"agpd-msg1-v1", root, source, flags)
    if exchange is not None and exchange != s:
        raise NotOpened("static key")
    return source, destination, unpad(plain), (noise, e, s, suite, signing)


def payload_of(payload, header, middle, label, root, source, flags=0):
    if payload[:32] != h32(header):
        raise NotOpened("header")
    if flags & 1:
        signing, exchange, after = None, None, payload[64:]
    else:
        above, after = certificate(payload[32:])
        below, after = certificate(after)
        check(root, b"agpd-cert-v1", above[4], above[5])
        check(above[2], b"agpd-cert-v1", below[4], below[5])
        if below[1] != source or below[1].rsplit("/", 1)[0] != above[1]:
            raise NotOpened("name")
        signing, exchange = below[2], below[3]
    signed = payload[: len(payload) - len(after) + 40]
    signature, plain = after[40:104], after[104:]
    if signing is not None:
        check(signing, label, middle + signed + plain, signature)
    return signing, exchange, plain


def answer_state(state, wire, ephemeral_secret):
    """As the responder, who knows its own ephemeral secret: the plaintext of the answer and the session's keys."""
    noise, e, s, _, _ = state
    return _finish(noise, wire, dh(ephemeral_secret, e), dh(ephemeral_secret, s))


def open_answer(initiator, wire, root):
    """As the initiator: `initiator` has the Noise state after FIRST, both of its secrets."""
    noise, ephemeral_secret, static_secret = initiator
    e = wire[long_header(wire)[0] :][:32]
    return _finish(noise, wire, dh(ephemeral_secret, e), dh(static_secret, e), root)


def _finish(noise, wire, ee, se, root=None):
    start, source, _ = long_header(wire)
    e = wire[start : start + 32]
    noise.mix(e)
    if wire[1] == 2:
        noise.key(e)
    noise.key(ee)
    noise.key(se)
    middle = noise.h
    payload = noise.open(wire[start + 32 :])
    plain = payload_of(payload, wire[:start], middle, b"agpd-msg2-v1", root, source)[2] if root else b""
    i2r, r2i = noise.expand(b"", 2)
    return (unpad(plain) if plain else None), (i2r[:32], r2i[:32], kdf(h32(noise.h), 1, b"agpsid01", 16))


def open_data(wire, key):
    """`key` is that of Split, of this direction."""
    counter = int.from_bytes(wire[36:44], "big")
    return unpad(unseal(kdf(key, 1, b"agpdata1"), counter, wire[44:], wire[:44]))


def read_distribution(raw, signing=None):
    """(topic, key id, epoch, iteration, chain, public)."""
    size = raw[1]
    topic = raw[2 : 2 + size].decode()
    key_id, epoch, iteration = struct.unpack_from(">QII", raw, 2 + size)
    chain, public = raw[18 + size : 50 + size], raw[50 + size : 82 + size]
    if signing is not None:
        check(signing, b"agpd-skdm-v1", raw[:-64], raw[-64:])
    return topic, key_id, epoch, iteration, chain, public


def open_topic(wire, chain, iteration, public):
    number = int.from_bytes(wire[40:44], "big")
    check(public, b"agpd-snd-v1", wire[:-64], wire[-64:])
    if number < iteration:
        raise NotOpened("before")
    for _ in range(number - iteration):
        chain = kdf(chain, 2, b"agpsndr1")
    return unpad(unseal(kdf(chain, 1, b"agpsndr1"), 0, wire[44:-64], wire[:44]))


class Stream:
    """secretstream, from its description: HChaCha20, ChaCha20 in counter mode, Poly1305."""

    def __init__(self, key, header):
        self.key = hchacha20(key, header[:16])
        self.nonce = (1).to_bytes(4, "little") + header[16:]

    def stream(self, counter, data):
        nonce = counter.to_bytes(4, "little") + self.nonce
        return Cipher(algorithms.ChaCha20(self.key, nonce), None).encryptor().update(data)

    def pull(self, sealed, associated):
        tag, body, mac = sealed[:1], sealed[1:-16], sealed[-16:]
        poly = Poly1305(self.stream(0, bytes(64))[:32])
        block = self.stream(1, tag + bytes(63))
        poly.update(associated + bytes(-len(associated) % 16))
        poly.update(tag + block[1:] + body + bytes((len(body) - 16 + 64) % 16))
        poly.update(struct.pack("<QQ", len(associated), 64 + len(body)))
        if poly.finalize() != mac:
            raise NotOpened("tag of a chunk")
        plain = self.stream(2, body)
        number = int.from_bytes(self.nonce[:4], "little")
        inner = bytes(one ^ other for one, other in zip(self.nonce[4:], mac[:8], strict=True))
        number = (number + 1) & 0xFFFFFFFF
        self.nonce = number.to_bytes(4, "little") + inner
        if block[0] & 2 or number == 0:
            fresh = self.stream(0, self.key + self.nonce[4:])
            self.key, self.nonce = fresh[:32], (1).to_bytes(4, "little") + fresh[32:]
        return plain, block[0]


def hchacha20(key, nonce):
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for one, two, three, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[one] = (state[one] + state[two]) & 0xFFFFFFFF
            mixed = state[three] ^ state[one]
            state[three] = (mixed << turn | mixed >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            quarter(diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    return struct.pack("<8I", *state[:4], *state[12:])


def open_chunks(wires, split_key):
    """The chunks of a stream and the tag of the last."""
    number = int.from_bytes(wires[0][36:44], "big")
    key = kdf(kdf(split_key, 2, b"agpdata1"), number, b"agpstrm1")
    stream = Stream(key, wires[0][52:76])
    chunks, tag = [], None
    for position, wire in enumerate(wires):
        plain, tag = stream.pull(wire[52 + (24 if position == 0 else 0) :], wire[:52])
        chunks.append(plain)
    return chunks, tag
