"""Dialogues with the hub alone: the real protocol object and hub, no socket, time and chance in the hands of the test.

`World` is a gateway, `Peer` one connection to it, `Agent` an agent registered there. Whatever the gateway sends is
judged on the way in: it must be legal for the session, and a delivery's handles must have been announced before.
With `workers` the connections reach the hub through as many trunks, by turns.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agpd.config import Grant, Limits
from agpd.control.policy import Policy, operator_statements
from agpd.errors import Code, Refused, code_of
from agpd.gateway.admission import Admission
from agpd.gateway.hub import Hub
from agpd.gateway.link import Link
from agpd.gateway.outbox import Clock, OutboxLimits
from agpd.gateway.principal import Principal
from agpd.gateway.tokens import NO_TOKENS, Tokens
from agpd.hotpath import Turn
from agpd.names import Name, Pattern, parse_pattern
from agpd.routing.router import Router
from agpd.transport.native import NativeProtocol
from agpd.transport.workers.channel import HubTrunk
from agpd.transport.workers.client import WorkerTrunk
from agpd.transport.workers.gate import Gate
from agpd.transport.workers.trunk import Trunk
from agpd.wire import frames
from agpd.wire.frames import FANOUT_ALL, FANOUT_ANY, FIRST_DATA_KIND, RECEIPT_WANTED, Body, Frame, Kind
from agpd.wire.framing import Reassembly, split
from agpd.wire.session import Session, Side

AnyBody = TypeVar("AnyBody", bound=Body)
MIB = 1024 * 1024
# As many workers has a world for which nothing else is said.
workers = 1
OUTBOX = OutboxLimits(MIB, 4 * MIB, 0.5)


class Timer:
    """A call at a time, until it is cancelled."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.timers: list[Timer] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.time + delay, call))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due, in its order."""
        end = self.time + seconds
        while due := [timer for timer in self.timers if not timer.cancelled and timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.time = max(self.time, first.at)
            first.call()
        self.time = end


class RecordingCarrier:
    """What `Link` and `NativeProtocol` need of a transport. `stuck` makes it keep what is written."""

    def __init__(self, world: World, principal: Principal) -> None:
        self.world, self.principal = world, principal
        self.protocol: asyncio.Protocol | None = None
        self.backlog = bytearray()
        self.sent = bytearray()
        self.reading = True
        self.stuck = self.closing = self.lost = False

    # asyncio.Transport

    def write(self, data: bytes) -> None:
        assert not self.lost, "written after the end"
        (self.backlog if self.stuck else self.sent).extend(data)

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return len(self.backlog)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert high > low

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("192.0.2.1", 9), "ssl_object": self}.get(name)

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return b"der"

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.world.call_soon(self.lose)

    def abort(self) -> None:
        self.backlog.clear()
        self.closing = True
        self.world.call_soon(self.lose)

    # the test's side

    def lose(self, exc: Exception | None = None) -> None:
        """The connection has ended."""
        if not self.lost:
            self.lost = True
            assert self.protocol is not None
            self.protocol.connection_lost(exc)

    def stop_taking(self) -> None:
        """The peer reads no more and the carrier is full."""
        assert self.protocol is not None
        self.stuck = True
        self.protocol.pause_writing()

    def take_all(self) -> None:
        """The peer reads everything."""
        assert self.protocol is not None
        self.stuck = False
        self.sent += self.backlog
        self.backlog.clear()
        self.protocol.resume_writing()


