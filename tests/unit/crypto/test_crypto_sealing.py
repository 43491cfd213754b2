"""agpd/crypto/sealing.py: an agent's end as a whole."""

import os
import pickle

import pytest
from crypto_world import World

from agpd.crypto import prekeys
from agpd.crypto.errors import Cause, CryptoError, DecryptionFailed, SessionEnded, UnknownKey, UntrustedKey
from agpd.crypto.handshake import Identity
from agpd.crypto.headers import Padding, Purpose
from agpd.crypto.streams import StreamSender

A, B, C, R = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b/3", "acme/prod/r/4"
TOPIC = "acme/prod/news"


@pytest.fixture
def world():
    made = World()
    made.a, made.b, made.c, made.r = (made.agent(name) for name in (A, B, C, R))
    made.issuers["acme"].grant(TOPIC, "acme/prod/b")
    made.publish()
    return made


def distribute(world, topic=TOPIC):
    world.a.publisher(topic, world.now_ms)
    count = len(world.a.trust.readers_of(topic))
    return world.a.distribute(topic, [world.next_id() for _ in range(count)], now_ms=world.now_ms)


def publish(world, data, topic=TOPIC):
    return world.a.publisher(topic, world.now_ms).seal(data, id=world.next_id(), now_ms=world.now_ms)


def read(world, reader, wire, topic=TOPIC):
    return world.open(reader, wire, source=A, destination=topic)


def test_names(world):
    assert (world.a.name, world.a.type_name) == (A, "acme/prod/a")


def test_without_a_session_a_first_message_is_needed(world):
    with pytest.raises(UnknownKey):
        world.seal(world.a, world.b, b"")
    world.connect(world.a, world.b)
    assert world.open(world.b, world.seal(world.a, world.b, b"data")).data == b"data"


def test_what_is_for_another_session_or_agent_does_not_open(world):
    world.connect(world.a, world.b)
    world.connect(world.a, world.c)
    wire = world.seal(world.a, world.b, b"for b")
    with pytest.raises(UnknownKey):
        world.open(world.c, wire)
    spliced = wire[:28] + world.seal(world.a, world.c, b"")[28:36] + wire[36:]
    with pytest.raises(DecryptionFailed):
        world.open(world.c, spliced)


def test_rekey_gives_new_keys_and_the_old_ones_open_for_a_while(world):
    world.connect(world.a, world.b)
    late = world.seal(world.a, world.b, b"late")
    old = world.a.sessions.current(B, world.now_ms)
    world.now_s += 120
    assert world.a.wants_rekey(B, world.now_ms)
    assert not world.b.wants_rekey(A, world.now_ms)
    world.connect(world.a, world.b)
    assert not world.a.wants_rekey(B, world.now_ms)
    assert world.a.sessions.current(B, world.now_ms) is not old
    assert world.open(world.b, late).data == b"late"
    world.now_s += 500
    for each in (world.a, world.b):
        each.expire(world.now_ms)
        assert len(each.sessions) == 1


def test_broadcast_to_a_type_is_opened_by_all_its_instances(world):
    for _, wire in distribute(world, "acme/prod/b"):
        for each in (world.b, world.c):
            opened = world.open(each, wire)
            assert (opened.purpose, opened.contact) == (Purpose.SENDER_KEY, None)
    wire = publish(world, b"all", "acme/prod/b")
    for each in (world.b, world.c):
        assert read(world, each, wire, "acme/prod/b").data == b"all"


def test_a_topic_is_opened_by_the_types_that_may_read_it(world):
    sealed = distribute(world)
    assert [reader for reader, _ in sealed] == ["acme/prod/b"]
    world.open(world.b, sealed[0][1])
    wire = publish(world, b"news")
    assert read(world, world.b, wire).data == b"news"
    with pytest.raises(UnknownKey):
        read(world, world.r, wire)


def test_who_may_not_read_gets_no_key_however_the_gateway_lists_it(world):
    """A ghost subscriber: attack 15."""
    world.connect(world.a, world.r)
    world.connect(world.a, world.b)
    with pytest.raises(UntrustedKey) as refused:
        world.a.distribute_to(TOPIC, R, id=1, now_ms=world.now_ms)
    assert refused.value.cause is Cause.NOT_GRANTED
    world.open(world.b, world.a.distribute_to(TOPIC, B, id=2, now_ms=world.now_ms))
    assert read(world, world.b, publish(world, b"news")).data == b"news"


def test_a_late_joiner_does_not_read_the_past(world):
    first = distribute(world)[0][1]
    past = publish(world, b"past")
    world.issuers["acme"].rotate("acme/prod/b", world.now_s)
    world.publish()
    late = world.agent("acme/prod/b/9")
    for wire in (first, past):
        with pytest.raises(CryptoError):
            world.open(late, wire, source=A, destination=TOPIC)
    world.open(late, distribute(world)[0][1])
    with pytest.raises(UnknownKey):
        read(world, late, past)
    assert read(world, late, publish(world, b"present")).data == b"present"


