"""Anycast in the forwarding loop: the same choices as the hub's, and back to the hub as soon as anything changes.

The harness checks in every test that handles are announced before they are used.
"""

import pytest
from scenarios.harness import Agent, World

from agpd.errors import Code
from agpd.gateway.link import MET_SLACK, Link
from agpd.message import Message
from agpd.wire.frames import Kind

POOL = "acme/dev/pool"


def scene(size: int = 4, **world: object) -> tuple[World, Agent, list[Agent]]:
    """A sender and members of a type, who have all been chosen before."""
    made = World(**world)  # type: ignore[arg-type]
    sender = made.agent("acme/dev/user/u")
    members = [made.agent(f"{POOL}/{number}") for number in range(size)]
    warm(sender, members)
    return made, sender, members


def warm(sender: Agent, members: list[Agent]) -> None:
    while len(
        sender.peer.link.flows[pair(sender)].met if pair(sender) in sender.peer.link.flows else ()
    ) < len(members):
        sender.publish(POOL, b"hello")
    got(members)


def pair(sender: Agent) -> int:
    return sender.open(POOL) << 32 | sender.handle


def burst(sender: Agent, count: int) -> bytes:
    return b"".join(sender.frame(POOL, b"%d" % number) for number in range(count))


def got(agents: list[Agent]) -> list[list[bytes]]:
    """Payloads that came to each."""
    return [
        [frame.body for frame in agent.peer.read() if frame.kind >= 0x80]
        for agent in agents
        if not agent.peer.inbox.clear()  # type: ignore[func-returns-value]
    ]


def spy(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What the loop puts to the hub from now on."""
    seen: list[Message] = []
    take = world.hub.take

    def taken(message: Message, origin: Link) -> None:
        seen.append(message)
        take(message, origin)

    monkeypatch.setattr(world.hub, "take", taken)
    return seen


def test_known_members_are_chosen_without_the_hub_and_with_equal_chances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, sender, members = scene()
    asked = spy(world, monkeypatch)
    before = sender.peer.link.messages_in, sender.peer.link.deliveries
    sender.peer.feed(burst(sender, 2000))
    assert not asked
    counts = [len(each) for each in got(members)]
    assert sum(counts) == 2000
    assert sum((count - 500) ** 2 / 500 for count in counts) < 16.27  # chi-square, 3 degrees, p = 0.001
    assert sender.peer.link.messages_in == before[0] + 2000
    assert sender.peer.link.deliveries == before[1] + 2000
    world.check_accounts()


def test_each_gets_its_messages_in_order_with_its_own_handle() -> None:
    _, sender, members = scene()
    sender.peer.feed(burst(sender, 300))
    for member in members:
        member.peer.inbox.clear()
        came = [frame for frame in member.peer.read() if frame.kind == Kind.PUBLISH]
        assert {frame.destination for frame in came} == {member.handle}
        numbers = [int(frame.body) for frame in came]
        assert numbers == sorted(numbers)


def test_a_full_member_is_passed_over() -> None:
    _, sender, members = scene()
    members[0].peer.link.full = True
    sender.peer.feed(burst(sender, 200))
    counts = [len(each) for each in got(members)]
    assert counts[0] == 0
    assert sum(counts) == 200


def test_a_member_over_its_threshold_is_the_hubs_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    world, sender, members = scene(1)
    asked = spy(world, monkeypatch)
    members[0].peer.link.threshold = 0
    sender.peer.feed(burst(sender, 3))
    assert len(asked) == 3
    assert len(got(members)[0]) == 3


def test_a_member_that_has_moved_is_told_the_handles_first() -> None:
    world = World()
    sender = world.agent("acme/dev/user/u")
    old = world.peer(key=b"k", epoch=1).register(f"{POOL}/0")
    sender.open(f"{POOL}/0")  # so that the entry, and its handle, outlive the change
    warm(sender, [old])
    new = world.peer(key=b"k", epoch=2).register(f"{POOL}/0")
    got([old])
    sender.peer.feed(burst(sender, 5))
    assert [len(each) for each in got([old, new])] == [0, 5]


def test_who_leaves_gets_nothing_and_nobody_left_is_no_route() -> None:
    _, sender, members = scene(2)
    members[0].unregister()
    got(members)
    sender.peer.feed(burst(sender, 10))
    assert [len(each) for each in got(members)] == [0, 10]
    members[1].unregister()
    sender.peer.read()
    sender.peer.inbox.clear()
    sender.peer.feed(burst(sender, 10))
    sender.peer.expect_refused(Code.NO_ROUTE, count=10)


def test_a_newcomer_is_chosen_too() -> None:
    world, sender, members = scene(2)
    members.append(world.agent(f"{POOL}/9"))
    sender.peer.feed(burst(sender, 300))
    assert all(len(each) > 50 for each in got(members))


def test_a_sender_that_becomes_a_member_never_gets_its_own() -> None:
    _, sender, members = scene(2)
    sender.subscribe(POOL)
    sender.peer.feed(burst(sender, 100))
    counts = [len(each) for each in got([sender, *members])]
    assert counts[0] == 0
    assert sum(counts) == 100


def test_a_sender_that_takes_over_an_address_on_its_own_link_never_gets_its_own() -> None:
    _, sender, members = scene(1)
    helper = sender.peer.register("acme/dev/helper/u")
    helper.subscribe(POOL)
    sender.open(f"{POOL}/u")  # so that the entry outlives the change
    warm(sender, [*members, helper])
    helper.ask(Kind.UNSUBSCRIBE, POOL)
    sender.subscribe(POOL)
    sender.peer.feed(burst(sender, 50))
    assert [len(each) for each in got([sender, *members])] == [0, 50]


def test_an_observer_that_comes_later_gets_its_copies() -> None:
    world, sender, members = scene(2, grants=[("acme/dev/auditor", "observe", "acme/dev/*")])
    observer = world.agent("acme/dev/auditor/1")
    observer.subscribe("acme/dev/*")
    sender.peer.feed(burst(sender, 20))
    assert len(got([observer])[0]) == 20
    assert sum(len(each) for each in got(members)) == 20


def test_a_receipt_is_still_given() -> None:
    _, sender, _ = scene(2)
    sender.peer.read()
    sender.peer.inbox.clear()
    sender.publish(POOL, b"x", receipt=True)
    sender.expect(Kind.RECEIPT)


def test_members_that_come_and_go_leave_nothing_behind() -> None:
    world, sender, _ = scene(2)
    for number in range(100):
        guest = world.agent(f"{POOL}/guest{number}")
        sender.peer.feed(burst(sender, 30))
        guest.unregister()
    assert len(sender.peer.link.flows[pair(sender)].met) <= 2 * 3 + MET_SLACK + 1


def test_a_link_that_does_not_hear_itself_gets_nothing_of_its_own() -> None:
    _, sender, members = scene(2)
    neighbour = sender.peer.register(f"{POOL}/n")
    warm(sender, [*members, neighbour])
    sender.peer.link.hears_itself = False
    sender.peer.link.flows[pair(sender)].apart = sender.peer.link
    data = burst(sender, 200)
    sender.peer.read()
    sender.peer.inbox.clear()
    sender.peer.feed(data)
    assert sender.peer.read() == []
    assert sum(len(each) for each in got(members)) == 200
