"""The native frame: a fixed prefix of 24 bytes and a msgpack body (`proto/native.md` sections 2, 3 and 5).

The gateway routes on the prefix alone. Bodies of control frames are small arrays, decoded here; the body of a
data frame is the envelope, which only the agents decode (`envelope.py`).
"""

import enum
import struct
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from agpd.errors import Code, Fatal

VERSION = 1

# length of the rest, kind, flags, fan-out, destination handle, source handle, message id
PREFIX = struct.Struct(">IBBHIIQ")
PREFIX_SIZE = PREFIX.size  # 24
LENGTH_SIZE = 4  # the length field does not count itself
REST_MINIMUM = PREFIX_SIZE - LENGTH_SIZE

FANOUT_ALL = 0
FANOUT_ANY = 1
FANOUT_LIMIT = 0xFFFF

RECEIPT_WANTED = 0x01  # flag: answer with ROUTED(n)
FLAGS_KNOWN = RECEIPT_WANTED


class Kind(enum.IntEnum):
    """The verbs. Below 0x40 control, 0x40 both ways, from 0x80 data that is routed."""

    HELLO = 0x01
    REGISTER = 0x02
    UNREGISTER = 0x03
    SUBSCRIBE = 0x04
    UNSUBSCRIBE = 0x05
    OPEN = 0x06
    SHUT = 0x07
    SET_ROUTE = 0x08
    REMOVE_ROUTE = 0x09
    WATCH = 0x0A
    UNWATCH = 0x0B
    AUTHENTICATE = 0x0C

    WELCOME = 0x21
    OK = 0x22
    REFUSED = 0x23
    ANNOUNCE = 0x24
    WITHDRAW = 0x25
    PRESENCE = 0x26
    DRAIN = 0x27
    DROPPED = 0x28
    ENDED = 0x29
    RECEIPT = 0x2A

    PING = 0x40
    PONG = 0x41
    CLOSE = 0x42

    PUBLISH = 0x80
    REQUEST = 0x81
    REPLY = 0x82


FIRST_DATA_KIND = 0x80
LAST_DATA_KIND = 0x82
KNOWN_KINDS = frozenset(int(kind) for kind in Kind)

Text = Annotated[str, Meta(max_length=255)]
Detail = Annotated[str, Meta(max_length=1024)]
TOKEN_LIMIT = 3072  # with the rest of the hello it fits the first frame
TokenText = Annotated[str, Meta(max_length=TOKEN_LIMIT)]
U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
# msgspec takes no constraint above a signed 64-bit integer.
I63 = Annotated[int, Meta(ge=0, le=0x7FFF_FFFF_FFFF_FFFF)]


class Body(msgspec.Struct, array_like=True):
    """Base of control bodies: msgpack arrays; unknown trailing elements are ignored, so bodies can grow."""


class Hello(Body):
    """First frame of an agent's connection."""

    versions: Annotated[list[U16], Meta(min_length=1, max_length=16)]
    client: Text  # name and version of the SDK, for logs
    epoch: I63  # grows with every connection of one client; decides a takeover
    token: TokenText = ""  # access token, if there is one

    def __repr__(self) -> str:
        return f"Hello({self.versions}, {self.client!r}, {self.epoch}, {_hidden(self.token)})"


class Welcome(Body):
    """The gateway's answer: what holds on this connection."""

    version: U16
    gateway: Text
    may_speak_as: Text  # pattern of the names that this connection may register
    frame_limit_bytes: U32
    ping_interval_ms: U32
    subscriptions_limit: U32
    handles_limit: U32
    token_expires_s: U32 = 0  # seconds that the token has left; 0 without one


class Token(Body):
    """AUTHENTICATE: the access token that holds from now on."""

    token: TokenText

    def __repr__(self) -> str:
        return f"Token({_hidden(self.token)})"


class Seconds(Body):
    """OK to an AUTHENTICATE: how long the token holds."""

    seconds: U32


class Named(Body):
    """REGISTER, SUBSCRIBE, UNSUBSCRIBE, OPEN, WATCH, UNWATCH, REMOVE_ROUTE, ANNOUNCE: a name or pattern."""

    name: Text


