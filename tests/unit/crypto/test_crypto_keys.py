"""agpd/crypto/keys.py: pairs that keep their secrets."""

import copy
import gc
import pickle

import pytest
from crypto_world import World

from agpd.crypto import enrolment, prekeys, sender_keys
from agpd.crypto.aead import NaclCipher
from agpd.crypto.handshake import Identity
from agpd.crypto.keys import ExchangeKey, KemKey, Secret, SigningKey
from agpd.crypto.streams import StreamReceiver, StreamSender


def holders():
    """One of everything that holds a key, and the secrets."""
    world = World(suite=prekeys.HYBRID)
    one, other = world.agent("acme/prod/a/1"), world.agent("acme/prod/b/2")
    world.refresh()
    first = world.first(one, "acme/prod/b", b"hello")
    opened = world.open(other, first)
    contact = opened.contact
    world.open(one, world.answer(other, opened))
    session = one.sessions.current(other.name, world.now_ms)
    publisher = one.publisher("acme/prod/b", world.now_ms)
    prekey = other.ring.newest(prekeys.TYPE)
    seeds = [bytes([number]) * size for number, size in ((1, 32), (2, 32), (3, 64))]
    made = [SigningKey(seeds[0]), ExchangeKey(seeds[1]), KemKey(seeds[2])]
    distribution = sender_keys.parse(publisher.distribution())
    request = enrolment.parse_request(enrolment.ask_with_ticket(seeds[0]))
    return [
        *made,
        Identity("acme/prod/a/1", *made[:2]),
        NaclCipher(seeds[0]),
        world.issuers["acme"],
        one,
        one.ring,
        one.sessions,
        other.readers,
        session,
        contact,
        contact._received,
        publisher,
        prekey,
        StreamSender(session, 1, world.now_ms),
        StreamReceiver(session, 1),
        distribution,
        request,
    ], [*seeds, prekey.exchange.secret(), prekey.kem.seed(), publisher._chain, distribution.chain]


def test_secrets_do_not_print():
    things, secrets = holders()
    for thing in things:
        for text in (repr(thing), str(thing), f"{thing}", f"{thing!r}"):
            for secret in secrets:
                assert secret.hex()[:16] not in text
                assert repr(secret)[2:20] not in text
                assert str(list(secret[:4]))[1:-1] not in text


def test_every_class_that_holds_keys_is_tried_above():
    things, _ = holders()
    tried = {type(thing) for thing in things}
    hidden = {"_Type", "_Epoch", "Handshake", "Contacts", "Secret"}  # within those
    gc.collect()
    known = {cls.__name__ for cls in tried}
    for cls in Secret.__subclasses__():
        assert cls.__name__ in known | hidden, cls


def test_they_are_neither_copied_nor_pickled():
    things, _ = holders()
    for thing in things:
        if isinstance(thing, Secret):
            for act in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="holds keys"):
                    act(thing)


def test_pairs_work():
    assert SigningKey(bytes(32)).seed() == bytes(32)
    one, other = ExchangeKey(b"\1" * 32), ExchangeKey(b"\2" * 32)
    assert one.exchange(other.public) == other.exchange(one.public)
    assert KemKey(bytes(64)).seed() == bytes(64)


def test_generated_ones_come_from_the_chance_given():
    assert SigningKey.generate(bytes).public == SigningKey(bytes(32)).public
    assert ExchangeKey.generate(bytes).public == ExchangeKey(bytes(32)).public
    assert KemKey.generate(bytes).public == KemKey(bytes(64)).public
