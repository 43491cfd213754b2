"""Which frame is legal when, for both sides (`proto/native.md` section 4). No input, no output, no clock.

`MOVES` is the whole truth; the diagram in the docs is drawn from it.
"""

import enum

from agpd.errors import Code, Fatal
from agpd.wire.frames import KNOWN_KINDS, VERSION, Hello, Kind


class State(enum.Enum):
    """How far a connection has come."""

    GREETING = "greeting"  # hello not yet seen (gateway), welcome not yet seen (agent)
    OPEN = "open"
    DRAINING = "draining"  # the gateway has asked the agent to leave
    CLOSED = "closed"


class Side(enum.Enum):
    """Who receives."""

    GATEWAY = "gateway"
    AGENT = "agent"


_FROM_AGENT = (
    Kind.REGISTER,
    Kind.UNREGISTER,
    Kind.SUBSCRIBE,
    Kind.UNSUBSCRIBE,
    Kind.OPEN,
    Kind.SHUT,
    Kind.SET_ROUTE,
    Kind.REMOVE_ROUTE,
    Kind.WATCH,
    Kind.UNWATCH,
    Kind.AUTHENTICATE,
)
_FROM_GATEWAY = (
    Kind.OK,
    Kind.REFUSED,
    Kind.ANNOUNCE,
    Kind.WITHDRAW,
    Kind.PRESENCE,
    Kind.DROPPED,
    Kind.ENDED,
    Kind.RECEIPT,
)
_BOTH = (Kind.PING, Kind.PONG, Kind.PUBLISH, Kind.REQUEST, Kind.REPLY)

Moves = dict[tuple[State, Kind], State]

MOVES: dict[Side, Moves] = {
    Side.GATEWAY: {
        (State.GREETING, Kind.HELLO): State.OPEN,
        (State.GREETING, Kind.CLOSE): State.CLOSED,
        (State.OPEN, Kind.CLOSE): State.CLOSED,
        (State.DRAINING, Kind.CLOSE): State.CLOSED,
        **{(State.OPEN, kind): State.OPEN for kind in _FROM_AGENT + _BOTH},
        **{(State.DRAINING, kind): State.DRAINING for kind in _FROM_AGENT + _BOTH},
    },
    Side.AGENT: {
        (State.GREETING, Kind.WELCOME): State.OPEN,
        (State.GREETING, Kind.CLOSE): State.CLOSED,
        (State.OPEN, Kind.CLOSE): State.CLOSED,
        (State.DRAINING, Kind.CLOSE): State.CLOSED,
        (State.OPEN, Kind.DRAIN): State.DRAINING,
        **{(State.OPEN, kind): State.OPEN for kind in _FROM_GATEWAY + _BOTH},
        **{(State.DRAINING, kind): State.DRAINING for kind in _FROM_GATEWAY + _BOTH},
    },
}


class Session:
    """The state of one connection as one side sees it."""

    __slots__ = ("moves", "state")

    def __init__(self, side: Side) -> None:
        self.moves = MOVES[side]
        self.state = State.GREETING

    def receive(self, kind: int) -> Kind:
        """Judge the next frame and move on.

        Raises `Fatal(UNKNOWN_KIND)` or `Fatal(ILLEGAL_MOVE)`; the session is then closed.
        """
        if kind not in KNOWN_KINDS:
            self.state = State.CLOSED
            raise Fatal(Code.UNKNOWN_KIND, f"kind 0x{kind:02x}")
        known = Kind(kind)
        state = self.moves.get((self.state, known))
        if state is None:
            was, self.state = self.state, State.CLOSED
            raise Fatal(Code.ILLEGAL_MOVE, f"{known.name} while {was.value}")
        self.state = state
        return known

    def greeted(self) -> None:
        """A dialect has its own greeting, and it is over."""
        self.state = State.OPEN

    def drain(self) -> None:
        """The gateway's side: the agent has been told to leave."""
        if self.state is State.OPEN:
            self.state = State.DRAINING

    def close(self) -> None:
        """Nothing is legal any more."""
        self.state = State.CLOSED

    @property
    def is_open(self) -> bool:
        """May data flow?"""
        return self.state in (State.OPEN, State.DRAINING)


def agree_version(hello: Hello) -> int:
    """The protocol version to speak.

    Raises `Fatal(UNSUPPORTED_VERSION)`.
    """
    if VERSION in hello.versions:
        return VERSION
    raise Fatal(Code.UNSUPPORTED_VERSION, f"offered {hello.versions}, this gateway speaks {VERSION}")
