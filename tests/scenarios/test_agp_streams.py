"""AGP on the wire, byte for byte: who gets what, what is believed, and what bad input does to whom."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest
from scenarios.agp_peer import AgpPeer, Office, gateway, name

import agpd_client as agp
from agpd._proto import agp_pb2 as pb
from agpd.config import Limits
from agpd.errors import Code
from agpd.wire.agp import MESSAGE_LIMIT_BYTES

ASKER, CLERK, CHAT = "acme/lab/asker", "acme/lab/clerk", "acme/lab/chat"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with gateway() as made:
        here = Office(made)
        yield here
        await here.close()


# -- who gets what ---------------------------------------------------------------------------------------


async def test_by_type_by_id_and_back(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    for id_ in (None, 7, 2**64 - 1):
        sent = asker.publication(CLERK, id_, b"hello")
        await asker.send(sent)
        got = await clerk.read()
        assert got == sent.publish  # as it was sent, the id that was not chosen by the sender included
    await clerk.publish(ASKER, 1, b"back")
    assert await asker.body() == b"back"


async def test_what_only_the_gateway_may_say_is_neither_believed_nor_passed_on(office: Office) -> None:
    asker, clerk, other = [await office.peer(f"acme/lab/{kind}", 1) for kind in ("asker", "clerk", "other")]
    await office.members(CLERK, 1)
    await office.members("acme/lab/other", 1)
    await asker.publish(CLERK, None, b"1", recv_from=2, forward_to=3, incoming_conn=4)
    got = await clerk.read()
    assert not any(got.header.HasField(field) for field in ("recv_from", "forward_to", "incoming_conn"))
    assert office.counts["hints"] == 1
    # The reference lets anybody subscribe another connection, or take its subscriptions away.
    header = asker.header("acme/lab/other", 1, recv_from=other.id)
    await asker.send(pb.Message(unsubscribe=pb.Unsubscribe(header=header)))
    await asker.publish("acme/lab/other", 1, b"2")
    assert await other.body() == b"2"


@pytest.mark.parametrize("instances", [5, 60])
async def test_fan_out(office: Office, instances: int) -> None:
    asker = await office.peer(ASKER, 1)
    clerks = [await office.peer(CLERK, number) for number in range(1, instances + 1)]
    await office.members(CLERK, instances)
    got: Counter[bytes] = Counter()
    places: dict[bytes, set[int]] = {}

    async def listen(clerk: AgpPeer) -> None:
        while True:
            body = await clerk.body()
            if body == b"end":
                return
            got[body] += 1
            places.setdefault(body, set()).add(clerk.id)

    listening = [asyncio.ensure_future(listen(clerk)) for clerk in clerks]
    wanted = {
        0: instances,
        1: 1,
        2: 2,
        3: 3,
        5: 5,
        49: min(49, instances),
        50: instances,
        51: min(51, instances),
    }
    wanted |= {60: min(60, instances), 256: instances}
    for fanout in wanted:
        await asker.publish(CLERK, None, b"%d" % fanout, fanout=fanout)
    await asker.publish(CLERK, None, b"end", fanout=0)
    await asyncio.wait_for(asyncio.gather(*listening), 20)
    assert got == {b"%d" % fanout: count for fanout, count in wanted.items()}
    assert {body: len(ids) for body, ids in places.items()} == got  # distinct ones


async def test_anycast_serves_all_and_loses_none(office: Office) -> None:
    asker = await office.peer(ASKER, 1)
    clerks = [await office.peer(CLERK, number) for number in range(1, 5)]
    await office.members(CLERK, 4)
    for number in range(200):
        await asker.publish(CLERK, None, b"%d" % number)
    await asker.publish(CLERK, None, b"end", fanout=0)
    bodies: list[bytes] = []
    for clerk in clerks:
        mine: list[bytes] = []
        while (body := await clerk.body()) != b"end":
            mine.append(body)
        assert mine
        assert mine == sorted(mine, key=int)  # in order for each pair
        bodies += mine
    assert sorted(bodies, key=int) == [b"%d" % number for number in range(200)]


async def test_nothing_comes_back_and_one_connection_gets_one_copy(office: Office) -> None:
    one, other = await office.peer(ASKER, 1), await office.peer(CLERK, 1)  # the same id in two types
    for peer in (one, other):
        for _ in range(2):
            await peer.subscribe(CHAT)
    await office.members(CHAT, 2)
    await one.publish(CHAT, None, b"from one", fanout=50)
    await other.publish(CHAT, None, b"from other", fanout=50)
    assert await one.body() == b"from other"
    assert await other.body() == b"from one"
    await one.publish(CLERK, 1, b"end")
    await other.publish(ASKER, 1, b"end")
    assert await one.body() == b"end"
    assert await other.body() == b"end"


async def test_unsubscribe(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await clerk.subscribe(CHAT)
    await office.members(CHAT, 1)
    await clerk.unsubscribe(CHAT)
    await clerk.unsubscribe(CHAT)
    await office.until(lambda: office.gateway.hub.router.usage("acme").subscriptions == 0)
    await asker.publish(CHAT, None, b"nobody", fanout=0)
    await office.until(lambda: office.counts["unknown_type"] == 1)
    # Its own name: by id it can still be answered.
    await clerk.unsubscribe(CLERK, 1)
    await office.members(CLERK, 0)
    await asker.publish(CLERK, 1, b"by id")
    assert await clerk.body() == b"by id"


async def test_what_matches_nobody_is_counted_with_the_reason(office: Office) -> None:
    asker = await office.peer(ASKER, 1)
    await office.members(ASKER, 1)
    for to, id_, reason in (
        (CHAT, None, "unknown_type"),
        (CLERK, 9, "unknown_id"),
        (ASKER, None, "only_origin"),
    ):
        await asker.publish(to, id_, b"")
        await office.until(lambda reason=reason: office.counts[reason] == 1)


async def test_an_unknown_id_is_no_other_instance(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    await asker.publish(CLERK, 2, b"wrong")
    await asker.publish(CLERK, 1, b"right")
    assert await clerk.body() == b"right"


async def test_of_two_connections_with_one_name_the_newer_has_it_and_the_older_its_topics(
    office: Office,
) -> None:
    asker, older = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await older.subscribe(CHAT)
    await office.members(CHAT, 1)
    newer = await office.peer(CLERK, 1)
    await office.members(CLERK, 2)
    await office.members(CHAT, 1)
    await asker.publish(CLERK, 1, b"to the name")
    assert await newer.body() == b"to the name"
    await asker.publish(CHAT, None, b"to the topic", fanout=0)
    assert await older.body() == b"to the topic"


async def test_who_leaves_is_forgotten(office: Office) -> None:
    hub = office.gateway.hub
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await clerk.subscribe(CHAT)
    await office.members(CHAT, 1)
    await clerk.close()
    await office.until(lambda: len(hub.links) == 1)
    assert hub.router.usage("acme").agents == 1
    await asker.close()
    await office.until(lambda: not hub.links)
    assert hub.router.entries == {}
    assert office.gateway.grpc is not None
    assert office.gateway.grpc.dialects is not None
    assert not office.gateway.grpc.dialects.spellings._spellers


# -- bad input -------------------------------------------------------------------------------------------


def broken(peer: AgpPeer) -> dict[str, bytes]:
    """What no correct client sends."""
    good = peer.publication(CLERK, None, b"x")

    def without(*path: str) -> bytes:
        copy = pb.Message.FromString(good.SerializeToString())
        part = copy.publish
        for step in path[:-1]:
            part = getattr(part, step)
        part.ClearField(path[-1])
        return copy.SerializeToString()

    subscribe = pb.Subscribe(header=pb.Header(source=name(CLERK), destination=name(CLERK)))
    lying = pb.Subscribe(header=peer.header(CLERK, None), organization="a", namespace="b", agent_type="c")
    return {
        "an empty message": b"",
        "no header": without("header"),
        "no source": without("header", "source"),
        "no destination": without("header", "destination"),
        "no session": without("session"),
        "no content": without("msg"),
        "a publish of nobody": without("header", "source", "agent_id"),
        "a subscribe of nobody": pb.Message(subscribe=subscribe).SerializeToString(),
        "strings that are not the name": pb.Message(subscribe=lying).SerializeToString(),
        "garbage": b"\xff\xfe\xfd" * 10,
        "text that is not UTF-8": good.SerializeToString().replace(b"msg", b"m\xffg"),
        "an unknown kind": b"\x7a\x02hi",
    }


@pytest.mark.parametrize("what", [
    "an empty message", "no header", "no source", "no destination", "no session", "no content", "a publish of nobody",
    "a subscribe of nobody", "strings that are not the name", "garbage", "text that is not UTF-8", "an unknown kind",
])  # fmt: skip
async def test_what_breaks_the_protocol_ends_the_stream_of_who_sent_it_alone(
    office: Office, what: str
) -> None:
    hub = office.gateway.hub
    asker, clerk, bad = await office.peer(ASKER, 1), await office.peer(CLERK, 1), await office.peer(CHAT, 1)
    await office.members(CLERK, 1)
    await office.members(CHAT, 1)
    await bad.publish(CLERK, 1, b"before")
    await bad.send(broken(bad)[what])
    assert await bad.ended() is grpc.StatusCode.INVALID_ARGUMENT
    await office.until(lambda: len(hub.links) == 2)
    assert hub.router.usage("acme").agents == 2
    await asker.publish(CLERK, None, b"after")
    assert [await clerk.body(), await clerk.body()] == [b"before", b"after"]


async def test_unknown_fields_are_not_passed_on(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    good = asker.publication(CLERK, None, b"x")
    await asker.send(good.SerializeToString() + b"\x7a\x02hi")
    data = await asyncio.wait_for(clerk.call.read(), 5)
    assert data == good.SerializeToString()


async def test_sizes(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    overhead = len(asker.publication(CLERK, None, bytes(MESSAGE_LIMIT_BYTES - 300)).SerializeToString())
    largest = bytes(2 * MESSAGE_LIMIT_BYTES - 300 - overhead)
    for body in (largest + b"x", largest):
        message = asker.publication(CLERK, None, body)
        message.publish.session.message_id = 1
        await asker.send(message)
    assert len(await clerk.body()) == len(largest)
    assert office.counts["too_large"] == 1
    await asker.publish(CLERK, None, b"still here")
    assert await clerk.body() == b"still here"


async def test_metadata_is_bounded_and_passed_on(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    await asker.publish(CLERK, None, b"too much", metadata={"k": "v" * 9000})
    trace = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    await asker.send(asker.publication(CLERK, None, b"x", metadata=trace))
    data = await asyncio.wait_for(clerk.call.read(), 5)
    assert dict(pb.Message.FromString(data).metadata) == trace


@pytest.mark.parametrize("text", ["Acme/Läb/" + "x" * 100_000, "ACME/lab/☃", "a/b/h-" + "0" * 16])
async def test_names_of_any_length_and_alphabet(office: Office, text: str) -> None:
    clerk, asker = await office.peer(text, 5), await office.peer(text, 6)
    await office.until(lambda: office.gateway.hub.statistics()["agents"] == 2)
    await asker.publish(text, 5, b"by id")
    await asker.publish(text, None, b"by type")
    assert [await clerk.body(), await clerk.body()] == [b"by id", b"by type"]


async def test_nothing_crosses_to_another_organization_without_a_grant(office: Office) -> None:
    asker, clerk = await office.peer(ASKER, 1), await office.peer("globex/lab/clerk", 7)
    await office.members("globex/lab/clerk", 1)
    await asker.publish("globex/lab/clerk", 7, b"x")
    await asker.subscribe("globex/lab/clerk")
    await office.until(lambda: office.counts["not_permitted"] == 2)
    own = await office.peer("globex/lab/asker", 1)
    await own.publish("globex/lab/clerk", None, b"own")
    assert await clerk.body() == b"own"


# -- native agents ---------------------------------------------------------------------------------------


@pytest.fixture
async def native(office: Office) -> AsyncIterator[agp.Gateway]:
    host, port = office.gateway.address
    async with agp.connect(f"agp+tcp://{host}:{port}") as made:
        yield made


async def test_native_agents_and_clients_of_agp_write_to_each_other(
    office: Office, native: agp.Gateway
) -> None:
    clerk = await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    writer = await native.create_agent("acme/lab/writer")
    await writer.publish(CLERK, "by type", headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
    got = await clerk.read()
    assert (got.msg.blob, got.msg.content_type, got.session.header_type) == (b"by type", "msg", 1)
    await clerk.publish("acme/lab/writer", got.header.source.agent_id, b"back", metadata={"x": "y"})
    message = await writer.receive(timeout=5)
    assert (message.body, message.source) == (b"back", f"{CLERK}/agp-0000000000000007")
    await writer.publish(message.source, "by id")
    again = await clerk.read()
    assert again.msg.blob == b"by id"
    assert again.session.session_id == got.session.session_id  # one session for each agent that writes
    await clerk.publish("acme/lab/writer", None, b"by type")
    assert (await writer.receive(timeout=5)).body == b"by type"


async def test_a_broadcast_reaches_both_kinds(office: Office, native: agp.Gateway) -> None:
    clerk, asker = await office.peer(CLERK, 7), await office.peer(ASKER, 1)
    other = await native.create_agent(CLERK)
    writer = await native.create_agent("acme/lab/writer")
    await office.members(CLERK, 2)
    await asker.publish(CLERK, None, b"from agp", fanout=50)
    assert await clerk.body() == b"from agp"
    assert (await other.receive(timeout=5)).body == b"from agp"
    await writer.publish(CLERK, b"from native", fanout=agp.ALL)
    assert await clerk.body() == b"from native"
    assert (await other.receive(timeout=5)).body == b"from native"


async def test_a_native_request_is_answered_in_its_session(office: Office, native: agp.Gateway) -> None:
    clerk = await office.peer(CLERK, 7)
    await office.members(CLERK, 1)
    writer = await native.create_agent("acme/lab/writer")
    asked = [asyncio.ensure_future(writer.request(CLERK, text, timeout=5)) for text in ("one", "two")]
    questions = [await clerk.read() for _ in asked]
    for question in reversed(questions):
        source = question.header.source
        answer = clerk.publication("acme/lab/writer", source.agent_id, question.msg.blob.upper())
        answer.publish.session.session_id = question.session.session_id
        await clerk.send(answer)
    assert [bytes(await each).decode() for each in asked] == ["ONE", "TWO"]


async def test_a_long_message_reaches_whoever_takes_it(office: Office, native: agp.Gateway) -> None:
    clerk, asker = await office.peer(CLERK, 7), await office.peer(ASKER, 1)
    other = await native.create_agent(CLERK)
    await office.members(CLERK, 2)
    await asker.publish(CLERK, None, bytes(2 * 1024 * 1024), fanout=50)
    assert len(await clerk.body()) == 2 * 1024 * 1024
    await asker.publish(CLERK, None, b"short", fanout=50)
    assert (await other.receive(timeout=5)).body == b"short"
    assert await clerk.body() == b"short"
    assert office.gateway.hub.refused[Code.TOO_LONG_FOR_RECEIVER] == 1


async def test_a_nameless_client_is_found_as_soon_as_somebody_says_its_name(
    office: Office, native: agp.Gateway
) -> None:
    """Clients of 0.2.4 and 0.3.0 never send texts."""
    clerk = await office.peer(CLERK, 7, strings=False)
    await clerk.subscribe(CHAT, strings=False)
    await office.until(lambda: office.gateway.hub.statistics()["agents"] == 1)
    writer = await native.create_agent("acme/lab/writer")
    await writer.publish(CHAT, "to a topic")
    assert await clerk.body() == b"to a topic"
    await writer.publish(CLERK, "to a type")
    assert await clerk.body() == b"to a type"
    named = await office.peer(ASKER, 1)
    await named.publish(CLERK, 7, b"from a client")
    assert await clerk.body() == b"from a client"


async def test_no_native_agent_passes_for_a_client_of_agp(office: Office, native: agp.Gateway) -> None:
    with pytest.raises(agp.InvalidName):
        await native.create_agent(f"{CLERK}/agp-0000000000000007")
    await office.peer(CLERK, 7)
    await office.members(CLERK, 1)


async def test_default_routes_carry_what_nobody_takes(office: Office, native: agp.Gateway) -> None:
    asker = await office.peer(ASKER, 1)
    fallback = await native.create_agent("acme/lab/fallback")
    await fallback.set_route("acme/*")
    await asker.publish("acme/lab/nobody", None, b"lost?")
    assert (await fallback.receive(timeout=5)).body == b"lost?"


# -- limits ----------------------------------------------------------------------------------------------


async def test_one_that_never_reads_costs_the_others_nothing(office: Office) -> None:
    """The healthy one gets 3000 of 3000 messages of 10 KiB while the other's windows are used up."""
    asker, healthy, stuck = (
        await office.peer(ASKER, 1),
        await office.peer(CLERK, 1),
        await office.peer(CLERK, 2),
    )
    await office.members(CLERK, 2)

    async def pour() -> None:
        for number in range(3000):
            await asker.publish(CLERK, None, number.to_bytes(4, "big") + bytes(10 * 1024), fanout=50)

    pouring = asyncio.ensure_future(pour())
    for number in range(3000):
        assert (await healthy.body())[:4] == number.to_bytes(4, "big")
    await asyncio.wait_for(pouring, 10)
    hub = office.gateway.hub
    await office.until(lambda: sum(link.dropped for link in hub.links) > 0)
    assert sum(link.queued for link in hub.links) <= 4 * 1024 * 1024 + 64 * 1024
    assert (await stuck.body())[:4] == bytes(4)