class Cable:
    """What a trunk writes to: it arrives at the other end in a later turn."""

    def __init__(self, world: World, other: Trunk) -> None:
        self.world, self.other = world, other

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert high > low

    def writelines(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        self.world.call_soon(lambda: self.other.received(data))


class Carriage:
    """A worker without a process: both ends of its trunk."""

    def __init__(self, world: World) -> None:
        self.protocols: deque[NativeProtocol] = deque()  # of clients that come next
        self.inner = HubTrunk(
            world.call_soon,
            self.protocols.popleft,
            Gate(world.clock.call_later),
            on_word=lambda kind, value: None,
            on_change=lambda: None,
            on_broken=lambda: None,
        )
        self.outer = WorkerTrunk(
            world.call_soon,
            world.clock.call_later,
            on_word=lambda kind, value, payload: None,
            on_broken=lambda: None,
        )
        self.inner.connection_made(Cable(world, self.outer))  # type: ignore[arg-type]
        self.outer.connection_made(Cable(world, self.inner))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Granted:
    """An access token as the gateway's core sees it. `rights` are pairs of a verb and a pattern."""

    pattern: Pattern
    rights: frozenset[tuple[str, Pattern]]
    issued: float
    expires: float
    thumbprint: str

    @property
    def organization(self) -> str:
        return self.pattern.prefix[0]

    @property
    def scopes(self) -> Granted:
        return self

    def permits(self, verb: str, name: Name) -> bool:
        return any(each == verb and pattern.matches(name) for each, pattern in self.rights)

    def permits_pattern(self, verb: str, pattern: Pattern) -> bool:
        return any(
            each == verb and pattern.prefix[: len(own.prefix)] == own.prefix for each, own in self.rights
        )


@dataclass
class TokenDesk:
    """Issues tokens that are keys of a table, and verifies them. `time` is Unix time, which a test sets."""

    time: float = 5000.0
    issued: dict[str, Granted] = field(default_factory=dict)
    revoked: set[Granted] = field(default_factory=set)

    def issue(
        self, pattern: str = "acme/*", scope: str = "", life_s: float = 600.0, thumbprint: str = ""
    ) -> str:
        """A token. `scope` are words `verb:pattern`; empty: everything in the pattern."""
        words = scope.split() or [f"{verb}:{pattern}" for verb in EVERY_VERB]
        rights = [(verb, parse_pattern(to)) for verb, _, to in (word.partition(":") for word in words)]
        granted = Granted(
            parse_pattern(pattern), frozenset(rights), self.time, self.time + life_s, thumbprint
        )
        text = f"token-{len(self.issued)}"
        self.issued[text] = granted
        return text

    def revoke(self, text: str) -> None:
        self.revoked.add(self.issued[text])

    def verify(self, text: str, thumbprint: str) -> Granted:
        granted = self.issued.get(text)
        if granted is None or granted in self.revoked or granted.thumbprint not in ("", thumbprint):
            raise Refused(Code.INVALID_TOKEN)
        return granted

    def tokens(self) -> Tokens:
        """What the hub asks."""
        return Tokens(self.verify, self.revoked.__contains__, lambda: self.time)


EVERY_VERB = ("publish", "request", "subscribe", "register", "watch", "observe", "route")


class World:
    """A gateway's hub with everything around it made of tables. `limits` are fields of `config.Limits`."""

    def __init__(
        self,
        *,
        grants: Iterable[tuple[str, str, str]] = (),
        outbox: OutboxLimits = OUTBOX,
        seed: int = 1,
        tokens: Tokens = NO_TOKENS,
        require_token: bool = False,
        **limits: int,
    ) -> None:
        self.clock = HandClock()
        self.calls: deque[Callable[[], None]] = deque()
        self.ends: list[tuple[Link, Code, str]] = []
        numbers = itertools.count(1000)
        admission = Admission(
            Policy.compiled(
                operator_statements(Grant(subject=who, verb=verb, object=what) for who, verb, what in grants)
            ),
            Limits(**limits),
            require_token=require_token,
        )
        self.hub = Hub(
            Router(lambda: next(numbers), random.Random(seed).randrange, admission),
            admission,
            Turn(self.call_soon),
            Clock(self.clock.now, self.clock.call_later),
            outbox,
            identity="test",
            on_end=lambda link, code, detail: self.ends.append((link, code, detail)),
            tokens=tokens,
        )
        self.peers: list[Peer] = []
        self.carriages = [Carriage(self) for _ in range(workers)] if workers > 1 else []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        """Run the loop until nothing is left to do."""
        while self.calls:
            self.calls.popleft()()

    def peer(
        self,
        pattern: str = "*",
        *,
        key: bytes = b"",
        epoch: int = 1,
        greet: bool = True,
        token: str = "",
        thumbprint: str = "",
    ) -> Peer:
        """A new connection whose certificate has this pattern, key and thumbprint, and which shows this token."""
        peer = Peer(self, Principal(parse_pattern(pattern), key, 1, 1e12, pattern, thumbprint=thumbprint))
        self.peers.append(peer)
        if greet:
            peer.send(Kind.HELLO, frames.Hello([frames.VERSION], "test", epoch, token))
            peer.expect(Kind.WELCOME)
        return peer

    def agent(self, name: str, *, pattern: str = "*") -> Agent:
        """An agent on a connection of its own."""
        return self.peer(pattern).register(name)

    def check_accounts(self) -> None:
        """The invariants of every outbox."""
        for link in self.hub.links:
            assert link.queued == sum(map(len, link.queue))
            assert not link.queued or not link.writable or link in self.hub.turn.marked


class Peer:
    """One connection, seen from the agent's end. Announcements go into `names`, everything else into `inbox`."""

    def __init__(self, world: World, principal: Principal) -> None:
        self.world = world
        self.carrier = RecordingCarrier(world, principal)
        self.protocol = NativeProtocol(world.hub, lambda der: principal)
        self.session = Session(Side.AGENT)
        self.names: dict[int, str] = {}
        self.inbox: list[Frame] = []
        self._reassembly = Reassembly(64 * MIB)
        self._ids = itertools.count(1)
        self.end: asyncio.Protocol = self.protocol  # what the bytes of this peer go to
        if world.carriages:
            carriage = world.carriages[len(world.peers) % len(world.carriages)]
            carriage.protocols.append(self.protocol)
            self.end = carriage.outer.client()
        self.carrier.protocol = self.end
        self.end.connection_made(self.carrier)  # type: ignore[arg-type]
        if world.carriages:
            world.turn()

    @property
    def link(self) -> Link:
        return self.protocol.link

    def feed(self, data: bytes, *, turn: bool = True) -> None:
        """These bytes arrive at the gateway."""
        self.end.data_received(data)
        if turn:
            self.world.turn()

    def send(self, kind: int, body: Body | None = None, *, turn: bool = True, **fields: int) -> int:
        """Send a control frame. Returns its id."""
        fields.setdefault("id", next(self._ids))
        self.feed(frames.encode(kind, body, **fields), turn=turn)
        return fields["id"]

    def read(self) -> list[Frame]:
        """Everything that has come and was not expected yet."""
        data = bytes(self.carrier.sent)
        self.carrier.sent.clear()
        for frame in split(data, self._reassembly):
            self._judge(frame)
        return self.inbox

    def _judge(self, frame: Frame) -> None:
        self.session.receive(frame.kind)
        if frame.kind == Kind.ANNOUNCE:
            assert frame.destination not in self.names, "announced twice"
            self.names[frame.destination] = frames.decode(frame.body, frames.Named).name
            return
        if frame.kind == Kind.WITHDRAW:
            for number in frames.decode(frame.body, frames.Handles).numbers:
                self.names.pop(number, None)  # opened, and perhaps never announced
        if frame.kind >= FIRST_DATA_KIND:
            assert frame.source in self.names, "the source was not announced"
            assert frame.destination in self.names, "the destination was not announced"
        self.inbox.append(frame)

    def expect(self, kind: Kind, **fields: Any) -> Frame:
        """The next frame is of this kind and has these fields."""
        assert self.read(), f"nothing came, expected {kind.name}"
        frame = self.inbox.pop(0)
        assert Kind(frame.kind) is kind, f"{frame}, expected {kind.name}"
        for name, value in fields.items():
            assert getattr(frame, name) == value, (name, frame)
        return frame

    def expect_refused(self, code: Code, count: int = 1, **fields: Any) -> Frame:
        """The next frame is this refusal."""
        frame = self.expect(Kind.REFUSED, **fields)
        said = frames.decode(frame.body, frames.Refusal)
        assert (code_of(said.code), said.count) == (code, count)
        return frame

    def expect_closed(self, code: Code) -> str:
        """The connection ends with this code, and nothing but that is left. Returns the detail."""
        said = frames.decode(self.expect(Kind.CLOSE).body, frames.Refusal)
        assert code_of(said.code) is code, said
        assert self.link.close_code is code
        assert self.link not in self.world.hub.links
        self.silent()
        return said.detail

    def silent(self) -> None:
        """Nothing else has come."""
        assert self.read() == []

    def ask(self, kind: Kind, body: Body | None = None, **fields: int) -> Frame:
        """Send a request, return the OK. Raises `Refused`."""
        wanted = self.send(kind, body, **fields)
        answer = next(
            frame for frame in self.read() if frame.id == wanted and frame.kind in (Kind.OK, Kind.REFUSED)
        )
        self.inbox.remove(answer)
        if answer.kind == Kind.REFUSED:
            said = frames.decode(answer.body, frames.Refusal)
            raise Refused(code_of(said.code), said.detail)
        return answer

    def register(self, name: str) -> Agent:
        return Agent(self, name, self.ask(Kind.REGISTER, frames.Named(name)).destination)


class Agent:
    """A scripted agent. Names are opened when first used."""

    def __init__(self, peer: Peer, name: str, handle: int) -> None:
        self.peer, self.name, self.handle = peer, name, handle
        self._opened: dict[str, int] = {}

    def ask(self, kind: Kind, name: str) -> Frame:
        return self.peer.ask(kind, frames.Named(name), source=self.handle)

    def open(self, name: str) -> int:
        if name not in self._opened:
            self._opened[name] = self.ask(Kind.OPEN, name).destination
        return self._opened[name]

    def subscribe(self, topic: str) -> None:
        self.ask(Kind.SUBSCRIBE, topic)

    def watch(self, topic: str) -> list[str]:
        return frames.decode(self.ask(Kind.WATCH, topic).body, frames.Present).names

    def set_route(self, pattern: str, via: str) -> None:
        self.peer.ask(Kind.SET_ROUTE, frames.Route(pattern, via), source=self.handle)

    def unregister(self) -> None:
        self.peer.ask(Kind.UNREGISTER, source=self.handle)

    def frame(
        self,
        to: str | int,
        payload: bytes = b"",
        *,
        kind: Kind = Kind.PUBLISH,
        fanout: int = FANOUT_ANY,
        receipt: bool = False,
        id: int = 0,  # noqa: A002  (the field's name)
    ) -> bytes:
        """A data frame of this agent."""
        return frames.encode_data(
            kind,
            payload,
            destination=to if isinstance(to, int) else self.open(to),
            source=self.handle,
            id=id or next(self.peer._ids),
            fanout=fanout,
            flags=RECEIPT_WANTED if receipt else 0,
        )

    def publish(self, to: str | int, payload: bytes = b"", **fields: Any) -> None:
        self.peer.feed(self.frame(to, payload, **fields))

    def broadcast(self, to: str | int, payload: bytes = b"", **fields: Any) -> None:
        self.publish(to, payload, fanout=FANOUT_ALL, **fields)

    def expect(self, kind: Kind, **fields: Any) -> Frame:
        return self.peer.expect(kind, **fields)

    def expect_delivery(self, payload: bytes, *, to: str, of: str = "", kind: Kind = Kind.PUBLISH) -> Frame:
        """The next frame is this message, with that destination."""
        frame = self.peer.expect(kind, body=payload)
        assert self.peer.names[frame.destination] == to
        assert not of or self.peer.names[frame.source] == of
        return frame

    def silent(self) -> None:
        self.peer.silent()
