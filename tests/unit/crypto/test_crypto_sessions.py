"""agpd/crypto/sessions.py: which session is sent on, and which are kept."""

import pytest
from crypto_world import START_S, World

from agpd.crypto import sessions as module
from agpd.crypto.errors import SessionEnded, UnknownKey
from agpd.crypto.session import Session, SessionKeys
from agpd.crypto.sessions import Sessions

NOW = START_S * 1000
ME = "acme/prod/m/1"


@pytest.fixture(scope="module")
def peer():
    world = World()
    agent = world.agent("acme/prod/b/2")
    return agent.trust.check_chain(agent.identity.chain, agent.name, world.now_s)


@pytest.fixture
def sessions():
    return Sessions(ME)


def make(peer, number, initiator=ME, created_ms=NOW):
    return Session(SessionKeys(number, number, *[b"k" * 32] * 4), peer, 1, initiator, created_ms)


def test_the_newest_that_the_peer_is_known_to_have_is_sent_on(sessions, peer):
    mine, theirs = make(peer, 1), make(peer, 2, peer.name, NOW + 60_000)
    sessions.add(mine)
    assert sessions.current(peer.name, NOW) is mine
    sessions.add(theirs)  # its answer may have been lost
    assert sessions.current(peer.name, NOW) is mine
    theirs.is_confirmed = True
    sessions.settle(theirs)
    assert sessions.current(peer.name, NOW) is theirs
    assert not mine.can_send(NOW)
    assert mine.can_receive(NOW)


def test_one_that_is_not_confirmed_is_better_than_none(sessions, peer):
    theirs = make(peer, 2, peer.name)
    sessions.add(theirs)
    assert sessions.current(peer.name, NOW) is theirs
    assert sessions.current("acme/prod/b/3", NOW) is None


def test_of_two_that_cross_both_sides_prefer_that_of_the_smaller_name(peer):
    for order in ((ME, peer.name), (peer.name, ME)):
        sessions = Sessions(ME)
        for number, initiator in enumerate(order):
            session = make(peer, number, initiator, NOW + number)
            session.is_confirmed = True
            sessions.add(session)
        assert sessions.current(peer.name, NOW).initiator == min(ME, peer.name)


def test_three_older_ones_still_open(sessions, peer):
    made = [make(peer, number, created_ms=NOW + number) for number in range(5)]
    for each in made:
        sessions.add(each)
    with pytest.raises(UnknownKey):
        sessions.find(0)
    assert not made[0].can_receive(NOW)
    assert [sessions.find(number) for number in range(1, 5)] == made[1:]
    assert len(sessions) == 4


def test_two_of_one_number_are_not_held(sessions, peer):
    sessions.add(make(peer, 1))
    with pytest.raises(SessionEnded):
        sessions.add(make(peer, 1))


def test_who_began_a_session_rekeys_it_and_the_other_only_when_that_does_not_come(sessions, peer):
    assert sessions.wants_rekey(peer.name, NOW)
    sessions.add(make(peer, 1))
    assert not sessions.wants_rekey(peer.name, NOW + 119_999)
    assert sessions.wants_rekey(peer.name, NOW + 120_000)
    other = Sessions(ME)
    other.add(make(peer, 1, peer.name))
    assert not other.wants_rekey(peer.name, NOW + 149_999)
    assert other.wants_rekey(peer.name, NOW + 150_000)


def test_keys_are_erased_in_time(sessions, peer):
    session = make(peer, 1)
    sessions.add(session)
    sessions.expire(NOW + 179_999)
    assert session._send is not None
    sessions.expire(NOW + 180_000)
    assert session._send is None
    assert session._receive is not None
    sessions.expire(NOW + 600_000)
    assert session._receive is None
    assert len(sessions) == 0
    assert sessions.current(peer.name, NOW) is None


def test_instances_of_a_type_the_last_used_first_at_most_eight(sessions, peer):
    for number in range(10):
        sessions.add(make(peer._replace(name=f"acme/prod/b/{number}"), number))
    sessions.add(make(peer._replace(name="acme/prod/bb/1"), 99))
    assert sessions.of_type("acme/prod/b", NOW) == [f"acme/prod/b/{number}" for number in range(9, 1, -1)]
    assert sessions.of_type("acme/prod/b", NOW + 180_000) == []


def test_peers_are_bounded(sessions, peer, monkeypatch):
    monkeypatch.setattr(module, "PEERS_LIMIT", 2)
    for number in range(3):
        sessions.add(make(peer._replace(name=f"acme/prod/b/{number}"), number))
    assert len(sessions) == 2
    with pytest.raises(UnknownKey):
        sessions.find(0)


def test_forgetting_and_dropping(sessions, peer):
    sessions.add(make(peer, 1))
    sessions.add(make(peer._replace(name="acme/prod/b/3"), 2))
    sessions.forget(peer.name)
    assert [each.receive_id for each in sessions] == [2]
    sessions.drop()
    assert len(sessions) == 0
