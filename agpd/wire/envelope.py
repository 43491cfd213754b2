"""The envelope: what agents say to each other inside a data frame. The gateway never opens it.

A msgpack array (`proto/native.md` section 6). New elements go to the end; readers ignore unknown ones.
"""

import enum
from typing import Annotated, Any

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
    """`correlation` is the message id that a reply answers; `expires_ms` is Unix time, 0 for never.

    `carried` is what another dialect keeps beside the payload, such as its own header; the first byte says which:
    1 AGP, 2 SLIM. Native agents have no use for it, and whoever has must not trust it.
    """

    body: bytes
    content_type: int | Annotated[str, Meta(max_length=127)] = ContentType.BYTES
    correlation: U64 = 0
    expires_ms: U64 = 0
    headers: dict[str, str] | None = None
    carried: bytes = b""

    def __repr__(self) -> str:
        return f"<envelope of {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("bytes", len(self.body))]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Envelope)


def pack(envelope: Envelope | tuple[bytes, int]) -> bytes:
    """The bytes of an envelope, or of one that is just payload and content type."""
    if type(envelope) is Envelope and not envelope.carried:  # the sixth element is not written for nothing
        return _encode(
            (
                envelope.body,
                envelope.content_type,
                envelope.correlation,
                envelope.expires_ms,
                envelope.headers,
            )
        )
    return _encode(envelope)


def unpack(data: bytes) -> Envelope:
    """The envelope in these bytes.

    Raises `Fatal(MALFORMED_FRAME)`: an agent that packs wrongly is no use to anybody.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fatal(Code.MALFORMED_FRAME, f"envelope: {error}") from None
