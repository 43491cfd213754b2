"""Frozen conversations: a second decoder opens them, and so does agpd. 16 conversations of 17 messages, both suites."""

import pytest
import second_decoder as second
from crypto_vectors import DIRECTORY, load
from crypto_world import World

from agpd.crypto import headers, prekeys
from agpd.crypto.handshake import read_answer, read_first
from agpd.crypto.keys import ExchangeKey
from agpd.crypto.noise import IK, IKPSK1, Handshake
from agpd.crypto.session import Session, derive_keys
from agpd.crypto.trust import Peer

CONVERSATIONS = load("transcripts")
A, B, TYPE = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b"


class Conversation:
    def __init__(self, test):
        self.suite, self.now_ms = test["suite"], test["now_ms"]
        self.secrets = {name: bytes.fromhex(each) for name, each in test["secrets"].items()}
        for name, value in test.items():
            if isinstance(value, str):
                setattr(self, name, bytes.fromhex(value))
            elif isinstance(value, list):
                setattr(self, name, [bytes.fromhex(each) for each in value])

    def open_first(self, wire):
        return second.open_first(wire, self.secrets["prekey"], self.secrets["seed"], self.secrets["root"])


@pytest.fixture(params=range(len(CONVERSATIONS)))
def talk(request):
    return Conversation(CONVERSATIONS[request.param])


def test_there_are_enough_of_both_suites():
    assert [each["suite"] for each in CONVERSATIONS].count(2) == 8
    assert sum(17 for _ in CONVERSATIONS) >= 50
    assert (DIRECTORY / "transcripts.json").exists()


def test_the_second_decoder_opens_every_message(talk):
    source, destination, plain, state = talk.open_first(talk.first)
    assert (source, destination, plain) == (A, TYPE, (0, b"in", talk.body[0]))
    _, (i2r, r2i, ids) = second.answer_state(state, talk.answer, talk.secrets["b_ephemeral"])
    for number, wire in enumerate(talk.there):
        assert wire[28:36] == ids[:8]
        assert second.open_data(wire, i2r) == (0, b"i" * number, talk.body[2])
    for wire in talk.back:
        assert wire[28:36] == ids[8:]
        assert second.open_data(wire, r2i) == (0, b"", talk.body[3])
    assert talk.open_first(talk.one_way)[2] == (0, b"", talk.body[4])
    assert talk.open_first(talk.hashed)[1:3] == (B, (4, b"", talk.body[6]))
    *_, key, distributor = talk.open_first(talk.distributed)
    assert key[0] == 1
    topic, key_id, _, iteration, chain, public = second.read_distribution(key[2], distributor[4])
    assert (topic, iteration) == (TYPE, 1)
    for wire in talk.news:
        assert int.from_bytes(wire[28:36], "big") == key_id
        assert second.open_topic(wire, chain, iteration, public)[2] == talk.body[5]
    with pytest.raises(second.NotOpened):
        second.open_topic(talk.early, chain, iteration, public)
    assert second.open_chunks(talk.chunks, i2r) == ([talk.body[7]] * 3, 3)


def test_the_second_decoder_reads_the_answer_as_the_initiator(talk):
    secrets = talk.secrets
    noise, *_ = talk.open_first(talk.first)[3]
    initiator = (noise, secrets["a_ephemeral"], secrets["a_static"])
    plain, _ = second.open_answer(initiator, talk.answer, secrets["root"])
    assert plain == (0, b"", talk.body[1])


def test_the_second_decoder_refuses_what_was_altered(talk):
    for wire in (talk.first, talk.one_way):
        broken = wire[:-1] + bytes([wire[-1] ^ 1])
        with pytest.raises(second.NotOpened):
            talk.open_first(broken)


def test_agpd_opens_every_message(talk):
    """And gives the same bytes where chance can be handed in: of the session, and of FIRST but for its signature."""
    world = World()
    prekey = prekeys.Prekey(
        prekeys.make(
            world.organization()._types["acme/system/agp-keyd"].key,
            TYPE,
            prekeys.TYPE,
            talk.suite,
            1,
            world.now_s,
            bytes,
        ).bundle,
        ExchangeKey(talk.secrets["prekey"]),
        prekeys.KemKey(talk.secrets["seed"]) if talk.suite == 2 else None,
        0,
    )
    received = [
        read_first(wire, headers.read_long(wire), prekey, ExchangeKey(talk.secrets["b_ephemeral"]))
        for wire in (talk.first, talk.one_way, talk.distributed, talk.hashed)
    ]
    received[0].check_signature(received[0].chain.instance.signing)
    assert headers.unpack_plain(received[0].rest)[2] == talk.body[0]
    assert headers.unpack_plain(received[1].rest)[2] == talk.body[4]

    # The initiator, from its secrets: its tokens again, then the answer.
    name = IKPSK1 if talk.suite == 2 else IK
    kem = talk.first[len(received[0].header.raw) + 8 :][: 1088 if talk.suite == 2 else 0]
    from agpd.crypto.handshake import _prologue, _psk

    state = Handshake(
        name,
        _prologue(talk.suite, kem),
        ExchangeKey(talk.secrets["a_static"]),
        ephemeral=ExchangeKey(talk.secrets["a_ephemeral"]),
        responder_static=second.public_of(talk.secrets["prekey"]),
        psk=_psk(talk.secrets["shared"]),
    )
    start = len(received[0].header.raw) + 8 + len(kem)
    assert state.write_tokens() == talk.first[start : start + 80]
    payload = second.unseal(state._key, 0, talk.first[start + 80 :], state.hash)
    assert state.write_payload(payload) == talk.first[start + 80 :]
    answered = read_answer(talk.answer, headers.read_long(talk.answer), state)
    answered.check_signature(answered.chain.instance.signing)
    assert headers.unpack_plain(answered.rest)[2] == talk.body[1]

    i2r, r2i = state.split()
    session = Session(
        derive_keys(i2r, r2i, state.hash, True),
        Peer(B, answered.chain.instance.signing, answered.chain, talk.now_ms),
        talk.suite,
        A,
        talk.now_ms,
    )
    assert [session.open(wire, talk.now_ms).data for wire in talk.back] == [talk.body[3]] * 3
