"""client/agpd_client/tokens.py: when the token is renewed, with time and chance in the test's hands."""

import asyncio
import random

import pytest

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Body, Frame, Kind
from agpd_client.backoff import Clock
from agpd_client.credentials import Fixed, Issued
from agpd_client.events import Event
from agpd_client.tokens import Tokens


class Time:
    """Sleepers that wake when the test lets time pass."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, future))
        await future

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        for at, future in list(self.sleepers):
            if at <= self.now:
                self.sleepers.remove((at, future))
                if not future.done():
                    future.set_result(None)
        for _ in range(20):
            await asyncio.sleep(0)

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


class Source:
    """Tokens t1, t2 ...; `fault` is raised instead while it is set."""

    renews = True

    def __init__(self, life_s: float | None = 600.0) -> None:
        self.life_s = life_s
        self.fault: agp.AgpError | None = None
        self.count = 0

    async def fetch(self) -> Issued:
        if self.fault is not None:
            raise self.fault
        self.count += 1
        return Issued(f"t{self.count}", self.life_s)


class Connection:
    """Accepts what is shown, or refuses it."""

    def __init__(self, expires_s: int = 600) -> None:
        self.is_closed = False
        self.expires_s = expires_s
        self.shown: list[str] = []
        self.fault: agp.AgpError | None = None

    async def call(self, kind: Kind, body: Body, /) -> Frame:
        assert kind is Kind.AUTHENTICATE
        assert isinstance(body, frames.Token)
        self.shown.append(body.token)
        if self.fault is not None:
            raise self.fault
        return frames.parse(frames.encode(Kind.OK, frames.Seconds(self.expires_s)))


class Chance(random.Random):
    value = 0.0

    def random(self) -> float:
        return self.value


class Stage:
    def __init__(self, life_s: float | None = 600.0) -> None:
        self.time, self.source, self.chance = Time(), Source(life_s), Chance()
        self.events: list[Event] = []
        self.tokens = Tokens(self.source, self.time.clock(), self.chance, self.events.append)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize(("chance", "at"), [(0.0, 480.0), (1.0, 420.0)])
async def test_it_is_renewed_at_four_fifths_of_its_life_or_a_little_earlier(chance: float, at: float) -> None:
    stage = Stage()
    stage.chance.value = chance
    connection = Connection()
    assert await stage.tokens.for_hello() == "t1"
    stage.tokens.attach(connection, 600)
    await stage.time.advance(0)
    await stage.time.advance(at - 1)
    assert connection.shown == []
    await stage.time.advance(1)
    assert connection.shown == ["t2"]
    assert stage.events == [agp.TokenRenewed(600)]
    await stage.time.advance(at)
    assert connection.shown == ["t2", "t3"]
    await stage.tokens.close()


async def test_a_token_that_was_kept_is_renewed_by_its_own_age(stage: Stage) -> None:
    await stage.tokens.for_hello()
    await stage.time.advance(400)
    assert await stage.tokens.for_hello() == "t1"  # a second connection shows the same
    connection = Connection()
    stage.tokens.attach(connection, 200)
    await stage.time.advance(0)
    await stage.time.advance(79)
    assert connection.shown == []
    await stage.time.advance(1)
    assert connection.shown == ["t2"]
    await stage.tokens.close()


async def test_a_new_connection_gets_a_new_token_once_the_old_one_is_due(stage: Stage) -> None:
    await stage.tokens.for_hello()
    await stage.time.advance(480)
    assert await stage.tokens.for_hello() == "t2"


async def test_without_a_known_life_what_the_gateway_says_counts() -> None:
    stage, connection = Stage(None), Connection(100)
    await stage.tokens.for_hello()
    stage.tokens.attach(connection, 100)
    await stage.time.advance(0)
    await stage.time.advance(80)
    assert connection.shown == ["t2"]
    await stage.time.advance(80)
    assert connection.shown == ["t2", "t3"]
    await stage.tokens.close()


@pytest.mark.parametrize("where", ["source", "gateway"])
async def test_what_fails_is_told_and_tried_again(stage: Stage, where: str) -> None:
    connection = Connection()
    await stage.tokens.for_hello()
    stage.tokens.attach(connection, 600)
    await stage.time.advance(0)
    failing: Source | Connection = stage.source if where == "source" else connection
    failing.fault = agp.Unauthorized("no", code=Code.INVALID_TOKEN)
    await stage.time.advance(480)
    for _ in range(5):
        await stage.time.advance(5)
    assert stage.events == [agp.TokenNotRenewed(failing.fault)] * 6
    failing.fault = None
    await stage.time.advance(5)
    assert isinstance(stage.events[-1], agp.TokenRenewed)
    assert connection.shown[-1] == stage.tokens.current
    await stage.tokens.close()


async def test_nothing_is_renewed_on_a_connection_that_has_gone(stage: Stage) -> None:
    connection = Connection()
    await stage.tokens.for_hello()
    stage.tokens.attach(connection, 600)
    await stage.time.advance(0)
    connection.is_closed = True
    await stage.time.advance(480)
    assert (connection.shown, stage.source.count) == ([], 1)
    other = Connection()
    stage.tokens.attach(other, 600)
    await stage.time.advance(0)
    stage.tokens.detach()
    await stage.time.advance(480)
    assert other.shown == []
    await stage.tokens.close()


async def test_a_loss_in_the_middle_of_a_renewal_is_no_failure(stage: Stage) -> None:
    class Cut(Connection):
        async def call(self, kind: Kind, body: Body, /) -> Frame:
            self.is_closed = True
            raise agp.Closed("lost")

    await stage.tokens.for_hello()
    stage.tokens.attach(Cut(), 600)
    await stage.time.advance(0)
    await stage.time.advance(480)
    assert stage.events == []
    assert await stage.tokens.for_hello() == "t2"
    await stage.tokens.close()


async def test_a_fixed_token_is_not_renewed(stage: Stage) -> None:
    stage.source.renews = False
    await stage.tokens.for_hello()
    stage.tokens.attach(Connection(), 600)
    await stage.time.advance(0)
    await stage.time.advance(0)
    assert stage.time.sleepers == []
    assert not stage.tokens.renew
    assert not stage.tokens.discard()


async def test_without_source_there_is_no_token() -> None:
    tokens = Tokens(None, Clock(), random.Random(1), lambda event: None)
    assert await tokens.for_hello() == tokens.current == ""
    assert not tokens.renew
    tokens.attach(Connection(), 0)
    await tokens.close()


async def test_what_is_not_accepted_is_not_shown_again(stage: Stage) -> None:
    await stage.tokens.for_hello()
    assert stage.tokens.discard()
    assert await stage.tokens.for_hello() == "t2"


async def test_short_lives_do_not_make_it_spin() -> None:
    stage, connection = Stage(None), Connection(0)
    await stage.tokens.for_hello()
    stage.tokens.attach(connection, 1)
    await stage.time.advance(0)
    for _ in range(10):
        await stage.time.advance(0.5)
    assert 1 <= len(connection.shown) <= 5
    await stage.tokens.close()


async def test_one_that_is_asked_for_is_shown_at_once_and_the_next_when_it_is_due(stage: Stage) -> None:
    connection = Connection()
    await stage.tokens.for_hello()
    stage.tokens.attach(connection, 600)
    await stage.time.advance(100)
    assert await stage.tokens.renew_now(connection) == 600
    assert connection.shown == ["t2"]
    assert stage.tokens.current == "t2"
    assert stage.events == [agp.TokenRenewed(600)]
    await stage.time.advance(0)
    await stage.time.advance(479)
    assert connection.shown == ["t2"]
    await stage.time.advance(1)
    assert connection.shown == ["t2", "t3"]
    await stage.tokens.close()


async def test_one_that_is_asked_for_and_refused_is_raised(stage: Stage) -> None:
    connection = Connection()
    connection.fault = agp.Unauthorized("no", code=Code.INVALID_TOKEN)
    with pytest.raises(agp.Unauthorized, match="no"):
        await stage.tokens.renew_now(connection)
    assert stage.events == []


async def test_without_a_source_that_renews_none_can_be_asked_for() -> None:
    connection = Connection()
    for source in (None, Fixed("t")):
        tokens = Tokens(source, Time().clock(), Chance(), lambda event: None)
        with pytest.raises(agp.Unauthorized, match="pass connect"):
            await tokens.renew_now(connection)
    assert connection.shown == []
