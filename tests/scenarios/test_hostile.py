"""Peers that break the protocol, lie, dawdle or stay silent: each gets its documented end, nobody else notices."""

import asyncio
import random
import time
from dataclasses import dataclass

import pytest
from peer import Ended, Peer, Peers, code_in, message, name
from process import GatewayProcess, World, gateway
from witness import Witness

from agpd.errors import Code
from agpd.names import parse_pattern
from agpd.wire import frames
from agpd.wire.frames import KNOWN_KINDS, PREFIX, Kind
from agpd.wire.session import MOVES, Side, State

QUICK = {"hello_timeout_ms": 1000, "frame_timeout_ms": 1000, "tls_handshake_timeout_ms": 1000}
LIMIT = 1024 * 1024 + 16 * 1024
RSS_SLACK = 12 * 1024 * 1024
HELLO = frames.encode(Kind.HELLO, frames.Hello([1], "hostile", 1))


def head(length, kind=Kind.PUBLISH, *, flags=0, fanout=0, destination=0, source=0, id_=0):
    return PREFIX.pack(length, kind, flags, fanout, destination, source, id_)


@dataclass
class Attack:
    """Bytes after which the gateway must close with this code."""

    what: str
    data: bytes
    code: Code


def lengths(limit):
    yield from (Attack(f"length {n}", head(n), Code.MALFORMED_FRAME) for n in (0, 1, 4, 19))
    for n in (limit - 3, limit + 1, 2**31, 2**32 - 1):
        yield Attack(f"length {n}", head(n), Code.FRAME_TOO_LARGE)
    # The length alone is judged, before the rest of the prefix is there.
    yield Attack("four bytes", (2**32 - 1).to_bytes(4, "big"), Code.FRAME_TOO_LARGE)


BEFORE_HELLO = [
    *lengths(4096),
    *(
        Attack(f"{kind.name} first", frames.encode(kind), Code.ILLEGAL_MOVE)
        for kind in Kind
        if (State.GREETING, kind) not in MOVES[Side.GATEWAY]
    ),
    Attack("unknown kind", frames.encode(0x7F), Code.UNKNOWN_KIND),
    Attack("data", message(1, 2, b"early", 3), Code.ILLEGAL_MOVE),
    Attack(
        "other versions", frames.encode(Kind.HELLO, frames.Hello([2, 9], "x", 1)), Code.UNSUPPORTED_VERSION
    ),
    *(
        Attack(f"hello {body!r}", head(20 + len(body), Kind.HELLO) + body, Code.MALFORMED_FRAME)
        for body in (
            b"",
            b"\xc1",
            b"\x93",
            b"\x93\x90\xa1x\x01",
            b"\x80",
            b"\x93\x91\x01\xa1\xff\x01",
            b"\xff" * 99,
        )
    ),
]

OPEN = [
    *lengths(LIMIT),
    *(
        Attack(f"{kind.name} from an agent", frames.encode(kind), Code.ILLEGAL_MOVE)
        for kind in Kind
        if (State.OPEN, kind) not in MOVES[Side.GATEWAY]
    ),
    *(
        Attack(f"kind {kind:#x}", frames.encode(kind), Code.UNKNOWN_KIND)
        for kind in set(range(256)) - KNOWN_KINDS
    ),
    *(
        Attack(f"flag {1 << bit:#x}", head(21, flags=1 << bit) + b"\x90", Code.MALFORMED_FRAME)
        for bit in range(1, 8)
    ),
    Attack("foreign source", message(12345, 1, b"x", 1), Code.FOREIGN_SOURCE),
    Attack("source 0", message(0, 1, b"x", 1), Code.FOREIGN_SOURCE),
    Attack(
        "subscribe as somebody else",
        frames.encode(Kind.SUBSCRIBE, frames.Named("acme/dev/x"), source=4711),
        Code.FOREIGN_SOURCE,
    ),
    *(
        Attack(f"register {body!r}", head(20 + len(body), Kind.REGISTER) + body, Code.MALFORMED_FRAME)
        for body in (
            b"",
            b"\xc1",
            b"\x91",
            b"\x91\x01",
            b"\x91\xa2\xff\xfe",
            b"\x91\xdd\xff\xff\xff\xff",
            b"\x91" * 5000,
        )
    ),
    Attack("name without end", frames.encode(Kind.REGISTER, frames.Named("a" * 256)), Code.MALFORMED_FRAME),
    Attack("hello again", HELLO, Code.ILLEGAL_MOVE),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, workers):
    with gateway(tmp_path_factory.mktemp("plain"), limits=QUICK | {"frame_limit_bytes": LIMIT}) as running:
        yield running
        running.stop()


