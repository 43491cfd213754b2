"""What a thief of an agent's memory can read, and what not: exactly what docs/security.md says.

At a time t all state of an agent is dumped: every run of bytes of 32 or 64 that its objects hold. The second decoder
then tries every one of them, and what follows from them, on everything that ever crossed the gateway.
"""

import gc

import pytest
import second_decoder as second
from crypto_world import World

from agpd.crypto import aead, prekeys
from agpd.crypto.aead import NaclCipher
from agpd.crypto.headers import NO_REPLY, Kind, Purpose
from agpd.crypto.streams import StreamReceiver, StreamSender

A, B, TYPE, TOPIC = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b", "acme/prod/b"


def dump(*roots):
    """Every secret-sized bytes reachable; functions, modules and classes are the program, not the state."""
    found, seen, queue = set(), set(), list(roots)
    while queue:
        each = queue.pop()
        if id(each) in seen or isinstance(each, type) or (callable(each) and not hasattr(each, "__slots__")):
            continue
        seen.add(id(each))
        if isinstance(each, bytes):
            if len(each) in (32, 64):
                found.add(each)
            continue
        queue.extend(gc.get_referents(each))
    return found


def follow(secrets):
    """And what keys follow from those: chains forward, streams and messages."""
    out = {each for each in secrets if len(each) == 32}
    return out | {each[:32] for each in secrets}


class Thief:
    """Tries what it has on what it has recorded."""

    def __init__(self, secrets):
        self.keys = follow(secrets)
        self.seeds = [each for each in secrets if len(each) == 64]

    def reads(self, wire):
        kind = wire[2]
        if kind == Kind.FIRST:
            return self.first(wire) is not None
        if kind == Kind.DATA:
            counter = int.from_bytes(wire[36:44], "big")
            return any(self.tries(key, counter, wire[44:], wire[:44]) for key in self.keys)
        if kind == Kind.TOPIC:
            return self.topic(wire)
        return False

    def first(self, wire):
        for key in self.keys:
            for seed in self.seeds if wire[1] == 2 else [b""]:
                try:
                    return unsigned_first(wire, key, seed)
                except Exception:
                    continue
        return None

    def topic(self, wire):
        for key in self.keys:
            for _ in range(12):
                for message_key in (key, second.kdf(key, 1, b"agpsndr1")):
                    if self.tries(message_key, 0, wire[44:-64], wire[:44]):
                        return True
                key = second.kdf(key, 2, b"agpsndr1")
        return False

    def learn(self, wires):
        """Sender keys that first messages bring."""
        for wire in wires:
            plain = self.first(wire) if wire[2] == Kind.FIRST else None
            if plain is not None and plain[0] == Purpose.SENDER_KEY:
                self.keys.add(second.read_distribution(plain[2])[4])

    @staticmethod
    def tries(key, counter, data, associated):
        try:
            second.unseal(key, counter, data, associated)
        except second.NotOpened:
            return False
        return True


def unsigned_first(wire, key, seed):
    """As a holder of the prekey, whatever the signature and chain."""
    taken = {}
    payload_of = second.payload_of
    second.payload_of = lambda payload, *_: taken.update(payload=payload) or (None, None, b"\0\0\0\x80")
    try:
        second.open_first(wire, key, seed, None)
    finally:
        second.payload_of = payload_of
    return plain_of(taken["payload"], wire[3])


def plain_of(payload, flags):
    after = payload[64:] if flags & 1 else second.certificate(second.certificate(payload[32:])[1])[1]
    return second.unpad(after[104:])


class Record:
    """A world whose agents hold their keys as Python bytes, and all that crossed, by name."""

    def __init__(self, suite):
        self.world = World("compromise", suite)
        self.a, self.b = self.world.agent(A), self.world.agent(B)
        self.sent = {}
        self.world.refresh()

    def note(self, name, wire, opener=None):
        self.sent[name] = wire
        if opener is not None:
            self.world.open(opener, wire, source=A, destination=TOPIC)

    def talk(self, name):
        """A handshake, and a message each way, opened."""
        world = self.world
        world.connect(self.a, self.b)
        self.note(f"{name} to b", world.seal(self.a, self.b, b"x"), self.b)
        self.note(f"{name} to a", world.seal(self.b, self.a, b"x"), self.a)

    def rotate(self):
        """An hour's work of the key daemon, and of everybody's clock."""
        issuer = self.world.issuers["acme"]
        issuer.rotate_due(self.world.now_s)
        self.world.publish()
        for each in (self.a, self.b):
            each.expire(self.world.now_ms)


@pytest.fixture(params=[prekeys.CLASSICAL, prekeys.HYBRID])
def record(request, monkeypatch):
    monkeypatch.setattr(aead, "_make", NaclCipher)
    return Record(request.param)


