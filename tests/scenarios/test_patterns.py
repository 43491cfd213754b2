"""Dialogues: what each pattern of `proto/native.md` sections 5 to 8 and 10 promises, on the hub alone."""

import pytest
from scenarios.harness import Agent, World

from agpd.errors import Code, Refused
from agpd.wire import frames
from agpd.wire.frames import Frame, Kind

WRITER, TOPIC = "acme/dev/writer", "acme/dev/news"


def refused(call, *arguments) -> Code:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def got(agents: list[Agent]) -> list[int]:
    """How many messages came to each."""
    return [sum(frame.kind >= 0x80 for frame in agent.peer.read()) for agent in agents]


def presence(frame: Frame) -> tuple[str, bool]:
    said = frames.decode(frame.body, frames.Presence)
    return said.name, said.present


# -- names -----------------------------------------------------------------------------------------------


def test_register_announces_the_handle_and_unregister_withdraws_it():
    agent = World().agent(f"{WRITER}/1")
    assert agent.peer.names == {agent.handle: f"{WRITER}/1"}
    agent.unregister()
    agent.expect(Kind.WITHDRAW)
    assert agent.peer.names == {}
    assert refused(agent.watch, WRITER) is Code.NOT_REGISTERED


def test_a_name_is_held_once():
    world = World()
    first = world.agent(f"{WRITER}/1")
    other = world.peer()
    assert refused(other.register, f"{WRITER}/1") is Code.NAME_TAKEN
    first.unregister()
    assert other.register(f"{WRITER}/1").handle


@pytest.mark.parametrize(
    ("key", "epoch", "taken_over"),
    [(b"k", 2, True), (b"k", 1, False), (b"k", 0, False), (b"other", 2, False), (b"", 2, False)],
)
def test_takeover_needs_the_same_key_and_a_newer_epoch(key, epoch, taken_over):
    world = World()
    old = world.peer(key=b"k" if key else b"", epoch=1)
    agent = old.register(f"{WRITER}/1")
    new = world.peer(key=key, epoch=epoch)
    if not taken_over:
        assert refused(new.register, f"{WRITER}/1") is Code.NAME_TAKEN
        old.silent()
        return
    assert new.register(f"{WRITER}/1").handle == agent.handle  # the address is the same one
    ended = old.expect(Kind.ENDED, destination=agent.handle)
    assert frames.decode(ended.body, frames.Refusal).code == Code.TAKEN_OVER
    assert refused(agent.open, WRITER) is Code.NOT_REGISTERED
    world.agent(f"{WRITER}/2").publish(f"{WRITER}/1", b"for the new one")
    new.expect(Kind.PUBLISH)
    old.silent()


def test_open_again_gives_the_same_handle_and_counts_once():
    agent = World(handles_per_connection=1).agent(f"{WRITER}/1")
    handle = agent.open(TOPIC)
    assert agent.ask(Kind.OPEN, TOPIC).destination == handle
    assert refused(agent.open, f"{TOPIC}2") is Code.TOO_MANY_HANDLES
    agent.peer.send(Kind.SHUT, destination=handle)
    agent.peer.read().clear()  # the name was used by nobody else: WITHDRAW may come
    assert agent.open(f"{TOPIC}2")


def test_a_handle_that_was_shut_is_unknown():
    agent = World().agent(f"{WRITER}/1")
    handle = agent.open(TOPIC)
    agent.peer.send(Kind.SHUT, destination=handle)
    agent.peer.send(Kind.SHUT, destination=handle)  # no error: it may have died on the way
    agent.publish(handle)
    agent.peer.expect_refused(Code.UNKNOWN_HANDLE, source=handle, destination=agent.handle)


# -- who receives ----------------------------------------------------------------------------------------


def test_unicast_reaches_the_one_in_order():
    world = World()
    sender, receiver, other = (world.agent(f"{WRITER}/{n}") for n in "123")
    for n in range(5):
        sender.publish(f"{WRITER}/2", b"%d" % n)
    for n in range(5):
        receiver.expect_delivery(b"%d" % n, to=f"{WRITER}/2", of=f"{WRITER}/1")
    sender.silent()
    other.silent()


def test_anycast_reaches_one_and_names_it():
    world = World()
    sender = world.agent("acme/dev/boss/1")
    workers = [world.agent(f"{WRITER}/{n}") for n in range(4)]
    for _ in range(40):
        sender.publish(WRITER, b"job")
    assert sum(got(workers)) == 40
    assert all(got(workers)), "chance passed one over in 40 draws of 4"
    for worker in workers:
        assert {frame.destination for frame in worker.peer.read()} == {worker.handle}


