"""The server's side of one HTTP/2 connection (RFC 9113): bytes in, events out, bytes to send out.

The library h2 speaks what is rare: the preface, HEADERS with hpack, SETTINGS, PING, RST_STREAM, PRIORITY. Its checks
and events cost 40 us for a frame, so the two frames that carry messages, DATA and WINDOW_UPDATE, never reach it: the
windows of both directions are accounted here, and h2's own are not used. GOAWAY does not reach it either, because h2
takes it for the end of streams that still go on. Frames are split and judged before anything else sees them.

What h2 has to know of a stream besides is that the peer's half has ended with a DATA frame: its state machine is told
so (`_half_closed`), and a request's content-length is checked here.

Work is bounded: `receive` stops after as many units as it is given and keeps the rest. What a peer may send without
use is bounded by `_Calm`.
"""

import struct
from collections.abc import Callable

from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from h2.stream import StreamInputs

from agpd.wire.http2_frames import (
    ACK,
    CONTINUATION,
    COSTS,
    DATA,
    EMPTY_COST,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    GOAWAY,
    HARD_HEADERS,
    HEAD_SIZE,
    HEADER_WORK,
    HEADERS,
    NAMES,
    OTHER_WORK,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    REFUSED_COST,
    RST_STREAM,
    SETTINGS,
    TABLE_LIMIT,
    UNKNOWN_COST,
    USUAL_HEADERS,
    WINDOW_LIMIT,
    WINDOW_UPDATE,
    WORK,
    Calm,
    Data,
    Error,
    Event,
    Failed,
    Fault,
    HalfClosed,
    Headers,
    Leaving,
    Limits,
    Pong,
    Request,
    Reset,
    Stream,
    frame_of,
    known_settings,
    pack_head,
    unpack_head,
)
from agpd.wire.http2_out import Outgoing

__all__ = [
    "Connection",
    "Data",
    "Error",
    "Event",
    "Failed",
    "HalfClosed",
    "Headers",
    "Leaving",
    "Limits",
    "Pong",
    "Request",
    "Reset",
    "Stream",
]


class _H2(H2Connection):
    MAX_CLOSED_STREAMS = (
        256  # remembered, so that frames that were under way do no harm; 65,536 would take 6 MiB
    )


