"""What goes wrong in a worker is said by the command that it went wrong in, and at once."""

import pytest
from dialogue import Failed
from lab import Lab, fresh


def test_a_command_that_raises_fails_with_what_it_raised(lab: Lab) -> None:
    with pytest.raises(Failed, match="KeyError: 4711"):
        lab.worker().call("leave", agent=4711)


def test_a_worker_that_dies_takes_its_commands_with_it(lab: Lab) -> None:
    bob = lab.join(name=fresh("bob"), alone="dying")
    waiting = bob.start("take", count=1, patience_s=600)
    bob.worker.kill()
    with pytest.raises(Failed, match="ended"):
        waiting.result(5)


def test_what_does_not_come_is_said_with_what_has_come(lab: Lab) -> None:
    bob, alice = lab.join(name=fresh("bob")), lab.join()
    alice.tell("one", bob.name)
    with pytest.raises(Failed, match=r"timeout: 1 of 2 came: \['one'\]"):
        bob.take(2, patience_s=0.5)
    assert [message.text for message in bob.take()] == ["one"]
