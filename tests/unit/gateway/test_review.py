"""agpd/gateway/review.py: what another policy or another token ends, and what it leaves alone."""

import pytest
from scenarios.harness import Agent, World
from scenarios.rules import policy

from agpd.errors import Code, Refused, code_of
from agpd.gateway import review
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ALL, Kind

WRITER, READER, EYE = "acme/dev/writer", "acme/dev/reader", "acme/ops/eye"
BOTH = (
    "acme: allow acme/* publish beta/*",
    "beta: allow acme/* publish beta/*",
    "acme: allow acme/* request beta/*",
    "beta: allow acme/* request beta/*",
)
OBSERVE = "acme: allow acme/* observe acme/dev/*"


@pytest.fixture
def world() -> World:
    return World()


def adopt(world: World, *lines: str, **more) -> None:
    """Another policy, and the two seconds in which it has to be everywhere."""
    world.hub.adopt(policy(*lines, **more))
    world.clock.advance(2)
    world.turn()


def told(agent: Agent, what: str, kind: Kind = Kind.REFUSED, count: int = 0) -> None:
    said = frames.decode(agent.expect(kind, destination=agent.handle).body, frames.Refusal)
    assert (code_of(said.code), said.detail, said.count) == (Code.NOT_PERMITTED, what, count)


def test_a_name_that_is_denied_ends(world):
    agent, other = world.agent(f"{WRITER}/1"), world.agent(f"{WRITER}/2")
    watcher = world.agent(f"{EYE}/1")
    watcher.watch(WRITER)
    adopt(world, "acme: deny acme/dev/writer/1 register acme/*")
    told(agent, f"register {agent.name}", Kind.ENDED, 1)
    agent.expect(Kind.WITHDRAW)
    assert not frames.decode(watcher.expect(Kind.PRESENCE).body, frames.Presence).present
    agent.publish(other.handle)
    agent.peer.expect_refused(Code.NOT_REGISTERED)
    for each in (agent, other, watcher):
        each.silent()


def may_not_open(agent: Agent, name: str) -> None:
    with pytest.raises(Refused) as caught:
        agent.ask(Kind.OPEN, name)
    assert (caught.value.code, caught.value.detail) == (Code.NOT_PERMITTED, f"publish {name}")


@pytest.mark.parametrize("topic", ["acme/dev/topic", "beta/dev/topic"])
def test_a_subscription_that_is_denied_ends(world, topic):
    allowed = [
        f"{side}: allow acme/* {verb} beta/*"
        for side in ("acme", "beta")
        for verb in ("subscribe", "publish")
    ]
    adopt(world, *allowed)
    agent, sender = world.agent(f"{READER}/1"), world.agent(f"{WRITER}/1")
    agent.subscribe(topic)
    sender.publish(topic, b"before")
    agent.expect_delivery(b"before", to=f"{topic}/1")
    adopt(world, *allowed, "acme: deny acme/dev/reader subscribe *")
    told(agent, f"subscribe {topic}")
    agent.expect(Kind.WITHDRAW)  # of the address, which nobody has now
    sender.publish(topic, b"after")
    sender.peer.expect_refused(Code.NO_ROUTE)
    sender.publish(READER, b"own type")
    agent.expect_delivery(b"own type", to=f"{READER}/1")
    agent.silent()


def test_an_observation_that_is_not_allowed_any_more_ends(world):
    adopt(world, OBSERVE)
    eye, sender, reader = world.agent(f"{EYE}/1"), world.agent(f"{WRITER}/1"), world.agent(f"{READER}/1")
    eye.subscribe("acme/dev/*")
    sender.publish(READER, b"seen")
    eye.expect_delivery(b"seen", to=f"{READER}")
    adopt(world)
    told(eye, "observe acme/dev/*")
    sender.publish(READER, b"unseen")
    eye.silent()
    assert len(reader.peer.read()) == 2


def test_a_watch_that_is_denied_ends(world):
    agent = world.agent(f"{READER}/1")
    agent.watch(WRITER)
    adopt(world, f"acme: deny acme/dev/reader watch {WRITER}")
    told(agent, f"watch {WRITER}")
    world.agent(f"{WRITER}/1")
    agent.silent()


def test_a_route_that_none_of_the_agents_may_set_ends(world):
    bridge, sender = world.agent("acme/dev/bridge/1"), world.agent(f"{WRITER}/1")
    bridge.set_route("beta/*", bridge.name)
    bridge.set_route("acme/x/*", bridge.name)
    sender.publish("beta/dev/x", b"1")
    assert bridge.expect(Kind.PUBLISH).body == b"1"
    adopt(world, "acme: deny acme/dev/bridge route beta/dev/x")  # a part of the pattern
    told(bridge, "route beta/*")
    sender.publish("beta/dev/x", b"2")
    sender.peer.expect_refused(Code.NO_ROUTE)
    sender.publish("acme/x/y", b"3")
    assert bridge.expect(Kind.PUBLISH).body == b"3"


