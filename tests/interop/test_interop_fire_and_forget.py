"""Single messages: to one of a type, to one id, back to the sender, between every two versions."""

import itertools
from collections import Counter

import pytest
from lab import Lab, fresh
from wheels import AGP, ALL, LATEST


@pytest.mark.parametrize("wheel", ALL)
def test_one_of_a_type_gets_it_and_its_answer_finds_back(lab: Lab, wheel: str) -> None:
    bob = lab.join(wheel, fresh("bob"))
    alice = lab.join(wheel)
    session = alice.tell("hello", bob.name)
    [message] = bob.take()
    assert (message.text, message.session) == ("hello", session)
    bob.answer(message, "hello yourself")
    [answer] = alice.take()
    assert (answer.text, answer.session) == ("hello yourself", session)


@pytest.mark.parametrize("wheel", ALL)
def test_a_message_to_an_id_reaches_that_one_only(lab: Lab, wheel: str) -> None:
    kind = fresh("clerk")
    clerks = [lab.join(wheel, kind, id_=id_) for id_ in (1, 2**63 + 5, 2**64 - 2)]
    alice = lab.join(wheel)
    for clerk in clerks:
        assert clerk.id in (1, 2**63 + 5, 2**64 - 2)
        alice.tell(f"for {clerk.id}", kind, clerk.id)
    for clerk in clerks:
        assert [message.text for message in clerk.take()] == [f"for {clerk.id}"]
        assert clerk.waiting() == []


@pytest.mark.parametrize(("sender", "receiver"), list(itertools.permutations(AGP, 2)))
def test_versions_understand_each_other(lab: Lab, sender: str, receiver: str) -> None:
    bob, alice = lab.join(receiver, fresh("bob")), lab.join(sender)
    alice.tell("hello", bob.name)
    [message] = bob.take()
    assert message.text == "hello"
    bob.answer(message, "hello yourself")
    assert [answer.text for answer in alice.take()] == ["hello yourself"]


def test_200_messages_to_a_type_of_four_reach_one_each_and_all_are_served(lab: Lab) -> None:
    kind = fresh("clerk")
    clerks = [lab.join(LATEST, kind) for _ in range(4)]
    alice = lab.join()
    alice.route(kind)
    session = alice.session()
    alice.publish(session, [str(number) for number in range(200)], kind)
    # What is sent behind them to each says that nothing more is on the way.
    for clerk in clerks:
        alice.publish(session, "end", kind, clerk.id)
    got = Counter[str]()
    for clerk in clerks:
        own = []
        while (message := clerk.take()[0]).text != "end":
            own.append(message.text)
        assert own
        got.update(own)
    assert got == Counter(str(number) for number in range(200))
