"""agpd/transport/agp.py: bare clients of AGP at a gateway: names, ids, sessions, and what each of them may cost.

Who gets what, and what bad input does, is in tests/scenarios/test_agp_streams.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from scenarios.agp_peer import OPTIONS, AgpPeer, Office, gateway
from scenarios.harness import TokenDesk
from scenarios.peer import Peer as RawPeer

import agpd_client as agp
from agpd._proto import agp_pb2 as pb
from agpd.config import Limits
from agpd.errors import Code
from agpd.gateway.directory import Directory
from agpd.gateway.quotas import Allowance
from agpd.names import NAME_LIMIT, parse
from agpd.wire import frames
from agpd.wire.frames import Kind
from agpd.wire.grpc import prefixed
from agpd.wire.hashes import Family, component

ASKER, CLERK, CHAT, WRITER = "acme/lab/asker", "acme/lab/clerk", "acme/lab/chat", "acme/lab/writer"
UUID, FIRST_HALF = "0af76519-16cd-43dd-8448-eb211c80319c", 0x0AF7651916CD43DD


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with gateway(Limits(linger_timeout_ms=300)) as made:
        here = Office(made)
        yield here
        await here.close()


@pytest.fixture
async def native(office: Office) -> AsyncIterator[agp.Gateway]:
    host, port = office.gateway.address
    async with agp.connect(f"agp+tcp://{host}:{port}") as made:
        yield made


async def said(peer: AgpPeer) -> None:
    """The gateway has heard everything that the peer has said before."""
    await peer.publish(peer.own, peer.id, b"", session_id=99)


# -- names ---------------------------------------------------------------------------------------------

GOLD = "2208b4aab6ddc78ed6db820110cfa6938ab382ada93b188384a7d8d5acc093f6012005"
CHAT_OF_GOLD = "1f08b4aab6ddc78ed6db820110cfa6938ab382ada93b18ae879396bbbf82c045"
TEXTS = "1801300012036f72671a026e732204"


@pytest.mark.parametrize(
    ("sent", "type_"),
    [
        (f"0a5d0a4c0a{GOLD}12{GOLD}{TEXTS}676f6c64", "org/ns/gold"),
        (f"0a5a0a490a{GOLD}12{CHAT_OF_GOLD}{TEXTS}63686174", "org/ns/chat"),
        (f"0a4e0a4c0a{GOLD}12{GOLD}18013000", "h-82b758747bad9534/h-3b52b4133144d34f/h-f62701655b09c203"),
    ],
    ids=["connect of 0.3.5", "subscribe of 0.3.5", "connect of 0.2.4"],
)
async def test_what_clients_send(office: Office, sent: str, type_: str) -> None:
    peer = await office.peer(ASKER, 1, subscribe=False)
    await peer.send(bytes.fromhex(sent))
    await office.members(type_, 1)
    [agent] = next(iter(office.gateway.hub.links)).sources.values()
    assert agent.name.instance == "agp-0000000000000005"


async def test_of_texts_that_are_too_long_to_be_known_nothing_is_kept(office: Office) -> None:
    """A client may send 4 MiB of them with each of its subscriptions."""
    peer = await office.peer(f"acme/{'n' * 100_000}/short", 1)
    await peer.subscribe(f"acme/lab/{'t' * 100_000}")
    await peer.subscribe(CHAT)
    await office.members(CHAT, 1)
    await office.peer(f"{'o' * 300}/lab/short", 1)
    await office.until(lambda: office.gateway.hub.statistics()["agents"] == 2)
    texts = [text for session in office.sessions for names in session._texts.values() for text in names]
    assert sorted(texts) == ["acme", "acme", "acme", "chat", "lab", "lab", "short"]
    assert max(map(len, texts)) <= NAME_LIMIT


async def test_a_subscription_that_stands_keeps_its_texts() -> None:
    async with gateway(Limits(subscriptions_per_connection=1)) as made:
        office = Office(made)
        peer = await office.peer(ASKER, 1)
        await peer.subscribe(CHAT)
        await peer.subscribe("acme/lab/news")  # refused
        peer.own = CLERK
        await peer.subscribe(CHAT)  # refused for this agent
        await office.until(lambda: office.counts["too_many_subscriptions"] == 2)
        [session] = office.sessions
        assert {names[2] for names in session._texts.values()} == {"asker", "chat"}
        await office.close()


async def test_who_has_gone_has_told_nothing(office: Office, native: agp.Gateway) -> None:
    peers = [await office.peer(ASKER, 1), await office.peer("acme/lab/Ünïcode", 1, strings=False)]
    writer = await native.create_agent(WRITER)
    await peers[0].subscribe(CHAT)
    await office.members(CHAT, 1)
    await writer.publish(ASKER, b"")
    await peers[0].read()
    for peer in peers:
        await peer.close()
    await office.until(lambda: not office.sessions)
    spellings = office.dialects.spellings
    await office.until(lambda: not spellings._nameless)
    assert not spellings._spellers
    clients = [text for each in spellings.directory._organizations.values() for text in each.texts.values()]
    assert not any(text.clients for text in clients)
    assert not any(each.holders for each in spellings.ids._organizations.values())


async def test_slim_clients_of_this_protocol_are_strangers_to_others_with_the_same_name(
    office: Office, native: agp.Gateway
) -> None:
    """slim-bindings 0.4 and 0.5 speak it too, but hash with XXH64."""
    one, other = office.dial(CLERK, 1), office.dial(CLERK, 2)
    for peer in (one, other):
        peer.family = Family.XXHASH
        await peer.open()
    await office.members("acme/lab/slim-clerk", 2)
    sip = await office.peer(CLERK, 3)
    await office.members(CLERK, 1)
    await one.publish(CLERK, None, b"to my kind", fanout=256)
    assert await other.body() == b"to my kind"
    writer = await native.create_agent(WRITER)
    await writer.publish("acme/lab/slim-clerk/agp-0000000000000002", b"from native")
    got = await other.read()
    assert got.msg.blob == b"from native"
    await other.publish(WRITER, got.header.source.agent_id, b"back", family=Family.SIPHASH)
    assert (await writer.receive(timeout=5)).source == "acme/lab/slim-clerk/agp-0000000000000002"
    await writer.publish(CLERK, b"for the others")
    assert await sip.body() == b"for the others"


async def test_a_text_with_the_hash_of_another_is_refused_and_the_stream_goes_on(office: Office) -> None:
    spellings = office.dialects.spellings
    spellings.directory = Directory(
        component=lambda family, text: component(family, text.replace("false", "true"))
    )
    peer = await office.peer("acme/lab/true", 1)
    await peer.subscribe("acme/lab/false")
    await office.until(lambda: office.counts["name_taken"] == 1)
    assert spellings.directory.collisions == 1
    await peer.subscribe(CHAT)
    await office.until(lambda: office.gateway.hub.router.usage("acme").subscriptions == 1)


# -- ids -----------------------------------------------------------------------------------------------


async def test_no_native_agent_gets_the_id_of_a_client(office: Office, native: agp.Gateway) -> None:
    """Whoever may be any instance of the type can choose a UUID that begins with the id of another agent."""
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, FIRST_HALF)
    await office.members(CLERK, 1)
    thief = await native.create_agent(CLERK, instance=UUID)
    await thief.publish(ASKER, b"look at me")
    got = await asker.read()
    assert got.header.source.agent_id != FIRST_HALF
    await asker.publish(CLERK, FIRST_HALF, b"for the client")
    assert await clerk.body() == b"for the client"
    await asker.publish(CLERK, got.header.source.agent_id, b"for the native agent")
    assert (await thief.receive(timeout=5)).body == b"for the native agent"


async def test_no_client_gets_the_id_by_which_others_answer_to_a_native_agent(
    office: Office, native: agp.Gateway
) -> None:
    asker, clerk = await office.peer(ASKER, 1), await native.create_agent(CLERK, instance=UUID)
    await clerk.publish(ASKER, b"hello")
    got = await asker.read()
    assert got.header.source.agent_id == FIRST_HALF
    thief = await office.peer(CLERK, FIRST_HALF)
    await office.until(lambda: office.counts["name_taken"] == 1)
    await asker.publish(CLERK, FIRST_HALF, b"for the native agent")
    assert (await clerk.receive(timeout=5)).body == b"for the native agent"
    await thief.close()
    await asker.close()
    await office.until(lambda: not office.sessions)
    await office.peer(CLERK, FIRST_HALF)  # nobody answers by it any more
    await office.members(CLERK, 2)


async def test_an_id_from_before_a_restart_is_found_once_its_agent_has_written(
    office: Office, native: agp.Gateway
) -> None:
    asker, clerk = await office.peer(ASKER, 1), await native.create_agent(CLERK, instance=UUID)
    await asker.publish(CLERK, FIRST_HALF, b"too early")
    await office.until(lambda: office.counts["unknown_id"] == 1)
    await clerk.publish(ASKER, b"hello again")
    await asker.read()
    await asker.publish(CLERK, FIRST_HALF, b"found")
    assert (await clerk.receive(timeout=5)).body == b"found"


async def test_to_itself_by_id_is_nowhere(office: Office) -> None:
    peer = await office.peer(ASKER, 1)
    await peer.publish(ASKER, 1, b"echo?")
    await office.until(lambda: office.counts["only_origin"] == 1)


async def test_who_loses_an_address_in_a_topic_still_gets_the_topic(office: Office) -> None:
    """In a topic an agent of that very type has the address first."""
    asker, clerk = await office.peer(ASKER, 2), await office.peer(CLERK, 7)
    await clerk.subscribe(CHAT)
    await office.members(CHAT, 1)
    owner = await office.peer(CHAT, 7)
    await office.members(CHAT, 2)
    await asker.publish(CHAT, None, b"to all", fanout=50)
    assert [await clerk.body(), await owner.body()] == [b"to all", b"to all"]
    await asker.publish(CHAT, 7, b"by id")
    assert await owner.body() == b"by id"
    assert office.counts == {}  # no message was refused


async def test_several_agents_of_one_connection_get_one_copy(office: Office) -> None:
    asker, both, other = await office.peer(ASKER, 1), await office.peer(CLERK, 1), await office.peer(CLERK, 3)
    both.id = 2
    await both.subscribe(CLERK, 2)
    await office.members(CLERK, 3)
    for fanout in (50, 0, 2, 3):
        await asker.publish(CLERK, None, b"%d" % fanout, fanout=fanout)
    await asker.publish(CLERK, 1, b"one")
    await asker.publish(CLERK, 2, b"two")
    await asker.publish(CLERK, 3, b"end")
    assert [await both.body() for _ in range(6)] == [b"50", b"0", b"2", b"3", b"one", b"two"]
    assert [await other.body() for _ in range(5)] == [b"50", b"0", b"2", b"3", b"end"]
    await both.publish(CLERK, None, b"not back to me", fanout=50)
    assert await other.body() == b"not back to me"


# -- sessions ------------------------------------------------------------------------------------------


async def test_an_answer_to_somebody_else_is_a_message(office: Office, native: agp.Gateway) -> None:
    clerk = await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    writer, other = await native.create_agent(WRITER), await native.create_agent("acme/lab/other")
    asked = asyncio.ensure_future(writer.request(CLERK, b"?", timeout=5))
    question = await clerk.read()
    session = question.session.session_id
    await clerk.publish("acme/lab/other", None, b"not your answer", session_id=session)
    assert (await other.receive(timeout=5)).body == b"not your answer"
    answers = [
        clerk.publication(WRITER, question.header.source.agent_id, b, session_id=session)
        for b in (b"1", b"2")
    ]
    for answer in answers:
        await clerk.send(answer)
    assert bytes(await asked) == b"1"
    assert (await writer.receive(timeout=5)).body == b"2"  # the session goes on, the request is answered


async def test_of_very_many_requests_the_oldest_are_forgotten(
    office: Office, native: agp.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agpd.transport.agp.QUESTIONS_LIMIT", 2)
    clerk = await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    writer = await native.create_agent(WRITER)
    asked = [asyncio.ensure_future(writer.request(CLERK, b"%d" % n, timeout=5)) for n in range(3)]
    questions = [await clerk.read() for _ in asked]
    for question in questions:
        source, session = question.header.source, question.session.session_id
        await clerk.publish(WRITER, source.agent_id, question.msg.blob, session_id=session)
    assert [bytes(await each) for each in asked[1:]] == [b"1", b"2"]
    assert (await writer.receive(timeout=5)).body == b"0"
    asked[0].cancel()
    await asyncio.wait(asked)


async def test_what_is_kept_of_native_agents_is_bounded(
    office: Office, native: agp.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agpd.transport.agp.SESSIONS_LIMIT", 3)
    clerk = await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    writers = [await native.create_agent(WRITER) for _ in range(8)]
    for _ in range(2):
        for writer in writers:
            await writer.publish(CLERK, b"")
    got = [await clerk.read() for _ in range(16)]
    assert len({each.header.source.agent_id for each in got}) == 8
    [session] = office.sessions
    assert len(session._held) == len(session._sessions) == 3
    held = office.dialects.spellings.ids._organizations["acme"].holders
    assert sum(held.values()) == 3 + 1  # with its own


# -- bad messages and floods ---------------------------------------------------------------------------


async def test_a_field_of_the_wrong_type_is_not_passed_on(office: Office) -> None:
    """Clients do not read on after one; other readers take it for an unknown field."""
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    header = asker.header(CLERK, None).SerializeToString()
    publish = b"\x0a" + bytes([len(header)]) + header + b"\x12\x05\x12\x01x\x18\x07" + b"\x22\x03\x12\x01b"
    await asker.send(b"\x1a" + bytes([len(publish)]) + publish)
    data = await asyncio.wait_for(clerk.call.read(), 5)
    got = pb.Message.FromString(data)
    assert (got.publish.session.session_id, got.publish.session.message_id, got.publish.msg.blob) == (
        0,
        7,
        b"b",
    )
    assert b"\x12\x01x" not in data


async def test_compressed_messages_are_not_accepted(office: Office) -> None:
    channel = grpc.aio.insecure_channel(
        f"127.0.0.1:{office.port}",
        compression=grpc.Compression.Gzip,
        options=[("grpc.use_local_subchannel_pool", 1)],
    )
    peer = office.dial(ASKER, 1, channel=channel)
    assert await peer.ended() is grpc.StatusCode.UNIMPLEMENTED
    assert not office.sessions


async def test_before_what_ends_the_stream_all_is_done_and_after_it_nothing(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    session = office.sessions[0]
    subscribe = pb.Message(subscribe=pb.Subscribe(header=asker.header(CHAT, None)))
    good = [asker.publication(CLERK, None, b"before"), asker.publication(CLERK, None, b"after"), subscribe]
    first, *rest = [each.SerializeToString() for each in good]
    session.messages([first, b"", *rest])
    assert await asker.ended() is grpc.StatusCode.INVALID_ARGUMENT
    assert await clerk.body() == b"before"
    await office.until(lambda: len(office.gateway.hub.links) == 1)
    assert office.gateway.hub.router.usage("acme").subscriptions == 0
    other = await office.peer(ASKER, 1)
    await other.publish(CLERK, None, b"next")
    assert await clerk.body() == b"next"


async def test_a_link_that_the_hub_has_ended_does_nothing_more(office: Office) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions
    entries = office.gateway.hub.router.entries
    office.gateway.hub.end(session.link, Code.TENANT_SUSPENDED)
    session.hear([pb.Message(subscribe=pb.Subscribe(header=peer.header(CHAT, None))).SerializeToString()])
    assert entries == {}
    assert await peer.ended() is grpc.StatusCode.PERMISSION_DENIED


async def test_very_many_subscribes_in_one_read_leave_others_their_turn(office: Office) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions
    assert session.link is not None
    subscribe = [
        pb.Message(
            subscribe=pb.Subscribe(header=peer.header(f"acme/lab/t{number}", None))
        ).SerializeToString()
        for number in range(1000)
    ]
    longest = 0.0

    async def others() -> None:
        nonlocal longest
        while session.link is not None and session.link.holds:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    session.messages(subscribe)
    assert session.link.holds == 1
    await others()
    assert office.gateway.hub.router.counts(session.link).subscriptions == 1000
    # Half of all at once took 60 ms here. The machine is shared: what is certain is that it was done in many turns.
    assert longest < 1.0
    assert session.link.bytes_in >= sum(map(len, subscribe))
    await peer.unsubscribe(ASKER, 1)
    await office.members(ASKER, 0)


async def test_what_is_held_back_counts_against_the_budget(office: Office) -> None:
    peer = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    [session] = office.sessions
    link = session.link
    assert link is not None
    assert link.unread_bytes() == 0
    link.hold()
    await peer.publish(CLERK, None, bytes(50_000))
    await office.until(lambda: link.unread_bytes() > 50_000)
    link.release()
    await office.until(lambda: office.counts["unknown_type"] == 1)
    assert link.unread_bytes() == 0


async def test_an_envelope_that_cannot_be_read_is_left_out(office: Office) -> None:
    clerk = await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    raw = RawPeer(*await asyncio.open_connection(*office.gateway.address))
    await raw.hello()
    me, to = await raw.join(WRITER), await raw.open(CLERK)
    raw.send(frames.encode_data(Kind.PUBLISH, b"\xc1 no envelope", destination=to, source=me, id=1))
    raw.publish(to, b"readable", 2)
    assert await clerk.body() == b"readable"
    assert office.counts["unreadable"] == 1
    raw.writer.close()
    await raw.writer.wait_closed()


# -- names that become known ---------------------------------------------------------------------------


async def test_a_client_whose_stream_only_lingers_is_not_renamed(office: Office, native: agp.Gateway) -> None:
    """It has been ended, and does not read so far: what others do must not fail for it."""
    narrow = [*OPTIONS, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{office.port}", options=narrow)
    peer = await office.peer(CLERK, 7, strings=False, channel=channel)
    await office.until(lambda: office.gateway.hub.statistics()["agents"] == 1)
    [session] = office.sessions
    assert session.link is not None
    session.call.write(prefixed(bytes(100_000)) * 20)  # more than its windows
    office.gateway.hub.end(session.link, Code.OVERLOADED)
    clerk = await native.create_agent(CLERK)
    writer = await native.create_agent(WRITER)
    await writer.publish(CLERK, b"works")
    assert (await clerk.receive(timeout=5)).body == b"works"
    assert office.gateway.hub.ended[Code.INTERNAL] == 0
    assert session.link in office.gateway.hub.lingering, "the call was there all the time"
    await peer.close()


async def test_a_text_of_another_organization_moves_nobody(office: Office, native: agp.Gateway) -> None:
    peer = await office.peer(CLERK, 7, strings=False)
    await office.until(lambda: office.gateway.hub.statistics()["agents"] == 1)
    [session] = office.sessions
    assert session.link is not None
    [agent] = session.link.sources.values()
    await native.create_agent("globex/lab/clerk")
    assert agent.registered
    await native.create_agent("acme/lab/clerk")
    assert not agent.registered
    await office.members(CLERK, 2)
    await peer.close()


# -- who may come in -----------------------------------------------------------------------------------


def bearer(desk: TokenDesk, pattern: str = "acme/*") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {desk.issue(pattern)}"),)


async def test_a_client_of_an_organization_over_its_rate_is_not_read_from_the_start(office: Office) -> None:
    hub, desk = office.gateway.hub, TokenDesk()
    hub.tokens = desk.tokens()
    hub.quotas.set("acme", Allowance(bytes_per_second=1000))
    first = await office.peer(ASKER, 1, metadata=bearer(desk))
    await first.publish(CLERK, None, bytes(100_000))
    await office.until(lambda: office.sessions[0].link.holds)  # type: ignore[union-attr]
    second = await office.peer(ASKER, 2, metadata=bearer(desk))
    await said(second)
    assert office.sessions[1].call._paused
    assert len(hub.router._connections.agents) == 1
    hub.quotas.set("acme", Allowance())
    await office.members(ASKER, 2)


async def test_what_becomes_no_message_counts_for_the_rate_too(office: Office) -> None:
    hub, desk = office.gateway.hub, TokenDesk()
    hub.tokens = desk.tokens()
    peer = await office.peer(ASKER, 1, metadata=bearer(desk))
    await office.members(ASKER, 1)
    hub.quotas.set("acme", Allowance(bytes_per_second=1000))
    [session] = office.sessions
    for _ in range(50):
        await peer.subscribe(CHAT)
    await office.until(lambda: session.link is not None and session.link.holds)


async def test_as_many_streams_as_there_may_be_connections() -> None:
    async with gateway(Limits(connections=2)) as made:
        office = Office(made)
        channel = office.channel()
        for number in (1, 2):
            await office.peer(ASKER, number, channel=channel)
        await office.members(ASKER, 2)
        third = office.dial(ASKER, 3, channel=channel)
        assert await third.ended() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(made.hub.links) == 2
        assert not made.hub.lingering
        office.peers[0].call.cancel()
        await office.members(ASKER, 1)
        await office.peer(ASKER, 3, channel=channel)
        await office.close()


async def test_as_many_as_the_organization_may_have(office: Office) -> None:
    hub, desk = office.gateway.hub, TokenDesk()
    hub.tokens = desk.tokens()
    hub.quotas.set("acme", Allowance(connections=1, agents=1, subscriptions=1))
    peer = await office.peer(ASKER, 1, metadata=bearer(desk))
    second = office.dial(ASKER, 2, metadata=bearer(desk))
    assert await second.ended() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await office.peer("globex/lab/clerk", 1, metadata=bearer(desk, "globex/*"))
    await peer.subscribe(CHAT)
    await peer.subscribe("acme/lab/news")
    peer.id = 2
    await peer.publish(CLERK, None, b"as another")
    await office.until(lambda: office.counts["quota_exceeded"] == 2)
    assert hub.router.usage("acme").agents == 1


async def test_texts_of_others_leave_room_for_what_a_token_says(office: Office) -> None:
    desk = TokenDesk()
    office.gateway.hub.tokens = desk.tokens()
    office.dialects.spellings.directory = Directory(texts_limit=4)
    globex = await office.peer("globex/lab/clerk", 1, metadata=bearer(desk, "globex/*"))
    for number in range(5):
        await globex.subscribe(f"globex/N{number}/T{number}")  # no segments, so known from clients alone
    await office.until(lambda: office.counts["quota_exceeded"] > 0)
    peer = await office.peer(ASKER, 1, strings=False, metadata=bearer(desk, ASKER))
    await office.members(ASKER, 1)
    await peer.close()


async def test_the_texts_of_a_foreign_organization_are_not_believed(office: Office) -> None:
    desk = TokenDesk()
    office.gateway.hub.tokens = desk.tokens()
    peer = await office.peer("globex/lab/clerk", 1, metadata=bearer(desk, "globex/*"))
    await peer.subscribe(CHAT)
    await office.until(lambda: office.counts["not_permitted"] == 1)
    assert set(office.dialects.spellings.directory._organizations) == {"globex"}
    assert parse(CHAT) not in office.dialects.spellings._told
