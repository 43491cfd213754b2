"""agpd/gateway/tokens.py: tokens on the wire, and what attackers try with them. Time is in the test's hands."""

import pytest
from scenarios.harness import TokenDesk, World

from agpd.errors import Code, Refused
from agpd.gateway.principal import PLAINTEXT
from agpd.gateway.quotas import Allowance
from agpd.gateway.tokens import GRACE_S, NO_TOKENS
from agpd.wire import frames
from agpd.wire.frames import Kind

WRITER = "acme/dev/writer"


@pytest.fixture
def desk() -> TokenDesk:
    return TokenDesk()


@pytest.fixture
def world(desk) -> World:
    return World(tokens=desk.tokens())


def greet(world: World, token: str, **peer: str):
    """A connection that has said hello with the token, whatever the answer was."""
    there = world.peer(greet=False, **peer)
    there.send(Kind.HELLO, frames.Hello([1], "test", 1, token))
    return there


def authenticate(peer, token: str) -> int:
    return frames.decode(peer.ask(Kind.AUTHENTICATE, frames.Token(token)).body, frames.Seconds).seconds


def test_hello_with_a_token(world, desk):
    peer = greet(world, desk.issue(f"{WRITER}/*", life_s=599.5), pattern="acme/*")
    said = frames.decode(peer.expect(Kind.WELCOME).body, frames.Welcome)
    assert (said.may_speak_as, said.token_expires_s) == (WRITER, 600)


def test_a_certificate_may_be_narrower_than_the_token(world, desk):
    peer = greet(world, desk.issue("acme/*"), pattern="acme/dev/*")
    assert frames.decode(peer.expect(Kind.WELCOME).body, frames.Welcome).may_speak_as == "acme/dev/*"


@pytest.mark.parametrize(
    ("pattern", "thumbprint", "good"),
    [
        ("acme/*", "mine", True),  # the positive control
        ("*", "mine", True),
        ("acme/*", "another's", False),  # stolen: bound to another certificate
        ("acme/*", "", False),
        ("globex/*", "mine", False),  # of another tenant
        ("acme/prod/*", "mine", False),  # of another namespace
    ],
)
def test_whose_token_it_is(world, desk, pattern, thumbprint, good):
    token = desk.issue("acme/dev/*", thumbprint="mine")
    peer = greet(world, token, pattern=pattern, thumbprint=thumbprint)
    if good:
        peer.expect(Kind.WELCOME)
    else:
        assert token not in peer.expect_closed(Code.INVALID_TOKEN)


def test_tokens_that_hold_no_longer(world, desk):
    expired, revoked, good = desk.issue(life_s=10), desk.issue(), desk.issue()
    desk.time += 10
    desk.revoke(revoked)
    for token in (expired, revoked, "made up"):
        greet(world, token).expect_closed(Code.INVALID_TOKEN)
    greet(world, good).expect(Kind.WELCOME)


def test_without_control_plane_no_token_is_accepted():
    with pytest.raises(Refused) as caught:
        NO_TOKENS.authenticate("x", PLAINTEXT)
    assert caught.value.code is Code.INVALID_TOKEN
    assert "no control plane" in caught.value.detail
    assert (NO_TOKENS.seconds_left(PLAINTEXT), NO_TOKENS.verdict(PLAINTEXT)) == (0, None)


def test_another_token_on_the_same_connection(world, desk):
    peer = world.peer(token=desk.issue("acme/dev/*", life_s=60))
    peer.register(f"{WRITER}/1")
    desk.time += 48
    assert authenticate(peer, desk.issue("acme/dev/*", life_s=60)) == 60
    peer.silent()


def test_a_connection_without_token_may_show_one_later(world, desk):
    peer = world.peer("acme/*")
    assert authenticate(peer, desk.issue("acme/dev/*")) == 600
    with pytest.raises(Refused) as caught:
        peer.register("acme/prod/writer/1")
    assert caught.value.code is Code.NOT_PERMITTED


