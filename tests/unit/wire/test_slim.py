"""agpd/wire/slim.py: the golden vectors, what is refused, dropped or carried, and what never leaves."""

import hashlib
import struct

import pytest
from google.protobuf.message import DecodeError
from hypothesis import event, given
from hypothesis import strategies as st
from slim_client import ANY, check_strictly, field, header, name, preimage_tail, publish, varint
from slim_client import signed as signed_for

from agpd._proto import slim_pb2 as pb
from agpd.errors import Code, Fatal
from agpd.wire import hashes, slim

LINK_ID = "00112233-4455-4677-8899-aabbccddeeff"
SECRET = bytes.fromhex("a84dc7c3c8f058b1b2dc4cd1e9b5dc0a7987f88b6a9564cde3391fc421159e77")
KEY = bytes.fromhex("2d923c084c8b8a57832fc413c1214c178eef128da2bb25b0fe25e0d55a6e31ea")
PREIMAGE = bytes.fromhex(
    "534c494d2d44502d4844522d7631002400000030303131323233332d343435352d343637372d383839392d616162"
    "62636364646565666601013b96ea7603583e87d190694c9a76f9ee80524a508a00f53f0101000000000000000200"
    "00000000000001030000006f7267020000006e73010000006101013b96ea7603583e87d190694c9a76f9ee846ae7"
    "aa409e6b0901ffffffffffffffffffffffffffffffff01030000006f7267020000006e7301000000620500000074"
    "6f6b656e0100000000000007000000"
)
MAC_1 = bytes.fromhex("80b5004dbd37cb0132f451cc793df3959da4ec0cb0d99fd1a2913c76f7b4d09d")
MAC_2 = bytes.fromhex("bbd3c990b10c31a8b7cb2668e9d63a3720d4098ceeea362a88f03553363468fc")
BEGINNING = b"SLIM-DP-HDR-v1\0" + struct.pack("<I", len(LINK_ID)) + LINK_ID.encode()

MAC = slim.Mac(KEY, LINK_ID)
OTHER = slim.Mac(b"another key of thirty-two bytes.", "another link")


def signed(message: pb.Message, mac: slim.Mac = MAC) -> bytes:
    return signed_for(message, mac)


def delivered(publication: slim.Publication, mac: slim.Mac = OTHER) -> pb.Message:
    """As a client on the link of `mac` reads it; its MAC is right."""
    data = mac.seal(publication.body)
    assert len(data) == slim.sealed_bytes(publication.body)
    message = pb.Message.FromString(data)
    found = message.publish.header
    assert found.header_mac == mac.of(preimage_tail(found))
    return message


# golden vectors


def test_the_key_of_the_golden_vector():
    assert slim.derive_key(SECRET, LINK_ID) == KEY


def test_a_hybrid_key_hashes_both_secrets_under_another_label():
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def hkdf(secret: bytes, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, LINK_ID.encode(), info).derive(secret)

    assert slim.derive_key(SECRET, LINK_ID, b"k" * 32) == hkdf(
        SECRET + b"k" * 32, b"SLIM-DP-inter-node-hmac-v1-pq"
    )
    assert slim.derive_key(SECRET, LINK_ID) == hkdf(SECRET, b"SLIM-DP-inter-node-hmac-v1")


def golden_1() -> pb.Header:
    return header(version=None, ttl=7)


def golden_2() -> pb.Header:
    return header(
        destination=name("org/ns/b", None, strings=False),
        identity=None,
        version=None,
        fanout=256,
        recv_from=5,
        error=True,
        ttl=8,
    )


def module_tail(header: pb.Header) -> bytes:
    return slim._tail(header, *slim._addresses(header))


@pytest.mark.parametrize("tail", [preimage_tail, module_tail])
def test_the_first_header_of_the_golden_vector(tail):
    preimage = BEGINNING + tail(golden_1())
    assert preimage == PREIMAGE
    assert len(preimage) == 199
    assert MAC.of(tail(golden_1())) == MAC_1


@pytest.mark.parametrize("tail", [preimage_tail, module_tail])
def test_the_second_header_of_the_golden_vector(tail):
    preimage = BEGINNING + tail(golden_2())
    assert len(preimage) == 169
    assert (
        hashlib.sha256(preimage).hexdigest()
        == "6d934d445f3df89beabca83f7533f49bd86ecdb12d9a52775720bdf19c7a2d21"
    )
    assert MAC.of(tail(golden_2())) == MAC_2


# negotiation


def negotiation(**changes: object) -> bytes:
    fields = {
        "link_id": LINK_ID,
        "version": "1.0.0",
        "public_key": b"p" * 32,
        "connection_type": 2,
        "node_id": "n",
    }
    asked = pb.Negotiation(**{**fields, **changes})
    return pb.Message(link=pb.Link(link_negotiation=asked)).SerializeToString()