def test_fanout_3_of_8_are_distinct():
    world = World()
    sender = world.agent("acme/dev/boss/1")
    workers = [world.agent(f"{WRITER}/{n}") for n in range(8)]
    for _ in range(20):
        sender.publish(WRITER, b"job", fanout=3, receipt=True)
        assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 3
        assert sorted(got(workers)) == [0] * 5 + [1] * 3
        for worker in workers:
            worker.peer.inbox.clear()
    sender.publish(WRITER, fanout=100, receipt=True)
    assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 8


def test_a_broadcast_is_one_copy_per_connection_and_none_to_the_sender():
    world = World()
    sender = world.agent(f"{WRITER}/1")
    neighbour = sender.peer.register(f"{WRITER}/2")
    both = world.agent(f"{WRITER}/3")
    both.peer.register(f"{WRITER}/4")
    sender.broadcast(WRITER, b"all", receipt=True)
    neighbour.expect_delivery(b"all", to=WRITER, of=f"{WRITER}/1")  # the sender's connection, not the sender
    assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 3
    both.expect_delivery(b"all", to=WRITER)
    both.silent()
    both.broadcast(WRITER, b"back")
    sender.expect_delivery(b"back", to=WRITER)
    sender.silent()


def test_a_lonely_sender_gets_nothing_of_its_own():
    agent = World().agent(f"{WRITER}/1")
    for fanout in (0, 1, 2):
        agent.publish(WRITER, fanout=fanout, id=7)
        agent.peer.expect_refused(Code.NO_ROUTE, id=7)
    agent.publish(f"{WRITER}/1")
    agent.peer.expect_refused(Code.NO_ROUTE)
    agent.silent()


def test_an_agent_that_moves_in_at_its_own_destination_gets_none_of_its_messages():
    world = World()
    sender = world.agent("acme/dev/boss/1")
    stand_in = sender.peer.register("acme/dev/clerk/1")
    stand_in.subscribe(TOPIC)  # as news/1
    sender.publish(f"{TOPIC}/1", b"a")
    sender.publish(f"{TOPIC}/1", b"b")
    for body in (b"a", b"b"):
        sender.expect_delivery(body, to=f"{TOPIC}/1")
    stand_in.ask(Kind.UNSUBSCRIBE, TOPIC)
    sender.subscribe(TOPIC)  # now the sender is news/1, on the same connection
    sender.publish(f"{TOPIC}/1", b"c")
    sender.peer.expect_refused(Code.NO_ROUTE)


def test_subscribe_and_unsubscribe():
    world = World()
    sender, receiver = world.agent("acme/dev/boss/1"), world.agent(f"{WRITER}/2")
    receiver.subscribe(TOPIC)
    receiver.subscribe(TOPIC)
    sender.broadcast(TOPIC, b"1")
    sender.publish(f"{TOPIC}/2", b"2")
    receiver.expect_delivery(b"1", to=TOPIC)
    receiver.expect_delivery(b"2", to=f"{TOPIC}/2")
    receiver.ask(Kind.UNSUBSCRIBE, TOPIC)
    sender.broadcast(TOPIC, b"3")
    sender.peer.expect_refused(Code.NO_ROUTE)
    receiver.silent()
    assert refused(receiver.ask, Kind.UNSUBSCRIBE, WRITER) is Code.INVALID_NAME


def test_an_observer_gets_a_copy_and_is_not_counted():
    world = World(grants=[("acme/ops/*", "observe", "acme/dev/*")])
    observer, sender = world.agent("acme/ops/eye/1"), world.agent("acme/dev/boss/1")
    assert refused(sender.subscribe, "acme/dev/*") is Code.NOT_PERMITTED
    observer.subscribe("acme/dev/*")
    sender.publish(WRITER, b"nobody", receipt=True)
    sender.peer.expect_refused(Code.NO_ROUTE)
    observer.expect_delivery(b"nobody", to=WRITER)
    worker = world.agent(f"{WRITER}/1")
    sender.publish(WRITER, b"one", receipt=True)
    worker.expect_delivery(b"one", to=f"{WRITER}/1")
    observer.expect_delivery(b"one", to=WRITER)  # as sent
    assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 1
    sender.publish(f"{WRITER}/1", b"private")
    observer.silent()
    observer.ask(Kind.UNSUBSCRIBE, "acme/dev/*")
    sender.broadcast(WRITER, b"gone")
    observer.silent()


