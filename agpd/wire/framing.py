"""Bytes of a stream to whole frames, with every length judged before anything is kept.

`Reassembly` keeps what has come of an unfinished frame; `split` walks whole frames. The gateway's forwarding
loop walks the buffer itself (`hotpath`) and shares `Reassembly` and `check_length`.
"""

from collections.abc import Iterator

from agpd.errors import Code, Fatal
from agpd.wire.frames import LENGTH_SIZE, PREFIX_SIZE, REST_MINIMUM, Frame, parse

_FROM = int.from_bytes


def check_length(length: int, limit: int) -> None:
    """Judge the length field of a frame. `limit`: the whole frame, in bytes.

    Raises `Fatal(MALFORMED_FRAME)` or `Fatal(FRAME_TOO_LARGE)`.
    """
    if length < REST_MINIMUM:
        raise Fatal(Code.MALFORMED_FRAME, f"length {length} is shorter than the prefix")
    if length + LENGTH_SIZE > limit:
        raise Fatal(Code.FRAME_TOO_LARGE, f"{length + LENGTH_SIZE} bytes, the limit is {limit}")


class Reassembly:
    """What has arrived of a frame that is not whole yet.

    `limit` bounds a frame, in bytes, and so bounds what is kept. It may be changed between frames.
    """

    __slots__ = ("_kept", "_need", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # One buffer, not a list of chunks: chunks of a byte each would cost forty times their size.
        self._kept = bytearray()
        self._need = 0

    @property
    def open_bytes(self) -> int:
        """Bytes kept of an unfinished frame."""
        return len(self._kept)

    def gather(self, data: bytes) -> bytes:
        """The bytes to walk now, beginning at a frame; empty while the open frame is incomplete."""
        kept = self._kept
        if not kept:
            return data
        if len(kept) + len(data) < self._need:
            kept += data
            return b""
        joined = b"".join((kept, data))
        self._kept = bytearray()
        return joined

    def complete(self, data: bytes) -> tuple[bytes, int]:
        """What to walk first, and where to go on in `data`: as `gather`, but no more of `data` is copied than needed.

        First comes the open frame, whole now; or all that was kept, if that was more (`add`); or nothing. If the
        frame is still open, all of `data` is kept.
        """
        kept = self._kept
        if not kept:
            return b"", 0
        taken = max(0, self._need - len(kept))
        kept += data[:taken]
        if len(kept) == PREFIX_SIZE:
            # Perhaps the length was not there before. Nobody waits for one outside the limits.
            length = _FROM(kept[:LENGTH_SIZE], "big")
            if REST_MINIMUM <= length <= self.limit - LENGTH_SIZE:
                self._need = length + LENGTH_SIZE
                more = self._need - PREFIX_SIZE
                kept += data[taken : taken + more]
                taken += more
        if len(kept) < self._need:
            return b"", len(data)
        self._kept = bytearray()
        return bytes(kept), taken

    def add(self, data: bytes) -> None:
        """More came while what is kept is not yet walked to its end."""
        if not self._kept:
            self._need = PREFIX_SIZE
        self._kept += data

    def keep(self, data: bytes, start: int) -> None:
        """Keep `data[start:]`, the beginning of an unfinished frame.

        Raises `Fatal` if its length field, when it is there, lies outside the limits.
        """
        tail = data[start:] if start else data
        if not tail:
            return
        self._need = PREFIX_SIZE
        if len(tail) >= LENGTH_SIZE:
            length = _FROM(tail[:LENGTH_SIZE], "big")
            check_length(length, self.limit)
            self._need = length + LENGTH_SIZE
        self._kept += tail


def split(data: bytes, reassembly: Reassembly) -> Iterator[Frame]:
    """The whole frames of `data` (after what was kept before); the unfinished rest is kept.

    Raises `Fatal` at the first length that lies outside the limits, after the frames before it.
    """
    data = reassembly.gather(data)
    position, size = 0, len(data)
    while size - position >= LENGTH_SIZE:
        length = _FROM(data[position : position + LENGTH_SIZE], "big")
        check_length(length, reassembly.limit)
        end = position + LENGTH_SIZE + length
        if end > size:
            break
        yield parse(data, position)
        position = end
    reassembly.keep(data, position)