async def strike(peers: Peers, attack: Attack, *, greeted: bool) -> None:
    peer = await (peers.greet() if greeted else peers.connect())
    peer.send(attack.data)
    assert await peer.ended() is attack.code, attack.what
    peer.transport.abort()


async def test_broken_rules_are_answered_with_their_code_and_nobody_else_notices(plain: GatewayProcess):
    async with Peers(plain.address) as peers, Witness(peers):
        for attack in BEFORE_HELLO:
            await strike(peers, attack, greeted=False)
        for attack in OPEN:
            await strike(peers, attack, greeted=True)
    for code in {attack.code for attack in BEFORE_HELLO + OPEN}:
        assert plain.log.wait("connection ended", code=code.name)


async def test_frames_before_the_broken_one_are_acted_on(plain: GatewayProcess):
    async with Peers(plain.address) as peers:
        one, other = await peers.agent(), await peers.agent()
        target = await one.open(other.name)
        one.send(message(one.me, target, b"last words", 1) + head(0))
        assert await one.ended() is Code.MALFORMED_FRAME
        assert (await other.expect(Kind.PUBLISH)).body


@pytest.mark.parametrize(
    "text", ["", "acme", "Acme/dev/x/y", "acme/dev/x/../y", "a/b/c/d/e", "acme/dev/*", "ä/ö/ü/ß"]
)
async def test_a_bad_name_is_refused_and_the_connection_goes_on(plain: GatewayProcess, text):
    async with Peers(plain.address) as peers:
        peer = await peers.greet()
        peer.send(frames.encode(Kind.REGISTER, frames.Named(text), id=5))
        answer = await peer.expect(Kind.REFUSED)
        assert (answer.id, code_in(answer)[0]) == (5, Code.INVALID_NAME)
        await peer.join("acme/dev/worker")


async def test_random_bytes_end_with_a_documented_code(plain: GatewayProcess):
    async with Peers(plain.address) as peers, Witness(peers):
        for seed in range(300):
            chance = random.Random(seed)
            peer = await (peers.greet() if seed % 3 else peers.connect())
            peer.send(noise(chance))
            peer.writer.write_eof()
            code = await peer.ended()
            assert code is None or 500 <= code < 600, seed
            assert code is not Code.INTERNAL, seed
            peer.transport.abort()
        await asyncio.to_thread(plain.log.wait, "connection ended", code="CONNECTION_LOST")