def test_a_token_of_another_organization_takes_the_connection_along(world, desk):
    """A certificate for all organizations: the connection uses the quotas of the one that its token names."""
    for organization in ("acme", "globex"):
        world.hub.quotas.set(organization, Allowance(connections=1))
    peer = world.peer("*", token=desk.issue("acme/*"))
    desk.time += 1
    authenticate(peer, desk.issue("globex/*"))
    world.peer("*", token=desk.issue("acme/*"))  # there is room again
    with pytest.raises(Refused) as caught:
        authenticate(peer, desk.issue("acme/*"))
    assert caught.value.code is Code.QUOTA_EXCEEDED
    assert peer.link.principal.organization == "globex"
    greet(world, desk.issue("globex/*"), pattern="*").expect_closed(Code.QUOTA_EXCEEDED)


def test_a_refused_token_leaves_the_one_before_in_force(world, desk):
    peer = world.peer("*", token=desk.issue("acme/*", life_s=60), thumbprint="mine")
    before = peer.link.principal
    for token in (desk.issue("acme/*", thumbprint="another's"), "made up"):
        with pytest.raises(Refused) as caught:
            authenticate(peer, token)
        assert caught.value.code is Code.INVALID_TOKEN
    assert peer.link.principal is before
    peer.register(f"{WRITER}/1")


def test_a_token_of_before_cannot_come_back(world, desk):
    wide = desk.issue("acme/*")
    peer = world.peer("*", token=wide)
    assert authenticate(peer, wide) == 600  # again is no error
    desk.time += 1
    authenticate(peer, desk.issue("acme/dev/*"))
    with pytest.raises(Refused) as caught:
        authenticate(peer, wide)
    assert "older" in caught.value.detail
    assert str(peer.link.principal.speaks_as) == "acme/dev/*"


def test_a_later_token_is_measured_by_the_certificate_not_by_the_token_before(world, desk):
    peer = world.peer("acme/*", token=desk.issue("acme/dev/*"))
    authenticate(peer, desk.issue("acme/prod/*"))
    peer.register("acme/prod/writer/1")


@pytest.mark.parametrize(("after", "code"), [(0, None), (600 + GRACE_S, None), (602.1, Code.TOKEN_EXPIRED)])
def test_when_a_connection_ends_with_its_token(world, desk, after, code):
    peer = world.peer(token=desk.issue())
    desk.time += after
    assert world.hub.tokens.verdict(peer.link.principal) is code


def test_a_connection_ends_when_its_token_is_revoked(world, desk):
    token = desk.issue()
    peer, other = world.peer(token=token), world.peer()
    desk.revoke(token)
    assert world.hub.tokens.verdict(peer.link.principal) is Code.TOKEN_REVOKED
    assert world.hub.tokens.verdict(other.link.principal) is None


def test_registering_takes_a_token_where_it_is_required(desk):
    world = World(tokens=desk.tokens(), require_token=True)
    bare, shown = world.peer("acme/*"), world.peer("acme/*", token=desk.issue())
    with pytest.raises(Refused) as caught:
        bare.register(f"{WRITER}/1")
    assert caught.value.code is Code.NOT_PERMITTED
    assert "credentials" in caught.value.detail
    shown.register(f"{WRITER}/1")
    authenticate(bare, desk.issue())
    bare.register(f"{WRITER}/2")


def test_the_scope_to_register(world, desk):
    peer = world.peer(token=desk.issue(scope=f"register:{WRITER} publish:acme/*"))
    peer.register(f"{WRITER}/1")
    with pytest.raises(Refused) as caught:
        peer.register("acme/dev/clerk/1")
    assert caught.value.code is Code.NOT_PERMITTED


def scoped(world: World, desk: TokenDesk, scope: str):
    """An agent with these scopes beside the one to register."""
    peer = world.peer(token=desk.issue(scope=f"register:acme/* {scope}"))
    return peer.register(f"{WRITER}/1")


CLERK = "acme/dev/clerk"


@pytest.mark.parametrize(
    ("scope", "kind", "body"),
    [
        (f"subscribe:{CLERK}", Kind.SUBSCRIBE, frames.Named(CLERK)),
        ("observe:acme/dev/*", Kind.SUBSCRIBE, frames.Named("acme/dev/*")),
        (f"watch:{CLERK}", Kind.WATCH, frames.Named(CLERK)),
        (f"publish:{CLERK}", Kind.OPEN, frames.Named(CLERK)),
        (f"request:{CLERK}", Kind.OPEN, frames.Named(CLERK)),
        ("route:acme/*", Kind.SET_ROUTE, frames.Route("acme/*", f"{WRITER}/1")),
    ],
)
def test_each_act_needs_its_scope(desk, scope, kind, body):
    world = World(tokens=desk.tokens(), grants=[("acme/*", "observe", "acme/dev/*")])
    agent = scoped(world, desk, scope)
    agent.peer.ask(kind, body, source=agent.handle)
    verb = scope.partition(":")[0]
    other = next(each for each in ("watch", "subscribe") if each != verb)
    stranger = world.peer(token=desk.issue(scope=f"register:acme/* {other}:acme/*"))
    stranger = stranger.register(f"{WRITER}/2")
    with pytest.raises(Refused) as caught:
        stranger.peer.ask(kind, body, source=stranger.handle)
    assert caught.value.code is Code.NOT_PERMITTED


