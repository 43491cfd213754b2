"""agpd/wire/agp.py: golden bytes, each row of what is refused, and that receivers get only what they understand."""

import json
from pathlib import Path

import pytest
import rich.pretty
from hypothesis import example, given
from hypothesis import strategies as st
from unit.wire.strict_agp import scan

from agpd._proto import agp_pb2 as pb
from agpd.errors import CATALOGUE, Code, Fatal, Refused
from agpd.wire import agp
from agpd.wire.agp import Verb, assemble, assembled_bytes, parse
from agpd.wire.hashes import Family, triple

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "agp.json").read_text())
GOLD = triple(Family.SIPHASH, ("org", "ns", "gold"))
CHAT = triple(Family.SIPHASH, ("org", "ns", "chat"))
ANY_ID = 2**64 - 1
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def name(hashes=GOLD, id_=None):
    return pb.Name(organization=hashes[0], namespace=hashes[1], agent_type=hashes[2], agent_id=id_)


def header(source_id=5, destination_id=None, fanout=1, **rest):
    return pb.Header(
        source=name(GOLD, source_id), destination=name(CHAT, destination_id), fanout=fanout, **rest
    )


def publish(head=None, body=b"hello", kind="msg", metadata=None, session=None):
    publish = pb.Publish(
        header=head or header(),
        session=session or pb.Session(header_type=1, session_id=7, message_id=9),
        msg=pb.Content(content_type=kind, blob=body),
    )
    return pb.Message(publish=publish, metadata=metadata)


def code_of(data, **limits):
    with pytest.raises((Fatal, Refused)) as caught:
        parse(data, **limits)
    return caught.value.code


def forwarded(said):
    """What receivers get, and that its length was known before."""
    data = assemble(said.carried, said.content_type, said.body)
    assert assembled_bytes(said.carried, said.content_type, len(said.body)) == len(data)
    scan(data)
    return data


# ---- what clients send


def test_connect_of_a_client_with_strings():
    said = parse(bytes.fromhex(VECTORS["connect_0.3.5"]))
    assert (said.verb, said.source, said.source_id) == (Verb.SUBSCRIBE, GOLD, 5)
    assert (said.destination, said.destination_id, said.fanout) == (GOLD, 5, 1)
    assert (said.names, said.family, said.hints) == (("org", "ns", "gold"), Family.SIPHASH, False)


def test_a_topic_is_subscribed_without_id():
    said = parse(bytes.fromhex(VECTORS["subscribe_chat_0.3.5"]))
    assert (said.destination, said.destination_id, said.names) == (CHAT, None, ("org", "ns", "chat"))


def test_connect_of_an_older_client_has_no_strings():
    said = parse(bytes.fromhex(VECTORS["connect_0.2.4"]))
    assert (said.verb, said.destination, said.names, said.family) == (Verb.SUBSCRIBE, GOLD, None, None)


def test_strings_may_be_hashed_by_the_other_function():
    to = triple(Family.XXHASH, ("org", "ns", "chat"))
    head = pb.Header(source=name(id_=1), destination=name(to))
    message = pb.Message(
        subscribe=pb.Subscribe(header=head, organization="org", namespace="ns", agent_type="chat")
    )
    assert parse(message.SerializeToString()).family is Family.XXHASH


def test_unsubscribe():
    said = parse(pb.Message(unsubscribe=pb.Unsubscribe(header=header())).SerializeToString())
    assert (said.verb, said.source_id, said.destination) == (Verb.UNSUBSCRIBE, 5, CHAT)


def test_a_publish_is_forwarded_as_sent():
    message = publish(metadata={"traceparent": "x", "SLIM_IDENTITY": "secret:me"})
    said = parse(message.SerializeToString())
    assert (said.verb, said.body, said.content_type) == (Verb.PUBLISH, b"hello", "msg")
    assert pb.Message.FromString(forwarded(said)) == message


def test_an_id_that_means_any_is_none_and_forwarded_as_it_came():
    message = publish(header(destination_id=ANY_ID))
    said = parse(message.SerializeToString())
    assert said.destination_id is None
    assert pb.Message.FromString(forwarded(said)) == message


@pytest.mark.parametrize("error", [None, False, True])
def test_error_is_forwarded_with_its_presence(error):
    message = publish(header(error=error))
    got = pb.Message.FromString(forwarded(parse(message.SerializeToString())))
    assert got.publish.header.HasField("error") is (error is not None)
    assert got == message


@pytest.mark.parametrize("hint", ["recv_from", "forward_to"])
def test_hints_are_told_and_cleared(hint):
    said = parse(publish(header(**{hint: 0})).SerializeToString())
    assert said.hints
    assert pb.Message.FromString(forwarded(said)) == publish()