@pytest.mark.parametrize("kind", [Kind.PUBLISH, Kind.REQUEST])
@pytest.mark.parametrize("to", ["beta/dev/b", "beta/dev/b/1"])
def test_a_revoked_grant_closes_the_handle_and_forgets_the_flow(world, kind, to):
    adopt(world, *BOTH)
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    for payload in (b"1", b"2", b"3"):  # from the second on it is forwarded without questions
        sender.publish(to, payload, kind=kind)
        receiver.expect_delivery(payload, to="beta/dev/b/1", of=sender.name, kind=kind)
    handle = sender.open(to)
    adopt(world, *BOTH[1:2])
    assert frames.decode(sender.expect(Kind.WITHDRAW).body, frames.Handles).numbers == [handle]
    sender.publish(handle, b"4", kind=kind)
    sender.peer.expect_refused(Code.UNKNOWN_HANDLE)
    may_not_open(sender, to)
    assert (receiver.peer.read(), len(sender.peer.link.flows)) == ([], 0)
    receiver.unregister()
    assert handle not in world.hub.router.entries, "nobody needs it any more"


def test_who_may_only_ask_does_not_publish_on_the_same_flow(world):
    adopt(world, *BOTH)
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    for to in ("beta/dev/b/1", "beta/dev/b"):
        for _ in range(2):
            sender.publish(to, kind=Kind.REQUEST)
            receiver.expect(Kind.REQUEST)
    adopt(world, *BOTH[2:])
    for to in ("beta/dev/b/1", "beta/dev/b"):
        for fanout in (1, FANOUT_ALL):
            for _ in range(2):
                sender.publish(to, kind=Kind.REQUEST, fanout=fanout)
                receiver.expect(Kind.REQUEST)
                sender.publish(to, fanout=fanout)
                sender.peer.expect_refused(Code.NOT_PERMITTED)
    receiver.silent()
    adopt(world, *BOTH)
    sender.publish("beta/dev/b", b"again")
    receiver.expect_delivery(b"again", to="beta/dev/b/1")


def test_who_was_asked_before_may_answer_for_a_while(world):
    adopt(world, *BOTH)
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    sender.publish("beta/dev/b", b"question", kind=Kind.REQUEST)
    asked = receiver.expect(Kind.REQUEST)
    adopt(world)
    sender.expect(Kind.WITHDRAW)
    receiver.publish(asked.source, b"answer", kind=Kind.REPLY)
    sender.expect_delivery(b"answer", to=sender.name, kind=Kind.REPLY)
    receiver.publish(asked.source, b"no answer")
    receiver.peer.expect_refused(Code.NOT_PERMITTED)
    world.clock.advance(review.REPLY_GRACE_S)
    receiver.publish(asked.source, b"late", kind=Kind.REPLY)
    receiver.peer.expect_refused(Code.NOT_PERMITTED)
    sender.silent()


def test_who_is_asked_again_in_the_grace_may_go_on_answering(world):
    adopt(world, *BOTH)
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    sender.publish("beta/dev/b", kind=Kind.REQUEST)
    asked = receiver.expect(Kind.REQUEST)
    adopt(world)
    adopt(world, *BOTH)
    world.clock.advance(review.REPLY_GRACE_S)
    receiver.publish(asked.source, b"answer", kind=Kind.REPLY)
    sender.expect(Kind.WITHDRAW)
    sender.expect_delivery(b"answer", to=sender.name, kind=Kind.REPLY)


def test_a_handle_that_is_announced_too_keeps_its_meaning(world):
    """The peer may still get messages from it."""
    back = [f"{side}: allow beta/* publish acme/*" for side in ("acme", "beta")]
    adopt(world, *BOTH, *back)
    agent, other = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    agent.publish(other.name, b"there")
    other.expect_delivery(b"there", to=other.name)
    other.publish(agent.name, b"and back")
    agent.expect_delivery(b"and back", to=agent.name, of=other.name)
    adopt(world, *back)
    agent.expect(Kind.WITHDRAW)
    other.publish(agent.name, b"still")
    agent.expect_delivery(b"still", to=agent.name, of=other.name)


def test_callers_of_a_type_hold_inside_the_organization_too(world):
    sender, reader = world.agent(f"{WRITER}/1"), world.agent(f"{READER}/1")
    for to in (READER, reader.name):
        sender.publish(to)
        reader.expect(Kind.PUBLISH)
    adopt(world, callers={READER: ["acme/ops/*"]})
    assert len(sender.peer.read()) == 2  # both are withdrawn
    may_not_open(sender, READER)
    adopt(world)
    sender.publish(READER)