def test_a_scope_to_ask_is_none_to_publish(world, desk):
    clerk = world.agent(f"{CLERK}/1")
    agent = scoped(world, desk, f"request:{CLERK}")
    agent.publish(clerk.name, b"news", receipt=True)
    agent.peer.expect_refused(Code.NOT_PERMITTED)
    agent.publish(clerk.name, b"question", kind=Kind.REQUEST)
    clerk.expect_delivery(b"question", to=clerk.name, kind=Kind.REQUEST)


def test_an_announced_handle_is_no_way_round_the_scope(world, desk):
    clerk = world.agent(f"{CLERK}/1")
    agent = scoped(world, desk, "watch:acme/*")
    clerk.publish(agent.name, b"question", kind=Kind.REQUEST)
    there = agent.expect_delivery(b"question", to=agent.name, kind=Kind.REQUEST).source
    agent.publish(there, b"news", receipt=True)
    agent.peer.expect_refused(Code.NOT_PERMITTED)
    agent.publish(there, b"answer", kind=Kind.REPLY)
    clerk.expect_delivery(b"answer", to=clerk.name, kind=Kind.REPLY)


def test_what_another_token_does_not_allow_ends_and_the_rest_goes_on(world, desk):
    clerk, chief = world.agent(f"{CLERK}/1"), world.agent("acme/dev/chief/1")
    peer = world.peer(token=desk.issue("acme/*"))
    agent, other = peer.register(f"{WRITER}/1"), peer.register("acme/prod/writer/1")
    agent.subscribe("acme/dev/news")
    agent.subscribe("acme/dev/memos")
    to_clerk, to_chief = agent.open(clerk.name), agent.open(chief.name)
    for number in (to_clerk, to_chief):
        agent.publish(number, b"before")
    scope = f"register:acme/dev/* subscribe:acme/dev/news publish:{CLERK}"
    authenticate(peer, desk.issue("acme/*", scope=scope))

    kinds = {frame.kind: frame for frame in peer.read()}
    peer.inbox.clear()
    assert kinds[Kind.ENDED].destination == other.handle
    assert "acme/dev/memos" in frames.decode(kinds[Kind.REFUSED].body, frames.Refusal).detail
    for number in (to_clerk, to_chief):
        agent.publish(number, b"after", receipt=True)
    peer.expect(Kind.RECEIPT)
    peer.expect(Kind.REFUSED)
    assert [frame.body for frame in clerk.peer.read()] == [b"before", b"after"]
    assert [frame.body for frame in chief.peer.read()] == [b"before"]
    clerk.broadcast("acme/dev/news", b"news")
    agent.expect_delivery(b"news", to="acme/dev/news")


def test_a_token_that_allows_the_same_disturbs_nothing(world, desk):
    clerk = world.agent(f"{CLERK}/1")
    peer = world.peer(token=desk.issue("acme/*"))
    agent = peer.register(f"{WRITER}/1")
    to = agent.open(clerk.name)
    agent.publish(to, b"before")
    flows = dict(peer.link.flows)
    assert flows
    desk.time += 400
    authenticate(peer, desk.issue("acme/*"))
    assert peer.link.flows == flows
    peer.silent()


def test_many_tokens_at_once_do_not_take_the_turn_of_others(world, desk):
    peer = world.peer(token=desk.issue())
    frame = frames.encode(Kind.AUTHENTICATE, frames.Token(desk.issue()), id=7)
    peer.feed(frame * 200, turn=False)
    assert peer.link.holds == 1  # the rest has to wait for later turns
    world.turn()
    assert [each.kind for each in peer.read()] == [Kind.OK] * 200
