"""What the SDK does with every frame, in Python: the twin of `client.pxi`, and where its parts are described."""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agpd.wire.frames import FIRST_DATA_KIND, LAST_DATA_KIND, LENGTH_SIZE, PREFIX, PREFIX_SIZE, REST_MINIMUM

# A flow as its user made it, its messages in order, and the bytes of their envelopes.
Run = tuple[Any, list[Any], int]

# length, kind to source handle, message id
_HEAD = struct.Struct(">I12sQ")
_ARRAY_OF_TWO = 0x92
_FIXINT_MAXIMUM = 0x7F
# First byte of a payload -> where the payload begins, counted from the envelope, and how its length is read
_BINARIES = {0xC4: 3, 0xC5: 4, 0xC6: 6}
_pack = msgspec.msgpack.Encoder().encode


def deliveries(
    data: bytes,
    position: int,
    limit: int,
    flows: Mapping[bytes, Any],
    make: Callable[[Any, int, int, bytes, int], Any],
    unusual: Callable[[Any, int, bytes], Any],
) -> tuple[list[Run], int]:
    """The consecutive whole data frames from `position` on as messages, and where the next frame begins.

    It stops before the first frame that is not data, not whole, or has a length that `check_length` would refuse
    (`limit` bounds a frame, in bytes): the caller judges that one. Frames that agree in everything from kind to source
    handle are of one flow, `flows[those 12 bytes]`, asked once for each run of them. A message is `make(flow, id, bytes
    of the envelope, payload, content type)`, or, if its envelope is more than payload and a small number,
    `unusual(flow, id, envelope)`; None leaves it out. Raises `ValueError` if `position` is negative.
    """
    if position < 0:
        raise ValueError("position is negative")
    size = len(data)
    runs: list[Run] = []
    head, flow, run_size = b"", None, 0
    messages: list[Any] = []
    while size - position >= PREFIX_SIZE:
        length, head_here, id_ = _HEAD.unpack_from(data, position)
        end = position + LENGTH_SIZE + length
        if not FIRST_DATA_KIND <= head_here[0] <= LAST_DATA_KIND or length < REST_MINIMUM:
            break
        if end > size or length + LENGTH_SIZE > limit:
            break
        if head_here != head:
            if messages:
                runs.append((flow, messages, run_size))
            flow, head, messages, run_size = flows[head_here], head_here, [], 0
        envelope = data[position + PREFIX_SIZE : end]
        start = _payload(envelope)
        if start:
            message = make(flow, id_, len(envelope), envelope[start:-1], envelope[-1])
        else:
            message = unusual(flow, id_, envelope)
        if message is not None:
            messages.append(message)
            run_size += len(envelope)
        position = end
    if messages:
        runs.append((flow, messages, run_size))
    return runs, position


def _payload(envelope: bytes) -> int:
    """Where the payload of an envelope begins that is just [payload, small number]; 0 for any other."""
    if len(envelope) < 4 or envelope[0] != _ARRAY_OF_TWO or envelope[-1] > _FIXINT_MAXIMUM:
        return 0
    start = _BINARIES.get(envelope[1], 0)
    if not start or len(envelope) - start - 1 != int.from_bytes(envelope[2:start], "big"):
        return 0
    return start


def data_frame(
    kind: int,
    fanout: int,
    destination: int,
    source: int,
    id: int,  # noqa: A002  (the field's name)
    body: bytes,
    content_type: int,
) -> bytes:
    """A data frame without flags round the envelope [body, content type].

    Raises `OverflowError` or `struct.error` for a number that does not fit; a content type is at most 127.
    """
    if not 0 <= content_type <= _FIXINT_MAXIMUM:
        raise OverflowError("the content type is not a small number")
    envelope = _pack((body, content_type))
    prefix = PREFIX.pack(REST_MINIMUM + len(envelope), kind, 0, fanout, destination, source, id)
    return prefix + envelope