def test_what_is_still_allowed_goes_on(world):
    """Nothing of it is lost, closed or told."""
    lines = (*BOTH, OBSERVE)
    adopt(world, *lines)
    sender, near, far, eye = map(world.agent, (f"{WRITER}/1", f"{READER}/1", "beta/dev/b/1", f"{EYE}/1"))
    near.subscribe("acme/dev/topic")
    near.set_route("gamma/x/*", near.name)
    near.watch(WRITER)
    eye.subscribe("acme/dev/*")
    targets = ["acme/dev/topic", READER, near.name, "beta/dev/b", far.name, "gamma/x/y"]
    numbers = [sender.open(to) for to in targets]
    flows: dict[int, object] = {}
    for round_ in range(4):
        for number in numbers:
            sender.publish(number, b"%d" % round_)
        if round_ == 1:
            flows = dict(sender.peer.link.flows)
        world.hub.adopt(policy(*lines, f"acme: deny acme/other/* publish x{round_}/*"))
        world.clock.advance(2)
        world.turn()
    assert sender.peer.link.flows == flows
    sender.silent()
    assert len(near.peer.read()) == 4 * 4
    assert len(far.peer.read()) == 4 * 2
    assert len(eye.peer.read()) == 4 * 2
    eye.peer.inbox.clear()


def test_a_suspended_organization_is_cut_and_let_in_no_more(world):
    agent, other = world.agent(f"{WRITER}/1", pattern="acme/*"), world.agent("beta/dev/b/1", pattern="beta/*")
    anyone = world.agent("acme/dev/anyone/1", pattern="*")
    adopt(world, suspended=["acme"])
    agent.peer.expect_closed(Code.TENANT_SUSPENDED)
    told(anyone, f"register {anyone.name}", Kind.ENDED, 1)
    late = world.peer("acme/*", greet=False)
    late.send(Kind.HELLO, frames.Hello([frames.VERSION], "test", 2))
    late.expect_closed(Code.TENANT_SUSPENDED)
    other.silent()
    adopt(world)
    world.agent(f"{WRITER}/1", pattern="acme/*")


def test_a_review_is_made_in_parts_and_within_two_seconds():
    """No part looks at more than `PART` things, and a policy that comes meanwhile is heard by all."""
    world = World()
    adopt(world, *BOTH)
    peers = [world.peer("acme/*") for _ in range(30)]
    for number, peer in enumerate(peers):
        agent = peer.register(f"{WRITER}/{number}")
        for target in range(40):
            agent.open(f"beta/dev/b{target}")
    asked: list[int] = [0]
    counting = policy()
    verdict = counting.allows

    def allows(*question) -> bool:
        asked[0] += 1
        return verdict(*question)

    counting.allows = allows  # type: ignore[method-assign]
    world.hub.adopt(policy(*BOTH))
    world.hub.adopt(counting)
    assert all(len(peer.link.opened) == 40 for peer in peers), "the first part is of the review before"
    began, most = world.clock.now(), 0
    while world.clock.timers:
        asked[0] = 0
        world.clock.advance(review.PAUSE_S)
        most = max(most, asked[0])
    assert 0 < most <= 4 * review.PART
    assert world.clock.now() - began < 2
    assert not any(peer.link.opened for peer in peers)


def test_links_that_end_during_a_review_are_passed_over():
    world = World()
    agents = [world.agent(f"{WRITER}/{number}") for number in range(2 * review.PART)]
    world.hub.adopt(policy("acme: deny * register *"))
    for agent in agents:
        agent.peer.carrier.lose()
    world.clock.advance(2)
    assert not world.hub.links


def test_a_refusal_asks_as_much_whether_or_not_there_is_somebody(world):
    """The same questions to the policy, and nothing made: the time tells nothing either."""
    adopt(
        world, "acme: allow acme/* publish *", "acme: allow acme/* watch *", "acme: allow acme/* subscribe *"
    )
    sender, there = world.agent(f"{WRITER}/1"), world.agent("beta/dev/b/1")
    questions: list[tuple[str, ...]] = []
    verdict = world.hub.admission.policy.allows

    def allows(verb, subject, target) -> bool:
        questions.append((verb,))
        return verdict(verb, subject, target)

    world.hub.admission.policy.allows = allows
    entries = len(world.hub.router.entries)
    for kind in (Kind.OPEN, Kind.WATCH, Kind.SUBSCRIBE):
        asked = []
        for name in ("beta/dev/b", "beta/dev/none", "absent/dev/b"):
            questions.clear()
            with pytest.raises(Refused) as caught:
                sender.ask(kind, name)
            assert caught.value.code is Code.NOT_PERMITTED
            assert caught.value.detail.split()[1:] == [name]
            asked.append(list(questions))
        assert asked[0] == asked[1] == asked[2] != []
    assert len(world.hub.router.entries) == entries
    there.silent()
