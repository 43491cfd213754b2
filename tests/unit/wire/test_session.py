"""agpd/wire/session.py: every pair of state and kind, for both sides, against section 4 of `proto/native.md`."""

import pytest

from agpd.errors import Code, Fatal
from agpd.wire.frames import Hello, Kind
from agpd.wire.session import Session, Side, State, agree_version

REQUESTS = {
    "REGISTER",
    "UNREGISTER",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "OPEN",
    "SHUT",
    "SET_ROUTE",
    "REMOVE_ROUTE",
    "WATCH",
    "UNWATCH",
    "AUTHENTICATE",
}
ANSWERS = {"OK", "REFUSED", "ANNOUNCE", "WITHDRAW", "PRESENCE", "DROPPED", "ENDED", "RECEIPT"}
BOTH = {"PING", "PONG", "PUBLISH", "REQUEST", "REPLY"}
GREETING, OPEN, DRAINING, CLOSED = State

# Written out from the document: side that receives, state -> kinds and the state they lead to.
TABLE = {
    (Side.GATEWAY, GREETING): {"HELLO": OPEN, "CLOSE": CLOSED},
    (Side.GATEWAY, OPEN): dict.fromkeys(REQUESTS | BOTH, OPEN) | {"CLOSE": CLOSED},
    (Side.GATEWAY, DRAINING): dict.fromkeys(REQUESTS | BOTH, DRAINING) | {"CLOSE": CLOSED},
    (Side.GATEWAY, CLOSED): {},
    (Side.AGENT, GREETING): {"WELCOME": OPEN, "CLOSE": CLOSED},
    (Side.AGENT, OPEN): dict.fromkeys(ANSWERS | BOTH, OPEN) | {"CLOSE": CLOSED, "DRAIN": DRAINING},
    (Side.AGENT, DRAINING): dict.fromkeys(ANSWERS | BOTH, DRAINING) | {"CLOSE": CLOSED},
    (Side.AGENT, CLOSED): {},
}


@pytest.mark.parametrize(("side", "state"), TABLE, ids=str)
def test_every_kind(side, state):
    legal = TABLE[side, state]
    for kind in Kind:
        session = Session(side)
        session.state = state
        if kind.name in legal:
            assert session.receive(kind) is kind
            assert session.state is legal[kind.name]
        else:
            with pytest.raises(Fatal) as caught:
                session.receive(kind)
            assert caught.value.code is Code.ILLEGAL_MOVE
            assert session.state is CLOSED


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("state", State)
def test_unknown_kinds(side, state):
    for kind in set(range(256)) - set(Kind):
        session = Session(side)
        session.state = state
        with pytest.raises(Fatal) as caught:
            session.receive(kind)
        assert caught.value.code is Code.UNKNOWN_KIND
        assert session.state is CLOSED


def test_data_may_flow_while_open_or_draining():
    for state in State:
        session = Session(Side.GATEWAY)
        session.state = state
        assert session.is_open is (state in (OPEN, DRAINING))


def test_only_an_open_session_drains():
    for state in State:
        session = Session(Side.GATEWAY)
        session.state = state
        session.drain()
        assert session.state is (DRAINING if state is OPEN else state)


def test_closing():
    session = Session(Side.AGENT)
    session.close()
    assert session.state is CLOSED


def test_versions():
    assert agree_version(Hello([7, 1], "x", 1)) == 1
    with pytest.raises(Fatal) as caught:
        agree_version(Hello([2, 3], "x", 1))
    assert caught.value.code is Code.UNSUPPORTED_VERSION
