"""The language of a trunk, the socket between the process that routes (the hub) and one worker.

It is spoken between processes of one build on one machine, so it has no versions. A frame is a head (kind, channel,
length of what follows) and a payload. A channel is one client's connection; the worker numbers them. Frames of one
channel keep their order. The peer is our own code; lengths are checked all the same, because a fault must end in one
error and not in endless memory.
"""

import struct
from collections.abc import Iterable

# from the hub to the worker
START = 1  # the configuration, as JSON
DATA_TO_MANY = 2  # the field `channel` counts the channels, whose numbers precede the bytes
CLOSE = 3  # end this channel after what was written
ABORT = 4  # end it at once
ACCEPTING = 5  # `channel` is 1 if new clients are welcome, else 0
RELOAD = 6  # read certificates again
STOP = 7  # stop listening
# from the worker to the hub
READY = 20  # it listens
OPEN = 21  # a new channel: the client's address and certificate
LOST = 22  # a channel has ended: why, as text
RELOADED = 23  # answers RELOAD; `channel` is 1 if that worked
STOPPED = 24  # answers STOP
TAKEN = 25  # so many bytes of channels have been passed on, counted for each of many
# both ways
DATA = 40  # bytes of a channel
ACK = 41  # so many bytes of these channels have been taken

HEAD = struct.Struct(">BII")
_PAIR = struct.Struct(">II")
_COUNT = struct.Struct(">Q")
_PEER = struct.Struct(">H")
NUMBER_SIZE = 4
DATA_LIMIT = 64 * 1024 * 1024
CONTROL_LIMIT = 8 * 1024 * 1024  # a START with a long configuration, an OPEN with a long certificate
MANY_LIMIT = 16_384  # channels in one DATA_TO_MANY
ACKS_LIMIT = 16_384  # pairs in one ACK
_CONTROL = {START, CLOSE, ABORT, ACCEPTING, RELOAD, STOP, READY, OPEN, LOST, RELOADED, STOPPED, TAKEN, ACK}

Targets = tuple[int, ...]
Item = tuple[int, int | Targets, bytes]


class TrunkError(Exception):
    """What came over a trunk is no frame: the other end is broken."""


def frame(kind: int, channel: int = 0, payload: bytes = b"") -> bytes:
    """A frame other than DATA_TO_MANY."""
    return HEAD.pack(kind, channel, len(payload)) + payload


def data_head(channel: int, length: int) -> bytes:
    """What precedes the bytes in a DATA frame."""
    return HEAD.pack(DATA, channel, length)


def many_head(channels: list[int], length: int) -> bytes:
    """What precedes the bytes in a DATA_TO_MANY frame, for at most `MANY_LIMIT` channels."""
    count = len(channels)
    return HEAD.pack(DATA_TO_MANY, count, length) + struct.pack(f">{count}I", *channels)


def acks(taken: Iterable[tuple[int, int]]) -> bytes:
    """ACK frames for pairs of a channel and a number of bytes."""
    packed = b"".join(_PAIR.pack(channel, count) for channel, count in taken)
    step = ACKS_LIMIT * _PAIR.size
    return b"".join(frame(ACK, 0, packed[start : start + step]) for start in range(0, len(packed), step))


def taken(count: int) -> bytes:
    """A TAKEN frame."""
    return frame(TAKEN, 0, _COUNT.pack(count))


def taken_count(payload: bytes) -> int:
    """The count of a TAKEN. Raises `TrunkError`."""
    if len(payload) != _COUNT.size:
        raise TrunkError("a TAKEN without its count")
    count: int = _COUNT.unpack(payload)[0]
    return count


def open_channel(channel: int, peer: str, der: bytes) -> bytes:
    """An OPEN frame; `der` is empty where there is no certificate."""
    text = peer.encode()
    return frame(OPEN, channel, _PEER.pack(len(text)) + text + der)


def opened(payload: bytes) -> tuple[str, bytes]:
    """Address and certificate (DER, or empty) of an OPEN. Raises `TrunkError`."""
    if len(payload) < _PEER.size or len(payload) < _PEER.size + _PEER.unpack_from(payload)[0]:
        raise TrunkError("a short OPEN")
    end = _PEER.size + _PEER.unpack_from(payload)[0]
    return payload[_PEER.size : end].decode("utf-8", "replace"), payload[end:]


def acked(payload: bytes) -> Iterable[tuple[int, int]]:
    """The pairs of an ACK. Raises `TrunkError`."""
    if len(payload) % _PAIR.size:
        raise TrunkError("half a pair in an ACK")
    return _PAIR.iter_unpack(payload)


class Splitter:
    """Cuts what was read into items: kind, channel (or channels), payload.

    The bytes of DATA and DATA_TO_MANY come in as many items as they were read in, never empty; whatever else comes
    whole, after at most `CONTROL_LIMIT` bytes were kept for it.
    """

    __slots__ = ("_kind", "_left", "_tail", "_to")

    def __init__(self) -> None:
        self._tail = b""
        self._left = 0  # bytes that belong to an unfinished DATA or DATA_TO_MANY
        self._kind = 0
        self._to: int | Targets = 0

    def feed(self, data: bytes | memoryview) -> list[Item]:
        """The items in what was kept and this. Their payloads are copies. Raises `TrunkError`."""
        items: list[Item] = []
        position = 0
        if self._left:
            position = min(self._left, len(data))
            self._left -= position
            items.append((self._kind, self._to, bytes(data[:position])))
        elif self._tail:
            data = self._tail + bytes(data)
            self._tail = b""
        size = len(data)
        while position + HEAD.size <= size:
            kind, channel, length = HEAD.unpack_from(data, position)
            begin = position + HEAD.size
            to: int | Targets = channel
            if kind == DATA_TO_MANY:
                _check(length <= DATA_LIMIT and channel <= MANY_LIMIT, kind, channel, length)
                begin += channel * NUMBER_SIZE
                if begin > size:
                    break
                to = struct.unpack_from(f">{channel}I", data, position + HEAD.size)
            elif kind == DATA:
                _check(length <= DATA_LIMIT, kind, channel, length)
            else:
                _check(kind in _CONTROL and length <= CONTROL_LIMIT, kind, channel, length)
                if begin + length > size:
                    break
                items.append((kind, channel, bytes(data[begin : begin + length])))
                position = begin + length
                continue
            position = begin + length
            if length and begin < size:
                items.append((kind, to, bytes(data[begin:position])))
            if position > size:
                self._kind, self._to, self._left = kind, to, position - size
                return items
        self._tail = bytes(data[position:])
        return items


def _check(good: bool, kind: int, channel: int, length: int) -> None:
    if not good:
        raise TrunkError(f"kind {kind}, channel {channel}, length {length}")
