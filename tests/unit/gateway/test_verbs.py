"""agpd/gateway/verbs.py: what each control verb answers. The dialogues are in tests/scenarios/test_patterns.py."""

import pytest
from scenarios.harness import World

from agpd.errors import Code, Refused
from agpd.gateway.verbs import VERBS
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd.wire.session import MOVES, Side

WRITER = "acme/dev/writer"


@pytest.fixture
def agent():
    return World(
        grants=[("acme/*", "observe", "acme/dev/*")], subscriptions_per_connection=8, handles_per_connection=9
    ).agent(f"{WRITER}/1")


def code(agent, kind, body, **fields) -> Code:
    with pytest.raises(Refused) as caught:
        agent.peer.ask(kind, body, source=agent.handle, **fields)
    return caught.value.code


def test_there_is_a_verb_for_every_legal_control_frame():
    assert set(VERBS) == {kind for _, kind in MOVES[Side.GATEWAY] if kind < frames.FIRST_DATA_KIND}


def test_hello_says_what_holds():
    world = World(ping_interval_ms=7000, subscriptions_per_connection=8, handles_per_connection=9)
    peer = world.peer("acme/dev/*", greet=False)
    peer.send(Kind.HELLO, frames.Hello([9, 1], "test", 5))
    said = frames.decode(peer.expect(Kind.WELCOME).body, frames.Welcome)
    limit = world.hub.admission.limits.frame_limit_bytes
    assert said == frames.Welcome(1, "test", "acme/dev/*", limit, 7000, 8, 9)
    assert (peer.link.epoch, peer.link.reassembly.limit) == (5, limit)


def test_hello_without_a_common_version():
    peer = World().peer(greet=False)
    peer.send(Kind.HELLO, frames.Hello([2], "test", 5))
    peer.expect_closed(Code.UNSUPPORTED_VERSION)


@pytest.mark.parametrize("kind", [kind for kind in VERBS if kind in range(1, 13) and kind is not Kind.HELLO])
def test_a_body_that_does_not_decode_ends_the_connection(agent, kind):
    if kind in (Kind.UNREGISTER, Kind.SHUT):  # these have none
        return
    agent.peer.feed(frames.encode(kind, frames.Count(5), source=agent.handle))
    agent.peer.expect_closed(Code.MALFORMED_FRAME)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.REGISTER, WRITER),
        (Kind.SUBSCRIBE, f"{WRITER}/1"),
        (Kind.SUBSCRIBE, "acme/*"),
        (Kind.SUBSCRIBE, "*"),
        (Kind.UNSUBSCRIBE, "Acme/dev/x"),
        (Kind.UNSUBSCRIBE, "a/b/c/d/*/*"),
        (Kind.OPEN, "acme/dev"),
        (Kind.WATCH, f"{WRITER}/1"),
        (Kind.UNWATCH, "x"),
        (Kind.REMOVE_ROUTE, "x"),
    ],
)
def test_names_are_judged(agent, kind, name):
    assert code(agent, kind, frames.Named(name)) is Code.INVALID_NAME


def test_refusals_repeat_the_id_and_are_counted(agent):
    agent.peer.send(Kind.OPEN, frames.Named("no"), source=agent.handle, id=99)
    agent.peer.expect_refused(Code.INVALID_NAME, id=99, destination=0)
    assert agent.peer.world.hub.refused[Code.INVALID_NAME] == 1


def test_registering_twice_on_one_connection(agent):
    assert code(agent, Kind.REGISTER, frames.Named(agent.name)) is Code.NAME_TAKEN


def test_a_name_that_was_given_up_may_be_registered_again(agent):
    other = agent.peer.world.agent("acme/dev/clerk/1")
    other.open(agent.name)  # keeps the address alive
    agent.unregister()
    assert agent.peer.register(agent.name).handle == agent.handle
    agent.open(WRITER)


def test_undoing_what_was_not_done_is_no_error(agent):
    for kind, name in (
        (Kind.UNSUBSCRIBE, "acme/dev/news"),
        (Kind.UNSUBSCRIBE, "acme/dev/*"),
        (Kind.UNWATCH, WRITER),
        (Kind.REMOVE_ROUTE, "*"),
    ):
        assert agent.ask(kind, name).kind == Kind.OK


def test_observing_again_is_no_other(agent):
    for _ in range(12):
        agent.subscribe("acme/dev/*")


def test_a_refused_open_leaves_nothing(agent):
    for number in range(9):
        agent.open(f"acme/dev/t{number}")
    entries = len(agent.peer.world.hub.router.entries)
    assert code(agent, Kind.OPEN, frames.Named("acme/dev/more")) is Code.TOO_MANY_HANDLES
    assert len(agent.peer.world.hub.router.entries) == entries


def test_ping_and_pong(agent):
    agent.peer.send(Kind.PING, id=77)
    agent.expect(Kind.PONG, id=77)
    agent.peer.send(Kind.PONG, id=77)
    agent.silent()


@pytest.mark.parametrize(
    ("number", "detail", "known", "said"),
    [
        (500, "", Code.GOODBYE, "by the peer"),
        (513, "why", Code.UNKNOWN_KIND, "by the peer: why"),
        (9999, "", Code.INTERNAL, "by the peer"),
    ],
)
def test_close(agent, number, detail, known, said):
    agent.peer.send(Kind.CLOSE, frames.Refusal(number, detail))
    world = agent.peer.world
    assert world.ends == [(agent.peer.link, known, said)]
    agent.silent()


def test_the_names_given_up_are_remembered_within_bounds(agent):
    for number in range(4200):
        agent.peer.register(f"{WRITER}/x{number}").unregister()
        agent.peer.inbox.clear()
    assert len(agent.peer.link.former_sources) <= 4096
