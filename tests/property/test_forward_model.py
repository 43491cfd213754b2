"""The forwarding loop against a naive model: who must receive what, in which order, under any chunking.

Agents of two tenants live on a few connections and send any mix: runs, interleaved flows, broadcasts, choices,
control frames, unknown handles. The model says for every frame who may get it and how many must.
"""

from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenarios.harness import Agent, World

from agpd.errors import Code
from agpd.hotpath import COMPILED, _pure
from agpd.wire import frames
from agpd.wire.frames import Kind

TYPES = ("acme/dev/a", "acme/dev/b", "beta/dev/a")
# (type, connection): eight agents on four connections, two types share connections.
PLACES = [(0, 0), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (2, 3)]
ABSENT = "acme/dev/absent"
UNKNOWN = 77

DESTINATIONS = st.sampled_from([*range(len(PLACES)), *TYPES[:2], ABSENT, UNKNOWN])
STEP = st.tuples(
    st.integers(0, len(PLACES) - 1),
    DESTINATIONS,
    st.sampled_from([0, 0, 1, 1, 2, 5]),
    st.sampled_from([Kind.PUBLISH, Kind.PUBLISH, Kind.REQUEST]),
    st.integers(1, 4),  # so many in a row
    st.booleans(),  # receipts
)
STEPS = st.lists(STEP | st.just(None), min_size=1, max_size=25)  # None: a ping of everybody
CUTS = st.lists(st.integers(1, 400), min_size=1, max_size=8)