async def test_too_many_subscriptions_are_dropped_and_the_stream_goes_on() -> None:
    async with gateway(Limits(subscriptions_per_connection=3)) as made:
        office = Office(made)
        clerk, asker = await office.peer(CLERK, 1), await office.peer(ASKER, 1)
        for number in range(6):
            await clerk.subscribe(f"acme/lab/topic{number}")
        await office.until(lambda: office.counts["too_many_subscriptions"] == 3)
        await asker.publish("acme/lab/topic2", None, b"here", fanout=0)
        assert await clerk.body() == b"here"
        await office.close()


async def test_the_ways_of_a_client_that_writes_to_ever_new_names_are_bounded() -> None:
    async with gateway(Limits(handles_per_connection=16)) as made:
        office = Office(made)
        asker, clerk = await office.peer(ASKER, 1), await office.peer(CLERK, 1)
        await office.members(CLERK, 1)
        for number in range(100):
            await asker.publish(f"acme/lab/n{number}", None, b"")
            await asker.publish(CLERK, None, b"%d" % number)
            assert await clerk.body() == b"%d" % number
        assert max(len(link.opened) for link in made.hub.links) <= 16
        await office.close()


async def test_a_drain_ends_the_streams_and_says_so(office: Office) -> None:
    clerk = await office.peer(CLERK, 1)
    await office.members(CLERK, 1)
    await office.gateway.stop(drain_s=0)
    assert await clerk.ended() is grpc.StatusCode.UNAVAILABLE