def noise(chance: random.Random) -> bytes:
    """Anything: bytes without sense, or frames that are right up to their bodies and handles."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(1, 5000))
    parts = []
    for _ in range(chance.randrange(1, 12)):
        body = chance.choice(
            (
                b"",
                chance.randbytes(chance.randrange(60)),
                b"\x91\xaf" + b"acme/dev/worker",
                b"\x91\xaa" + b"acme/dev/*",
                b"\x92\xa1*\xaaacme/dev/x",
                b"\x93\x91\x01\xa1x\x01",
            )
        )
        kind = chance.choice(sorted(KNOWN_KINDS - {Kind.CLOSE}) * 3 + [chance.randrange(256)])
        flags = chance.choice((0, 0, 0, 1, 1, chance.randrange(256)))
        length = 20 + len(body) + chance.choice((0,) * 30 + (-1, 1, 100, 1 << 20))
        handles = [chance.choice((0, 1, 2, chance.getrandbits(32))) for _ in range(2)]
        parts.append(
            PREFIX.pack(max(length, 0), kind, flags, chance.randrange(4), *handles, chance.getrandbits(64))
            + body
        )
    return b"".join(parts)


async def test_memory_stays_flat_over_many_rounds_of_abuse(plain: GatewayProcess):
    async def round_of_abuse(peers: Peers) -> None:
        for attack in random.Random(1).sample(OPEN, 40):
            await strike(peers, attack, greeted=True)
        for _ in range(5):  # nearly a whole frame, then gone
            peer = await peers.greet()
            peer.send(head(LIMIT - 4) + bytes(LIMIT - 100))
            await peer.writer.drain()
            peer.reset()

    async with Peers(plain.address) as peers, Witness(peers):
        for _ in range(3):
            await round_of_abuse(peers)
        before, descriptors = plain.rss_bytes(), plain.descriptors()
        for _ in range(15):
            await round_of_abuse(peers)
        await peers.greet()  # everything before it has been handled
        assert plain.rss_bytes() - before < RSS_SLACK
        assert plain.descriptors() < descriptors + 20


async def dribble(peer: Peer, data: bytes, pace_s: float = 0.1) -> None:
    """One byte at a time, until the gateway has had enough."""
    for byte in data:
        peer.send(bytes([byte]))
        await asyncio.sleep(pace_s)


async def test_slow_and_silent_peers_are_ended_in_time(plain: GatewayProcess):
    async with Peers(plain.address) as peers, Witness(peers):
        silent, slow_hello = await peers.connect(), await peers.connect()
        slow_frame, held_frame = await peers.greet(), await peers.greet()
        idle = await peers.agent()
        began = time.monotonic()
        held_frame.send(head(1000) + bytes(500))
        writers = [
            asyncio.create_task(dribble(slow_hello, HELLO * 9)),
            asyncio.create_task(dribble(slow_frame, head(10_000) + bytes(500))),
        ]
        assert await silent.ended() is Code.HANDSHAKE_TIMEOUT
        assert await slow_hello.ended() is Code.HANDSHAKE_TIMEOUT
        assert await slow_frame.ended() is Code.FRAME_TIMEOUT
        assert await held_frame.ended() is Code.FRAME_TIMEOUT
        assert time.monotonic() - began < 1.0 + 2.5  # a round, and one more
        for writer in writers:
            writer.cancel()
        await idle.ping()  # who has begun nothing is left alone


async def test_a_busy_sender_with_a_frame_open_at_every_look_is_no_slow_sender(plain: GatewayProcess):
    async with Peers(plain.address) as peers:
        peer = await peers.agent()
        target = await peer.open(name())  # nobody: refusals only
        frame = message(peer.me, target, bytes(200), 1)
        # Cut so that each write ends one byte further into a frame: at no look is there less than before.
        until, offset = time.monotonic() + 3.5, 0
        while time.monotonic() < until:
            peer.send(frame[offset:] + frame * 20 + frame[: offset + 1])
            offset = (offset + 1) % (len(frame) - 1)
            await asyncio.sleep(0.02)
        peer.send(frame[offset:])
        await peer.ping()


async def test_who_does_not_read_the_answers_to_its_questions_is_cut(plain: GatewayProcess):
    async with Peers(plain.address) as peers, Witness(peers):
        before = plain.rss_bytes()
        peer = await peers.greet()
        peer.transport.pause_reading()
        # The port may have been that of a peer of an earlier test.
        earlier = len(plain.log.find("connection ended", peer=peer.local))
        pings = frames.encode(Kind.PING, id=1) * 10_000
        until = time.monotonic() + 30
        while (
            len(plain.log.find("connection ended", peer=peer.local)) == earlier and time.monotonic() < until
        ):
            peer.send(pings)
            await asyncio.sleep(0)
            if peer.transport.get_write_buffer_size() > 4_000_000:
                await asyncio.sleep(0.01)
        ended = plain.log.find("connection ended", peer=peer.local)
        assert [each["code"] for each in ended[earlier:]] == ["SLOW_CONSUMER"]
        assert plain.rss_bytes() - before < 100 * 1024 * 1024


# -- TLS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world") / "pki")
    made.revoked = made.issue("acme/dev/*", "revoked")
    made.authority.revoke(made.revoked.serial, time.time())
    return made


@pytest.fixture(scope="module")
def secure(tmp_path_factory, world, workers):
    limits = QUICK | {"tls_handshakes_per_second": 1000, "prehandshake_per_ip": 100}
    with gateway(tmp_path_factory.mktemp("tls"), world, limits=limits, log={"level": "debug"}) as running:
        yield running
        running.stop()


async def let_in(peers: Peers, context) -> bool:
    """Is this client served? In TLS 1.3 it learns of a rejection when it reads, not in its handshake."""
    try:
        peer = await peers.connect(context)
        peer.send(HELLO)
        answer = await peer.expect(Kind.WELCOME, Kind.CLOSE)
    except (Ended, OSError):
        return False
    peer.transport.abort()
    return answer.kind == Kind.WELCOME


async def test_wrong_certificates_are_kept_out_and_memory_stays_flat(secure, world, tmp_path):
    good = world.context(world.issue("acme/dev/*", "good"))
    stranger = World(tmp_path / "other")
    old = world.authority.issue_agent(
        parse_pattern("acme/dev/*"), world.directory / "old", time.time() - 7200, 3600
    )
    wrong = {
        "none": world.context(None),
        "of another authority": trusting(stranger.context(stranger.issue("acme/dev/*", "agent")), world),
        "ended": world.context(old),
        "revoked": world.context(world.revoked),
        "a gateway's": world.context(world.gateway),
        "for any name": world.context(world.issue("*", "anyone")),
    }
    async with Peers(secure.address, good) as peers, Witness(peers):
        assert await let_in(peers, good)
        for what, context in wrong.items():
            assert not await let_in(peers, context), what
        before = secure.rss_bytes()
        for _ in range(20):
            for what, context in wrong.items():
                assert not await let_in(peers, context), what
        assert secure.rss_bytes() - before < RSS_SLACK
    reasons = {one["event"].partition(" failed: ")[2].partition(" ")[0] for one in secure.log.records}
    assert {"no_certificate", "untrusted", "expired", "revoked"} <= reasons
    assert secure.log.find("connection ended", code="UNAUTHENTICATED")


def trusting(context, world):
    context.load_verify_locations(str(world.directory / "ca.pem"))
    return context


async def test_peers_that_never_speak_tls_are_closed_and_leave_nothing(secure, world):
    good = world.context(world.issue("acme/dev/*", "good"))
    async with Peers(secure.address, good) as peers, Witness(peers), Peers(secure.address) as strangers:
        descriptors = secure.descriptors()
        chance = random.Random(7)
        silent = [await strangers.connect() for _ in range(20)]
        noisy = [await strangers.connect() for _ in range(40)]
        for peer in noisy:
            peer.send(chance.randbytes(200))
        plain = [await strangers.connect() for _ in range(10)]
        for peer in plain:
            peer.send(HELLO)
        for peer in silent + noisy + plain:
            # Who spoke gets an alert of TLS, which is no frame.
            assert len(await rest(peer)) < 100
        assert secure.descriptors() <= descriptors + 2


async def rest(peer: Peer) -> bytes:
    """What comes until the connection ends."""
    async with asyncio.timeout(5):
        try:
            return await peer.reader.read()
        except ConnectionError:
            return b""


async def test_a_certificate_speaks_for_its_names_only(secure, world):
    writer = world.context(world.issue("acme/dev/writer", "writer"))
    async with Peers(secure.address, writer) as peers:
        peer = await peers.greet()
        foreign = [
            "acme/dev/writer2",
            "acme/dev/write",
            "acme/devx/writer",
            "other/dev/writer",
            "acme/dev/admin",
        ]
        for type_ in foreign:
            peer.send(frames.encode(Kind.REGISTER, frames.Named(name(type_)), id=9))
            assert code_in(await peer.expect(Kind.REFUSED))[0] is Code.NOT_PERMITTED, type_
        await peer.join("acme/dev/writer")  # the control
        other = await peers.agent("acme/dev/writer")
        peer.send(message(other.me, peer.me, b"as the other", 1))
        assert await peer.ended() is Code.FOREIGN_SOURCE
        await other.ping()