# -- nobody there ----------------------------------------------------------------------------------------


def test_routes_longest_first_then_the_default_then_no_route():
    world = World()
    sender = world.agent("acme/dev/boss/1")
    bridge, default = world.agent("acme/net/bridge/1"), world.agent("acme/net/default/1")
    default.set_route("*", default.name)
    bridge.set_route("acme/far/*", bridge.name)
    sender.publish("acme/far/worker", b"far")
    sender.publish("acme/other/worker", b"other")
    bridge.expect_delivery(b"far", to="acme/far/worker")
    default.expect_delivery(b"other", to="acme/other/worker")
    bridge.ask(Kind.REMOVE_ROUTE, "acme/far/*")
    sender.publish("acme/far/worker", b"again", receipt=True)
    default.expect_delivery(b"again", to="acme/far/worker")
    assert frames.decode(sender.expect(Kind.RECEIPT).body, frames.Count).count == 1
    default.peer.carrier.lose()
    sender.publish("acme/far/worker", b"lost")
    sender.peer.expect_refused(Code.NO_ROUTE)


def test_via_is_an_agent_of_the_connection_that_sets_the_route():
    world = World()
    agent, other = world.agent(f"{WRITER}/1"), world.agent(f"{WRITER}/2")
    assert refused(agent.set_route, "*", other.name) is Code.NO_ROUTE
    assert refused(agent.set_route, "*", f"{WRITER}/absent") is Code.NO_ROUTE
    agent.set_route("*", agent.name)


def test_refusals_of_plain_messages_are_counted_together_and_name_the_last():
    agent = World().agent(f"{WRITER}/1")
    handle = agent.open(TOPIC)
    agent.peer.feed(b"".join(agent.frame(handle, id=n) for n in range(10, 15)))
    agent.peer.expect_refused(Code.NO_ROUTE, 5, id=14, destination=agent.handle, source=handle)
    agent.peer.feed(b"".join(agent.frame(handle, id=n, fanout=0) for n in range(20, 24)))
    agent.peer.feed(b"".join(agent.frame(handle, id=n, fanout=0) for n in range(30, 34)))  # a remembered flow
    agent.peer.expect_refused(Code.NO_ROUTE, 4, id=23)
    agent.peer.expect_refused(Code.NO_ROUTE, 4, id=33)
    agent.silent()


def test_requests_are_refused_one_by_one():
    agent = World().agent(f"{WRITER}/1")
    handle = agent.open(TOPIC)
    agent.peer.feed(b"".join(agent.frame(handle, kind=Kind.REQUEST, fanout=0, id=n) for n in (5, 6, 7)))
    for n in (5, 6, 7):
        agent.peer.expect_refused(Code.NO_ROUTE, id=n)
    agent.silent()


# -- presence --------------------------------------------------------------------------------------------


def test_presence_snapshot_joined_and_left():
    world = World()
    first, watcher = world.agent(f"{WRITER}/1"), world.agent("acme/dev/boss/1")
    assert watcher.watch(WRITER) == [f"{WRITER}/1"]
    second = world.agent(f"{WRITER}/2")
    assert presence(watcher.expect(Kind.PRESENCE, destination=watcher.handle)) == (f"{WRITER}/2", True)
    second.unregister()
    assert presence(watcher.expect(Kind.PRESENCE)) == (f"{WRITER}/2", False)
    first.peer.carrier.lose(ConnectionResetError())
    world.turn()
    assert presence(watcher.expect(Kind.PRESENCE)) == (f"{WRITER}/1", False)
    watcher.ask(Kind.UNWATCH, WRITER)
    world.agent(f"{WRITER}/3")
    watcher.silent()


def test_subscribing_shows_as_presence_of_the_topic():
    world = World()
    watcher, agent = world.agent("acme/dev/boss/1"), world.agent(f"{WRITER}/1")
    assert watcher.watch(TOPIC) == []
    agent.subscribe(TOPIC)
    assert presence(watcher.expect(Kind.PRESENCE)) == (f"{TOPIC}/1", True)
    agent.ask(Kind.UNSUBSCRIBE, TOPIC)
    assert presence(watcher.expect(Kind.PRESENCE)) == (f"{TOPIC}/1", False)


