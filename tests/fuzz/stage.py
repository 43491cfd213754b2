"""The forwarding loop of one implementation among links and a hub that do anything at any call, by a seed.

Two stages with the same seed, one for each implementation, must write the same log: every call that leaves the loop
with its arguments, and at each of them the accounts of all links. Links keep the contract of `Outbox`; entries of the
routing tables are the real ones.
"""

from __future__ import annotations

import random
from collections import deque
from types import ModuleType
from typing import Any
from zlib import crc32

from agpd.errors import Code, Fatal
from agpd.names import parse
from agpd.routing.subscriptions import InstanceEntry, Namespace, Tenant, TypeEntry
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd.wire.framing import Reassembly
from agpd.wire.session import Session, Side, State

LINKS = 5
SOURCES = (11, 12, 2**32 - 1)
INSTANCES = tuple(range(101, 108))
TYPES = (201, 202)
DESTINATIONS = (*INSTANCES, *INSTANCES, *TYPES, *TYPES, 0, 999)
LIMITS = (24, 300, 2000, 2000, 2**32 - 1)
MARKS, FLUSH, LIMIT = (48, 72, 274, 600), 1200, 1500  # what a few frames sum up to exactly


def frame(chance: random.Random) -> bytes:
    """One that is meant for the stage, more or less."""
    kind = chance.choice((*[Kind.PUBLISH] * 8, Kind.REQUEST, Kind.REPLY, Kind.PING, 0x83))
    fanout = chance.choice((1, 1, 1, 0, 0, 2, 0xFFFF))
    return frames.encode_data(
        kind,
        bytes(chance.choice((0, 0, 1, 3, 40, 250))),
        destination=chance.choice(DESTINATIONS),
        source=chance.choice(SOURCES),
        id=chance.choice((0, 5, 2**64 - 1)),
        fanout=fanout,
        flags=chance.choice((*[0] * 12, 1, 0x80)),
    )


def link_class(module: ModuleType) -> type[Any]:
    """Links of this implementation."""

    class Link(module.Port):  # type: ignore[misc, name-defined]
        __slots__ = ("name", "out", "stage")

        def __init__(self, stage: Stage, name: int) -> None:
            super().__init__(stage.turn, FLUSH)
            self.stage, self.name, self.out = stage, name, bytearray()
            self.flows = {}
            self.begin()

        def begin(self, limit: int = 2000) -> None:
            """As a new connection, which may be legal to send data or not."""
            self.reassembly = Reassembly(limit)
            self.session = Session(Side.GATEWAY)
            self.session.state = State.GREETING if self.stage.chance.random() < 0.1 else State.OPEN
            self.close_code = None

        def __repr__(self) -> str:
            return f"link {self.name}"

        def pressed(self, size: int, count: int, producer: Any, crowd: Any = None) -> bool:
            self.stage.say("pressed", self, size, count, producer, crowd)
            if self.writable:
                self.flush()
                return True
            self.full = True
            if self.queued <= LIMIT:
                return True
            self.queue.pop()
            self.queued -= size
            return False

        def flush(self) -> None:
            if self.writable:
                self.out += b"".join(self.queue)
                self.queue.clear()
                self.queued = 0

        def stop(self) -> None:
            self.writable, self.threshold = False, self.stage.chance.choice(MARKS)

        def go_on(self) -> None:
            self.writable, self.full, self.threshold = True, False, FLUSH
            self.flush()

    return Link


