"""The client's side of SLIM, written from the specification and not from what the gateway computes."""

import asyncio
import os
import struct
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc.aio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

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


DEADLINE_S = 5.0


class Peer:
    """One stream to a gateway. `id` is the peer's own, of its name `org/ns/type`."""

    def __init__(self, call: Any, name_: str = "", id_: "tuple[int, int]" = (1, 1)) -> None:
        self.call = call
        self.name, self.id = name_, id_
        self.mac: slim.Mac | None = None
        self.private = X25519PrivateKey.generate()
        self._numbers = 0

    def negotiation(self, **changes: object) -> pb.Message:
        """The first message."""
        fields = {
            "link_id": f"link of {self.name}",
            "version": "3.4.6",
            "public_key": self.private.public_key().public_bytes_raw(),
            "connection_type": 2,
            "node_id": "node",
        }
        return pb.Message(link=pb.Link(link_negotiation=pb.Negotiation(**{**fields, **changes})))

    async def say(self, message: pb.Message | bytes) -> None:
        """As it is."""
        await self.call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def read(self) -> pb.Message:
        """The next message. Raises `EOFError` at the end of the stream."""
        async with asyncio.timeout(DEADLINE_S):
            data = await self.call.read()
        if data is grpc.aio.EOF:
            raise EOFError
        check_strictly(data, pb.Message.DESCRIPTOR)
        return pb.Message.FromString(data)

    async def negotiate(self) -> pb.Negotiation:
        """Agree on the link's key; returns the answer."""
        asked = self.negotiation()
        await self.say(asked)
        answer = (await self.read()).link.link_negotiation
        link_id = asked.link.link_negotiation.link_id
        secret = self.private.exchange(X25519PublicKey.from_public_bytes(answer.public_key))
        self.mac = slim.Mac(slim.derive_key(secret, link_id), link_id)
        return answer

    def header(self, destination: pb.Name, **changes: object) -> pb.Header:
        """From this peer."""
        return header(**{"source": name(self.name, self.id), "destination": destination, **changes})

    async def ask(self, kind: str, destination: pb.Name, **changes: object) -> pb.SubscriptionAck:
        """Subscribe or unsubscribe, acknowledged."""
        self._numbers += 1
        inner = pb.Subscribe if kind == "subscribe" else pb.Unsubscribe
        made = inner(header=self.header(destination, **changes), subscription_id=self._numbers)
        await self.say(signed(pb.Message(**{kind: made}), self.mac))
        ack = (await self.read()).subscription_ack
        assert ack.subscription_id == self._numbers
        return ack

    async def subscribe(self, destination: "pb.Name | None" = None, **changes: object) -> None:
        """To this name, or its own."""
        own = name(self.name, self.id)
        assert (await self.ask("subscribe", destination or own, **changes)).success

    async def publish(self, destination: pb.Name, text: str = "", **changes: object) -> None:
        """One message with this text."""
        await self.say(signed(self.message(destination, text, **changes), self.mac))

    def message(self, destination: pb.Name, text: str = "", **changes: object) -> pb.Message:
        """One message with this text, not signed."""
        made = publish(**{"source": name(self.name, self.id), "destination": destination, **changes})
        made.publish.msg.app_payload.blob = text.encode()
        return made

    async def receive(self) -> pb.Publish:
        """The next message of somebody else; its MAC is right."""
        message = await self.read()
        found = message.publish.header
        assert found.header_mac == self.mac.of(preimage_tail(found))
        return message.publish

    async def text(self) -> str:
        """That of the next message."""
        return (await self.receive()).msg.app_payload.blob.decode()

    async def status(self) -> grpc.StatusCode:
        """With which the stream ends."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.call.code()