def test_the_agent_of_a_name_gets_its_address_from_one_that_is_subscribed_there():
    world = World()
    squatter, sender = world.agent(f"{WRITER}/1"), world.agent("acme/dev/boss/2")
    squatter.subscribe("acme/dev/editor")
    sender.watch("acme/dev/editor")
    sender.publish("acme/dev/editor/1", b"before")
    squatter.expect_delivery(b"before", to="acme/dev/editor/1")
    editor = world.agent("acme/dev/editor/1")
    lost = squatter.expect(Kind.REFUSED, destination=squatter.handle, source=editor.handle, id=0)
    said = frames.decode(lost.body, frames.Refusal)
    assert (said.code, said.detail, said.count) == (Code.TAKEN_OVER, editor.name, 0)
    assert squatter.peer.names[editor.handle] == editor.name
    assert presence(sender.expect(Kind.PRESENCE)) == (editor.name, False)
    assert presence(sender.expect(Kind.PRESENCE)) == (editor.name, True)
    for fanout in (1, 0):
        sender.publish("acme/dev/editor", fanout=fanout)
    sender.publish("acme/dev/editor/1")
    squatter.publish("acme/dev/editor/1")
    sender.publish(squatter.name)
    assert got([squatter, editor]) == [1, 4]
    squatter.peer.inbox.clear()
    assert refused(squatter.subscribe, "acme/dev/editor") is Code.NAME_TAKEN


# -- handles ---------------------------------------------------------------------------------------------


def test_handles_of_a_dead_agent_are_withdrawn_and_then_unknown():
    world = World()
    caller, callee = world.agent(f"{WRITER}/1"), world.agent(f"{WRITER}/2")
    caller.publish(callee.name, b"hello")
    heard = callee.expect_delivery(b"hello", to=callee.name)
    callee.publish(heard.source, b"answer", kind=Kind.REPLY)
    caller.peer.expect(Kind.REPLY)
    caller.peer.carrier.lose()
    world.turn()
    gone = frames.decode(callee.expect(Kind.WITHDRAW).body, frames.Handles).numbers
    assert heard.source in gone
    callee.publish(heard.source, b"late", kind=Kind.REPLY)
    callee.peer.expect_refused(Code.UNKNOWN_HANDLE)


def test_an_open_handle_outlives_the_agent():
    world = World()
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent(f"{WRITER}/2")
    sender.publish(receiver.name, b"1")
    sender.publish(receiver.name, b"2")
    receiver.peer.carrier.lose()
    sender.publish(receiver.name, b"3")
    sender.peer.expect_refused(Code.NO_ROUTE)
    again = world.agent(receiver.name)
    sender.publish(receiver.name, b"4")
    again.expect_delivery(b"4", to=receiver.name, of=sender.name)


# -- tenants ---------------------------------------------------------------------------------------------


def test_an_announced_source_may_be_replied_to_but_nothing_else():
    world = World(grants=[("acme/*", "publish", "beta/*")])
    caller, callee = world.agent(f"{WRITER}/1"), world.agent("beta/dev/oracle/1")
    caller.publish("beta/dev/oracle", b"?", kind=Kind.REQUEST)
    asked = callee.expect_delivery(b"?", to=callee.name, of=caller.name, kind=Kind.REQUEST)
    for _ in range(2):  # the second by the remembered decision
        callee.publish(asked.source, b"!", kind=Kind.REPLY)
        caller.expect_delivery(b"!", to=caller.name, of=callee.name, kind=Kind.REPLY)
        for kind in (Kind.PUBLISH, Kind.REQUEST):
            callee.publish(asked.source, b"no", kind=kind)
            callee.peer.expect_refused(Code.NOT_PERMITTED)
    caller.silent()
    assert refused(callee.open, caller.name) is Code.NOT_PERMITTED


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.SUBSCRIBE, Kind.WATCH])
def test_a_refusal_across_tenants_does_not_tell_what_exists(kind):
    world = World()
    world.agent("beta/dev/oracle/1")
    spy = world.agent(f"{WRITER}/1")
    answers = []
    for name in ("beta/dev/oracle", "beta/dev/absent"):
        with pytest.raises(Refused) as caught:
            spy.ask(kind, name)
        answers.append((caught.value.code, caught.value.detail.replace(name, "")))
    assert answers[0] == answers[1]
    assert answers[0][0] is Code.NOT_PERMITTED