class Stage:
    """`recording`: write the log, and look at everything at every call. Without, only the invariants are checked."""

    def __init__(self, module: ModuleType, seed: int, *, recording: bool) -> None:
        self.module = module
        self.chance = random.Random(seed)
        self.recording = recording
        self.log: list[object] = []
        self.calls: deque[Any] = deque()
        self.turn = module.Turn(self.calls.append)
        self.depth = 0
        make = link_class(module)
        self.links: list[Any] = [make(self, number) for number in range(LINKS)]
        self.entries: dict[int, Any] = {}
        self._people()
        for link in self.links:
            for number in self.entries:
                for source in SOURCES:
                    if self.chance.random() < 0.8:
                        self.learn(link, number << 32 | source)

    def _people(self) -> None:
        home = Tenant("acme")
        self.space = Namespace(home, "dev")
        self.agents = [f"agent {number}" for number in SOURCES]
        for number in TYPES:
            self.entries[number] = TypeEntry(number, parse(f"acme/dev/t{number}"), home, self.space)
        for place, number in enumerate(INSTANCES):
            of = self.entries[TYPES[place % 2]]
            entry = InstanceEntry(number, parse(f"{of.name}/{number}"), home, of)
            entry.link, entry.agent = self.links[place % LINKS], self.agents[place % len(SOURCES)]
            of.members.append(entry)
            self.entries[number] = entry

    # what the loop calls

    def choose(self, n: int) -> int:
        return self.chance.randrange(n)

    def take(self, message: Any, origin: Any) -> None:
        fields = [getattr(message, name) for name in message.__slots__]
        self.say("take", origin, *fields)
        self.react(origin, message.destination << 32 | message.source)

    def control(self, frame: Any, origin: Any) -> None:
        self.say("control", origin, type(frame).__name__, *frame)
        self.react(origin, 0)

    def introduce(self, link: Any, flow: Any, destination: Any) -> None:
        self.say("introduce", link, flow.agent, flow.entry, destination)
        link.send(b"announced")
        flow.met[destination] = link

    def dropped(self, data: bytes, count: int, flow: Any, origin: Any) -> None:
        self.say("dropped", data, count, flow.agent, flow.entry, origin)
        self.react(origin, 0)

    # what happens then

    def react(self, origin: Any, pair: int) -> None:
        """Something that a hub may do, now or at another call."""
        chance = self.chance
        act = chance.randrange(30)
        link = self.links[chance.randrange(LINKS)]
        if act < 8:
            self.learn(origin, pair)
        elif act == 8:
            origin.flows.pop(pair, None)
        elif act == 9 and chance.random() < 0.2:
            origin.flows.clear()
        elif act == 10:
            self.move(self.entries[chance.choice(INSTANCES)], link if chance.random() < 0.7 else None)
        elif act == 11:
            self.say("offered", link.offer(b"offered" * chance.randrange(50), 3, origin, "crowd"))
        elif act == 12:
            self.say("lost", self.module.fan_out(tuple(self.links), b"to all", 2, origin, None))
        elif act == 13:
            link.stop()
        elif act in (14, 15):
            link.go_on()
        elif act == 16:
            origin.work += 900
        elif act == 17 and chance.random() < 0.3:
            origin.reassembly.limit = chance.choice(LIMITS)
        elif act == 18 and chance.random() < 0.3:
            raise Fatal(Code.MALFORMED_FRAME, "at once")
        elif act == 19 and chance.random() < 0.3:
            origin.close_code = Code.GOODBYE
        elif act == 20 and self.depth < 2:
            self.feed(link, b"".join(frame(chance) for _ in range(chance.randrange(4))))
        elif act == 21:
            self.space.observers = {"somebody": None} if chance.random() < 0.2 else {}
        elif act == 22:
            link.queue.clear()
            link.queued = 0

    @staticmethod
    def move(entry: Any, link: Any) -> None:
        """Members are on links; who is on none is no member."""
        entry.link = link
        if link is None and entry in entry.type.members:
            entry.type.members.remove(entry)
        elif link is not None and entry not in entry.type.members:
            entry.type.members.append(entry)

    def learn(self, origin: Any, pair: int) -> None:
        entry = self.entries.get(pair >> 32)
        if entry is None:
            return
        apart = origin if self.chance.random() < 0.2 else None
        flow = self.module.Flow(self.chance.choice(self.agents), entry, apart)
        if isinstance(entry, InstanceEntry):
            flow.told = entry.link if self.chance.random() < 0.9 else None
        else:
            flow.met = {member: member.link for member in entry.members if self.chance.random() < 0.8}
        origin.flows[pair] = flow

    # what the driver does

    def feed(self, link: Any, data: bytes) -> None:
        """A read of this link, and what is left over of it for the next turn."""
        self.depth += 1
        try:
            tired = self.module.forward(data, link, self)
            while tired:
                self.say("tired", link)
                tired = self.module.forward(b"", link, self)
        except Fatal as fatal:
            self.say("fatal", fatal.code, fatal.detail)
            link.begin()
        self.depth -= 1
        if link.close_code is not None:
            link.begin()
        self.check()

    def end_turn(self) -> None:
        while self.calls:
            self.calls.popleft()()
        self.check()

    def say(self, *what: object) -> None:
        if self.recording:
            self.log.append((*map(str, what), *map(self.accounts, self.links)))

    def accounts(self, link: Any) -> tuple[object, ...]:
        queue = b"".join(link.queue)
        assert len(queue) == link.queued
        numbers = (link.queued, link.messages_in, link.deliveries, link.work, link.full, link.writable)
        return (*numbers, crc32(queue), crc32(link.out), link.reassembly.open_bytes)

    def check(self) -> None:
        for link in self.links:
            assert link.queued == sum(map(len, link.queue)), "the accounts are wrong"
            assert not link.queued or not link.writable or link in self.turn.marked, "nobody will flush this"
