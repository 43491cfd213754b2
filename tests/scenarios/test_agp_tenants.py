"""Organizations that speak AGP over mutual TLS: what a certificate allows, and what crosses from one to the other."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from scenarios.agp_peer import AgpPeer, Office

import agpd_client as agp
from agpd.app import Gateway
from agpd.config import Config, Grant, Limits, Listen, Tls
from agpd.control.policy import Policy, Statement, operator_statements
from agpd.errors import Code
from agpd.names import parse_pattern
from agpd.transport.pki import Authority, Pair
from agpd.wire import hashes

ASKER, CLERK, CHAT = "acme/lab/asker", "acme/lab/clerk", "acme/lab/chat"
THEIRS = "globex/lab/clerk"


class Place(Office):
    """A gateway with TLS, and an authority that issues certificates for its clients."""

    def __init__(self, gateway: Gateway, authority: Authority, directory: Path) -> None:
        super().__init__(gateway, (directory / "ca.pem").read_bytes())
        self._authority, self._directory = authority, directory
        self._pairs: dict[str, Pair] = {}

    def issue(self, pattern: str) -> Pair:
        """A certificate for these names, the same each time."""
        if pattern not in self._pairs:
            where = self._directory / f"pair{len(self._pairs)}"
            self._pairs[pattern] = self._authority.issue_agent(
                parse_pattern(pattern), where, time.time(), 3600.0
            )
        return self._pairs[pattern]

    async def member(self, own: str, id_: int, pattern: str = "", **how: object) -> AgpPeer:
        """A client with a certificate for all of its organization, or for `pattern`."""
        pair = self.issue(pattern or own.partition("/")[0] + "/*")
        return await self.peer(own, id_, pair=pair, **how)

    def native(self, pattern: str) -> agp.Gateway:
        """A client of the SDK."""
        pair = self.issue(pattern)
        host, port = self.gateway.address
        ca = self._directory / "ca.pem"
        return agp.connect(f"agp://{host}:{port}", certificate=pair.certificate, key=pair.key, ca=ca)

    def allow(self, *grants: tuple[str, str, str]) -> None:
        """From now on these cross between organizations, and nothing else."""
        made = [Grant(subject=subject, verb=verb, object=to) for subject, verb, to in grants]  # type: ignore[arg-type]
        self.gateway.hub.adopt(Policy.compiled(operator_statements(made)))

    def state(self) -> tuple[int, int, int, int]:
        """Connections, agents, subscriptions and addresses."""
        hub = self.gateway.hub
        usage = [hub.router.usage(each) for each in ("acme", "globex")]
        agents, subscriptions = sum(each.agents for each in usage), sum(each.subscriptions for each in usage)
        return len(hub.links), agents, subscriptions, len(hub.router.entries)


@asynccontextmanager
async def place_in(directory: Path) -> AsyncIterator[Place]:
    now = time.time()
    authority = Authority.create(directory, "world", now)
    pair = authority.issue_gateway(["localhost", "127.0.0.1"], directory / "gateway", now)
    tls = Tls(
        certificate=str(pair.certificate),
        key=str(pair.key),
        ca=str(directory / "ca.pem"),
        crl=str(directory / "crl.pem"),
    )
    listen = Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", http="")
    made = Gateway(Config(listen=listen, tls=tls, limits=Limits(linger_timeout_ms=300)))
    await made.open()
    made.start()
    try:
        here = Place(made, authority, directory)
        yield here
        await here.close()
    finally:
        await made.stop(drain_s=0)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_in(tmp_path) as here:
        yield here


# -- who somebody is -----------------------------------------------------------------------------------


async def test_without_certificate_or_token_there_are_no_headers(place: Place) -> None:
    peer = place.dial(ASKER, 1)
    assert await peer.ended() is grpc.StatusCode.UNAUTHENTICATED
    assert place.state() == (0, 0, 0, 0)


async def test_a_certificate_of_somebody_elses_authority_opens_nothing(place: Place, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "other", time.time())
    pair = other.issue_agent(parse_pattern("acme/*"), tmp_path / "stranger", time.time(), 3600.0)
    assert await place.dial(ASKER, 1, pair=pair).ended() is grpc.StatusCode.UNAVAILABLE
    assert place.state() == (0, 0, 0, 0)


async def test_names_outside_the_certificate_are_refused_and_the_stream_lives(place: Place) -> None:
    clerk = await place.member(CLERK, 1)
    peer = await place.member(ASKER, 1, ASKER)
    await place.members(ASKER, 1)
    before = place.state()
    for own, id_ in ((CLERK, 1), (CLERK, 2), (THEIRS, 1), ("acme/other/asker", 1)):
        peer.own, peer.id = own, id_
        await peer.publish(CLERK, None, b"as somebody else")
        await peer.subscribe(own, id_)
        await peer.subscribe(CHAT)
    await place.until(lambda: place.counts["not_permitted"] == 12)
    assert place.state() == before
    peer.own, peer.id = ASKER, 1
    # A mailbox of another agent, as its own or as somebody's.
    await peer.subscribe(CLERK, 1)
    await place.until(lambda: place.counts["not_permitted"] == 13)
    await peer.publish(CLERK, 1, b"as myself")
    assert await clerk.body() == b"as myself"
    assert place.state()[:3] == before[:3]


async def test_a_certificate_of_one_type_needs_no_texts(place: Place) -> None:
    """Clients of 0.2.4 and 0.3.0 never send any."""
    peer = await place.member(CLERK, 7, CLERK, strings=False)
    await place.members(CLERK, 1)
    async with place.native("acme/*") as native:
        writer = await native.create_agent("acme/lab/writer")
        await writer.publish(f"{CLERK}/agp-0000000000000007", b"by name")
        assert await peer.body() == b"by name"


async def test_a_nameless_client_of_the_organization_keeps_to_it(place: Place) -> None:
    peer = await place.member(CLERK, 7, strings=False)
    await place.until(lambda: place.state()[1] == 1)
    [session] = place.sessions
    assert session.link is not None
    [agent] = session.link.sources.values()
    assert agent.name.organization == "acme"
    assert agent.name.type == f"h-{hashes.siphash('clerk'):016x}"
    await peer.publish(THEIRS, None, b"")
    await place.until(lambda: place.counts["not_permitted"] == 1)


async def test_only_the_same_key_takes_a_name_over(place: Place) -> None:
    older = await place.member(CLERK, 7)
    await place.members(CLERK, 1)
    thief = await place.member(CLERK, 7, CLERK)  # may have the name, but is somebody else
    await place.until(lambda: place.counts["name_taken"] == 1)
    asker = await place.member(ASKER, 1)
    await asker.publish(CLERK, 7, b"for the first")
    assert await older.body() == b"for the first"
    newer = await place.member(CLERK, 7)
    await place.members(CLERK, 2)
    await asker.publish(CLERK, 7, b"for the newer")
    assert await newer.body() == b"for the newer"
    await thief.publish(CLERK, 7, b"still a client")
    await place.until(lambda: place.counts["name_taken"] == 2)


# -- what crosses --------------------------------------------------------------------------------------


async def test_without_a_grant_nothing_crosses(place: Place) -> None:
    asker, clerk = await place.member(ASKER, 1), await place.member(THEIRS, 7)
    await place.members(THEIRS, 1)
    for id_, fanout in ((7, 1), (None, 1), (None, 0), (None, 50), (8, 1)):
        await asker.publish(THEIRS, id_, b"x", fanout=fanout)
    await asker.subscribe(THEIRS)
    await asker.subscribe(THEIRS, 9)
    await asker.unsubscribe(THEIRS, 7)
    await asker.unsubscribe(THEIRS)
    await place.until(lambda: place.counts["not_permitted"] == 7)
    assert set(place.counts) == {"not_permitted"}  # whoever is there or not is answered alike
    own = await place.member("globex/lab/asker", 1)
    await own.publish(THEIRS, 7, b"own")
    assert await clerk.body() == b"own"


async def test_with_a_grant_one_way_the_other_way_is_for_answers(place: Place) -> None:
    place.allow(("acme/*", "publish", THEIRS))
    asker, other, clerk = (
        await place.member(ASKER, 1),
        await place.member(ASKER, 2),
        await place.member(THEIRS, 7),
    )
    await place.members(THEIRS, 1)
    await place.members(ASKER, 2)
    await clerk.publish(ASKER, 1, b"too early")
    await place.until(lambda: place.counts["not_permitted"] == 1)
    await asker.publish(THEIRS, None, b"a question")
    got = await clerk.read()
    assert got.header.source.agent_id == 1
    for body in (b"an answer", b"and more"):
        await clerk.publish(ASKER, 1, body)
        assert await asker.body() == body
    await clerk.publish(ASKER, 2, b"to one who has not asked")
    await clerk.publish(ASKER, None, b"to anybody")
    await clerk.publish(ASKER, None, b"to all", fanout=50)
    await clerk.subscribe(ASKER)
    await place.until(lambda: place.counts["not_permitted"] == 5)
    await other.publish(ASKER, 1, b"end")
    assert await asker.body() == b"end"


async def test_an_answer_is_not_carried_off_by_the_own_organizations_route(place: Place) -> None:
    place.allow(("acme/*", "publish", THEIRS))
    async with place.native("globex/*") as native:
        carrier = await native.create_agent("globex/lab/carrier")
        await carrier.set_route("*")
        asker, clerk = await place.member(ASKER, 1), await place.member(THEIRS, 7)
        await place.members(THEIRS, 1)
        await place.members(ASKER, 1)
        await asker.publish(THEIRS, None, b"a question")
        await clerk.read()
        await clerk.publish(ASKER, 1, b"an answer")
        assert await asker.body() == b"an answer"
        await clerk.publish(ASKER, 2, b"to somebody else")
        assert (await carrier.receive(timeout=5)).body == b"to somebody else"


async def test_a_native_agent_of_another_organization_is_answered(place: Place) -> None:
    place.allow(("acme/*", "publish", THEIRS))
    clerk = await place.member(THEIRS, 7)
    await place.members(THEIRS, 1)
    async with place.native("acme/*") as native:
        writer = await native.create_agent(ASKER)
        asked = [asyncio.ensure_future(writer.request(THEIRS, text, timeout=5)) for text in (b"one", b"two")]
        for question in [await clerk.read() for _ in asked][::-1]:
            source, session = question.header.source, question.session.session_id
            await clerk.publish(ASKER, source.agent_id, question.msg.blob.upper(), session_id=session)
        assert [bytes(await each) for each in asked] == [b"ONE", b"TWO"]
        assert place.counts == {}


async def test_a_grant_that_is_taken_back_holds_at_once(place: Place) -> None:
    grant = ("acme/*", "publish", THEIRS)
    asker, clerk = await place.member(ASKER, 1), await place.member(THEIRS, 7)
    await place.members(THEIRS, 1)
    for number in range(2):
        place.allow(grant)
        await asker.publish(THEIRS, None, b"%d" % number)
        assert await clerk.body() == b"%d" % number
        place.allow()
        await asker.publish(THEIRS, None, b"no")
        await place.until(lambda number=number: place.counts["not_permitted"] == number + 1)
    place.allow(grant, ("globex/*", "publish", "acme/*"))
    await clerk.publish(ASKER, 1, b"now as a message of its own")
    assert await asker.body() == b"now as a message of its own"


async def test_names_of_one_organization_say_nothing_in_another(place: Place) -> None:
    """The hash of a text has one meaning in each organization, and only its own members tell it."""
    globex = await place.member(THEIRS, 7)
    await globex.subscribe("globex/secret/project")
    await place.members("globex/secret/project", 1)
    acme = await place.member(ASKER, 1)
    await acme.subscribe("acme/secret/project", strings=False)
    directory = place.dialects.spellings.directory
    await place.until(lambda: place.state()[2] == 2)
    nameless = directory.name(hashes.triple(hashes.Family.SIPHASH, ("acme", "secret", "project")))
    assert nameless.namespace.startswith("h-")
    assert nameless.type.startswith("h-")
    assert acme.call.done() is False


async def test_what_one_organization_does_to_names_moves_no_agent_of_another(place: Place) -> None:
    peer = await place.member(CLERK, 7, strings=False)
    await place.until(lambda: place.state()[1] == 1)
    [session] = place.sessions
    assert session.link is not None
    [agent] = session.link.sources.values()
    other = await place.member(THEIRS, 7)
    await place.members(THEIRS, 1)
    assert agent.registered
    asker = await place.member(ASKER, 1)
    await asker.publish(CLERK, 7, b"still there")
    assert await peer.body() == b"still there"
    await other.close()


# -- when rights end -----------------------------------------------------------------------------------


async def test_an_agent_without_permission_ends_and_its_stream_goes_on(place: Place) -> None:
    peer = await place.member(CLERK, 7)
    await peer.subscribe(CHAT)
    await place.members(CHAT, 1)

    denial = Statement("acme", ("acme", "lab", "clerk"), "register", ("acme",), allow=False)
    place.gateway.hub.adopt(Policy.compiled([denial]))
    await place.until(lambda: place.state()[1] == 0)
    await peer.publish(ASKER, None, b"")
    await place.until(lambda: place.counts["not_permitted"] == 1)
    place.allow()
    await peer.subscribe(CLERK, 7)
    await place.members(CLERK, 1)
    assert place.state()[2] == 0  # it has to ask for the topic again


async def test_everything_is_given_back_at_the_end(place: Place) -> None:
    place.allow(("acme/*", "publish", THEIRS))
    before = place.state()
    peers = [await place.member(own, id_) for own in (ASKER, CLERK, THEIRS) for id_ in (1, 2)]
    for peer in peers[:4]:
        await peer.subscribe(CHAT)
        await peer.publish(THEIRS, 1, b"x")
    for _ in range(4):
        await peers[4].read()
    await peers[4].publish(CLERK, 2, b"x")
    await peers[3].read()
    for peer in peers:
        await peer.close()
    await place.until(lambda: place.state() == before)
    spellings = place.dialects.spellings
    await place.until(lambda: not place.gateway.hub.lingering and not spellings._nameless)
    assert not any(each.holders for each in spellings.ids._organizations.values())
    assert not spellings._told or spellings.types_changed() or not spellings._told


async def test_control_what_is_refused_here_would_pass_in_plaintext() -> None:
    """The certificate is what refuses, not some fault in the messages of these tests."""
    listen = Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", http="", plaintext=True)
    made = Gateway(Config(listen=listen))
    await made.open()
    made.start()
    try:
        office = Office(made)
        peer = await office.peer(ASKER, 1)
        peer.own = CLERK
        await peer.subscribe(CLERK, 1)
        await office.members(CLERK, 1)
        await office.close()
    finally:
        await made.stop(drain_s=0)
    assert made.hub.ended[Code.INTERNAL] == 0
