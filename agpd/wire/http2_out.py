"""What an HTTP/2 connection sends: queues of streams, within the peer's windows, in turns of a frame each."""

from collections import deque
from collections.abc import Callable

from agpd.wire.http2_frames import (
    FIRST_WINDOW,
    FRAME_OUT_LIMIT,
    WINDOW_LIMIT,
    Calm,
    Headers,
    Stream,
    pack_head,
)

LEAST_FRAME_BYTES = 16_384  # what every peer takes in a frame


class Outgoing:
    """The bytes to send. `end` sends the trailers of a stream, whose queue is empty, with `add`."""

    def __init__(self, calm: Calm, end: Callable[[Stream, Headers], None]) -> None:
        self._calm = calm
        self._end = end
        self._out: list[bytes] = []
        self._ready: deque[Stream] = deque()
        self._window = FIRST_WINDOW
        self._frame = LEAST_FRAME_BYTES

    def add(self, data: bytes) -> None:
        """Frames that no window holds back."""
        self._out.append(data)

    def widen(self, more: int) -> bool:
        """The peer's WINDOW_UPDATE for the connection. False: more than may be."""
        self._window += more
        return self._window <= WINDOW_LIMIT

    def widen_stream(self, stream: Stream, more: int) -> bool:
        """The same for a stream; less than nothing after the peer's SETTINGS."""
        if stream.window_out + more > WINDOW_LIMIT:
            return False
        stream.window_out += more
        if stream.queued and stream.window_out > 0:
            self._make_ready(stream)
        return True

    def set_frame_limit(self, size: int) -> None:
        """The longest frame that the peer takes."""
        self._frame = min(size, FRAME_OUT_LIMIT)

    def write(self, stream: Stream, data: bytes) -> None:
        """Queue bytes of a stream."""
        stream.chunks.append(data)
        stream.queued += len(data)
        if stream.window_out > 0:
            self._make_ready(stream)

    def finish(self, stream: Stream, trailers: Headers) -> None:
        """The end of a stream, after what is queued."""
        stream.trailers = trailers
        if not stream.queued:
            self._make_ready(stream)

    def drop(self, stream: Stream) -> None:
        """Forget what is queued."""
        stream.chunks.clear()
        stream.front, stream.offset, stream.queued = b"", 0, 0

    def stop(self) -> None:
        """Nothing of streams goes out any more."""
        self._ready.clear()

    def take(self, limit: int) -> bytes:
        """About `limit` bytes, or what there is and the windows allow, beside what `add` was given."""
        ready, size = self._ready, 0
        blocked: list[Stream] = []  # by the connection's window, which trailers need not wait for
        while ready and size < limit:
            stream = ready.popleft()
            if stream.queued and self._window <= 0:
                blocked.append(stream)
                continue
            stream.ready = False
            if stream.gone:
                continue
            if stream.queued:
                size += self._send_frame(stream)
                if stream.queued and stream.window_out > 0:
                    self._make_ready(stream)
            if not stream.queued and stream.trailers is not None:
                self._end(stream, stream.trailers)
        ready.extendleft(reversed(blocked))
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def _make_ready(self, stream: Stream) -> None:
        if not stream.ready:
            stream.ready = True
            self._ready.append(stream)

    def _send_frame(self, stream: Stream) -> int:
        front, offset = stream.front, stream.offset
        if offset == len(front):
            chunks = stream.chunks
            front = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            stream.front, offset = front, 0
        length = min(len(front) - offset, stream.window_out, self._window, self._frame)
        if length <= 0:
            return 0
        self._out.append(pack_head(length << 8, 0, stream.id))
        self._out.append(front if length == len(front) else front[offset : offset + length])
        stream.window_out -= length
        self._window -= length
        stream.queued -= length
        offset += length
        if offset == len(front):
            stream.front, stream.offset = b"", 0
        else:
            stream.offset = offset
        self._calm.earned += 2
        return length
