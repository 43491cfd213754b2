"""agpd/crypto/noise.py: the messages of other implementations, byte for byte."""

import json
import os
import struct
from pathlib import Path

import pytest
from crypto_vectors import load

from agpd.crypto import aead, noise
from agpd.crypto.errors import DecryptionFailed
from agpd.crypto.keys import ExchangeKey
from agpd.crypto.noise import Handshake

NONCE = struct.Struct("<4xQ").pack
CACOPHONY = os.environ.get("AGPD_CACOPHONY")


def pair(name, prologue=b"", i=b"\1" * 32, r=b"\2" * 32, ie=b"\3" * 32, re=b"\4" * 32, psk=b"\5" * 32):
    psk = psk if name == noise.IKPSK1 else b""
    responder = ExchangeKey(r)
    return (
        Handshake(
            name,
            prologue,
            ExchangeKey(i),
            ephemeral=ExchangeKey(ie),
            responder_static=responder.public,
            psk=psk,
        ),
        Handshake(name, prologue, responder, ephemeral=ExchangeKey(re), psk=psk),
    )


def pass_on(writer, reader, payload):
    message = writer.write_tokens()
    middle = writer.hash
    message += writer.write_payload(payload)
    start = reader.read_tokens(message)
    assert reader.hash == middle  # what is signed
    assert reader.read_payload(message[start:]) == payload
    return message


def read(reader, message):
    start = reader.read_tokens(message)
    return reader.read_payload(message[start:])


def play(name, ends, payloads):
    """All messages: two of the handshake, then turn by turn."""
    one, other = ends
    messages = [pass_on(one, other, payloads[0]), pass_on(other, one, payloads[1])]
    assert other.remote_static == one._static.public
    assert one.hash == other.hash
    keys = one.split()
    assert other.split() == keys
    for number, payload in enumerate(payloads[2:]):
        messages.append(aead.make(keys[number % 2]).encrypt(NONCE(number // 2), payload, b""))
    return messages


def test_the_handshakes_of_noiseprotocol():
    for test in load("noise"):
        fields = {part: bytes.fromhex(test[part]) for part in ("prologue", "i", "r", "ie", "re", "psk")}
        name = test["name"].encode()
        ends = pair(name, **fields)
        messages = play(name, ends, [bytes.fromhex(each) for each in test["payloads"]])
        assert [each.hex() for each in messages] == test["messages"]
        assert ends[0].hash.hex() == test["hash"]


@pytest.mark.skipif(CACOPHONY is None, reason="AGPD_CACOPHONY names no file; see tests/vectors/README.md")
def test_the_handshakes_of_cacophony():
    run = 0
    for test in json.loads(Path(CACOPHONY).read_text())["vectors"]:
        name = test["protocol_name"].encode()
        if name in (noise.IK, noise.IKPSK1):
            fields = {
                "prologue": test["init_prologue"],
                "i": test["init_static"],
                "r": test["resp_static"],
                "ie": test["init_ephemeral"],
                "re": test["resp_ephemeral"],
                "psk": test.get("init_psks", [""])[0],
            }
            ends = pair(name, **{part: bytes.fromhex(each) for part, each in fields.items()})
            messages = play(name, ends, [bytes.fromhex(each["payload"]) for each in test["messages"]])
            assert [each.hex() for each in messages] == [each["ciphertext"] for each in test["messages"]]
            assert ends[0].hash.hex() == test["handshake_hash"]
            run += 1
    assert run == 2


@pytest.mark.parametrize("name", [noise.IK, noise.IKPSK1])
@pytest.mark.parametrize("part", ["prologue", "r", "psk"])
def test_who_differs_in_anything_does_not_open(name, part):
    one, _ = pair(name)
    _, other = pair(name, **{part: b"\x77" * 32})
    message = one.write_tokens() + one.write_payload(b"hello")
    if part == "psk" and name == noise.IK:
        return
    with pytest.raises(DecryptionFailed):
        read(other, message)


@pytest.mark.parametrize("size", [0, 31, 32, 79, 80, 95])
def test_a_message_that_is_cut_does_not_open(size):
    one, other = pair(noise.IK)
    message = (one.write_tokens() + one.write_payload(b""))[:size]
    with pytest.raises(DecryptionFailed):
        read(other, message)


def test_a_key_of_small_order_ends_the_handshake():
    _, other = pair(noise.IK)
    with pytest.raises(DecryptionFailed):
        other.read_tokens(bytes(32) + bytes(48))


def test_a_clone_can_be_spoilt():
    one, other = pair(noise.IK)
    pass_on(one, other, b"")
    with pytest.raises(DecryptionFailed):
        one.clone().read_tokens(bytes(32))
    pass_on(other, one, b"yes")
    assert one.split() == other.split()


def test_after_the_end_there_are_no_keys():
    one, other = pair(noise.IK)
    pass_on(one, other, b"")
    pass_on(other, one, b"")
    one.split()
    assert one._chaining == one._key == b""
    with pytest.raises(AttributeError):
        one._ephemeral  # noqa: B018