def test_the_number_of_the_connection_is_cleared_and_no_hint():
    said = parse(publish(header(incoming_conn=7)).SerializeToString())
    assert not said.hints
    assert pb.Message.FromString(forwarded(said)) == publish()


def test_an_empty_session_and_an_empty_content_are_there():
    message = publish(session=pb.Session(), body=b"", kind="")
    assert pb.Message.FromString(forwarded(parse(message.SerializeToString()))) == message


def test_the_four_numbers_of_a_session_are_forwarded():
    message = publish(session=pb.Session(header_type=-1, session_id=2**32 - 1, message_id=2, fourth=3))
    assert pb.Message.FromString(forwarded(parse(message.SerializeToString()))) == message


# ---- what is refused


def without(*path):
    """A publish that lacks a part."""
    message = publish()
    part = message
    for field in path[:-1]:
        part = getattr(part, field)
    part.ClearField(path[-1])
    return message.SerializeToString()


MALFORMED = {
    "nothing": b"",
    "metadata alone": pb.Message(metadata={"a": "b"}).SerializeToString(),
    "no message": b"\xff\xff",
    "cut": publish().SerializeToString()[:-1],
    "empty subscribe": pb.Message(subscribe=pb.Subscribe()).SerializeToString(),
    "empty unsubscribe": pb.Message(unsubscribe=pb.Unsubscribe()).SerializeToString(),
    "no header": without("publish", "header"),
    "no source": without("publish", "header", "source"),
    "no destination": without("publish", "header", "destination"),
    "no session": without("publish", "session"),
    "no content": without("publish", "msg"),
    "source without id": without("publish", "header", "source", "agent_id"),
    "source with the id that means any": publish(header(source_id=ANY_ID)).SerializeToString(),
    "subscribe of a source without id": pb.Message(
        subscribe=pb.Subscribe(header=header(source_id=None))
    ).SerializeToString(),
    "unsubscribe of a source without id": pb.Message(
        unsubscribe=pb.Unsubscribe(header=header(source_id=None))
    ).SerializeToString(),
    "strings of another name": pb.Message(
        subscribe=pb.Subscribe(header=header(), organization="org", namespace="ns", agent_type="gold")
    ).SerializeToString(),
    "some of the strings": pb.Message(
        subscribe=pb.Subscribe(header=header(), organization="org", namespace="ns")
    ).SerializeToString(),
    "content type that is no text": publish(kind="mmm").SerializeToString().replace(b"mmm", b"m\xffm"),
    "metadata that is no text": publish(metadata={"k": "vvv"})
    .SerializeToString()
    .replace(b"vvv", b"\xc3\x28v"),
    "string that is no text": bytes.fromhex(VECTORS["connect_0.3.5"]).replace(b"gold", b"gol\xff"),
    # Field 1 of the layouts before 0.2, with a number where a header should be.
    "session that does not decode": publish()
    .SerializeToString()
    .replace(b"\x08\x01\x10\x07", b"\x08\x01\x10\xff"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_no_correct_client_sends_ends_the_stream(case):
    assert code_of(MALFORMED[case]) is Code.MALFORMED_FRAME


def test_the_stream_ends_with_invalid_argument():
    assert CATALOGUE[Code.MALFORMED_FRAME].grpc == "INVALID_ARGUMENT"


def test_a_number_with_the_wrong_wire_type_is_dropped_and_the_rest_judged():
    session = b"\x0a\x01x\x10\x07"  # header_type as text, session_id 7
    data = publish().SerializeToString().replace(b"\x12\x06\x08\x01\x10\x07\x18\x09", b"\x12\x05" + session)
    data = data[:1] + bytes((data[1] - 1,)) + data[2:]
    assert pb.Message.FromString(forwarded(parse(data))) == publish(session=pb.Session(session_id=7))


def test_a_source_id_with_the_wrong_wire_type_is_none():
    data = publish().SerializeToString().replace(b"\x20\x05", b"\x22\x00")
    assert code_of(data) is Code.MALFORMED_FRAME


def test_unknown_fields_are_dropped_at_every_level():
    clean = publish(metadata={"k": "v"})
    message = pb.Message.FromString(clean.SerializeToString())
    parts = (
        message,
        message.publish,
        message.publish.header,
        message.publish.header.source,
        message.publish.header.destination,
        message.publish.session,
        message.publish.msg,
    )
    for part in parts:
        part.MergeFromString(b"\xca\x3e\x01x")  # field 1001
    assert len(message.SerializeToString()) > len(clean.SerializeToString())
    assert pb.Message.FromString(forwarded(parse(message.SerializeToString()))) == clean


def test_an_entry_of_metadata_with_an_unknown_field_is_dropped():
    data = publish().SerializeToString() + b"\x22\x08\x0a\x01a\x12\x01b\x18\x01"
    assert pb.Message.FromString(forwarded(parse(data))) == publish()


def test_metadata_over_the_limit_is_refused_alone():
    message = publish(metadata={"k": "v" * 100}).SerializeToString()
    assert code_of(message, metadata_limit_bytes=106) is Code.TOO_LONG_FOR_RECEIVER
    assert not CATALOGUE[Code.TOO_LONG_FOR_RECEIVER].fatal
    parse(message, metadata_limit_bytes=107)
    with pytest.raises(Refused):
        parse(publish(metadata={"k": "v" * agp.METADATA_LIMIT_BYTES}).SerializeToString())


def test_metadata_of_a_subscribe_goes_nowhere_and_is_not_judged():
    message = pb.Message(subscribe=pb.Subscribe(header=header()), metadata={"k": "v" * 9000})
    assert parse(message.SerializeToString()).carried == b""


# ---- nothing shows


def test_no_text_shows_metadata_content_or_payload():
    message = publish(body=b"hunter2-body", kind="hunter2-kind", metadata={"hunter2-key": "hunter2-value"})
    said = parse(message.SerializeToString())
    for text in (repr(said), str(said), f"{said}", rich.pretty.pretty_repr(said)):
        assert "hunter2" not in text
        assert "\\x" not in text  # no bytes at all
    assert "12 bytes" in repr(said)


@pytest.mark.parametrize("data", [message for message in MALFORMED.values() if message])
def test_no_error_quotes_the_message(data):
    with pytest.raises(Fatal) as caught:
        parse(data.replace(b"msg", b"zzz").replace(b"hello", b"hunte"))
    assert "zzz" not in str(caught.value)
    assert "hunte" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# ---- messages of native agents


def test_a_native_message_is_fire_and_forget():
    carried = agp.publish(GOLD, 5, CHAT, None, fanout=1, session_id=7, message_id=9, metadata={"k": "v"})
    assert pb.Message.FromString(assemble(carried, "msg", b"hello")) == publish(metadata={"k": "v"})
    assert carried[:1] == agp.DIALECT
    assert parse(assemble(carried, "msg", b"hello")).carried == carried


@pytest.mark.parametrize("wrong", [{"fanout": 2**32}, {"session_id": -1}, {"message_id": 2**32}])
def test_a_native_message_with_a_number_that_does_not_fit(wrong):
    with pytest.raises(ValueError):
        agp.publish(GOLD, 5, CHAT, None, **{"fanout": 1, "session_id": 7, "message_id": 9} | wrong)


def test_a_native_message_has_a_source_id():
    with pytest.raises(ValueError, match="no id"):
        agp.publish(GOLD, ANY_ID, CHAT, None, fanout=1, session_id=7, message_id=9)


# ---- trace context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}


def test_the_trace_context_goes_there_and_back():
    said = parse(publish(metadata=TRACE | {"SLIM_IDENTITY": "secret"}).SerializeToString())
    assert agp.carried_trace(said.carried) == TRACE
    assert agp.trace_context(TRACE | {"other": "x"}) == TRACE
    assert agp.carried_trace(parse(publish().SerializeToString()).carried) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"tracestate": "a=b"},
        {"traceparent": PARENT.upper()},
        {"traceparent": PARENT + "\n"},
        {"traceparent": ""},
    ],
)
def test_a_trace_context_that_is_none_is_left_out(wrong):
    assert agp.trace_context(wrong) == {}


