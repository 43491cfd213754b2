"""Agents of agpd's own SDK and agents of AGP clients, in one gateway: neither sees that the other speaks otherwise."""

import re
from collections.abc import Iterator

import pytest
from gateways import Agpd
from lab import Lab, fresh
from wheels import AGP, ALL, LATEST

import agpd_client as agp
from agpd_client import sync

TIMEOUT_S = 10


@pytest.fixture
def native(common: Agpd) -> Iterator[sync.Gateway]:
    with sync.connect(common.native) as gateway:
        yield gateway


@pytest.mark.parametrize("wheel", ALL)
def test_a_native_message_reaches_an_agp_agent_whose_answer_finds_back(
    lab: Lab, native: sync.Gateway, wheel: str
) -> None:
    bob = lab.join(wheel, fresh("bob"))
    alice = native.create_agent(fresh("alice"))
    alice.publish(bob.name, b"hello")
    [message] = bob.take()
    assert message.text == "hello"
    bob.answer(message, "hello yourself")
    answer = alice.receive(timeout=TIMEOUT_S)
    assert answer.body == b"hello yourself"
    assert answer.source.startswith(f"{bob.name}/")
    # The source is a name like any other: it can be written to.
    alice.publish(answer.source, b"and you")
    assert [message.text for message in bob.take()] == ["and you"]


@pytest.mark.parametrize("wheel", ALL)
def test_an_agp_message_reaches_a_native_agent_whose_answer_finds_back(
    lab: Lab, native: sync.Gateway, wheel: str
) -> None:
    bob = native.create_agent(fresh("bob"))
    alice = lab.join(wheel)
    alice.tell("hello", bob.name.rpartition("/")[0])
    message = bob.receive(timeout=TIMEOUT_S)
    assert message.body == b"hello"
    # Clients before 0.3.2 send no text, only hashes; so its type has no other name than its hash.
    nameless = wheel in ("agp-0.2.4", "agp-0.3.0")
    kind = r"acme/lab/h-[0-9a-f]{16}" if nameless else re.escape(alice.name)
    assert re.fullmatch(kind + "/agp-[0-9a-f]{16}", message.source)
    bob.publish(message.source, b"hello yourself")
    assert [answer.text for answer in alice.take()] == ["hello yourself"]


def test_a_text_is_a_text_for_both(lab: Lab, native: sync.Gateway) -> None:
    bob, alice = lab.join(name=fresh("bob")), native.create_agent(fresh("alice"))
    alice.publish(bob.name, "Grüße")
    assert [message.text for message in bob.take()] == ["Grüße"]


def test_a_broadcast_of_either_reaches_all_of_a_mixed_type(lab: Lab, native: sync.Gateway) -> None:
    kind = fresh("member")
    foreign = [lab.join(wheel, kind) for wheel in (*AGP, LATEST)]
    own = [native.create_agent(kind) for _ in range(3)]
    alice, bob = native.create_agent(fresh("alice")), lab.join()
    assert alice.publish(kind, b"from alice", fanout=agp.ALL, confirm=True) == len(foreign) + len(own)
    bob.tell("from bob", kind, fanout=0)
    for agent in foreign:
        assert {message.text for message in agent.take(2)} == {"from alice", "from bob"}
    for member in own:
        assert {member.receive(timeout=TIMEOUT_S).body for _ in range(2)} == {b"from alice", b"from bob"}


def test_anycast_serves_both_kinds(lab: Lab, native: sync.Gateway) -> None:
    kind = fresh("clerk")
    foreign, own = lab.join(name=kind), native.create_agent(kind)
    alice = native.create_agent(fresh("alice"))
    for number in range(60):
        alice.publish(kind, str(number).encode())
    alice.publish(kind, b"end", fanout=agp.ALL)
    theirs, ours = [], []
    while (text := foreign.take()[0].text) != "end":
        theirs.append(text)
    while (text := own.receive(timeout=TIMEOUT_S).body.decode()) != "end":
        ours.append(text)
    assert theirs
    assert ours
    assert sorted(theirs + ours, key=int) == [str(number) for number in range(60)]


@pytest.mark.parametrize("wheel", ALL)
def test_an_agp_agent_answers_a_native_request_by_publishing_back(
    lab: Lab, native: sync.Gateway, wheel: str
) -> None:
    shouter = lab.join(wheel, fresh("shouter"))
    shouter.answer_all()
    asker = native.create_agent(fresh("asker"))
    for number in range(5):
        answer = asker.request(shouter.name, f"request {number}".encode(), timeout=TIMEOUT_S)
        assert answer == f"REQUEST {number}".encode()


def test_a_native_agent_answers_an_agp_request(lab: Lab, native: sync.Gateway) -> None:
    """As far as a plain message is an answer: in 0.3.5 a request waits for its own kind of reply."""
    clerk, asker = native.create_agent(fresh("clerk")), lab.join()
    asker.tell("how are you", clerk.name.rpartition("/")[0])
    question = clerk.receive(timeout=TIMEOUT_S)
    clerk.publish(question.source, question.body.upper())
    assert [message.text for message in asker.take()] == ["HOW ARE YOU"]


def test_an_agp_agent_is_seen_by_who_watches_its_type(lab: Lab, native: sync.Gateway) -> None:
    kind = fresh("clerk")
    boss = native.create_agent(fresh("boss"))
    with boss.watch(kind) as watch:
        clerk = lab.join(name=kind)
        came = watch.receive(timeout=TIMEOUT_S)
        assert came.present
        assert came.name.startswith(f"{kind}/")
        clerk.leave()
        gone = watch.receive(timeout=TIMEOUT_S)
        assert (gone.present, gone.name) == (False, came.name)


def test_a_native_subscriber_of_a_topic_hears_an_agp_publisher(lab: Lab, native: sync.Gateway) -> None:
    topic = fresh("topic")
    listener = native.create_agent(fresh("listener"))
    news = listener.subscribe(topic)
    lab.join().tell("news", topic, fanout=0)
    assert news.receive(timeout=TIMEOUT_S).body == b"news"