class Field:
    """The world of one example, and what the model expects of it."""

    def __init__(self) -> None:
        self.world = World(grants=[("acme/*", "publish", "beta/*")])
        self.peers = [self.world.peer() for _ in range(4)]
        self.agents: list[Agent] = []
        for number, (kind, place) in enumerate(PLACES):
            self.agents.append(self.peers[place].register(f"{TYPES[kind]}/{number}"))
        self.names = {number: agent.name for number, agent in enumerate(self.agents)}
        self.streams: dict[int, bytearray] = defaultdict(bytearray)
        self.ids = 0
        self.candidates: dict[int, Counter[int]] = {}  # id -> connections -> at most so many deliveries
        self.wanted: dict[int, int] = {}  # id -> deliveries
        self.sent: dict[tuple[int, int], list[int]] = defaultdict(list)
        self.refusals: Counter[tuple[int, Code]] = Counter()  # by source handle
        self.receipts: dict[int, int] = {}
        self.pings: Counter[int] = Counter()

    def handle(self, sender: Agent, destination: int | str) -> int:
        if destination == UNKNOWN:
            return UNKNOWN
        name = self.names[destination] if isinstance(destination, int) else destination
        return sender.open(name)

    def act(self, step) -> None:
        if step is None:
            for place, peer in enumerate(self.peers):
                self.streams[place] += frames.encode(Kind.PING, id=1)
                self.pings[place] += 1
                assert peer is not None
            return
        number, destination, fanout, kind, times, receipt = step
        sender = self.agents[number]
        if sender.name.startswith("beta") and not (isinstance(destination, int) and destination in (6, 7)):
            destination = UNKNOWN  # may not open anything of acme
        handle = self.handle(sender, destination)
        for _ in range(times):
            self.ids += 1
            self.streams[PLACES[number][1]] += sender.frame(
                handle, b"%d" % self.ids, kind=kind, fanout=fanout, receipt=receipt, id=self.ids
            )
            self.expect(number, destination, handle, fanout, receipt)

    def expect(self, number: int, destination: int | str, handle: int, fanout: int, receipt: bool) -> None:
        """What the document says about this message."""
        source = self.agents[number].handle
        if isinstance(destination, int) and destination != UNKNOWN:
            members = [] if destination == number else [destination]
        else:
            members = [
                n for n, name in self.names.items() if name.startswith(f"{destination}/") and n != number
            ]
        if not members:
            self.refusals[source, Code.UNKNOWN_HANDLE if handle == UNKNOWN else Code.NO_ROUTE] += 1
            return
        places = Counter(PLACES[n][1] for n in members)
        everybody = fanout == 0 and isinstance(destination, str)
        self.candidates[self.ids] = Counter(dict.fromkeys(places, 1)) if everybody else places
        some = min(fanout or 1, len(members)) if isinstance(destination, str) else 1
        self.wanted[self.ids] = len(places) if everybody else some
        self.sent[source, handle].append(self.ids)
        if receipt:
            self.receipts[self.ids] = len(members) if everybody else some

    def run(self, cuts: list[int]) -> None:
        """Feed the streams in pieces, the connections in turn."""
        turn = 0
        while any(self.streams.values()):
            for place, stream in self.streams.items():
                size = cuts[turn % len(cuts)]
                turn += 1
                if stream:
                    self.peers[place].feed(bytes(stream[:size]), turn=turn % 3 != 0)
                    del stream[:size]
                    self.world.check_accounts()
        self.world.turn()
        self.world.check_accounts()

    def judge(self) -> None:
        got: dict[int, Counter[int]] = defaultdict(Counter)
        order: dict[tuple[int, int], list[int]] = defaultdict(list)
        refusals: Counter[tuple[int, Code]] = Counter()
        receipts: dict[int, int] = {}
        for place, peer in enumerate(self.peers):
            for frame in peer.read():
                if frame.kind >= frames.FIRST_DATA_KIND:
                    number = int(frame.body)
                    assert frame.id == number
                    got[number][place] += 1
                    order[place, frame.source].append(number)
                elif frame.kind == Kind.REFUSED:
                    said = frames.decode(frame.body, frames.Refusal)
                    refusals[frame.destination, Code(said.code)] += said.count
                elif frame.kind == Kind.RECEIPT:
                    receipts[frame.id] = frames.decode(frame.body, frames.Count).count
                else:
                    assert frame.kind == Kind.PONG
                    self.pings[place] -= 1
        assert not any(self.pings.values())
        assert {number: seen.total() for number, seen in got.items()} == self.wanted
        for number, seen in got.items():
            assert seen <= self.candidates[number]
        for (_, source), numbers in order.items():
            for (sender, _), sent in self.sent.items():
                if sender == source:
                    mine = [number for number in dict.fromkeys(numbers) if number in set(sent)]
                    assert mine == sorted(mine), "order within a flow"
        assert refusals == self.refusals
        assert receipts == self.receipts
        counted = self.world.hub.statistics()
        assert counted["messages_in"] == self.ids
        assert counted["refused"] == self.refusals.total()
        assert counted["dropped"] == counted["queued_bytes"] == 0


def play(steps, cuts) -> None:
    field = Field()
    for step in steps:
        field.act(step)
    for peer in field.peers:
        assert all(frame.kind == Kind.WITHDRAW for frame in peer.read())
        peer.inbox.clear()
    field.run(cuts)
    field.judge()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, CUTS)
def test_everybody_gets_what_the_model_says(steps, cuts):
    play(steps, cuts)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_in_one_read(steps):
    play(steps, [10**9])


BUSY = [(0, 3, 0, Kind.PUBLISH, 3, False), (0, "acme/dev/b", 0, Kind.PUBLISH, 3, False)] * 2


@pytest.mark.skipif(COMPILED, reason="faults can be planted only in Python")
@pytest.mark.parametrize(
    "fault", ["loses the last of a run", "forgets a run at the end", "swaps two receivers"]
)
def test_planted_faults_are_noticed(monkeypatch, fault):
    play(BUSY, [10**9])  # control
    real = _pure._put

    def put(data, count, flow, target, origin, taker):
        if fault == "loses the last of a run" and count > 1:
            data = data[: -(len(data) // count)]
        if fault == "forgets a run at the end":
            return
        if fault == "swaps two receivers" and target is None and flow is not None:
            target = origin
        real(data, count, flow, target, origin, taker)

    monkeypatch.setattr(_pure, "_put", put)
    with pytest.raises(AssertionError):
        play(BUSY, [10**9])