def test_two_tenants_on_one_connection_do_not_lend_each_other_handles():
    world = World(grants=[("acme/*", "publish", "beta/*")])
    callee = world.agent("beta/dev/oracle/1")
    allowed = world.agent(f"{WRITER}/1")
    other = allowed.peer.register("gamma/dev/thief/1")
    handle = allowed.open(callee.name)
    other.publish(handle, b"stolen")
    other.peer.expect_refused(Code.NOT_PERMITTED)
    allowed.publish(handle, b"fair")
    callee.expect_delivery(b"fair", to=callee.name)
    callee.silent()


# -- limits and the end ----------------------------------------------------------------------------------


def test_every_limit_has_its_code():
    world = World(
        agents_per_connection=2,
        subscriptions_per_connection=1,
        handles_per_connection=1,
        routes_per_connection=1,
        watches_per_connection=1,
        flows_per_connection=1,
        grants=[("*", "observe", "*")],
    )
    agent = world.agent(f"{WRITER}/1")
    second = agent.peer.register(f"{WRITER}/2")
    assert refused(agent.peer.register, f"{WRITER}/3") is Code.TOO_MANY_AGENTS
    agent.subscribe("acme/dev/a")
    agent.subscribe("acme/dev/a")  # again is no other
    assert refused(agent.subscribe, "acme/dev/b") is Code.TOO_MANY_SUBSCRIPTIONS
    assert refused(second.subscribe, "acme/dev/*") is Code.TOO_MANY_SUBSCRIPTIONS
    agent.watch("acme/dev/a")
    agent.watch("acme/dev/a")
    assert refused(agent.watch, "acme/dev/b") is Code.TOO_MANY_WATCHES
    agent.set_route("acme/a/*", agent.name)
    assert refused(agent.set_route, "acme/b/*", agent.name) is Code.TOO_MANY_ROUTES
    agent.set_route("acme/a/*", second.name)  # another one for the same pattern is no other
    other = world.agent(f"{WRITER}/4")
    other.set_route("acme/c/*", other.name)
    assert refused(agent.set_route, "acme/c/*", agent.name) is Code.TOO_MANY_ROUTES  # it would be one more
    agent.publish("acme/dev/absent")
    agent.peer.inbox.clear()
    second.publish(agent.open("acme/dev/absent"))
    agent.peer.expect_refused(Code.NO_ROUTE)
    second.peer.expect_refused(Code.TOO_MANY_HANDLES)


def test_draining_asks_everybody_and_goes_on():
    world = World()
    sender, receiver = world.agent(f"{WRITER}/1"), world.agent(f"{WRITER}/2")
    world.hub.drain()
    world.turn()
    for agent in (sender, receiver):
        assert frames.decode(agent.expect(Kind.DRAIN).body, frames.Refusal).code == Code.SHUTTING_DOWN
    sender.publish(receiver.name, b"still")
    receiver.expect_delivery(b"still", to=receiver.name)
    late = world.peer()  # came before the listener closed
    late.expect(Kind.DRAIN)
    sender.peer.send(Kind.CLOSE, frames.Refusal(Code.GOODBYE))
    assert world.ends == [(sender.peer.link, Code.GOODBYE, "by the peer")]
    assert sender.peer.carrier.lost


def test_a_snapshot_of_many_fits_its_frames():
    world = World()
    names = {f"acme/dev/crowd/i{number}" for number in range(150)}
    for name in names:
        world.agent(name)
    watcher = world.agent("acme/dev/watcher/1")
    first = watcher.watch("acme/dev/crowd")
    rest = [presence(watcher.expect(Kind.PRESENCE)) for _ in range(len(names) - len(first))]
    assert len(first) == 60
    assert all(present for _, present in rest)
    assert {*first, *(name for name, _ in rest)} == names
    watcher.silent()


def test_any_gives_whoever_was_not_chosen_yet_the_same_chance():
    """The second message of a flow: the instance that got the first has no better chance than the other."""
    same = 0
    for seed in range(400):
        world = World(seed=seed)
        sender = world.agent("acme/dev/sender/1")
        crowd = [world.agent(f"acme/dev/crowd/i{number}") for number in range(2)]
        sender.publish("acme/dev/crowd")
        sender.publish("acme/dev/crowd")
        same += 2 in got(crowd)
    assert abs(same - 200) < 50  # 5 standard deviations; 300 where only the known one is taken at once