@pytest.mark.parametrize("state", ["", "x" * 513, "a=\n", "a=ü"])
def test_a_trace_state_that_is_none_is_left_out(state):
    assert agp.trace_context({"traceparent": PARENT, "tracestate": state}) == {"traceparent": PARENT}


# ---- what comes from elsewhere


def test_what_is_carried_is_checked_and_made_anew():
    said = parse(publish(metadata={"k": "v"}).SerializeToString())
    again = agp.checked(said.carried)
    assert (again.source, again.source_id, again.destination) == (
        said.source,
        said.source_id,
        said.destination,
    )
    assert again.carried == said.carried
    end = 2 + said.carried[1]
    unclean = agp.DIALECT + bytes((end,)) + said.carried[2:end] + b"\x50\x01" + said.carried[end:]  # field 10
    assert agp.checked(unclean).carried == said.carried


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x05", b"\x02\x00", b"\x01\x00", b"\x01\x02\xff\xff"])
def test_what_is_carried_by_nobody_is_malformed(data):
    with pytest.raises(Fatal) as caught:
        agp.checked(data)
    assert caught.value.code is Code.MALFORMED_FRAME


def test_what_another_dialect_carries_is_not_taken_for_agp():
    carried = parse(publish().SerializeToString()).carried
    for data in (b"\x02" + carried[1:], carried[:-1]):
        with pytest.raises(Fatal):
            agp.checked(data)


