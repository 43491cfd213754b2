"""The client's side of SLIM, written from the specification and not from what the gateway computes."""

import struct

from agpd._proto import slim_pb2 as pb
from agpd.wire import hashes, slim

ANY = (2**64 - 1, 2**64 - 1)


def name(text: str, id: "tuple[int, int] | None" = (1, 2), strings: bool = True) -> pb.Name:  # noqa: A002
    parts = text.split("/")
    numbers = {f"component_{i}": hashes.xxhash64(part) for i, part in enumerate(parts)}
    made = pb.Name(encoded=pb.Encoded(**numbers))
    if id is not None:
        made.encoded.id.high, made.encoded.id.low = id
    if strings:
        made.strings.CopyFrom(pb.Strings(**{f"component_{i}": part for i, part in enumerate(parts)}))
    return made


def header(**changes: object) -> pb.Header:
    fields = {
        "source": name("org/ns/a"),
        "destination": name("org/ns/b", ANY),
        "identity": "token",
        "fanout": 1,
        "version": "1.2.3",
        "ttl": 8,
    }
    return pb.Header(**{key: value for key, value in {**fields, **changes}.items() if value is not None})


def publish(**changes: object) -> pb.Message:
    made = pb.Message(
        publish=pb.Publish(
            header=header(**changes),
            session=pb.Session(session_type=1, message_type=1, session_id=2**32 - 1, message_id=3),
            msg=pb.Content(app_payload=pb.ApplicationPayload(payload_type="msg", blob=b"\xff\x00")),
        )
    )
    made.metadata["k"] = "v"
    return made


def preimage_tail(header: pb.Header) -> bytes:
    """Section by section as the specification writes it, and not as the module computes it."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value.encode())) + value.encode()

    def of(owner: object, field: str, write: "object") -> bytes:
        return b"\1" + write(getattr(owner, field)) if owner.HasField(field) else b"\0"

    def encoded(value: pb.Encoded) -> bytes:
        return struct.pack("<QQQ", value.component_0, value.component_1, value.component_2) + of(
            value, "id", lambda value: struct.pack("<QQ", value.high, value.low)
        )

    def named(value: pb.Name) -> bytes:
        return of(value, "encoded", encoded) + of(
            value, "strings", lambda s: text(s.component_0) + text(s.component_1) + text(s.component_2)
        )

    def u64(value: int) -> bytes:
        return struct.pack("<Q", value)

    return (
        of(header, "source", named)
        + of(header, "destination", named)
        + text(header.identity)
        + struct.pack("<I", header.fanout)
        + of(header, "recv_from", u64)
        + of(header, "forward_to", u64)
        + of(header, "error", lambda value: bytes([value]))
        + struct.pack("<I", header.ttl)
    )


def signed(message: pb.Message, mac: slim.Mac) -> bytes:
    """As a client sends it."""
    inner = getattr(message, message.WhichOneof("kind"))
    inner.header.header_mac = mac.of(preimage_tail(inner.header))
    return message.SerializeToString()


def varint(number: int) -> bytes:
    out = []
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, wire_type: int, value: bytes) -> bytes:
    length = varint(len(value)) if wire_type == 2 else b""
    return varint(number << 3 | wire_type) + length + value


def fields_of(data: bytes) -> "list[tuple[int, int, bytes]]":
    """Number, wire type and value of each field; fails at what a strict parser rejects."""
    found = []
    place = 0

    def number_at() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert value < 2**64
                return value

    while place < len(data):
        tag = number_at()
        start = place
        match tag & 7:
            case 0:
                number_at()
            case 1:
                place += 8
            case 2:
                size = number_at()
                start = place
                place += size
            case 5:
                place += 4
            case other:
                raise AssertionError(f"wire type {other}")
        assert place <= len(data)
        found.append((tag >> 3, tag & 7, data[start:place]))
    return found


def check_strictly(data: bytes, descriptor: object) -> None:
    """Nothing but known fields, of the right wire types, with text in UTF-8."""
    for number, wire_type, value in fields_of(data):
        known = descriptor.fields_by_number[number]
        lengths = (known.TYPE_MESSAGE, known.TYPE_STRING, known.TYPE_BYTES)
        assert wire_type == (2 if known.type in lengths else 0), known.full_name
        if known.type == known.TYPE_MESSAGE:
            check_strictly(value, known.message_type)
        elif known.type == known.TYPE_STRING:
            value.decode()
