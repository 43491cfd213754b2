"""Every bit of every message is flipped: nothing of it is taken, and the true one still opens."""

import os

import pytest
from crypto_world import World

from agpd.crypto.errors import Cause, CryptoError
from agpd.crypto.headers import CHAIN_HASHED, CLAIM, ENROL, NO_REPLY, Purpose
from agpd.crypto.prekeys import CLASSICAL, HYBRID
from agpd.crypto.streams import StreamReceiver, StreamSender

A, B, TYPE = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b"
# Each flip in a handshake costs both sides' work: every bit with AGPD_FLIP_EVERY=1 (`make flips`), else each 11th.
EVERY = int(os.environ.get("AGPD_FLIP_EVERY", "11"))


def messages(world):
    """(name, a message, what opens it)."""
    a, b = world.agent(A), world.agent(B)
    world.refresh()

    def opener(agent):
        return lambda wire: world.open(agent, wire, source=A, destination=TYPE).data

    yield "first", world.first(a, TYPE, b"data", expires_ms=world.now_ms), opener(b)
    yield "no reply", world.first(a, TYPE, b"data", flags=NO_REPLY), opener(b)
    yield "claim", world.first(a, TYPE, b"data", flags=CLAIM), opener(b)
    opened = world.open(b, world.first(a, TYPE, b""))
    yield "answer", world.answer(b, opened, b"data"), opener(a)
    world.connect(a, b)
    hashed = world.first(a, B, b"data")
    assert hashed[3] == CHAIN_HASHED
    yield "first, chain hashed", hashed, opener(b)
    yield "data", world.seal(a, b, b"data"), opener(b)
    publisher = a.publisher(TYPE, world.now_ms)
    key = a.distribute(TYPE, [world.next_id()], now_ms=world.now_ms)[0][1]
    yield "sender key", key, opener(b)
    yield "topic", publisher.seal(b"data", id=1, now_ms=world.now_ms), opener(b)
    sender = StreamSender(a.sessions.current(B, world.now_ms), 1, world.now_ms)
    receiver = StreamReceiver(b.sessions.current(A, world.now_ms), 1)
    yield "chunk", sender.seal(b"data", id=1, now_ms=world.now_ms), receiver.open
    yield "last chunk", sender.seal(b"data", id=1, now_ms=world.now_ms, is_last=True), receiver.open
    keyd, newcomer = world.keyd(), world.newcomer("acme/prod/a/9")
    newest = world.issuers["acme"].publish(world.now_s)
    for each in (keyd, newcomer):
        each.trust.install(newest, world.now_s)
    enrolling = world.enrol(newcomer, keyd, b"t" * 32)
    assert enrolling[3] == ENROL
    yield "enrolment", enrolling, opener(keyd)


@pytest.mark.parametrize("suite", [CLASSICAL, HYBRID])
def test_no_flipped_bit_is_taken(suite):
    flips, causes = 0, set()
    for name, wire, open_ in messages(World(suite=suite)):
        every = 1 if len(wire) < 400 else EVERY
        for bit in range(0, len(wire) * 8, every):
            broken = bytearray(wire)
            broken[bit // 8] ^= 1 << bit % 8
            try:
                open_(bytes(broken))
            except CryptoError as error:
                causes.add(error.cause)
            else:
                raise AssertionError(f"{name}: bit {bit} of {len(wire) * 8} does not count")
            flips += 1
        assert isinstance(open_(wire), bytes), name
    assert flips > 3000
    assert Cause.MALFORMED not in causes  # what is sealed has one verdict


def test_control_an_untouched_message_of_each_kind_opens():
    assert len([open_(wire) for _, wire, open_ in messages(World())]) == 11
    assert Purpose.APPLICATION == 0
