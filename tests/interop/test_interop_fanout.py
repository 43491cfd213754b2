"""How many of those who match get a message: the number that the client writes, as far as that is a number."""

import pytest
from dialogue import Agent
from lab import Lab, fresh

# Fan-out -> receivers. 0 is everybody; 50 is what streams and topics write for everybody, 256 is that of SLIM.
FIVE = {0: 5, 1: 1, 2: 2, 3: 3, 5: 5, 49: 5, 50: 5, 51: 5, 60: 5, 256: 5}
SIXTY = {0: 60, 1: 1, 2: 2, 3: 3, 5: 5, 49: 49, 50: 60, 51: 51, 60: 60, 256: 60}


@pytest.mark.parametrize("expected", [FIVE, SIXTY], ids=["5 instances", "60 instances"])
def test_as_many_different_instances_get_it(lab: Lab, expected: dict[int, int]) -> None:
    kind = fresh("member")
    members = lab.join_many(expected[0], kind)
    alice = lab.join()
    alice.route(kind)
    session = alice.session()
    for fanout in expected:
        alice.publish(session, str(fanout), kind, fanout=fanout)
    alice.publish(session, "end", kind, fanout=0)
    got = [until(member, "end") for member in members]
    assert {fanout: sum(str(fanout) in texts for texts in got) for fanout in expected} == expected
    assert all(len(texts) == len(set(texts)) for texts in got), "somebody got two copies"


def test_nobody_gets_what_it_has_sent_itself(lab: Lab) -> None:
    kind = fresh("member")
    members = [lab.join(name=kind) for _ in range(3)]
    for member in members:
        member.route(kind)
        member.publish(member.session(), f"from {member.id}", kind, fanout=0)
    for member in members:
        others = {f"from {other.id}" for other in members if other is not member}
        assert {message.text for message in member.take(2)} == others
    # One after the other says that that was all.
    for number, member in enumerate(members):
        member.publish(member.session(), f"end {number}", kind, fanout=0)
        for other in members:
            if other is not member:
                assert until(other, f"end {number}") == []


def until(agent: Agent, end: str) -> list[str]:
    """What comes before `end`, which was sent behind it."""
    texts: list[str] = []
    while (text := agent.take()[0].text) != end:
        texts.append(text)
    return texts