def test_a_negotiation_is_read():
    assert slim.read_negotiation(negotiation()) == slim.Negotiation(LINK_ID, "1.0.0", b"p" * 32, 2, "n", b"")
    assert slim.read_negotiation(negotiation(kem_payload=b"k" * 1184)).kem_key == b"k" * 1184


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.ILLEGAL_MOVE),
        (signed(publish()), Code.ILLEGAL_MOVE),
        (pb.Message(link=pb.Link()).SerializeToString(), Code.ILLEGAL_MOVE),
        (negotiation(is_reply=True), Code.ILLEGAL_MOVE),
        (negotiation(link_id=""), Code.MALFORMED_FRAME),
        (negotiation(link_id="é" * 65), Code.MALFORMED_FRAME),
        (negotiation(public_key=b""), Code.MALFORMED_FRAME),
        (negotiation(public_key=b"p" * 31), Code.MALFORMED_FRAME),
        (negotiation(kem_payload=b"k" * 1183), Code.MALFORMED_FRAME),
        (b"\x0a", Code.MALFORMED_FRAME),
    ],
)
def test_what_may_not_come_first(data, code):
    with pytest.raises(Fatal) as raised:
        slim.read_negotiation(data)
    assert raised.value.code is code


def test_the_reply_echoes_link_and_connection_type():
    asked = slim.read_negotiation(negotiation())
    reply = pb.Message.FromString(slim.negotiation_reply(asked, b"q" * 32, "0.1.0")).link.link_negotiation
    assert (reply.link_id, reply.connection_type, reply.is_reply) == (LINK_ID, 2, True)
    assert (reply.public_key, reply.version) == (b"q" * 32, "0.1.0")
    assert not reply.HasField("kem_payload")
    hybrid = slim.negotiation_reply(asked, b"q" * 32, "0.1.0", b"c" * 1088)
    assert pb.Message.FromString(hybrid).link.link_negotiation.kem_payload == b"c" * 1088


def test_a_second_negotiation_ends_the_stream():
    with pytest.raises(Fatal) as raised:
        slim.read(negotiation(), MAC)
    assert raised.value.code is Code.ILLEGAL_MOVE


# what is carried


def test_a_publish_is_carried_but_for_ttl_hints_and_mac():
    sent = publish(
        fanout=256, error=False, recv_from=7, forward_to=0, incoming_conn=3, e2e_header_sig=b"end to end"
    )
    got = slim.read(signed(sent), MAC)
    assert isinstance(got, slim.Publication)
    assert got.hinted
    assert got.fanout == 256
    expected = pb.Message()
    expected.CopyFrom(sent)
    for local in ("recv_from", "forward_to", "incoming_conn"):
        expected.publish.header.ClearField(local)
    expected.publish.header.ttl = 7
    message = delivered(got)
    expected.publish.header.header_mac = message.publish.header.header_mac
    assert message == expected
    assert not delivered(slim.read(signed(publish()), MAC)).publish.header.HasField("error")


def test_each_link_gets_its_own_mac():
    got = slim.read(signed(publish()), MAC)
    assert delivered(got, OTHER) != delivered(got, MAC)


def test_addresses_have_numbers_strings_and_an_id_or_none():
    got = slim.read(signed(publish()), MAC)
    assert got.source[:3] == (
        tuple(map(hashes.xxhash64, ("org", "ns", "a"))),
        1 << 64 | 2,
        ("org", "ns", "a"),
    )
    assert got.destination.id is None  # the wildcard
    bare = name("org/ns/b", None, strings=False)
    assert slim.read(signed(publish(destination=bare)), MAC).destination[1:3] == (None, None)
    half = name("org/ns/b", (2**64 - 1, 0))
    assert slim.read(signed(publish(destination=half)), MAC).destination.id == (2**64 - 1) << 64


@pytest.mark.parametrize(("given", "id_"), [((1, 2), (1, 2)), (ANY, ANY), (None, ANY)])
def test_a_body_begins_with_its_target(given, id_):
    got = slim.read(signed(publish(destination=name("org/ns/b", given))), MAC)
    components = map(hashes.xxhash64, ("org", "ns", "b"))
    target = struct.pack("<QQQQQ", *components, *id_)
    assert got.destination.target == slim.target_of(got.body) == target
    assert got.body.startswith(slim.MARK + target)
    assert (target[24:] == slim.ANY_ID_BYTES) is (id_ == ANY)


def test_a_publish_keeps_the_form_of_its_destination():
    for destination in (
        name("org/ns/b", None),
        name("org/ns/b", ANY),
        name("org/ns/b", (0, 0), strings=False),
    ):
        got = slim.read(signed(publish(destination=destination)), MAC)
        assert delivered(got).publish.header.destination == destination


