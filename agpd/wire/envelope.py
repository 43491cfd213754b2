"""The envelope: what agents say to each other inside a data frame. The gateway never opens it.

A msgpack array (`proto/native.md` section 6). New elements go to the end; readers ignore unknown ones.
"""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from agpd.errors import Code, Fatal


class ContentType(enum.IntEnum):
    """Short numbers of the content types that every SDK knows; others travel as text."""

    BYTES = 0  # application/octet-stream
    TEXT = 1  # text/plain; charset=utf-8
    MSGPACK = 2  # application/msgpack
    JSON = 3  # application/json
    ERROR = 4  # a failed request: msgpack [type name, text]


U64 = Annotated[int, Meta(ge=0)]


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`correlation` is the message id that a reply answers; `expires_ms` is Unix time, 0 for never."""

    body: bytes
    content_type: int | Annotated[str, Meta(max_length=127)] = ContentType.BYTES
    correlation: U64 = 0
    expires_ms: U64 = 0
    headers: dict[str, str] | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
pack = _encoder.encode


def unpack(data: bytes) -> Envelope:
    """The envelope in these bytes.

    Raises `Fatal(MALFORMED_FRAME)`: an agent that packs wrongly is no use to anybody.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fatal(Code.MALFORMED_FRAME, f"envelope: {error}") from None