def test_who_was_removed_does_not_read_on(world):
    for _, wire in distribute(world):
        world.open(world.b, wire)
        world.open(world.c, wire)
    world.agents.remove(world.c)
    world.issuers["acme"].revoke(world.c.identity.chain, world.now_s)
    world.publish()
    world.a.publisher(TOPIC, world.now_ms).rotate(world.now_ms)
    sealed = distribute(world)[0][1]
    wire = publish(world, b"without c")
    world.open(world.b, sealed)
    assert read(world, world.b, wire).data == b"without c"
    with pytest.raises(UnknownKey):
        world.open(world.c, sealed)
    with pytest.raises(UnknownKey):
        read(world, world.c, wire)


def test_a_revoked_peer_loses_its_sessions_and_sender_keys(world):
    world.connect(world.b, world.a)
    for _, wire in distribute(world):
        world.open(world.b, wire)
    news, data = publish(world, b"news"), world.seal(world.a, world.b, b"data")
    world.issuers["acme"].revoke(world.a.identity.chain, world.now_s)
    world.agents.remove(world.a)
    world.publish()
    for wire in (news, data):
        with pytest.raises(UnknownKey):
            read(world, world.b, wire)
    with pytest.raises(UnknownKey):
        world.seal(world.b, world.a, b"")


def test_after_a_renewal_distributions_are_signed_with_the_new_key(world):
    world.a.publisher(TOPIC, world.now_ms)
    renewed = Identity.generate(A, world.chance)
    issuer = world.issuers["acme"]
    renewed.chain = issuer.vouch(A, renewed.signing.public, renewed.exchange.public, world.now_s)
    world.a.certify(renewed)
    world.open(world.b, distribute(world)[0][1])
    assert read(world, world.b, publish(world, b"news")).data == b"news"


def test_forgetting_a_peer_begins_anew(world):
    world.connect(world.a, world.b)
    world.a.forget_peer(B)
    with pytest.raises(UnknownKey):
        world.seal(world.a, world.b, b"")


def test_a_chunk_is_for_streams(world):
    world.connect(world.a, world.b)
    session = world.a.sessions.current(B, world.now_ms)
    chunk = StreamSender(session, 1, world.now_ms).seal(b"", id=1, now_ms=world.now_ms)
    with pytest.raises(DecryptionFailed):
        world.open(world.b, chunk)


@pytest.mark.parametrize("wire", [b"", b"\1", bytes(100), b"\1\1\x09" + bytes(60)])
def test_what_is_no_message_does_not_open(world, wire):
    with pytest.raises(DecryptionFailed):
        world.open(world.b, wire)


def test_padding_is_the_senders_choice(world):
    a = world.agent("acme/prod/a/5", padding=Padding.PADME)
    world.connect(a, world.b)
    assert world.open(world.b, world.seal(a, world.b, b"x" * 1000)).data == b"x" * 1000


def test_after_dropping_nothing_goes(world):
    world.connect(world.a, world.b)
    wire = world.seal(world.a, world.b, b"")
    topic = publish(world, b"")
    bundle = world.a.trust.type_prekey("acme/prod/b", prekeys.TYPE, world.now_s)
    for each in (world.a, world.b):
        each.drop()
    for act in (
        lambda: world.seal(world.a, world.b, b""),
        lambda: world.a.first(B, bundle, b"", id=1, now_ms=world.now_ms),
        lambda: world.a.publisher(TOPIC, world.now_ms),
        lambda: world.open(world.b, topic),
    ):
        with pytest.raises(SessionEnded) as ended:
            act()
        assert ended.value.cause is Cause.FORKED_PROCESS
    with pytest.raises(UnknownKey):
        world.open(world.b, wire)


def test_in_a_forked_child_there_is_no_key(world):
    world.connect(world.a, world.b)
    publisher = world.a.publisher(TOPIC, world.now_ms)
    stream = StreamSender(world.a.sessions.current(B, world.now_ms), 1, world.now_ms)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        result = []
        for act in (
            lambda: world.seal(world.a, world.b, b""),
            lambda: publisher.seal(b"", id=1, now_ms=world.now_ms),
            lambda: stream.seal(b"", id=1, now_ms=world.now_ms),
        ):
            try:
                act()
                result.append("sealed")
            except CryptoError as error:
                result.append(type(error).__name__)
        result.append(len(world.a.ring) + len(world.a.sessions))
        os.write(write_end, pickle.dumps(result))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pickle.loads(pipe.read()) == ["SessionEnded", "SessionEnded", "StreamTruncated", 0]
    os.waitpid(child, 0)
    world.seal(world.a, world.b, b"")  # the parent goes on
    publisher.seal(b"", id=1, now_ms=world.now_ms)
