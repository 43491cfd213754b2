"""Clients that go, and a gateway that goes and comes back."""

import contextlib
import time
from pathlib import Path

import gateways
import pytest
from dialogue import PROBE_S, Agent, Failed, Message
from lab import Lab, fresh
from wheels import AGP, LATEST, SLIM_OLD

RESUME_S = 3.0
TRIES = 50


def test_what_is_left_of_a_type_gets_everything(lab: Lab) -> None:
    kind = fresh("clerk")
    clerks = [lab.join(name=kind) for _ in range(3)]
    alice = lab.join()
    alice.route(kind)
    session = alice.session()
    clerks.pop().leave()
    # The gateway hears of it when the stream ends; until then some may be lost with it.
    for batch in range(TRIES):
        alice.publish(session, [f"{batch}"] * 10, kind)
        for clerk in clerks:
            alice.route(kind, id_=clerk.id)
            alice.publish(session, "end", kind, clerk.id)
        if sum(_before_end(clerk).count(f"{batch}") for clerk in clerks) == 10:
            return
    pytest.fail("messages go on being lost")


def _before_end(agent: Agent) -> list[str]:
    texts: list[str] = []
    while (text := agent.take()[0].text) != "end":
        texts.append(text)
    return texts


def test_a_client_that_crashes_is_forgotten_at_once(lab: Lab) -> None:
    kind = fresh("clerk")
    clerk = lab.join(name=kind)
    crashing = lab.join(name=kind, alone="crashing")
    alice = lab.join()
    alice.route(kind)
    lab.worker(alone="crashing").kill()
    assert crashing.worker.process.returncode is not None
    for _ in range(TRIES):
        session = alice.session()
        alice.publish(session, ["one", "two"] * 5, kind)
        alice.route(kind, id_=clerk.id)
        alice.publish(session, "end", kind, clerk.id)
        if len(_before_end(clerk)) == 10:
            return
    pytest.fail("messages go on being lost")


@pytest.mark.parametrize("wheel", [LATEST, AGP[0], SLIM_OLD])
def test_after_a_crash_of_the_gateway_all_goes_on_within_three_seconds(
    lab: Lab, tmp_path: Path, wheel: str
) -> None:
    port = gateways.free_port()
    topic = fresh("topic")
    with gateways.agpd(tmp_path, port=port) as first:
        there = lab.at(first.url)
        bob, alice = there.join(wheel, fresh("bob")), there.join(wheel)
        bob.subscribe(topic)
        alice.route(bob.name, topic)
        session = alice.session()
        alice.publish(session, "before", bob.name)
        assert [message.text for message in bob.take()] == ["before"]
        first.process.process.kill()
        first.process.process.wait()
    with gateways.agpd(tmp_path, port=port):
        began = time.monotonic()
        for name in (topic, bob.name):
            message = arrives(alice, session, name, bob)
        # The answer finds back by the number that the client has kept.
        bob.answer(message, "after")
        assert [answer.text for answer in alice.take()] == ["after"]
        assert time.monotonic() - began < RESUME_S
        lab.leave_all()


def arrives(sender: Agent, session: int, name: str, receiver: Agent) -> Message:
    """Send to `name` until the receiver has got it; what is sent before both are back is lost."""
    for number in range(TRIES):
        sender.publish(session, f"{name} {number}", name)
        with contextlib.suppress(Failed):
            while True:
                message = receiver.take(1, PROBE_S)[0]
                if message.text == f"{name} {number}":
                    return message
    raise AssertionError(f"nothing to {name} arrives")