def readable(record, thief):
    thief.learn(record.sent.values())
    return {name for name, wire in record.sent.items() if thief.reads(wire)}


def steal(agent):
    return Thief(
        dump(agent.sessions, agent.readers, agent.ring, agent._publishers, agent._contacts, agent.identity)
    )


def test_sessions(record):
    """The one that stands, both ways, and what was received in the ten minutes before; nothing older, nothing later."""
    world = record.world
    record.talk("t-1000")
    world.now_s += 500
    record.talk("t-500")
    world.now_s += 370
    record.talk("t-130")
    world.now_s += 130
    record.talk("t")
    for each in (record.a, record.b):
        each.expire(world.now_ms)
    thief = steal(record.b)
    world.now_s += 120
    record.talk("t+120")
    # Of older sessions b holds the keys for receiving alone.
    assert readable(record, thief) == {"t-500 to b", "t-130 to b", "t to b", "t to a"}


def test_what_was_sent_before_is_closed_even_within_ten_minutes(record):
    record.talk("older")
    record.world.now_s += 11
    record.talk("newer")
    assert readable(record, steal(record.a)) == {"older to a", "newer to a", "newer to b"}


def test_type_prekeys(record):
    """First messages of two hours, to any instance; none older, and none sealed after the next rotations."""
    world = record.world
    for name in ("3 h ago", "2 h ago", "1 h ago", "now"):
        record.note(name, world.first(record.a, TYPE, b"x", flags=NO_REPLY))
        if name != "now":
            world.now_s += 3600
            record.rotate()
    thief = steal(record.b)
    world.now_s += 3600
    record.rotate()
    record.note("1 h later", world.first(record.a, TYPE, b"x", flags=NO_REPLY))
    assert readable(record, thief) == {"1 h ago", "now"}


def test_an_identity_opens_nothing_recorded(record):
    world = record.world
    record.talk("session")
    record.note("first", world.first(record.a, TYPE, b"x", flags=NO_REPLY))
    assert readable(record, Thief(dump(record.b.identity))) == set()
    assert readable(record, Thief(dump(record.a.identity))) == set()


def publish(record, name, opener=None):
    publisher = record.a.publisher(TOPIC, record.world.now_ms)
    wire = publisher.seal(b"x", id=record.world.next_id(), now_ms=record.world.now_ms)
    record.note(name, wire, opener)


def distribute(record):
    record.a.publisher(TOPIC, record.world.now_ms)
    for _, wire in record.a.distribute(TOPIC, [record.world.next_id()], now_ms=record.world.now_ms):
        record.world.open(record.b, wire)


def test_sender_keys(record):
    """At the publisher, and at a reader that has skipped one: from now to the rotation, and what was skipped."""
    distribute(record)
    publish(record, "before", record.b)
    publish(record, "skipped")
    publish(record, "opened", record.b)
    at_reader = Thief(dump(record.b.readers))
    at_publisher = Thief(dump(record.a._publishers))
    publish(record, "after")
    record.a.publisher(TOPIC, record.world.now_ms).rotate(record.world.now_ms)
    publish(record, "rotated")
    assert readable(record, at_reader) == {"skipped", "after"}
    assert readable(record, at_publisher) == {"after"}


def test_the_prekey_that_sealed_a_sender_key_opens_the_topic_from_there(record):
    record.a.publisher(TOPIC, record.world.now_ms)
    publish(record, "before")
    for _, wire in record.a.distribute(TOPIC, [record.world.next_id()], now_ms=record.world.now_ms):
        record.note("sender key", wire)
    publish(record, "after")
    assert readable(record, Thief(dump(record.b.ring))) == {"sender key", "after"}


def test_streams():
    """From the last change of its key on, once the session that began it is gone."""
    record = Record(prekeys.CLASSICAL)
    world = record.world
    world.connect(record.a, record.b)
    session = record.a.sessions.current(B, world.now_ms)
    receiver = StreamReceiver(record.b.sessions.current(A, world.now_ms), 1)
    sender = StreamSender(session, 1, world.now_ms)
    receiver.open(sender.seal(b"x", id=1, now_ms=world.now_ms))
    world.now_s += 600
    for each in (record.a, record.b):
        each.expire(world.now_ms)
    assert len(record.a.sessions) == len(record.b.sessions) == 0
    assert not sender_key_left(sender)
    assert not receiver._key


def sender_key_left(sender):
    """Beside libsodium's state, which moves on, the stream keeps nothing."""
    return dump(
        *(getattr(sender, name) for name in StreamSender.__slots__ if name not in ("_state", "header"))
    )


def test_control_a_thief_with_all_keys_from_the_beginning_reads_all(record):
    thief = steal(record.b)
    record.note("first", record.world.first(record.a, TYPE, b"x", flags=NO_REPLY))
    assert readable(record, thief) == {"first"}
