"""SLIM messages (slim-bindings 3): what is read of them, and the MAC under which they leave.

A message is decoded in full, what is not declared in `proto/slim.proto` is discarded, and the rest is encoded anew:
bytes that one client's parser rejects would end the stream of everybody who receives them. Identity, version,
end-to-end signature, error mark, session, content and metadata are carried as they came.

Between the links a message travels as its *body*: everything that receivers have in common, in the order that leaves
the MAC for the end. `Mac.seal` makes a whole message of it for one link with one hash and no protobuf.

    body = MARK ‖ target ‖ u32 length of the tail ‖ tail of the preimage ‖ message up to the value of header_mac

The mark is one byte and says that this is SLIM; the target, once more, for which name and id it is, so that whoever
delivers it need not look further. Numbers are little-endian.
"""

import functools
import hmac
import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError

from agpd._proto import slim_pb2 as pb
from agpd.errors import Code, Fatal
from agpd.wire.hashes import Family, triple

PATH = "/dataplane.proto.v1.DataPlaneService/OpenChannel"
KEY_BYTES = 32
MAC_BYTES = 32
KEM_KEY_BYTES = 1184  # ML-KEM-768
KEM_CIPHERTEXT_BYTES = 1088
LINK_ID_LIMIT_BYTES = 128  # clients send a UUID
NAME_LIMIT_BYTES = 512  # encoded: hashes, id and the three strings
MARK = b"\x02"
TARGET_BYTES = 40
ANY_ID = 2**128 - 1
ANY_ID_BYTES = b"\xff" * 16
DELIVERY_LIMIT_BYTES = 4_194_304  # a longer message ends the stream of the client that receives it
TTL_MINIMUM = 2  # a client counts down as well and drops what comes to 0

_INFO = b"SLIM-DP-inter-node-hmac-v1"
_INFO_HYBRID = b"SLIM-DP-inter-node-hmac-v1-pq"
_DOMAIN = b"SLIM-DP-HDR-v1\x00"
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_COMPONENTS = struct.Struct("<QQQ")
_ID = struct.Struct("<QQ")
_LENGTH_START = len(MARK) + TARGET_BYTES
_TAIL_START = _LENGTH_START + _U32.size
_U64_MAXIMUM = 2**64 - 1
_PUBLISH_TAG = b"\x1a"  # field 3 of Message
_HEADER_TAG = b"\x0a"  # field 1 of Publish
_MAC_TAG = bytes((0x5A, MAC_BYTES))  # field 11 of Header and its length


class Address(NamedTuple):
    """A name on this wire. `id` has 128 bits; `None` is any instance.

    `target` are components and id in 40 bytes, the last 16 `ANY_ID_BYTES` for any instance; `preimage` is its part of
    what the MAC covers.
    """

    components: tuple[int, int, int]
    id: int | None
    strings: tuple[str, str, str] | None
    target: bytes
    preimage: bytes


class Negotiation(NamedTuple):
    """The first message of a stream. `kem_key` is empty, or the ML-KEM-768 key of a client that wants a hybrid key."""

    link_id: str
    version: str
    public_key: bytes
    connection_type: int
    node_id: str
    kem_key: bytes


class Subscription(NamedTuple):
    """Subscribe, or Unsubscribe. With an `acknowledge` that is not 0 the client waits for `acknowledgement`."""

    subscribe: bool
    source: Address
    destination: Address
    acknowledge: int
    hinted: bool


class Publication(NamedTuple):
    """A message to route. `hinted`: it named connections of another process, which nobody here looks at."""

    source: Address
    destination: Address
    fanout: int
    body: bytes
    metadata_bytes: int
    hinted: bool


class Dropped(NamedTuple):
    """A message that goes no further, with the stream left as it is: `bad_mac`, `expired`, `too_large` or `ignored`."""

    reason: str


def derive_key(secret: bytes, link_id: str, kem_secret: bytes = b"") -> bytes:
    """The link's key, 32 bytes, by HKDF-SHA256 from the secret of X25519 and, if it is hybrid, that of ML-KEM-768."""
    extracted = hmac.digest(link_id.encode(), secret + kem_secret, "sha256")
    return hmac.digest(extracted, (_INFO_HYBRID if kem_secret else _INFO) + b"\x01", "sha256")


