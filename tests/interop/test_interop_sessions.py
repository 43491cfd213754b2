"""The sessions of the clients: acknowledged and sticky messages, requests, streams, topics.

All of it is between the clients; a gateway only has to carry each message to where it says and to keep their order.
"""

from collections import Counter

import pytest
from dialogue import Failed
from lab import Lab, fresh
from tolerances import asked_again, first_of_a_session
from wheels import AGP, ALL, LATEST, SLIM_OLD

TIMEOUT_S = 0.5


@pytest.mark.parametrize("wheel", ["agp-0.3.4", LATEST, SLIM_OLD])
def test_reliable_messages_are_acknowledged_and_only_those_to_nobody_time_out(lab: Lab, wheel: str) -> None:
    bob, nobody = lab.join(wheel, fresh("bob")), fresh("nobody")
    alice = lab.join(wheel)
    alice.route(bob.name, nobody)
    session = alice.session(timeout_s=TIMEOUT_S, retries=1)
    texts = [str(number) for number in range(20)]
    alice.publish(session, texts, bob.name)
    alice.publish(session, "is anybody there", nobody)
    # When that has timed out, the others would have, too.
    assert len(alice.errors(1)) == 1
    assert Counter(message.text for message in bob.take(20)) == Counter(texts)
    assert bob.waiting() == []


def test_a_sticky_session_stays_with_one_of_three(lab: Lab) -> None:
    kind = fresh("clerk")
    clerks = [lab.join(LATEST, kind) for _ in range(3)]
    alice = lab.join()
    alice.route(kind)
    session = alice.session(timeout_s=TIMEOUT_S, retries=3, sticky=True)
    for number in range(20):
        alice.publish(session, str(number), kind)
    end = alice.session()
    for clerk in clerks:
        alice.route(kind, id_=clerk.id)
        alice.publish(end, "end", kind, clerk.id)
    got = {clerk.id: [message.text for message in clerk.take()] for clerk in clerks}
    [chosen] = [clerk for clerk in clerks if got[clerk.id] != ["end"]]
    texts = got[chosen.id] + [message.text for message in chosen.take(20)]
    assert Counter(texts) == Counter(["end", *map(str, range(20))])
    assert all(clerk.waiting() == [] for clerk in clerks)


@pytest.mark.parametrize("wheel", ALL)
def test_twenty_requests_in_a_row_are_answered(lab: Lab, wheel: str) -> None:
    shouter, asker = lab.join(wheel, fresh("shouter")), lab.join(wheel, loop="high")
    shouter.answer_all()
    asker.route(shouter.name)
    session = asker.session("request_response", timeout_s=1.0)
    for number in range(20):
        assert asked_again(asker, session, f"request {number}", shouter.name) == f"REQUEST {number}"


@pytest.mark.parametrize("wheel", ALL)
def test_a_request_to_nobody_times_out(lab: Lab, wheel: str) -> None:
    nobody, asker = fresh("nobody"), lab.join(wheel, loop="high")
    asker.route(nobody)
    session = asker.session("request_response", timeout_s=TIMEOUT_S)
    with pytest.raises(Failed, match="timeout"):
        asker.request(session, "is anybody there", nobody)


@pytest.mark.parametrize("wheel", ALL)
def test_an_application_gets_messages_by_session(lab: Lab, wheel: str) -> None:
    bob, alice = lab.join(wheel, fresh("bob"), loop="high"), lab.join(wheel)
    session = alice.tell("hello", bob.name)
    message = first_of_a_session(bob)
    assert (message.text, message.session) == ("hello", session)
    alice.publish(session, "again", bob.name)
    assert bob.receive(session).text == "again"


@pytest.mark.parametrize("wheel", [*AGP[1:], SLIM_OLD])
def test_a_stream_comes_in_order_to_all_who_are_subscribed(lab: Lab, wheel: str) -> None:
    kind = fresh("viewer")
    viewers = [lab.join(wheel, kind) for _ in range(3)]
    camera = lab.join(wheel)
    camera.route(kind)
    session = camera.session("streaming", direction="SENDER")
    texts = [str(number) for number in range(50)]
    camera.publish(session, texts, kind)
    for viewer in viewers:
        assert [message.text for message in viewer.take(50)] == texts


@pytest.mark.parametrize("wheel", [*AGP[1:], SLIM_OLD])
def test_all_in_a_topic_get_what_the_others_say_and_nothing_of_their_own(lab: Lab, wheel: str) -> None:
    topic = fresh("topic")
    members = [lab.join(wheel, fresh("member")) for _ in range(4)]
    for member in members:
        member.subscribe(topic)
        member.route(topic)
    # What comes before somebody has made the session is lost to them.
    sessions = [member.session("streaming", direction="BIDIRECTIONAL", topic=topic) for member in members]
    assert len(set(sessions)) == 1
    said = [[f"{n} {m}" for m in (*range(10), "end")] for n in range(4)]
    for member, texts in zip(members, said, strict=True):
        member.publish(sessions[0], texts, topic)
    for n, member in enumerate(members):
        got = [message.text for message in member.take(33)]
        for m, texts in enumerate(said):
            assert [text for text in got if text.startswith(f"{m} ")] == ([] if m == n else texts)
        assert member.waiting() == []