class Route(Body):
    """SET_ROUTE: what matches the pattern and nobody takes goes to the agent `via`."""

    pattern: Text
    via: Text


class Present(Body):
    """OK to a WATCH: who is there now."""

    names: list[Text]


class Refusal(Body):
    """REFUSED, CLOSE and ENDED: why. `count` is how many messages it speaks of."""

    code: U16
    detail: Detail = ""
    count: U32 = 1


class Presence(Body):
    """PRESENCE: an instance of a watched type has joined or left."""

    name: Text
    present: bool


class Handles(Body):
    """WITHDRAW: these handles are dead."""

    numbers: list[U32]


class Count(Body):
    """RECEIPT: in how many agents' outboxes it was put. DROPPED: how many messages this connection missed."""

    count: U32


def _hidden(token: str) -> str:
    return f"<token of {len(token)} characters>" if token else "''"


class Frame(NamedTuple):
    """One frame. `body` is the undecoded rest."""

    kind: int
    flags: int
    fanout: int
    destination: int
    source: int
    id: int
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Body], msgspec.msgpack.Decoder[Body]] = {
    each: msgspec.msgpack.Decoder(each)
    for each in (Hello, Welcome, Token, Seconds, Named, Route, Present, Refusal, Presence, Handles, Count)
}
AnyBody = TypeVar("AnyBody", bound=Body)


def encode(
    kind: int,
    body: Body | None = None,
    *,
    destination: int = 0,
    source: int = 0,
    id: int = 0,  # noqa: A002  (the field's name)
) -> bytes:
    """A control frame."""
    packed = b"" if body is None else _encoder.encode(body)
    return PREFIX.pack(REST_MINIMUM + len(packed), kind, 0, 0, destination, source, id) + packed


def encode_data(
    kind: int,
    envelope: bytes,
    *,
    destination: int,
    source: int,
    id: int,  # noqa: A002
    fanout: int = FANOUT_ANY,
    flags: int = 0,
) -> bytes:
    """A data frame round a packed envelope."""
    return PREFIX.pack(REST_MINIMUM + len(envelope), kind, flags, fanout, destination, source, id) + envelope


def decode(body: bytes, shape: type[AnyBody]) -> AnyBody:
    """The body of a control frame.

    Raises `Fatal(MALFORMED_FRAME)` for whatever does not have the shape.
    """
    try:
        return _decoders[shape].decode(body)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fatal(Code.MALFORMED_FRAME, f"{shape.__name__}: {error}") from None


def parse(data: bytes, start: int = 0) -> Frame:
    """The complete frame at `start`; the caller has made sure that it is complete."""
    length, kind, flags, fanout, destination, source, id_ = PREFIX.unpack_from(data, start)
    end = start + LENGTH_SIZE + length
    return Frame(kind, flags, fanout, destination, source, id_, data[start + PREFIX_SIZE : end])


def redirect(frame: bytes, packed_handle: bytes) -> bytes:
    """The frame with another destination handle (four bytes, big-endian)."""
    return frame[:8] + packed_handle + frame[12:]


def redirect_each(frames: bytes, packed_handle: bytes) -> bytes:
    """A run of whole frames with another destination handle."""
    changed = bytearray(frames)
    position = 0
    while position < len(frames):
        changed[position + 8 : position + 12] = packed_handle
        position += LENGTH_SIZE + int.from_bytes(frames[position : position + LENGTH_SIZE], "big")
    return bytes(changed)


def ids(frames: bytes) -> list[int]:
    """The message ids of a run of whole frames."""
    found = []
    position = 0
    while position < len(frames):
        length, *_, id_ = PREFIX.unpack_from(frames, position)
        found.append(id_)
        position += LENGTH_SIZE + length
    return found


def apart(frames: bytes) -> list[bytes]:
    """The frames of a run of whole frames."""
    found = []
    position = 0
    while position < len(frames):
        end = position + LENGTH_SIZE + int.from_bytes(frames[position : position + LENGTH_SIZE], "big")
        found.append(frames[position:end])
        position = end
    return found


def id_of(frame: bytes) -> int:
    """The message id of a whole frame."""
    return int.from_bytes(frame[PREFIX_SIZE - 8 : PREFIX_SIZE], "big")