class Mac:
    """The MAC of one link. Neither the key nor anything made of it is ever printed."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes, link_id: str) -> None:
        # The key and the beginning that all preimages of a link share are hashed once.
        self._begun = hmac.new(key, _DOMAIN + _prefixed(link_id.encode()), "sha256")

    def of(self, tail: bytes) -> bytes:
        """32 bytes over the link's beginning and this tail of the preimage."""
        mac = self._begun.copy()
        mac.update(tail)
        return mac.digest()

    def covers(self, tail: bytes, mac: bytes) -> bool:
        """Is this the MAC of the tail? In constant time."""
        return hmac.compare_digest(self.of(tail), mac)

    def seal(self, body: bytes) -> bytes:
        """The message of a body (`Publication.body`) for this link."""
        end = _TAIL_START + _tail_length(body)
        return body[end:] + self.of(body[_TAIL_START:end])


def target_of(body: bytes) -> bytes:
    """For whom it is: `Address.target` of its destination."""
    return body[len(MARK) : _LENGTH_START]


def sealed_bytes(body: bytes) -> int:
    """Length of the message that `Mac.seal` makes."""
    return len(body) - _TAIL_START - _tail_length(body) + MAC_BYTES


def _tail_length(body: bytes) -> int:
    (length,) = _U32.unpack_from(body, _LENGTH_START)
    return int(length)


def read_negotiation(data: bytes) -> Negotiation:
    """The first message of a stream.

    Raises `Fatal(MALFORMED_FRAME)`, and `Fatal(ILLEGAL_MOVE)` if it is another one.
    """
    message = _decoded(data)
    if message.WhichOneof("kind") != "link" or not message.link.HasField("link_negotiation"):
        raise Fatal(Code.ILLEGAL_MOVE, "the first message must be a link negotiation")
    asked = message.link.link_negotiation
    if asked.is_reply:
        raise Fatal(Code.ILLEGAL_MOVE, "a reply to a negotiation that nobody began")
    if not 0 < len(asked.link_id.encode()) <= LINK_ID_LIMIT_BYTES:
        raise Fatal(Code.MALFORMED_FRAME, f"link_id must have 1 to {LINK_ID_LIMIT_BYTES} bytes")
    if len(asked.public_key) != KEY_BYTES:
        raise Fatal(Code.MALFORMED_FRAME, f"public key of {len(asked.public_key)} bytes, not {KEY_BYTES}")
    if len(asked.kem_payload) not in (0, KEM_KEY_BYTES):
        raise Fatal(
            Code.MALFORMED_FRAME, f"kem_payload of {len(asked.kem_payload)} bytes, not {KEM_KEY_BYTES}"
        )
    return Negotiation(
        asked.link_id,
        asked.version,
        asked.public_key,
        asked.connection_type,
        asked.node_id,
        asked.kem_payload,
    )


def negotiation_reply(
    asked: Negotiation, public_key: bytes, version: str, kem_ciphertext: bytes = b""
) -> bytes:
    """The one answer to a negotiation. `version` must be a semantic version."""
    reply = pb.Negotiation(
        link_id=asked.link_id,
        version=version,
        is_reply=True,
        public_key=public_key,
        connection_type=asked.connection_type,
    )
    if kem_ciphertext:
        reply.kem_payload = kem_ciphertext
    return bytes(pb.Message(link=pb.Link(link_negotiation=reply)).SerializeToString())


def acknowledgement(number: int, error: str = "") -> bytes:
    """The answer to a subscription; with an error it was refused."""
    ack = pb.SubscriptionAck(subscription_id=number, success=not error, error=error)
    return bytes(pb.Message(subscription_ack=ack).SerializeToString())


def read(data: bytes, mac: Mac) -> Subscription | Publication | Dropped:
    """A message of an open link.

    Raises `Fatal(MALFORMED_FRAME)` for what no client may send, and `Fatal(ILLEGAL_MOVE)` for a second negotiation.
    """
    message = _decoded(data)
    kind = message.WhichOneof("kind")
    if kind in ("link", "subscription_ack"):
        if kind == "link" and message.link.HasField("link_negotiation"):
            raise Fatal(Code.ILLEGAL_MOVE, "a second link negotiation")
        return Dropped("ignored")
    if kind is None:
        raise Fatal(Code.MALFORMED_FRAME, "an empty message")
    inner = getattr(message, kind)
    header = inner.header
    source, destination = _addresses(header)
    if not mac.covers(_tail(header, source, destination), header.header_mac):
        return Dropped("bad_mac")
    ttl = header.ttl - 1
    hinted = header.HasField("recv_from") or header.HasField("forward_to")
    if kind != "publish":
        if ttl < 1:
            return Dropped("expired")
        return Subscription(kind == "subscribe", source, destination, inner.subscription_id, hinted)
    if not inner.HasField("session") or not inner.HasField("msg"):
        raise Fatal(Code.MALFORMED_FRAME, "a publish without session or content")
    if ttl < TTL_MINIMUM:
        return Dropped("expired")
    header.ttl = ttl
    for local in ("recv_from", "forward_to", "incoming_conn", "header_mac"):
        header.ClearField(local)
    body, metadata_bytes = _body(message, destination.target, _tail(header, source, destination))
    if sealed_bytes(body) > DELIVERY_LIMIT_BYTES:
        return Dropped("too_large")
    return Publication(source, destination, header.fanout, body, metadata_bytes, hinted)