class Connection:
    """A connection of the server. `clock` returns monotonic seconds.

    After every call of any method there may be something to send: `data_to_send`. Methods that take a stream do
    nothing once it is gone.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._calm = Calm(clock)
        self.streams: dict[int, Stream] = {}
        self.finished: list[Stream] = []  # whose trailers are out since this was last emptied
        self.failed = False
        self.work = 0  # units done by the last `receive`
        self.behind = False  # it stopped there: call it again
        self.whole = True  # it took a frame, or there was nothing left of one
        # in
        self._kept = bytearray()
        self._need = len(PREFACE)
        self._walk = self._preface
        self._block = 0  # the stream whose header block is open
        self._block_bytes = 0
        self._settled = False  # SETTINGS have come
        self._highest = 0
        self._last_served: int | None = None  # after the final GOAWAY
        self._window_in = FIRST_WINDOW
        self._refund = 0
        self._events: list[Event] = []
        self._more_work = 0  # units, of the frame that was just taken
        # out
        self._out = Outgoing(self._calm, self._send_trailers)
        self._first_window_out = FIRST_WINDOW
        self._h2 = _H2(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._begin()

    def _begin(self) -> None:
        limits, h2 = self._limits, self._h2
        hard_bytes = HARD_HEADERS * limits.header_bytes
        # To h2 these are higher than to the peer: what is above the limits costs the peer its stream, not all of them.
        h2.local_settings.max_concurrent_streams = WINDOW_LIMIT
        h2.local_settings.max_frame_size = limits.frame_bytes
        h2.local_settings.acknowledge()
        h2.max_inbound_frame_size = limits.frame_bytes
        h2.decoder.max_header_list_size = hard_bytes
        h2.initiate_connection()
        h2.clear_outbound_data_buffer()
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            SettingCodes.MAX_FRAME_SIZE: limits.frame_bytes,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
        }
        body = b"".join(struct.pack(">HI", code, value) for code, value in settings.items())
        self._out.add(frame_of(SETTINGS, 0, 0, body))
        if limits.connection_window_bytes > FIRST_WINDOW:
            self._open_window(0, limits.connection_window_bytes - FIRST_WINDOW)
            self._window_in = limits.connection_window_bytes

    @property
    def settled(self) -> bool:
        """Have the peer's preface and SETTINGS come?"""
        return self._settled

    # ---- in

    def receive(self, data: bytes, work: int) -> list[Event]:
        """What these bytes (after what was kept) mean, as far as `work` units go. `work` 0 only keeps them.

        Of an unfinished frame no more is kept than its length, which was judged before.
        """
        self.work = 0
        if self.failed:
            return []
        kept = self._kept
        if kept or work <= 0:
            kept += data
            self.behind, self.whole = work <= 0, False
            if self.behind or len(kept) < self._need:
                return []
            data = bytes(kept)
            self._kept = bytearray()
        events = self._events = []
        try:
            self._walk(data, work)
        except Fault as fault:
            self._fail(fault.code, fault.detail)
            events.append(Failed(fault.code, fault.detail))
        return events

    def _preface(self, data: bytes, work: int) -> None:
        size = len(PREFACE)
        if data[:size] != PREFACE[: len(data)]:
            raise Fault(Error.PROTOCOL_ERROR, "this is not HTTP/2")
        if len(data) < size:
            self._keep(data, 0, size)
            return
        self._h2.receive_data(PREFACE)
        self._walk = self._frames
        self._frames(data[size:], work)

    def _frames(self, data: bytes, work: int) -> None:
        position, size, left = 0, len(data), work
        streams, events, limit = self.streams, self._events, self._limits.frame_bytes
        need = HEAD_SIZE
        while size - position >= HEAD_SIZE:
            if left <= 0:
                break
            word, flags, number = unpack_head(data, position)
            length, kind, number = word >> 8, word & 0xFF, number & WINDOW_LIMIT
            if length > limit:
                raise Fault(Error.FRAME_SIZE_ERROR, f"a frame of {length} bytes, the limit is {limit}")
            end = position + HEAD_SIZE + length
            if end > size:
                need = HEAD_SIZE + length
                break
            left -= WORK.get(kind, OTHER_WORK)
            stream = streams.get(number)
            if kind == DATA and stream is not None and not flags and length and not self._block:
                # As `_data`, for what nearly every frame is.
                self._window_in -= length
                stream.window_in -= length
                if self._window_in < 0 or stream.window_in < 0 or stream.ended_in:
                    self._window_in += length
                    stream.window_in += length
                    self._data(stream, number, flags, data[position + HEAD_SIZE : end])
                else:
                    if not stream.parts:
                        events.append(Data(stream))
                    stream.parts.append(data[position + HEAD_SIZE : end])
                    stream.unread += length
                    if stream.expected is not None:
                        stream.expected -= length
                    self._calm.earned += 1
            else:
                self._frame(stream, kind, flags, number, data[position:end])
                left -= self._more_work
                self._more_work = 0
            position = end
        self.work = work - left
        self.whole = position > 0 or not size
        self.behind = left <= 0 and size - position >= HEAD_SIZE
        self._keep(data, position, need)

    def _keep(self, data: bytes, position: int, need: int) -> None:
        self._need = need
        if position < len(data):
            self._kept += data[position:] if position else data

    def _frame(self, stream: Stream | None, kind: int, flags: int, number: int, frame: bytes) -> None:
        if not self._settled:
            if kind != SETTINGS or flags & ACK:
                raise Fault(Error.PROTOCOL_ERROR, "the first frame must be SETTINGS")
            self._settled = True
        if self._block and (kind != CONTINUATION or number != self._block):
            raise Fault(Error.PROTOCOL_ERROR, "a frame between HEADERS and CONTINUATION")
        if kind == DATA:
            self._data(stream, number, flags, frame[HEAD_SIZE:])
        elif kind == WINDOW_UPDATE:
            self._window_update(stream, number, frame)
        elif kind == HEADERS:
            self._block_bytes = 0
            self._header_block(flags, number, frame)
        elif kind > CONTINUATION:
            self._calm.spend(UNKNOWN_COST, f"of type {kind}")  # RFC 9113, 5.5: ignored
        else:
            self._calm.spend(COSTS.get(kind, 0), NAMES[kind])
            self._rare(kind, flags, number, frame)

    def _rare(self, kind: int, flags: int, number: int, frame: bytes) -> None:
        if kind == CONTINUATION:
            if not self._block:
                raise Fault(Error.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            self._header_block(flags, number, frame)
        elif kind == PUSH_PROMISE:
            raise Fault(Error.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        elif kind == GOAWAY:
            self._peer_leaves(number, frame)
        elif kind == SETTINGS:
            self._feed(known_settings(frame, number, flags))
        elif kind == RST_STREAM and number > self._highest:
            raise Fault(Error.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        else:
            self._feed(frame)

    def _header_block(self, flags: int, number: int, frame: bytes) -> None:
        self._block_bytes += len(frame) - HEAD_SIZE
        if self._block_bytes > HARD_HEADERS * self._limits.header_bytes:
            raise Fault(Error.ENHANCE_YOUR_CALM, "the header block is too long")
        self._block = 0 if flags & END_HEADERS else number
        self._feed(frame)

    def _data(self, stream: Stream | None, number: int, flags: int, body: bytes) -> None:
        length = len(body)
        self._window_in -= length
        if self._window_in < 0:
            raise Fault(Error.FLOW_CONTROL_ERROR, "more than the connection's window")
        if flags & PADDED:
            if not length:
                raise Fault(Error.FRAME_SIZE_ERROR, "padding without its length")
            if body[0] >= length:
                raise Fault(Error.PROTOCOL_ERROR, "more padding than there is frame")
            content = body[1 : length - body[0]]
        else:
            content = body
        if stream is None or stream.ended_in:
            self._stray(stream, number, length)
            return
        stream.window_in -= length
        if stream.window_in < 0:
            self._give_back(length)
            self._punish(stream, Error.FLOW_CONTROL_ERROR, "more than the stream's window")
            return
        stream.unread += length
        if content:
            if not stream.parts:
                self._events.append(Data(stream))
            stream.parts.append(content)
            if stream.expected is not None:
                stream.expected -= len(content)
            self._calm.earned += 1
        elif not flags & END_STREAM:
            self._calm.spend(EMPTY_COST, "empty DATA")
        if flags & END_STREAM:
            self._h2.streams[number].state_machine.process_input(StreamInputs.RECV_END_STREAM)
            self._half_closed(stream)

    def _stray(self, stream: Stream | None, number: int, length: int) -> None:
        """DATA where none is due: after RST_STREAM of ours it was under way, after the peer's end it is an error."""
        if not number or not number % 2 or number > self._highest:
            raise Fault(Error.PROTOCOL_ERROR, "DATA on an idle stream")
        self._give_back(length)
        self._calm.spend(1 if length else EMPTY_COST, "DATA on a closed stream")
        if stream is not None:
            self._punish(stream, Error.STREAM_CLOSED, "DATA after END_STREAM")

    def _half_closed(self, stream: Stream) -> None:
        stream.ended_in = True
        if stream.expected:  # too much, or too little
            self._punish(stream, Error.PROTOCOL_ERROR, "content-length is not what came")
        else:
            self._events.append(HalfClosed(stream))

    def _window_update(self, stream: Stream | None, number: int, frame: bytes) -> None:
        if len(frame) != HEAD_SIZE + 4:
            raise Fault(Error.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not of 4 bytes")
        more = int.from_bytes(frame[HEAD_SIZE:], "big") & WINDOW_LIMIT
        self._calm.spend(1, "WINDOW_UPDATE")
        if not number:
            if not more:
                raise Fault(Error.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            if not self._out.widen(more):
                raise Fault(Error.FLOW_CONTROL_ERROR, "the window is too large")
        elif stream is None:
            if number > self._highest or not number % 2:
                raise Fault(Error.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        elif not more:
            self._punish(stream, Error.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        elif not self._out.widen_stream(stream, more):
            self._punish(stream, Error.FLOW_CONTROL_ERROR, "the window is too large")

    def _peer_leaves(self, number: int, frame: bytes) -> None:
        if number:
            raise Fault(Error.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(frame) < HEAD_SIZE + 8:
            raise Fault(Error.FRAME_SIZE_ERROR, "GOAWAY is too short")
        code = int.from_bytes(frame[HEAD_SIZE + 4 : HEAD_SIZE + 8], "big")
        self._events.append(Leaving(code, frame[HEAD_SIZE + 8 : HEAD_SIZE + 208].decode("ascii", "replace")))

    def _feed(self, frame: bytes) -> None:
        """Let h2 have a frame, send what it answers, and take in what it says."""
        h2 = self._h2
        try:
            found = h2.receive_data(frame)
        except ProtocolError as error:
            h2.clear_outbound_data_buffer()
            raise Fault(error.error_code, str(error) or type(error).__name__) from error
        self._collect()
        for event in found:
            if isinstance(event, h2_events.RequestReceived):
                self._request(event)
            elif isinstance(event, h2_events.StreamEnded):
                stream = self.streams.get(event.stream_id)
                if stream is not None and not stream.ended_in:
                    self._half_closed(stream)
            elif isinstance(event, h2_events.StreamReset):
                self._was_reset(event)
            elif isinstance(event, h2_events.RemoteSettingsChanged):
                self._peer_settings(event)
            elif isinstance(event, h2_events.PingAckReceived):
                self._events.append(Pong(bytes(event.ping_data or b"")))

    def _request(self, event: h2_events.RequestReceived) -> None:
        number, headers = event.stream_id, event.headers
        assert number is not None
        self._highest = max(self._highest, number)
        late = self._last_served is not None and number > self._last_served
        if late or len(self.streams) >= self._limits.streams:
            self._h2.reset_stream(number, Error.REFUSED_STREAM)
            self._collect()
            self._calm.spend(REFUSED_COST, "HEADERS of one stream too many")
            return
        pairs: Headers = [(bytes(name), bytes(value)) for name, value in headers]
        self._more_work += HEADER_WORK * len(pairs)
        if len(pairs) > USUAL_HEADERS:
            self._calm.spend(len(pairs) - USUAL_HEADERS, "HEADERS with many entries")
        size = sum(len(name) + len(value) + 32 for name, value in pairs)
        lengths = [value for name, value in pairs if name == b"content-length"]
        # h2 has refused those that are no number or contradict each other.
        stream = Stream(
            number,
            self._limits.stream_window_bytes,
            self._first_window_out,
            int(lengths[0]) if lengths else None,
        )
        self.streams[number] = stream
        self._events.append(Request(stream, pairs, size > self._limits.header_bytes))

    def _was_reset(self, event: h2_events.StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            self._events.append(Reset(stream, int(event.error_code or 0), "reset by the client"))

    def _peer_settings(self, event: h2_events.RemoteSettingsChanged) -> None:
        changed = event.changed_settings
        if SettingCodes.HEADER_TABLE_SIZE in changed:
            encoder = self._h2.encoder
            if encoder.header_table_size > TABLE_LIMIT:
                encoder.header_table_size = TABLE_LIMIT
            # All that has to be said of changes between two header blocks (RFC 7541, 4.2).
            sizes = encoder.table_size_changes
            encoder.table_size_changes = [min(sizes), sizes[-1]] if len(sizes) > 2 else sizes
        if SettingCodes.MAX_FRAME_SIZE in changed:
            self._out.set_frame_limit(changed[SettingCodes.MAX_FRAME_SIZE].new_value)
        if SettingCodes.INITIAL_WINDOW_SIZE in changed:
            window = changed[SettingCodes.INITIAL_WINDOW_SIZE].new_value
            more, self._first_window_out = window - self._first_window_out, window
            for stream in list(self.streams.values()):
                if not self._out.widen_stream(stream, more):
                    raise Fault(Error.FLOW_CONTROL_ERROR, "the window of a stream is too large")

    def _punish(self, stream: Stream, code: Error, detail: str) -> None:
        """A stream error of the peer."""
        self.reset(stream, code)
        self._events.append(Reset(stream, code, detail))
        self._calm.spend(REFUSED_COST, detail)

    # ---- the windows we give

    def take(self, stream: Stream) -> list[bytes]:
        """What has come on the stream, in order. Its window is given back."""
        parts = stream.parts
        if stream.held:
            parts.insert(0, bytes(stream.held))
            stream.held = bytearray()
        stream.parts = []
        taken, stream.unread = stream.unread, 0
        self._give_back(taken)
        if not stream.ended_in and not stream.gone:
            stream.refund += taken
            if 2 * stream.refund >= self._limits.stream_window_bytes:
                self._open_window(stream.id, stream.refund)
                stream.window_in += stream.refund
                stream.refund = 0
        return parts

    def hold(self, stream: Stream) -> None:
        """Nobody takes what has come: keep it in few bytes. The peer gets no more than the stream's window out."""
        stream.held += b"".join(stream.parts)
        stream.parts.clear()

    def _give_back(self, size: int) -> None:
        self._refund += size
        if 2 * self._refund >= self._limits.connection_window_bytes and not self.failed:
            self._open_window(0, self._refund)
            self._window_in += self._refund
            self._refund = 0

    def _open_window(self, number: int, size: int) -> None:
        self._out.add(pack_head(4 << 8 | WINDOW_UPDATE, 0, number) + size.to_bytes(4, "big"))

    # ---- out

    def headers(self, stream: Stream, headers: Headers) -> None:
        """The head of the response."""
        if not stream.gone:
            self._h2.send_headers(stream.id, headers)
            self._collect()

    def write(self, stream: Stream, data: bytes) -> None:
        """Queue bytes; `stream.queued` says how many wait for windows or for `data_to_send`."""
        if not stream.gone:
            self._out.write(stream, data)

    def finish(self, stream: Stream, trailers: Headers) -> None:
        """The end of the stream, after what is queued. A peer that still sends is told that nobody listens."""
        if not stream.gone:
            self._out.finish(stream, trailers)

    def drop(self, stream: Stream) -> None:
        """Forget what is queued. What is left of a message that went out in part is lost to the peer's reader."""
        self._out.drop(stream)

    def reset(self, stream: Stream, code: int) -> None:
        """End the stream at once; what is queued is dropped."""
        if not stream.gone:
            self._h2.reset_stream(stream.id, code)
            self._collect()
            self._forget(stream)

    def ping(self, payload: bytes) -> None:
        """`payload` has 8 bytes and comes back in a `Pong`."""
        if not self.failed:
            self._out.add(frame_of(PING, 0, 0, payload))

    def leave(self, *, final: bool, code: Error = Error.NO_ERROR, detail: str = "") -> None:
        """GOAWAY. Streams go on; after the `final` one no new ones are served, before it those under way are."""
        if self.failed:
            return
        if final and self._last_served is None:
            self._last_served = self._highest
        last = WINDOW_LIMIT if self._last_served is None else self._last_served
        self._goaway(last, code, detail)

    def data_to_send(self, limit: int) -> bytes:
        """About `limit` bytes to send, or what there is and the windows allow."""
        return self._out.take(limit)

    def _send_trailers(self, stream: Stream, trailers: Headers) -> None:
        self._h2.send_headers(stream.id, trailers, end_stream=True)
        if not stream.ended_in:
            self._h2.reset_stream(stream.id, Error.NO_ERROR)  # RFC 9113, 8.1
        self._collect()
        self._forget(stream)
        self.finished.append(stream)

    # ---- both

    def _forget(self, stream: Stream) -> None:
        stream.gone = True
        self.streams.pop(stream.id, None)
        self._give_back(stream.unread)
        stream.unread = 0
        stream.parts = []
        stream.held = bytearray()
        self.drop(stream)

    def _collect(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._out.add(data)

    def _fail(self, code: int, detail: str) -> None:
        self._goaway(self._highest, code, detail)
        self.failed, self.behind = True, False
        self._kept = bytearray()
        self._out.stop()

    def _goaway(self, last: int, code: int, detail: str) -> None:
        self._out.add(
            frame_of(GOAWAY, 0, 0, struct.pack(">II", last, code) + detail.encode("ascii", "replace")[:200])
        )