def test_a_subscribe_cannot_hide_in_the_metadata():
    carried = parse(publish().SerializeToString()).carried + bytes.fromhex(VECTORS["connect_0.3.5"])
    with pytest.raises(Fatal):
        agp.checked(carried)


@given(st.binary(max_size=80))
def test_whatever_is_carried_is_malformed_or_understood(data):
    try:
        said = agp.checked(agp.DIALECT + data)
    except Fatal as fatal:
        if fatal.code is not Code.MALFORMED_FRAME:
            raise
    else:
        forwarded(said)


# ---- properties

NAMES = st.builds(pb.Name, organization=U64, namespace=U64, agent_type=U64, agent_id=st.none() | U64)
HEADERS = st.builds(
    pb.Header,
    source=NAMES,
    destination=NAMES,
    fanout=U32,
    recv_from=st.none() | U64,
    forward_to=st.none() | U64,
    incoming_conn=st.none() | U64,
    error=st.none() | st.booleans(),
)
SESSIONS = st.builds(
    pb.Session, header_type=st.integers(-(2**31), 2**31 - 1), session_id=U32, message_id=U32, fourth=U32
)
CONTENTS = st.builds(pb.Content, content_type=st.text(max_size=300), blob=st.binary(max_size=300))
PUBLISHES = st.builds(pb.Publish, header=HEADERS, session=SESSIONS, msg=CONTENTS)
METADATA = st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=3)
MESSAGES = st.builds(pb.Message, publish=PUBLISHES, metadata=METADATA)


@given(MESSAGES)
def test_receivers_get_what_was_sent_less_three_fields(message):
    try:
        said = parse(message.SerializeToString())
    except Fatal:
        source = message.publish.header.source
        assert not source.HasField("agent_id") or source.agent_id == ANY_ID
        return
    for field in ("recv_from", "forward_to", "incoming_conn"):
        message.publish.header.ClearField(field)
    data = forwarded(said)
    assert pb.Message.FromString(data) == message
    again = parse(data)
    assert (again.source, again.source_id) == (said.source, said.source_id)
    assert (again.destination, again.destination_id) == (said.destination, said.destination_id)
    assert (again.body, again.content_type, again.hints) == (said.body, said.content_type, False)


# A small message in pieces that are exchanged, repeated and damaged: closer to what parses than random bytes are.
def field(number, wire_type, value):
    tag = bytes((number << 3 | wire_type,))
    return tag + bytes((len(value),)) + value if wire_type == 2 else tag + value


VARINTS = st.sampled_from(
    [b"\0", b"\1", b"\x80\0", b"\xff" * 9 + b"\1", b"\xff" * 4 + b"\x7f", b"\x81\x80\0"]
)
LEAVES = st.sampled_from([b"", b"ok", b"\xff", b"\xed\xa0\x80", b"\xc3\xbc", b"\x08\x05", b"\x20\x05"])
FLAT = st.lists(
    st.builds(field, st.sampled_from([1, 2, 3, 4, 15]), st.just(0), VARINTS)
    | st.builds(field, st.sampled_from([1, 2, 3, 4, 15]), st.just(2), LEAVES)
    | st.builds(field, st.sampled_from([1, 4]), st.just(5), st.just(b"abcd")),
    max_size=5,
).map(b"".join)
INNER = st.lists(
    st.builds(field, st.sampled_from([1, 1, 2, 2, 3, 4, 5, 7]), st.just(2), FLAT)
    | st.builds(field, st.sampled_from([3, 4, 6, 7]), st.just(0), VARINTS),
    max_size=5,
).map(b"".join)
GOOD_HEADER = header(error=True).SerializeToString()
LIKELY = st.lists(
    st.just(field(1, 2, GOOD_HEADER))
    | st.builds(field, st.just(1), st.just(2), INNER.filter(lambda data: len(data) < 128))
    | st.builds(field, st.just(2), st.just(2), FLAT)
    | st.builds(field, st.just(4), st.just(2), FLAT)
    | FLAT,
    max_size=6,
).map(b"".join)


def outer(data, after):
    return b"\x1a" + agp._varint(len(data)) + data + after


@given(
    st.builds(outer, LIKELY, FLAT | st.builds(field, st.just(4), st.just(2), FLAT)) | st.binary(max_size=60)
)
@example(publish(metadata={"a": "b"}).SerializeToString())
def test_any_bytes_are_refused_or_forwarded_strictly(data):
    try:
        said = parse(data)
    except (Fatal, Refused) as error:
        if error.code not in (Code.MALFORMED_FRAME, Code.TOO_LONG_FOR_RECEIVER):
            raise
        return
    if said.verb is Verb.PUBLISH:
        assert scan(forwarded(said))[3][0][1][0][1]


@given(st.integers(0, 2**70))
def test_lengths_of_varints(number):
    assert len(agp._varint(number)) == agp._varint_bytes(number)