def test_control_payloads_are_carried():
    member = pb.Participant(name=name("org/ns/b"), settings=pb.ParticipantSettings(sends_data=True), status=1)
    mls = pb.Mls(commit_id=3, mls_content=b"\xff")
    for payload in (
        {"discovery_request": pb.Nothing()},
        {
            "join_request": pb.JoinRequest(
                timer_settings=pb.TimerSettings(timeout=1), channel=name("org/ns/room")
            )
        },
        {"join_reply": pb.JoinReply(key_package=b"", participant=member)},
        {"group_update": pb.GroupUpdate(op=1, participant=member, participants=[member] * 3, mls=mls)},
        {"group_welcome": pb.GroupWelcome(participants=[member], mls=mls)},
        {"heartbeat": pb.Heartbeat(epoch=2**64 - 1)},
    ):
        sent = publish()
        sent.publish.msg.CopyFrom(pb.Content(command_payload=pb.CommandPayload(**payload)))
        assert delivered(slim.read(signed(sent), MAC)).publish.msg == sent.publish.msg


def test_metadata_are_measured():
    sent = publish()
    got = slim.read(signed(sent), MAC)
    assert got.metadata_bytes == len(pb.Message(metadata=sent.metadata).SerializeToString()) > 0


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("number", [0, 2**64 - 1])
def test_subscriptions(kind, number):
    inner = getattr(pb, kind.capitalize())(header=header(), subscription_id=number)
    got = slim.read(signed(pb.Message(**{kind: inner})), MAC)
    assert isinstance(got, slim.Subscription)
    assert (got.subscribe, got.acknowledge, got.hinted) == (kind == "subscribe", number, False)
    assert got.destination.strings == ("org", "ns", "b")


def test_acknowledgements():
    good = pb.Message.FromString(slim.acknowledgement(2**64 - 1)).subscription_ack
    assert (good.subscription_id, good.success, good.error) == (2**64 - 1, True, "")
    bad = pb.Message.FromString(slim.acknowledgement(5, "no")).subscription_ack
    assert (bad.subscription_id, bad.success, bad.error) == (5, False, "no")


# what is dropped


def test_a_wrong_or_missing_mac_is_dropped():
    assert slim.read(signed(publish(), OTHER), MAC) == slim.Dropped("bad_mac")
    assert slim.read(publish().SerializeToString(), MAC) == slim.Dropped("bad_mac")
    short = publish()
    signed(short)
    short.publish.header.header_mac = short.publish.header.header_mac[:31]
    assert slim.read(short.SerializeToString(), MAC) == slim.Dropped("bad_mac")


@pytest.mark.parametrize(
    "change",
    [
        {"source": name("org/ns/a", (1, 3))},
        {"source": name("org/ns/a", strings=False)},
        {"destination": name("org/ns/c", ANY)},
        {"identity": "another"},
        {"fanout": 2},
        {"ttl": 9},
        {"recv_from": 0},
        {"forward_to": 0},
        {"error": False},
    ],
)
def test_the_mac_covers(change):
    sent = publish()
    signed(sent)
    changed = publish(header_mac=sent.publish.header.header_mac, **change)
    assert slim.read(changed.SerializeToString(), MAC) == slim.Dropped("bad_mac")


@pytest.mark.parametrize(("ttl", "alive"), [(0, False), (1, False), (2, False), (3, True), (2**32 - 1, True)])
def test_ttl_of_a_publish(ttl, alive):
    got = slim.read(signed(publish(ttl=ttl)), MAC)
    if alive:
        assert delivered(got).publish.header.ttl == ttl - 1
    else:
        assert got == slim.Dropped("expired")


@pytest.mark.parametrize(("ttl", "alive"), [(0, False), (1, False), (2, True)])
def test_ttl_of_a_subscribe(ttl, alive):
    got = slim.read(signed(pb.Message(subscribe=pb.Subscribe(header=header(ttl=ttl)))), MAC)
    assert isinstance(got, slim.Subscription) is alive


@pytest.mark.parametrize(
    "message",
    [pb.Message(link=pb.Link()), pb.Message(subscription_ack=pb.SubscriptionAck(subscription_id=1))],
)
def test_what_a_gateway_has_no_use_for_is_ignored(message):
    assert slim.read(message.SerializeToString(), MAC) == slim.Dropped("ignored")


# what is refused


def without(field: str) -> pb.Message:
    made = publish()
    made.publish.ClearField(field)
    return made


def incoherent() -> pb.Name:
    made = name("org/ns/b")
    made.strings.component_2 = "c"
    return made


def nameless() -> pb.Name:
    made = name("org/ns/a")
    made.ClearField("encoded")
    return made