def _decoded(data: bytes) -> pb.Message:
    """The message, with nothing but known fields of the right types.

    Raises `Fatal(MALFORMED_FRAME)`.
    """
    try:
        message: pb.Message = pb.Message.FromString(data)
    except DecodeError:
        raise Fatal(Code.MALFORMED_FRAME, "bytes that are not a SLIM message") from None
    message.DiscardUnknownFields()
    return message


def _addresses(header: pb.Header) -> tuple[Address, Address]:
    for field in ("source", "destination"):
        if not header.HasField(field) or not getattr(header, field).HasField("encoded"):
            raise Fatal(Code.MALFORMED_FRAME, f"no {field}")
    source, destination = _address(header.source), _address(header.destination)
    if source.id is None:
        raise Fatal(Code.MALFORMED_FRAME, "a source without id")
    return source, destination


def _address(name: pb.Name) -> Address:
    data = name.SerializeToString()
    if len(data) > NAME_LIMIT_BYTES:
        raise Fatal(Code.MALFORMED_FRAME, f"a name of {len(data)} bytes, at most {NAME_LIMIT_BYTES}")
    return _known_address(data)


@functools.lru_cache(maxsize=4096)  # reading a name takes ten times as long as finding it
def _known_address(data: bytes) -> Address:
    """The address in an encoded name. Raises `Fatal(MALFORMED_FRAME)` if its strings do not hash to its numbers."""
    name = pb.Name.FromString(data)
    encoded = name.encoded
    components = (encoded.component_0, encoded.component_1, encoded.component_2)
    strings = None
    if name.HasField("strings"):
        strings = (name.strings.component_0, name.strings.component_1, name.strings.component_2)
        if triple(Family.XXHASH, strings) != components:
            raise Fatal(Code.MALFORMED_FRAME, "a name whose strings do not hash to its numbers")
    id_ = encoded.id.high << 64 | encoded.id.low if encoded.HasField("id") else ANY_ID
    target = _COMPONENTS.pack(*components) + _ID.pack(id_ >> 64, id_ & _U64_MAXIMUM)
    return Address(components, None if id_ == ANY_ID else id_, strings, target, _name_preimage(name))


def _tail(header: pb.Header, source: Address, destination: Address) -> bytes:
    """What the MAC covers of a header, after the beginning that belongs to the link."""
    return b"".join(
        (
            source.preimage,
            destination.preimage,
            _prefixed(header.identity.encode()),
            _U32.pack(header.fanout),
            b"\x01" + _U64.pack(header.recv_from) if header.HasField("recv_from") else b"\x00",
            b"\x01" + _U64.pack(header.forward_to) if header.HasField("forward_to") else b"\x00",
            (b"\x01\x01" if header.error else b"\x01\x00") if header.HasField("error") else b"\x00",
            _U32.pack(header.ttl),
        )
    )


def _name_preimage(name: pb.Name) -> bytes:
    encoded, strings = b"\x00", b"\x00"
    if name.HasField("encoded"):
        numbers = name.encoded
        encoded = b"\x01" + _COMPONENTS.pack(numbers.component_0, numbers.component_1, numbers.component_2)
        encoded += b"\x01" + _ID.pack(numbers.id.high, numbers.id.low) if numbers.HasField("id") else b"\x00"
    if name.HasField("strings"):
        texts = name.strings
        strings = b"\x01" + b"".join(
            _prefixed(text.encode()) for text in (texts.component_0, texts.component_1, texts.component_2)
        )
    return b"\x01" + encoded + strings


def _body(message: pb.Message, target: bytes, tail: bytes) -> tuple[bytes, int]:
    """The body of a publish whose header has no MAC, and how many bytes of it are metadata.

    Metadata before the publish, the header at its end, the MAC at the header's: the order of fields is free.
    """
    publish = message.publish
    header = publish.header.SerializeToString() + _MAC_TAG
    publish.ClearField("header")
    rest = publish.SerializeToString()
    message.ClearField("publish")
    metadata = message.SerializeToString()
    header = _HEADER_TAG + _varint(len(header) + MAC_BYTES) + header
    size = _varint(len(rest) + len(header) + MAC_BYTES)
    parts = (MARK, target, _U32.pack(len(tail)), tail, metadata, _PUBLISH_TAG, size, rest, header)
    return b"".join(parts), len(metadata)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _prefixed(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data
