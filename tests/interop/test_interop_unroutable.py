"""What nobody gets is counted with its reason, or goes where a route says. The sender hears nothing of it."""

from pathlib import Path

import gateways
from lab import Lab, fresh

from agpd_client import sync

DEADLINE_S = 10


def test_each_reason_is_told_in_the_log(lab: Lab, tmp_path: Path) -> None:
    with gateways.agpd(tmp_path) as running:
        there = lab.at(running.url)
        alice, bob = there.join(), there.join(name=fresh("bob"))
        session = alice.session()
        nobody, topic = fresh("nobody"), fresh("topic")
        alice.subscribe(topic)
        alice.route(nobody, topic)
        alice.route(bob.name, id_=4711)
        alice.publish(session, "to no type", nobody)
        alice.publish(session, "to no id", bob.name, 4711)
        alice.publish(session, "to its own topic", topic)
        for reason in ("unknown_type", "unknown_id", "only_origin"):
            running.process.log.wait("not delivered", reason=reason, count=1)
        # The stream is as it was.
        alice.tell("hello", bob.name)
        assert [message.text for message in bob.take()] == ["hello"]
        lab.leave_all()


def test_what_nobody_takes_goes_where_a_route_says(lab: Lab, tmp_path: Path) -> None:
    with gateways.agpd(tmp_path) as running, sync.connect(running.native) as gateway:
        there = lab.at(running.url)
        clerk = gateway.create_agent(fresh("clerk"))
        clerk.set_route("acme/lab/*")
        alice = there.join()
        alice.tell("whoever you are", fresh("nobody"))
        # What `settle` sends before its receiver is known comes here too.
        while (message := clerk.receive(timeout=DEADLINE_S)).body != b"whoever you are":
            assert message.body.startswith(b"settle")
        assert message.source.startswith(f"{alice.name}/")
        lab.leave_all()