@pytest.mark.parametrize(
    "message",
    [
        pb.Message(),
        pb.Message(metadata={"k": "v"}),
        without("session"),
        without("msg"),
        publish(source=None),
        publish(destination=None),
        publish(source=nameless()),
        publish(destination=nameless()),
        publish(source=name("org/ns/a", None)),
        publish(source=name("org/ns/a", ANY)),
        publish(destination=incoherent()),
        publish(destination=name(f"org/ns/{'x' * 600}", ANY)),
        pb.Message(subscribe=pb.Subscribe(header=header(source=name("org/ns/a", ANY)))),
    ],
)
def test_what_ends_the_stream(message):
    data = signed(message) if message.WhichOneof("kind") else message.SerializeToString()
    with pytest.raises(Fatal) as raised:
        slim.read(data, MAC)
    assert raised.value.code is Code.MALFORMED_FRAME


# whatever comes, what leaves is known fields of the right types


@pytest.mark.parametrize(
    "data",
    [
        field(100, 2, b"unknown"),
        field(3, 2, field(1, 0, b"\1")),  # a header that is a number
        field(4, 2, field(1, 2, b"\xff")),  # text that is none
        field(3, 2, field(2, 2, field(3, 2, b"a text, not a number"))),
    ],
)
def test_control_the_strict_check_sees(data):
    with pytest.raises((AssertionError, KeyError, UnicodeDecodeError)):
        check_strictly(data, pb.Message.DESCRIPTOR)


VALUES = st.deferred(
    lambda: (
        st.tuples(st.just(0), st.integers(0, 2**64 - 1).map(varint))
        | st.tuples(st.just(1), st.binary(min_size=8, max_size=8))
        | st.tuples(st.just(2), st.text(max_size=4).map(str.encode) | st.binary(max_size=8) | FIELDS)
        | st.tuples(st.just(5), st.binary(min_size=4, max_size=4))
    )
)
FIELDS = st.lists(st.tuples(st.integers(1, 17), VALUES), max_size=4).map(
    lambda found: b"".join(field(number, *value) for number, value in found)
)


@given(FIELDS, FIELDS, FIELDS, FIELDS, FIELDS)
def test_what_leaves_has_known_fields_of_the_right_types_alone(head, session, content, inner, outer):
    """A publish with anything at all in each of its parts, signed rightly."""

    def assembled(mac: bytes) -> bytes:
        parts = (header().SerializeToString() + head + mac, session, content)
        return field(3, 2, b"".join(field(n, 2, part) for n, part in enumerate(parts, 1)) + inner) + outer

    try:
        sent = pb.Message.FromString(assembled(b""))
    except DecodeError:
        return
    mac = MAC.of(preimage_tail(sent.publish.header)) if sent.WhichOneof("kind") == "publish" else b""
    try:
        got = slim.read(assembled(field(11, 2, mac)), MAC)
    except Fatal as fatal:
        if fatal.code not in (Code.MALFORMED_FRAME, Code.ILLEGAL_MOVE):
            raise
        return
    event(type(got).__name__)
    if isinstance(got, slim.Publication):
        check_strictly(OTHER.seal(got.body), pb.Message.DESCRIPTOR)
        left = delivered(got).publish
        assert left.HasField("session")
        assert left.HasField("msg")
        assert left.header.source.encoded.HasField("id")
        assert not any(left.header.HasField(each) for each in ("recv_from", "forward_to", "incoming_conn"))


def test_the_largest_message_that_a_client_takes():
    sent = publish()
    room = slim.DELIVERY_LIMIT_BYTES - slim.sealed_bytes(slim.read(signed(sent), MAC).body)
    sent.publish.msg.app_payload.blob = b"x" * (room - 20)  # and the lengths round it grow
    exact = slim.read(signed(sent), MAC)
    while slim.sealed_bytes(exact.body) < slim.DELIVERY_LIMIT_BYTES:
        sent.publish.msg.app_payload.blob += b"x"
        exact = slim.read(signed(sent), MAC)
    assert len(OTHER.seal(exact.body)) == slim.DELIVERY_LIMIT_BYTES
    sent.publish.msg.app_payload.blob += b"x"
    assert slim.read(signed(sent), MAC) == slim.Dropped("too_large")


def test_text_that_is_not_utf8_ends_the_stream():
    sent = publish()
    data = signed(sent).replace(b"token", b"tok\xffn")
    with pytest.raises(Fatal):
        slim.read(data, MAC)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    for read in (slim.read_negotiation, lambda data: slim.read(data, MAC)):
        try:
            read(data)
        except Fatal as fatal:
            if fatal.code not in (Code.MALFORMED_FRAME, Code.ILLEGAL_MOVE):
                raise


def test_a_mac_does_not_print_its_key():
    assert KEY.hex() not in repr(MAC)
    assert repr(KEY) not in repr(MAC)
    assert not hasattr(MAC, "__dict__")
